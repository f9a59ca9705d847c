"""Einsum becomes matrix products with as few transposes as there can be."""

from __future__ import annotations

from collections import Counter

import pytest
from small_graphs import ROUNDING, check, ops, trace, weights
from wherry.graph import Ref
from wherry.passes.canonicalise import canonicalise
from wherry.passes.expand_einsums import expand_einsums

# equation, shapes -> transposes that it takes
PRODUCTS = {
    "ij,jk->ik": ((3, 4), (4, 5), 0), "ij,kj->ik": ((3, 4), (5, 4), 0), "ji,jk->ik": ((4, 3), (4, 5), 0),
    "ij,jk->ki": ((3, 4), (4, 5), 0), "bij,bjk->bik": ((2, 3, 4), (2, 4, 5), 0), "i,j->ij": ((3,), (4,), 0),
    "bij,bkj->bki": ((2, 3, 4), (2, 5, 4), 0), "aecd,abcd->acbe": ((2, 5, 3, 4), (2, 6, 3, 4), 2),
    "acbe,aecd->abcd": ((2, 3, 6, 5), (2, 5, 3, 4), 2), "abc,cde->abde": ((2, 3, 4), (4, 5, 6), 0),
    "abcd,cde->abe": ((2, 3, 4, 5), (4, 5, 6), 0), "abcd,dce->abe": ((2, 3, 4, 5), (5, 4, 6), 1),
    "i,i->": ((5,), (5,), 0), "bi,bi->b": ((3, 5), (3, 5), 0), "bi,bi->bi": ((3, 5), (3, 5), 0),
    "...ij,...jk->...ik": ((2, 2, 3, 4), (2, 2, 4, 5), 0), "...i,ij->...j": ((2, 3, 4), (4, 5), 0),
    "ijx,jk->ik": ((3, 4, 2), (4, 5), 0), "ij,jky->ik": ((3, 4), (4, 5, 2), 0), "ij,k->jk": ((3, 4), (5,), 0),
    "...ab,bc->...ca": ((2, 2, 3, 4), (4, 5), 1),
}  # fmt: skip
ALONE = {"ij->ji": (3, 4), "ij->i": (3, 4), "ij->": (3, 4), "ijk->ki": (2, 3, 4), "...i->i...": (2, 3, 4)}
KEPT = {"ii->i": (3, 3), "ii->": (3, 3)}


@pytest.mark.parametrize("equation", PRODUCTS)
def test_products(equation: str) -> None:
    import tensorflow as tf

    x, y, transposes = PRODUCTS[equation]
    graph = trace(lambda a, b: tf.raw_ops.Einsum(inputs=[a, b], equation=equation), x, y)
    assert check(graph, expand_einsums, tolerance=ROUNDING) == 1
    found = Counter(ops(graph))
    assert found["Einsum"] == 0 and found["MatMul"] + found["BatchMatMulV2"] == 1 and found["Transpose"] == transposes


@pytest.mark.parametrize("equation", ALONE)
def test_one_tensor(equation: str) -> None:
    import tensorflow as tf

    graph = trace(lambda a: tf.raw_ops.Einsum(inputs=[a], equation=equation), ALONE[equation])
    assert check(graph, expand_einsums, tolerance=ROUNDING) == 1
    assert "Einsum" not in ops(graph)


@pytest.mark.parametrize("equation", KEPT)
def test_diagonals_stay(equation: str) -> None:
    import tensorflow as tf

    graph = trace(lambda a: tf.raw_ops.Einsum(inputs=[a], equation=equation), KEPT[equation])
    assert check(graph, expand_einsums) == 0 and "Einsum" in ops(graph)


def test_what_is_broadcast_and_other_types_stay() -> None:
    import tensorflow as tf

    graph = trace(lambda a, b: tf.raw_ops.Einsum(inputs=[a, b], equation="...ij,...jk->...ik"), (1, 3, 4), (2, 4, 5))
    assert check(graph, expand_einsums) == 0
    graph = trace(lambda a: tf.raw_ops.Einsum(inputs=[a, a], equation="ij,kj->ik"), ((3, 4), "int32"))
    assert check(graph, expand_einsums) == 0


@pytest.mark.parametrize("equation", ["abc,cde->abde", "cde,abc->abde", "abc,dec->abde", "cb,abc->ab"])
def test_weights_are_the_right_operand(equation: str) -> None:
    """Then they can lie in panels, and be quantized."""
    import tensorflow as tf

    terms = equation.split("->")[0].split(",")
    run = terms.index("abc")
    weight = weights(*({"b": 3, "c": 4, "d": 5, "e": 6}[c] for c in terms[1 - run]))
    graph = trace(
        lambda x: tf.raw_ops.Einsum(inputs=[x, weight] if run == 0 else [weight, x], equation=equation), (2, 3, 4)
    )
    assert check(graph, expand_einsums, canonicalise, tolerance=ROUNDING) >= 0
    (product,) = graph.by_op("MatMul", "BatchMatMulV2")
    assert product.inputs[0] in (Ref("x0"), *(Ref(node.name) for node in graph.by_op("Reshape", "Transpose")))
    assert graph.const_value(product.inputs[0]) is None
