"""The network as an ONNX file, which ONNX Runtime, MNN and ncnn start from. Case: `convert`.

tf2onnx makes it, with the input of images already in the order that ONNX's convolutions want, so that no peer
spends time on turning it. Keras' batch norms come out as products and sums; ONNX Runtime's basic optimisations,
which write plain ONNX, fold them into the convolutions, since not every peer's converter would.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import common
from benchmarks.peers.networks import NETWORKS, Network

if TYPE_CHECKING:
    import keras
    import onnx

OPSET = 17


def model_path(network: Network) -> Path:
    return network.folder / "network.onnx"


def _convert(
    model: keras.Model, input_name: str, shape: Sequence[int], output_name: str, path: Path
) -> onnx.ModelProto:
    """One Keras model as plain, folded ONNX. `path` is where the steps in between may lie; it is removed."""
    import onnx
    import onnxruntime
    import tensorflow as tf
    import tf2onnx

    from benchmarks.peers import export
    from benchmarks.peers.fused_lstm import BlockLSTM, onnx_lstm, replace_lstms

    tf2onnx.convert.from_function(
        export.function_of(replace_lstms(model, BlockLSTM), input_name, shape, output_name),
        input_signature=[tf.TensorSpec(shape, tf.float32, name=input_name)],
        opset=OPSET,
        custom_op_handlers={"BlockLSTMV2": (onnx_lstm, [])},
        inputs_as_nchw=[input_name] if len(shape) == 4 else None,
        output_path=str(path),
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    folded = onnx.load(str(path))
    path.unlink()
    # ONNX Runtime declares its own operator sets too; the model uses none of them.
    plain = [opset for opset in folded.opset_import if opset.domain == ""]
    del folded.opset_import[:]
    folded.opset_import.extend(plain)
    return folded


def _contect(network: Network, model: keras.Model) -> onnx.ModelProto:
    """Contect from its ten branches and what merges them: converted whole, it takes more than 20 GB of memory."""
    import keras
    import onnx
    from onnx import compose, helper

    from benchmarks.contect.model import BRANCHES

    scratch = network.folder / "part.onnx"
    graph = onnx.GraphProto(name="contect")
    ends = []
    for index in range(BRANCHES):
        end = model.get_layer(f"branch_{index}_lstm_2").output
        branch = _convert(keras.Model(model.input, end), network.input, network.shape, "end", scratch)
        branch = compose.add_prefix(branch, f"branch_{index}/", rename_inputs=False)
        ends.append(branch.graph.output[0].name)
        graph.node.extend(branch.graph.node)
        graph.initializer.extend(branch.graph.initializer)
        if index == 0:
            graph.input.extend(branch.graph.input)
    merged = model.get_layer("merge").output
    tail = keras.Model(merged, model.get_layer("logits").output)
    head = _convert(tail, "merged", (1, merged.shape[-1]), network.output, scratch)
    graph.node.append(helper.make_node("Concat", ends, ["merged"], axis=1))
    graph.node.extend(head.graph.node)
    graph.initializer.extend(head.graph.initializer)
    graph.output.extend(head.graph.output)
    return helper.make_model(graph, opset_imports=head.opset_import, ir_version=head.ir_version)


def convert(network: str) -> dict[str, Any]:
    import onnx

    from benchmarks.peers import export

    chosen = NETWORKS[network]
    model, path = export.keras_model(chosen), model_path(chosen)
    if chosen.name == "contect":
        made = _contect(chosen, model)
    else:
        scratch = chosen.folder / "part.onnx"
        made = _convert(model, chosen.input, chosen.shape, chosen.output, scratch)
    onnx.checker.check_model(made)
    onnx.save(made, str(path))
    return {"file_bytes": path.stat().st_size}


if __name__ == "__main__":
    common.case_main({"convert": convert})
