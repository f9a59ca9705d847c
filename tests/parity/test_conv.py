"""Conv2D with weights of every format against TensorFlow, which computes with what the weights stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import FLOAT_ISAS, run_kernel, untested
from tolerance import assert_exact, assert_sums
from weights import FEW_FORMATS, FORMATS, make_weight
from wherry.pack.weights import pack_weight

# image, filter, strides, dilations, padding (or top, bottom, left, right)
CASES: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, int], tuple[int, int], Any]] = [
    ((1, 8, 8, 16), (3, 3, 16, 32), (1, 1), (1, 1), "SAME"),
    ((2, 9, 7, 3), (7, 7, 3, 5), (2, 2), (1, 1), "SAME"),
    ((1, 11, 13, 6), (3, 5, 6, 17), (2, 3), (1, 1), "VALID"),
    ((1, 12, 10, 4), (3, 3, 4, 33), (1, 1), (2, 3), "SAME"),
    ((1, 9, 9, 2), (2, 2, 2, 1), (1, 1), (1, 2), "VALID"),
    ((1, 14, 14, 20), (1, 1, 20, 48), (1, 1), (1, 1), "VALID"),
    ((2, 15, 14, 40), (1, 1, 40, 24), (2, 2), (1, 1), "SAME"),
    ((1, 10, 8, 5), (3, 3, 5, 18), (1, 1), (1, 1), (2, 1, 0, 3)),
    ((1, 16, 16, 3), (7, 7, 3, 64), (2, 2), (1, 1), (3, 3, 3, 3)),
    ((1, 9, 13, 700), (1, 1, 700, 24), (1, 1), (1, 1), "SAME"),  # half of the last panel
    ((1, 9, 13, 600), (1, 1, 600, 40), (1, 1), (1, 1), "SAME"),
    ((1, 4, 4, 130), (3, 3, 130, 100), (1, 1), (1, 1), "SAME"),
    ((1, 1, 1, 300), (1, 1, 300, 520), (1, 1), (1, 1), "SAME"),
    ((1, 3, 30, 1), (1, 5, 1, 8), (1, 2), (1, 1), "SAME"),
    ((1, 2, 2, 8), (5, 5, 8, 9), (1, 1), (1, 1), "SAME"),
    ((1, 6, 6, 8), (3, 3, 4, 6), (1, 1), (1, 1), "SAME"),  # two groups
    ((2, 7, 5, 36), (3, 3, 4, 72), (2, 1), (1, 1), "VALID"),  # nine groups of eight
]


def attributes(strides: tuple[int, int], dilations: tuple[int, int], padding: Any) -> dict[str, Any]:
    attrs: dict[str, Any] = {"strides": [1, *strides, 1], "dilations": [1, *dilations, 1]}
    if isinstance(padding, str):
        return {**attrs, "padding": padding}
    return {**attrs, "padding": "EXPLICIT", "explicit_paddings": [0, 0, *padding, 0, 0]}


def image(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(list(shape)).standard_normal(shape, np.float32)


@pytest.mark.parametrize(("suffix", "bits"), FEW_FORMATS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(part) for part in case[:2]))
def test_conv_2d(case: Any, suffix: str, bits: int) -> None:
    import tensorflow as tf

    shape, filter_shape, strides, dilations, padding = case
    x = image(shape)
    weight = make_weight(filter_shape, suffix, bits, axis=3)
    attrs = attributes(strides, dilations, padding)
    expected = tf.raw_ops.Conv2D(input=x, filter=weight.numpy(), **attrs).numpy()
    magnitude = tf.raw_ops.Conv2D(input=np.abs(x), filter=np.abs(weight.numpy()), **attrs).numpy()
    stored = pack_weight("Conv2D", weight)
    for isa in FLOAT_ISAS:
        outputs = [
            run_kernel(f"Conv2D_f32_{suffix}", [x, stored], attrs, [(np.float32, expected.shape)], threads, isa)[0]
            for threads in (1, 2, 3)
        ]
        assert_sums(outputs[0], expected, magnitude)
        assert_exact(outputs[1], outputs[0])
        assert_exact(outputs[2], outputs[0])


@pytest.mark.parametrize(("suffix", "bits"), FORMATS)
@pytest.mark.parametrize("axis", [3, None])
def test_every_format(suffix: str, bits: int, axis: int | None) -> None:
    import tensorflow as tf

    x = image((1, 6, 5, 7))
    weight = make_weight((3, 3, 7, 21), suffix, bits, axis)
    attrs = attributes((1, 1), (1, 1), "SAME")
    expected = tf.raw_ops.Conv2D(input=x, filter=weight.numpy(), **attrs).numpy()
    magnitude = tf.raw_ops.Conv2D(input=np.abs(x), filter=np.abs(weight.numpy()), **attrs).numpy()
    for isa in FLOAT_ISAS:
        (y,) = run_kernel(
            f"Conv2D_f32_{suffix}",
            [x, pack_weight("Conv2D", weight)],
            attrs,
            [(np.float32, expected.shape)],
            isa=isa,
        )
        assert_sums(y, expected, magnitude)


def activations() -> dict[str, Any]:
    import tensorflow as tf

    return {
        "": tf.identity,
        "Relu": tf.nn.relu,
        "Relu6": tf.nn.relu6,
        "LeakyRelu": lambda x: tf.nn.leaky_relu(x, 0.1),
        "Elu": tf.nn.elu,
        "Tanh": tf.nn.tanh,
        "Sigmoid": tf.nn.sigmoid,
        "Swish": lambda x: x * tf.nn.sigmoid(x),
        "HardSwish": lambda x: x * tf.nn.relu6(x + 3) * (1 / 6),
    }


ACTIVATIONS = ["", "Relu", "Relu6", "LeakyRelu", "Elu", "Tanh", "Sigmoid", "Swish", "HardSwish"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bias_and_activation(activation: str) -> None:
    import tensorflow as tf

    x = image((1, 7, 7, 30))
    x[0, 3, 3, 4] = np.nan
    x[0, 0, 0, 0] = np.inf
    weight = make_weight((3, 3, 30, 23), "wf32", 0, axis=3)
    bias = image((23,))
    attrs = attributes((1, 1), (1, 1), "SAME")
    linear = tf.raw_ops.Conv2D(input=x, filter=weight.numpy(), **attrs) + bias
    magnitude = tf.raw_ops.Conv2D(input=np.abs(x), filter=np.abs(weight.numpy()), **attrs) + np.abs(bias)
    expected = activations()[activation](linear).numpy()
    attrs.update({"activation": activation, "leakyrelu_alpha": 0.1})
    for isa in FLOAT_ISAS:
        (y,) = run_kernel(
            "Conv2D_f32_wf32",
            [x, pack_weight("Conv2D", weight), bias],
            attrs,
            [(np.float32, expected.shape)],
            2,
            isa,
        )
        assert_sums(y, expected, np.nan_to_num(magnitude.numpy(), posinf=0.0))


@pytest.mark.parametrize(("suffix", "bits"), FEW_FORMATS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(part) for part in case[:2]))
def test_residual(case: Any, suffix: str, bits: int) -> None:
    """FusedConv2DAdd; bit for bit what Conv2D, AddV2 and Relu6 give one after the other."""
    import tensorflow as tf

    shape, filter_shape, strides, dilations, padding = case
    x, bias = image(shape), image(filter_shape[3:])
    weight = make_weight(filter_shape, suffix, bits, axis=3)
    stored = pack_weight("FusedConv2DAdd", weight)
    attrs = attributes(strides, dilations, padding)
    linear = tf.raw_ops.Conv2D(input=x, filter=weight.numpy(), **attrs) + bias
    residual = np.random.default_rng(9).standard_normal(linear.shape, np.float32) * 10
    expected = tf.nn.relu6(linear + residual).numpy()
    magnitude = tf.raw_ops.Conv2D(input=np.abs(x), filter=np.abs(weight.numpy()), **attrs) + np.abs(bias)
    wanted = [(np.float32, expected.shape)]
    fused = {**attrs, "activation": "Relu6"}
    for isa in FLOAT_ISAS:
        (apart,) = run_kernel(f"Conv2D_f32_{suffix}", [x, stored, bias], attrs, wanted, isa=isa)
        apart = np.clip(apart + residual, np.float32(0), np.float32(6))
        for threads in (1, 2, 3):
            key, inputs = f"FusedConv2DAdd_f32_{suffix}", [x, stored, bias, residual]
            (y,) = run_kernel(key, inputs, fused, wanted, threads, isa)
            assert_sums(y, expected, magnitude + np.abs(residual))
            assert_exact(y, apart)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_residual_and_activation(activation: str) -> None:
    import tensorflow as tf

    x, bias, residual = image((1, 7, 7, 30)), image((23,)), image((1, 7, 7, 23))
    residual[0, 3, 3, 4], residual[0, 0, 0, 0], residual[0, 6, 6, 22] = np.nan, np.inf, -np.inf
    weight = make_weight((3, 3, 30, 23), "wf32", 0, axis=3)
    attrs = attributes((1, 1), (1, 1), "SAME")
    linear = tf.raw_ops.Conv2D(input=x, filter=weight.numpy(), **attrs) + bias
    magnitude = tf.raw_ops.Conv2D(input=np.abs(x), filter=np.abs(weight.numpy()), **attrs) + np.abs(bias)
    expected = activations()[activation](linear + residual).numpy()
    attrs.update({"activation": activation, "leakyrelu_alpha": 0.1})
    inputs = [x, pack_weight("FusedConv2DAdd", weight), bias, residual]
    for isa in FLOAT_ISAS:
        (y,) = run_kernel("FusedConv2DAdd_f32_wf32", inputs, attrs, [(np.float32, expected.shape)], 2, isa)
        assert_sums(y, expected, magnitude.numpy() + np.nan_to_num(np.abs(residual), posinf=0.0))


@pytest.mark.parametrize(
    ("bias", "residual", "message"),
    [
        ((4,), (1, 6, 6, 5), "bias must have 5 values"),
        ((5,), (1, 1, 1, 5), "what is added must have the shape of the output"),
        ((5,), (6, 6, 5), "what is added must have the shape of the output"),
        ((5,), None, "has 3 inputs and 1 outputs, needs 4 and 1"),
    ],
)
def test_refuses_a_residual_that_does_not_fit(bias: Any, residual: Any, message: str) -> None:
    stored = pack_weight("FusedConv2DAdd", make_weight((3, 3, 3, 5), "wi8", 8, axis=3))
    inputs = [image((1, 6, 6, 3)), stored, image(bias), *([] if residual is None else [image(residual)])]
    with pytest.raises(RuntimeError, match=message):
        run_kernel("FusedConv2DAdd_f32_wi8", inputs, attributes((1, 1), (1, 1), "SAME"), [(np.float32, (1, 6, 6, 5))])


def test_an_empty_batch_is_no_work() -> None:
    attrs = attributes((1, 1), (1, 1), "SAME")
    stored = pack_weight("Conv2D", make_weight((3, 3, 3, 4), "wi8", 8, axis=3))
    (y,) = run_kernel("Conv2D_f32_wi8", [image((0, 5, 5, 3)), stored], attrs, [(np.float32, (0, 5, 5, 4))])
    assert y.shape == (0, 5, 5, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": (1, 4, 4, 5)}, "output must be"),
        ({"output": (1, 6, 6, 4)}, "5 columns do not fit the output's 4"),
        ({"filter": (3, 3, 4, 5)}, "channels of input and filter"),
        ({"bias": 4}, "bias must have 5 values"),
        ({"activation": "Softmax"}, "activation 'Softmax' is unknown"),
        ({"cut": True}, "does not have the bytes"),
        ({"format": 1}, "not stored in panels of this kernel's format"),
        ({"layout": 0}, "not stored in panels of this kernel's format"),
        ({"channels": 4}, "lacks a scale"),
    ],
)
def test_refuses_what_does_not_fit(change: dict[str, Any], message: str) -> None:
    stored = pack_weight("Conv2D", make_weight(change.get("filter", (3, 3, 3, 5)), "wi8", 8, axis=3))
    if "cut" in change:
        stored.data = stored.data[:-16]
    for name in ("format", "layout", "channels"):
        setattr(stored, name, change.get(name, getattr(stored, name)))
    attrs = {**attributes((1, 1), (1, 1), "SAME"), "activation": change.get("activation", "")}
    bias = np.zeros(change.get("bias", 5), np.float32)
    with pytest.raises(RuntimeError, match=message):
        run_kernel(
            "Conv2D_f32_wi8",
            [image((1, 6, 6, 3)), stored, bias],
            attrs,
            [(np.float32, change.get("output", (1, 6, 6, 5)))],
        )


def test_every_kernel_was_tested() -> None:
    # test_half_products.py and test_short_products.py have the others
    assert [key for key in untested("nn", {"conv_2d.cc"}) if not key.endswith(("_hf16", "_sf32"))] == []
