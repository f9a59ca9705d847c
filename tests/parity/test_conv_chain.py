"""ConvChain: bit for bit what its parts give one after the other, whatever the strips and the threads."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from harness import FLOAT_ISAS, run_kernel, untested
from test_conv import attributes, image
from tolerance import assert_exact
from weights import make_weight
from wherry.pack.stored import StoredWeight
from wherry.pack.weights import pack_weight

KEY = "ConvChain_f32_wf32"
OPS = ("Conv2D", "DepthwiseConv2dNative")


class Part(NamedTuple):
    op: int
    filter: tuple[int, ...]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    activation: str = ""
    bias: bool = True
    dilation: tuple[int, int] = (1, 1)


def conv(depth: int, outputs: int, activation: str = "", **options: Any) -> Part:
    return Part(0, (1, 1, depth, outputs), activation=activation, **options)


def depthwise(channels: int, size: int = 3, stride: int = 1, **options: Any) -> Part:
    pad = size // 2
    padding = options.pop("padding", (pad, pad, pad, pad))
    return Part(1, (size, size, channels, 1), (stride, stride), padding, **{"activation": "Relu6", **options})


CHAINS: dict[str, tuple[tuple[int, ...], list[Part]]] = {
    "expand, depthwise, project": ((1, 23, 20, 8), [conv(8, 48, "Relu6"), depthwise(48), conv(48, 12)]),
    "one row at a time": ((1, 9, 300, 8), [conv(8, 96, "Swish"), depthwise(96, 5), depthwise(96), conv(96, 4)]),
    "stride 2": ((1, 31, 18, 4), [conv(4, 33, "HardSwish"), depthwise(33, 5, 2, padding=(2, 2, 1, 2), bias=False)]),
    "a whole stem": (
        (1, 40, 44, 3),
        [
            Part(0, (3, 3, 3, 16), (2, 2), (0, 1, 0, 1), "Relu6"), depthwise(16), conv(16, 24, "Relu"),
            depthwise(24, stride=2, padding=(0, 1, 0, 1)), conv(24, 40), depthwise(40), conv(40, 40, bias=False),
        ],
    ),
    "images": ((3, 7, 6, 16), [depthwise(16), conv(16, 32, "Relu")]),
    "only padding is read at the edges": (
        (1, 5, 5, 8), [conv(8, 16), depthwise(16, padding=(4, 5, 3, 6)), depthwise(16, padding=(5, 4, 2, 2))],
    ),
    "rows that nobody reads": (
        (1, 29, 9, 8),
        [conv(8, 16, "Relu"), Part(1, (1, 1, 16, 1), (4, 2)), Part(0, (2, 5, 16, 8), (3, 1), (1, 1, 2, 2))],
    ),
    "dilation and several outputs for a channel": (
        (1, 26, 15, 6),
        [conv(6, 10, "Tanh"), Part(1, (3, 3, 10, 2), padding=(4, 4, 1, 1), dilation=(4, 1)), conv(20, 5, "Sigmoid")],
    ),
    "one part": ((2, 6, 6, 5), [conv(5, 9, "Elu")]),
}


def chain(parts: list[Part]) -> tuple[dict[str, Any], list[Any]]:
    """The attributes and the inputs behind the image."""
    attrs = {
        "ops": [part.op for part in parts],
        "biases": [int(part.bias) for part in parts],
        "strides": [n for part in parts for n in part.stride],
        "dilations": [n for part in parts for n in part.dilation],
        "explicit_paddings": [n for part in parts for n in part.padding],
        "activations": ",".join(part.activation for part in parts),
    }
    inputs: list[Any] = []
    for i, part in enumerate(parts):
        weight = make_weight(part.filter, "wf32", 0, None, seed=i)
        inputs.append(pack_weight(OPS[part.op], weight))
        outputs = part.filter[3] * (part.filter[2] if part.op else 1)
        if part.bias:
            inputs.append(np.random.default_rng([i, outputs]).standard_normal(outputs, np.float32))
    return attrs, inputs


def shapes(shape: tuple[int, ...], parts: list[Part]) -> list[tuple[int, ...]]:
    found = []
    for part in parts:
        size = [
            (shape[1 + i] + sum(part.padding[2 * i : 2 * i + 2]) - (part.filter[i] - 1) * part.dilation[i] - 1)
            // part.stride[i]
            + 1
            for i in (0, 1)
        ]
        shape = (shape[0], *size, part.filter[3] * (part.filter[2] if part.op else 1))
        found.append(shape)
    return found


def one_by_one(x: np.ndarray, parts: list[Part], inputs: list[Any], isa: int) -> np.ndarray:
    rest = iter(inputs)
    for part, shape in zip(parts, shapes(x.shape, parts), strict=True):
        attrs = {**attributes(part.stride, part.dilation, part.padding), "activation": part.activation}
        own = [next(rest) for _ in range(2 if part.bias else 1)]
        (x,) = run_kernel(f"{OPS[part.op]}_f32_wf32", [x, *own], attrs, [(np.float32, shape)], 1, isa)
    return x


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_its_parts(name: str) -> None:
    shape, parts = CHAINS[name]
    x = image(shape)
    attrs, inputs = chain(parts)
    made = shapes(shape, parts)
    outputs = [(np.float32, kind) for kind in (made[-1], *made[:-1])]
    for isa in FLOAT_ISAS:
        expected = one_by_one(x, parts, inputs, isa)
        for threads in (1, 2, 3, 64):
            result = run_kernel(KEY, [x, *inputs], attrs, outputs, threads, isa, unwanted=range(1, len(parts)))
            assert_exact(result[0], expected)


def check_adding(
    key: str, shape: tuple[int, ...], parts: list[Part], attrs: dict[str, Any], inputs: list[Any], isa: int
) -> None:
    """A chain that adds is what it is without an activation at its end, then AddV2, then Relu6."""
    x, made = image(shape), shapes(shape, parts)
    outputs = [(np.float32, kind) for kind in (made[-1], *made[:-1])]
    residual = np.random.default_rng(7).standard_normal(made[-1], np.float32) * 9
    names = attrs["activations"].split(",")[:-1]
    plain = {**attrs, "activations": ",".join([*names, ""])}
    adding = {**attrs, "activations": ",".join([*names, "Relu6"]), "adds": 1}
    unwanted = range(1, len(parts))
    (expected, *_) = run_kernel(key, [x, *inputs], plain, outputs, 1, isa, unwanted=unwanted)
    expected = np.clip(expected + residual, np.float32(0), np.float32(6))
    assert 0 < (expected > 0).mean() < 1
    for threads in (1, 2, 3, 64):
        (y, *_) = run_kernel(key, [x, *inputs, residual], adding, outputs, threads, isa, unwanted=unwanted)
        assert_exact(y, expected)


@pytest.mark.parametrize("name", [name for name, (_, parts) in CHAINS.items() if parts[-1].op == 0])
def test_the_last_part_adds(name: str) -> None:
    shape, parts = CHAINS[name]
    attrs, inputs = chain(parts)
    for isa in FLOAT_ISAS:
        check_adding(KEY, shape, parts, attrs, inputs, isa)


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("expand, depthwise, project", (1, 23, 20, 13)), ("expand, depthwise, project", (23, 20, 12)),
        ("expand, depthwise, project", None), ("stride 2", (1, 16, 11, 33)),
    ],
)  # fmt: skip
def test_refuses_what_cannot_be_added(name: str, added: tuple[int, ...] | None) -> None:
    shape, parts = CHAINS[name]
    attrs, inputs = chain(parts)
    made = shapes(shape, parts)
    outputs = [(np.float32, kind) for kind in (made[-1], *made[:-1])]
    more = [] if added is None else [np.zeros(added, np.float32)]
    with pytest.raises(RuntimeError, match=KEY):
        run_kernel(KEY, [image(shape), *inputs, *more], {**attrs, "adds": 1}, outputs, unwanted=range(1, len(parts)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ops", []), ("ops", [0, 1]), ("ops", [0, 1, 2]), ("ops", [1, 1, 0]), ("ops", [0] * 17), ("biases", [1, 1, 0]),
        ("biases", [1]), ("strides", [1] * 5), ("strides", [1, 1, 2, 1, 1, 1]), ("strides", [0, 1, 1, 1, 1, 1]),
        ("strides", [256, 1, 1, 1, 1, 1]), ("dilations", [1, 1, 2, 1, 1, 1]), ("dilations", [1, 1, -1, 1, 1, 1]),
        ("explicit_paddings", [0] * 12), ("explicit_paddings", [0, 0, 0, 0, -1, 3, 1, 1, 0, 0, 0, 0]),
        ("explicit_paddings", [0, 0, 0, 0, 1, 1 << 40, 1, 1, 0, 0, 0, 0]), ("explicit_paddings", []),
        ("activations", "Relu6,Relu6"), ("activations", "Relu6,,Sine"), ("activations", "Relu6,LeakyRelu,"),
    ],
)  # fmt: skip
def test_refuses_attributes_that_do_not_fit(name: str, value: Any) -> None:
    shape, parts = CHAINS["expand, depthwise, project"]
    attrs, inputs = chain(parts)
    made = shapes(shape, parts)
    outputs = [(np.float32, kind) for kind in (made[-1], *made[:-1])]
    with pytest.raises(RuntimeError, match=KEY):
        run_kernel(KEY, [image(shape), *inputs], {**attrs, name: value}, outputs, unwanted=(1, 2))


@pytest.mark.parametrize("tensor", range(4))
@pytest.mark.parametrize("axis", range(4))
def test_refuses_tensors_that_do_not_fit(tensor: int, axis: int) -> None:
    shape, parts = CHAINS["expand, depthwise, project"]
    attrs, inputs = chain(parts)
    kinds = [list(kind) for kind in (shape, *shapes(shape, parts))]
    kinds[tensor][axis] += 1
    outputs = [(np.float32, tuple(kind)) for kind in (kinds[3], *kinds[1:3])]
    with pytest.raises(RuntimeError, match=KEY):
        run_kernel(KEY, [image(tuple(kinds[0])), *inputs], attrs, outputs, unwanted=(1, 2))


@pytest.mark.parametrize("number", range(6))
def test_refuses_weights_that_do_not_fit(number: int) -> None:
    shape, parts = CHAINS["expand, depthwise, project"]
    attrs, inputs = chain(parts)
    made = shapes(shape, parts)
    outputs = [(np.float32, kind) for kind in (made[-1], *made[:-1])]
    held = inputs[number]
    if isinstance(held, StoredWeight):
        inputs[number] = pack_weight(OPS[parts[number // 2].op], make_weight((1, 1, 8, 16), "wf32", 0, None))
    else:
        inputs[number] = held[1:]
    with pytest.raises(RuntimeError, match=KEY):
        run_kernel(KEY, [image(shape), *inputs], attrs, outputs, unwanted=(1, 2))


def test_the_kernel_was_tested() -> None:
    assert KEY not in untested("nn", {"conv_chain.cc"})
