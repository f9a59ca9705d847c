"""LSTM and GRU kernels with weights of every format against TensorFlow's block ops and Keras's layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import FLOAT_ISAS, LSTM_ISAS, run_kernel, untested
from tolerance import assert_exact, assert_sums
from weights import FEW_FORMATS, FORMATS, make_weight
from wherry.graph.values import ArrayValue, Value
from wherry.pack.weights import pack_weight

SEQUENCE_OUTPUTS = ["i", "cs", "f", "o", "ci", "co", "h"]
# steps, batch, inputs, units. Threads share the steps of the last two: by their units, by the rows of the batch.
SIZES = [
    (5, 1, 7, 16), (3, 2, 20, 5), (1, 3, 4, 33), (140, 1, 3, 8), (9, 9, 17, 12), (2, 65, 3, 4), (2, 3, 5, 256),
    (4, 1, 300, 70), (5, 1, 20, 250), (3, 300, 5, 16), (4, 1, 20, 256),
    (33, 2, 70, 24), (1, 130, 64, 16),
]  # fmt: skip


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def small_weight(shape: tuple[int, int], suffix: str, bits: int, seed: int = 0) -> Value:
    """Products of about 1, so that gates are neither open nor shut."""
    weight = make_weight(shape, suffix, bits, axis=1, seed=seed)
    factor = np.float32(1 / np.sqrt(shape[0]))
    if isinstance(weight, ArrayValue):
        return ArrayValue(weight.array * factor)
    if suffix == "wf16":
        weight.codes = (weight.codes * factor).astype(np.float16)
    weight.scale = weight.scale * factor
    if weight.offset is not None:
        weight.offset = weight.offset * factor
    return weight


def lstm_inputs(size: tuple[int, int, int, int], suffix: str, bits: int, length: int | None) -> dict[str, Any]:
    steps, batch, inputs, units = size
    return {
        "seq_len_max": np.int64(steps if length is None else length),
        "x": values(steps, batch, inputs),
        "cs_prev": values(batch, units, seed=1),
        "h_prev": np.zeros((batch, units), np.float32) if steps % 2 else values(batch, units, seed=2),
        "w": small_weight((inputs + units, 4 * units), suffix, bits),
        "wci": values(units, seed=3),
        "wcf": values(units, seed=4),
        "wco": values(units, seed=5),
        "b": values(4 * units, seed=6),
    }


def check_lstm(op: str, inputs: dict[str, Any], attrs: dict[str, Any], suffix: str, isas: tuple[int, ...]) -> None:
    import tensorflow as tf

    weight = inputs["w"]
    expected = getattr(tf.raw_ops, op)(**{**inputs, "w": weight.numpy()}, **attrs)._asdict()
    stored = [pack_weight("MatMul", v) if v is weight else v for v in inputs.values()]
    length = int(inputs.get("seq_len_max", 1))
    wanted = [(np.float32, expected[name].shape) for name in SEQUENCE_OUTPUTS]
    key = f"{op}_f32_{suffix}"
    for isa in isas:
        runs = [run_kernel(key, stored, attrs, wanted, threads, isa) for threads in (1, 2, 3)]
        for index, name in enumerate(SEQUENCE_OUTPUTS):
            result, reference = runs[0][index], expected[name].numpy()
            if "seq_len_max" in inputs:  # what comes after the sequence's end is undefined but for h and cs
                assert not result[length:].any()
                reference = reference[:length]
                assert_sums(result[:length], reference, 1.0 + np.abs(reference))
            else:
                assert_sums(result, reference, 1.0 + np.abs(reference))
            assert_exact(runs[1][index], result)
            assert_exact(runs[2][index], result)
        only_h = run_kernel(key, stored, attrs, wanted, 2, isa, unwanted=range(6))
        assert_exact(only_h[6], runs[0][6])
        only_cs = run_kernel(key, stored, attrs, wanted, 2, isa, unwanted=[0, 2, 3, 4, 5, 6])
        assert_exact(only_cs[1], runs[0][1])


LSTM_ATTRS = [
    {"cell_clip": 0.0, "use_peephole": False},
    {"cell_clip": 0.5, "use_peephole": True},
]


@pytest.mark.parametrize(("suffix", "bits"), FEW_FORMATS)
@pytest.mark.parametrize("size", SIZES)
def test_block_lstm_v2(size: tuple[int, int, int, int], suffix: str, bits: int) -> None:
    for attrs in LSTM_ATTRS:
        isas = LSTM_ISAS if size is SIZES[0] else LSTM_ISAS[2:]
        check_lstm("BlockLSTMV2", lstm_inputs(size, suffix, bits, None), attrs, suffix, isas)


@pytest.mark.parametrize(("suffix", "bits"), FORMATS)
def test_every_format(suffix: str, bits: int) -> None:
    check_lstm("BlockLSTMV2", lstm_inputs((4, 2, 21, 9), suffix, bits, None), LSTM_ATTRS[0], suffix, FLOAT_ISAS)


@pytest.mark.parametrize("length", [0, 1, 3])
def test_sequences_that_end_early(length: int) -> None:
    for op in ("BlockLSTMV2", "BlockLSTM"):
        check_lstm(op, lstm_inputs((4, 2, 5, 6), "wf32", 0, length), LSTM_ATTRS[1], "wf32", FLOAT_ISAS[-1:])


@pytest.mark.parametrize(("suffix", "bits"), FEW_FORMATS)
def test_block_lstm_and_its_cell(suffix: str, bits: int) -> None:
    for attrs in ({}, {"forget_bias": 0.25, "cell_clip": 0.0, "use_peephole": True}):
        inputs = lstm_inputs((6, 2, 9, 20), suffix, bits, None)
        check_lstm("BlockLSTM", inputs, attrs, suffix, (FLOAT_ISAS[0], FLOAT_ISAS[-1]))
        cell = {name: value for name, value in inputs.items() if name != "seq_len_max"}
        check_lstm("LSTMBlockCell", {**cell, "x": inputs["x"][0]}, attrs, suffix, (FLOAT_ISAS[0], FLOAT_ISAS[-1]))


def test_block_lstm_v2_is_the_keras_layer() -> None:
    import keras

    x = values(2, 6, 5)
    layer = keras.layers.LSTM(9, return_sequences=True)
    expected = np.asarray(layer(x))
    kernel, recurrent, bias = layer.get_weights()
    bias = values(*bias.shape)
    layer.set_weights([kernel, recurrent, bias])
    expected = np.asarray(layer(x))
    w = np.concatenate([kernel, recurrent])
    zeros, none = np.zeros((2, 9), np.float32), np.zeros(9, np.float32)
    inputs = [
        np.int64(6),
        x.transpose(1, 0, 2),
        zeros,
        zeros,
        pack_weight("MatMul", ArrayValue(w)),
        none,
        none,
        none,
        bias,
    ]
    results = run_kernel("BlockLSTMV2_f32_wf32", inputs, {}, [(np.float32, (6, 2, 9))] * 7, unwanted=range(6))
    assert_sums(results[6].transpose(1, 0, 2), expected)


@pytest.mark.parametrize(("suffix", "bits"), FEW_FORMATS)
@pytest.mark.parametrize("size", [(1, 5, 16), (3, 20, 7), (9, 1, 33), (1, 70, 100)])
def test_gru_block_cell(size: tuple[int, int, int], suffix: str, bits: int) -> None:
    import tensorflow as tf

    batch, inputs, units = size
    x, h_prev = values(batch, inputs), values(batch, units, seed=1)
    w_ru = small_weight((inputs + units, 2 * units), suffix, bits)
    w_c = small_weight((inputs + units, units), suffix, bits, seed=1)
    b_ru, b_c = values(2 * units, seed=2), values(units, seed=3)
    expected = tf.raw_ops.GRUBlockCell(x=x, h_prev=h_prev, w_ru=w_ru.numpy(), w_c=w_c.numpy(), b_ru=b_ru, b_c=b_c)
    stored = [x, h_prev, pack_weight("MatMul", w_ru), pack_weight("MatMul", w_c), b_ru, b_c]
    wanted = [(np.float32, (batch, units))] * 4
    key = f"GRUBlockCell_f32_{suffix}"
    for isa in FLOAT_ISAS:
        runs = [run_kernel(key, stored, {}, wanted, threads, isa) for threads in (1, 2, 3)]
        for index, reference in enumerate(expected):
            assert_sums(runs[0][index], reference.numpy(), 1.0 + np.abs(reference.numpy()))
            assert_exact(runs[1][index], runs[0][index])
            assert_exact(runs[2][index], runs[0][index])
        assert_exact(run_kernel(key, stored, {}, wanted, isa=isa, unwanted=range(3))[3], runs[0][3])


@pytest.mark.parametrize(("suffix", "bits"), FEW_FORMATS)
@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize(
    "size",
    [(5, 1, 7, 16), (140, 1, 6, 5), (3, 2, 20, 33), (2, 65, 3, 4), (4, 1, 20, 270), (3, 300, 5, 16), (4, 1, 9, 256)],
)
def test_gru_sequence_is_the_keras_layer(
    size: tuple[int, int, int, int], reset_after: bool, suffix: str, bits: int
) -> None:
    import keras

    steps, batch, inputs, units = size
    kernel = small_weight((inputs, 3 * units), suffix, bits)
    recurrent = small_weight((units, 3 * units), suffix, bits, seed=1)
    bias, recurrent_bias = values(3 * units, seed=2), values(3 * units, seed=3)
    x, h0 = values(steps, batch, inputs), values(batch, units, seed=1)
    for go_backwards in (False, True):
        layer = keras.layers.GRU(
            units, return_sequences=True, reset_after=reset_after, go_backwards=go_backwards, use_cudnn=False
        )
        layer.build((batch, steps, inputs))
        # Keras has a recurrent bias only when it resets after the product.
        held = np.stack([bias, recurrent_bias]) if reset_after else bias
        layer.set_weights([kernel.numpy(), recurrent.numpy(), held])
        expected = np.asarray(layer(x.transpose(1, 0, 2), initial_state=h0)).transpose(1, 0, 2)
        rb = recurrent_bias if reset_after else np.zeros_like(bias)
        stored = [x, h0, pack_weight("MatMul", kernel), pack_weight("MatMul", recurrent), bias, rb]
        attrs = {"reset_after": int(reset_after), "go_backwards": int(go_backwards)}
        runs = [
            run_kernel(f"GRUSequence_f32_{suffix}", stored, attrs, [(np.float32, expected.shape)], threads, isa)[0]
            for isa in FLOAT_ISAS
            for threads in (1, 2, 3)
        ]
        for index, result in enumerate(runs):
            assert_sums(result, expected, 1.0)
            assert_exact(result, runs[index // 3 * 3])


@pytest.mark.parametrize(("suffix", "bits"), FEW_FORMATS)
def test_a_row_gets_the_same_bits_alone_and_in_a_batch(suffix: str, bits: int) -> None:
    """Alone it takes panel after panel of units; which rows are alone depends on the number of threads."""
    steps, inputs, units = 3, 9, 48
    x, state, cs = values(steps, 2, inputs), values(2, units, seed=1), values(2, units, seed=2)
    lstm = pack_weight("MatMul", small_weight((inputs + units, 4 * units), suffix, bits))
    b, none = values(4 * units, seed=3), np.zeros(units, np.float32)
    kernel, recurrent = (pack_weight("MatMul", small_weight((k, 3 * units), suffix, bits)) for k in (inputs, units))

    def lstm_inputs_of(rows: slice) -> list[Any]:
        return [np.array(steps), x[:, rows], cs[rows], state[rows], lstm, none, none, none, b]

    def gru_inputs_of(rows: slice) -> list[Any]:
        return [x[:, rows], state[rows], kernel, recurrent, b[: 3 * units], b[units:]]

    for isa in FLOAT_ISAS:
        for op, inputs_of, outputs in (("BlockLSTMV2", lstm_inputs_of, 7), ("GRUSequence", gru_inputs_of, 1)):
            together, *alone = (
                run_kernel(f"{op}_f32_{suffix}", inputs_of(rows), {}, [(np.float32, shape)] * outputs, 1, isa)
                for rows, shape in (
                    (slice(0, 2), (steps, 2, units)),
                    (slice(0, 1), (steps, 1, units)),
                    (slice(1, 2), (steps, 1, units)),
                )
            )
            for i in range(outputs):
                assert_exact(np.concatenate([alone[0][i], alone[1][i]], axis=1), together[i])


def test_gru_sequence_adds_both_biases_when_it_resets_before() -> None:
    x, h0 = values(4, 2, 5), values(2, 6, seed=1)
    weights = [pack_weight("MatMul", small_weight((n, 18), "wf32", 0, seed=n)) for n in (5, 6)]
    b, rb = values(18, seed=2), values(18, seed=3)
    wanted = [(np.float32, (4, 2, 6))]
    (split,) = run_kernel("GRUSequence_f32_wf32", [x, h0, *weights, b, rb], {"reset_after": 0}, wanted)
    joined = [x, h0, *weights, b + rb, np.zeros_like(rb)]
    assert_sums(split, run_kernel("GRUSequence_f32_wf32", joined, {"reset_after": 0}, wanted)[0], 1.0)


@pytest.mark.parametrize("size", [(4, 2, 5, 6), (2, 8, 300, 280)])
def test_gru_takes_one_weight_quantized_and_the_other_not(size: tuple[int, int, int, int]) -> None:
    steps, batch, inputs, units = size
    x, h0 = values(steps, batch, inputs), values(batch, units, seed=1)
    b, rb = values(3 * units, seed=2), values(3 * units, seed=3)
    wanted = [(np.float32, (steps, batch, units))]
    coded = [small_weight((n, 3 * units), "wi8", 8, seed=n) for n in (inputs, units)]
    plain = [ArrayValue(weight.numpy()) for weight in coded]

    def run(key: str, w: Value, u: Value) -> np.ndarray:
        inputs = [x, h0, pack_weight("MatMul", w), pack_weight("MatMul", u), b, rb]
        return run_kernel(key, inputs, {}, wanted)[0]

    expected = run("GRUSequence_f32_wf32", *plain)
    assert_exact(run("GRUSequence_f32_wi8", plain[0], coded[1]), expected)
    assert_exact(run("GRUSequence_f32_wi8", coded[0], plain[1]), expected)
    with pytest.raises(RuntimeError, match="format"):
        run("GRUSequence_f32_wmm", coded[0], plain[1])


def test_refuses_what_does_not_fit() -> None:
    good = lstm_inputs((4, 2, 5, 6), "wf32", 0, None)
    wanted = [(np.float32, (4, 2, 6))] * 7

    def run(change: dict[str, Any], outputs: Any = wanted, key: str = "BlockLSTMV2_f32_wf32") -> None:
        inputs = {**good, **change}
        inputs["w"] = pack_weight("MatMul", inputs["w"])
        run_kernel(key, list(inputs.values()), {"use_peephole": True}, outputs)

    run({})
    with pytest.raises(RuntimeError, match=r"w must be \[inputs"):
        run({"w": ArrayValue(values(12, 24))})
    with pytest.raises(RuntimeError, match=r"w must be \[inputs"):
        run({"b": values(23)})
    with pytest.raises(RuntimeError, match="cs_prev and h_prev"):
        run({"h_prev": values(3, 6)})
    with pytest.raises(RuntimeError, match="peepholes"):
        run({"wco": values(5)})
    with pytest.raises(RuntimeError, match="output 0"):
        run({}, [(np.float32, (5, 2, 6))] * 7)
    with pytest.raises(RuntimeError, match="seq_len_max is 5"):
        run({"seq_len_max": np.int64(5)})
    with pytest.raises(RuntimeError, match="format"):
        run({}, key="BlockLSTMV2_f32_wi8")
    gru = [values(4, 2, 5), values(2, 6), *(pack_weight("MatMul", ArrayValue(values(n, 18))) for n in (5, 6))]
    with pytest.raises(RuntimeError, match="do not fit x"):
        run_kernel("GRUSequence_f32_wf32", [*gru, values(18), values(17)], {}, [(np.float32, (4, 2, 6))])


def test_every_kernel_was_tested() -> None:
    elsewhere = ("_di8", "_wf28")  # test_integer_lstm.py, test_float28_lstm.py
    assert [key for key in untested("rnn") if not key.endswith(elsewhere)] == []
