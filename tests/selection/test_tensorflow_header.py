"""The header for TensorFlow's own source build names what TensorFlow's own tool names, for the same GraphDefs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zoo
from wherry.errors import LoadError, MissingKernelError
from wherry.selection.tensorflow_header import merge, render_tensorflow_header, select, select_graphdef

DEFAULTS = "NoOp:NoOp,_Recv:RecvOp,_Send:SendOp"


def _theirs(paths: list[Path]) -> tuple[set[str], set[str]]:
    """Ops and kernel classes, out of the header that print_selective_registration_header.py makes."""
    from tensorflow.python.tools import selective_registration_header_lib as lib

    return _names(lib.get_header([str(path) for path in paths], "rawproto", DEFAULTS))


def _printed(paths: list[Path]) -> tuple[set[str], set[str]]:
    """The same from the program itself."""
    command = [sys.executable, "-m", "tensorflow.python.tools.print_selective_registration_header"]
    graphs = ",".join(str(path) for path in paths)
    answer = subprocess.run([*command, f"--graphs={graphs}"], capture_output=True, text=True, check=True)
    return _names(answer.stdout)


def _names(header: str) -> tuple[set[str], set[str]]:
    if "kOps[]" in header:  # ours
        ops, classes = (re.search(rf"{name}\[\] = {{(.*?)nullptr", header, re.S) for name in ("kOps", "kKernelClasses"))
        assert ops is not None and classes is not None
        return set(re.findall(r'"([^"]+)"', ops[1])), set(re.findall(r'"([^"]+)"', classes[1]))
    classes = re.search(r"kNecessaryOpKernelClasses\[\] = {(.*?)};", header, re.S)
    assert classes is not None
    return set(re.findall(r'isequal\(op, "([^"]+)"\)', header)), set(re.findall(r'"([^"]+)"', classes[1]))


def _graphs(name: str) -> dict[str, Any]:
    """A model's GraphDef with its function library, frozen, and after Wherry's passes."""
    import tensorflow as tf
    from wherry.frontend import load
    from wherry.graph.convert import to_graphdef
    from wherry.passes import optimise

    model = zoo.build(name)
    example = zoo.sample_inputs(name)["x"]
    traced = tf.function(model).get_concrete_function(tf.TensorSpec(example.shape, example.dtype))
    frozen = load(model)
    found = {"traced": traced.graph.as_graph_def(), "frozen": to_graphdef(frozen)}
    optimise(frozen)
    return {**found, "optimised": to_graphdef(frozen)}


@pytest.mark.parametrize("name", ["mobilenetv2", "bidirectional_gru", "stacked_lstm", "text_classifier", "autoencoder"])
def test_same_ops_and_kernel_classes(name: str, tmp_path: Path) -> None:
    for stage, graph_def in _graphs(name).items():
        path = tmp_path / f"{stage}.pb"
        path.write_bytes(graph_def.SerializeToString())
        ours = _names(render_tensorflow_header(select(path)))
        assert ours == _theirs([path]), stage
        assert ours[0] > {"NoOp", "_Recv", "_Send"} and len(ours[1]) > 5


def test_several_graphs_and_optimising(tmp_path: Path) -> None:
    from wherry.frontend import load
    from wherry.graph.convert import to_graphdef

    paths = []
    for name in ("autoencoder", "text_classifier"):
        paths.append(tmp_path / f"{name}.pb")
        paths[-1].write_bytes(to_graphdef(load(zoo.build(name))).SerializeToString())
    both = merge([select(path) for path in paths])
    assert _names(render_tensorflow_header(both)) == _theirs(paths) == _printed(paths)
    assert both.models == ("autoencoder.pb", "text_classifier.pb")
    assert "_FusedConv2D" not in both.ops and "_FusedConv2D" in select(zoo.build("autoencoder"), optimise=True).ops


def test_op_without_a_kernel_is_an_error() -> None:
    from tensorflow.core.framework import graph_pb2

    graph_def = graph_pb2.GraphDef()
    node = graph_def.node.add(name="odd", op="Relu")
    node.attr["T"].type = 7  # string
    with pytest.raises(MissingKernelError, match=r"net: node 'odd': .* no CPU kernel for Relu \(T=string\)"):
        select_graphdef(graph_def, "net")


def test_files_that_are_no_graphs(tmp_path: Path) -> None:
    (tmp_path / "a.pb").write_bytes(b"\xff\xff\xff")
    (tmp_path / "a.pbtxt").write_text("node {")
    for path in (tmp_path / "a.pb", tmp_path / "a.pbtxt", tmp_path / "absent.pb"):
        with pytest.raises(LoadError, match=re.escape(str(path))):
            select(path)
