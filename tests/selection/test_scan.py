"""Scanning a model and scanning the pack that was compiled from it say the same; kernels that lack are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import support
import wherry
from wherry.cli import main
from wherry.errors import MissingKernelError, PackError, UsageError
from wherry.graph import DType, Graph, Node, Ref, TensorType
from wherry.ops.catalog import catalog
from wherry.ops.cost import macs
from wherry.selection.scan import scan_all


@pytest.mark.parametrize("quantize", [None, "int8", "minmax:5:channel"])
def test_model_and_pack_agree(quantize: str | None, tmp_path: Path) -> None:
    of_graph = wherry.scan(support.graph(), quantize=quantize)
    of_pack = wherry.scan(support.pack(tmp_path, quantize=quantize, partitions=4))
    assert tuple(use for use in of_graph.kernels if not use.instead_of) == of_pack.kernels
    assert set(of_pack.keys) <= set(catalog().kernels)
    convolutions = [use for use in of_pack.kernels if use.op == "Conv2D"]  # small ones stay in float32
    assert sum(use.count for use in convolutions) == support.BLOCKS + 1
    assert all(use.weight_bytes > 0 and use.macs > 0 for use in convolutions)
    assert of_pack.models[0].source == "small.wherry" and of_pack.models[0].steps == of_graph.models[0].steps


def test_scan_of_several_and_of_scans(tmp_path: Path) -> None:
    pack = support.pack(tmp_path)
    report = wherry.scan(pack)
    (tmp_path / "scan.json").write_text(report.to_json())
    both = scan_all([pack, tmp_path / "scan.json"])
    assert both.keys == report.keys
    assert [use.count for use in both.kernels] == [2 * use.count for use in report.kernels]


def test_command_prints_json_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = support.pack(tmp_path)
    assert main(["scan", str(pack), "--json", "-o", str(tmp_path / "scan.json")]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "scan.json").read_text() == wherry.scan(pack).to_json()
    assert json.loads(printed)["version"] == 1
    assert main(["scan", str(pack)]) == 0
    assert capsys.readouterr().out == wherry.scan(pack).table() + "\n"


def test_kernels_of_layers_that_stay_in_float_arithmetic_are_foreseen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pack = tmp_path / "small.keras", tmp_path / "small.wherry"
    support.network().save(model)

    def scanned(*arguments: str) -> dict[str, str]:
        assert main(["scan", *arguments, "--json"]) == 0
        return {use["key"]: use["instead_of"] for use in json.loads(capsys.readouterr().out)["kernels"]}

    of_model = scanned(str(model), "--quantize", "int8")
    possible = {key for key, instead_of in of_model.items() if instead_of}
    assert possible and all(of_model[key].removesuffix("di8") == key.removesuffix("wf16") for key in possible)

    monkeypatch.setattr("wherry.compiler.TOLERANCE", 0.003)  # a fifth of what all layers on codes make
    assert main(["compile", str(model), "-o", str(pack), "--quantize", "int8"]) == 0
    capsys.readouterr()
    of_pack = scanned(str(pack))
    assert possible & of_pack.keys() and of_pack.keys() <= of_model.keys() and not any(of_pack.values())

    assert main(["scan", str(model), "--quantize", "int8"]) == 0
    table = capsys.readouterr().out
    assert all(f"{key} instead of {of_model[key]}" in table for key in possible)
    assert main(["header", str(model), "--quantize", "int8"]) == 0
    header = capsys.readouterr().out
    assert all(f"#define WHERRY_SELECT_{key} 1" in header for key in of_model)
    (tmp_path / "scan.json").write_text(wherry.scan(str(model), quantize="int8").to_json())
    both = {use.key: use.instead_of for use in scan_all([pack, tmp_path / "scan.json"]).kernels}
    assert both == {key: "" if key in of_pack else instead_of for key, instead_of in of_model.items()}


def test_missing_kernels_are_all_named() -> None:
    graph = Graph(name="net")
    kind = TensorType(DType.DOUBLE, (2, 3))
    graph.add(Node("x", "Placeholder", attrs={"dtype": DType.DOUBLE}, types=[kind]))
    graph.add(Node("odd", "Betainc", [Ref("x")] * 3, types=[kind]))
    graph.add(Node("root", "Cos", [Ref("odd")], types=[kind]))
    graph.inputs, graph.outputs = {"x": "x"}, {"y": Ref("root")}
    from wherry.plan.lower import lower

    with pytest.raises(MissingKernelError) as caught:
        lower(graph)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("net: node 'odd'") and "Betainc(f64, f64, f64) -> (f64)" in lines[0]
    assert lines[1].startswith("net: node 'root'") and "Cos(f64)" in lines[1]


def test_bad_input(tmp_path: Path) -> None:
    bad = tmp_path / "bad.wherry"
    bad.write_bytes(b"this is no pack at all")
    with pytest.raises(PackError, match="not a Wherry pack"):
        wherry.scan(bad)
    with pytest.raises(PackError, match=r"absent\.wherry"):
        wherry.scan(tmp_path / "absent.wherry")
    with pytest.raises(UsageError, match="compiled already"):
        wherry.scan(support.pack(tmp_path), quantize="int8")
    with pytest.raises(UsageError, match="scan the pack"):
        wherry.scan(support.graph(), quantize="int8-static")
    with pytest.raises(UsageError, match="at least one"):
        scan_all([])


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "expected"),
    [
        ("Conv2D", [(1, 8, 8, 3), (3, 3, 3, 16)], [(1, 4, 4, 16)], 4 * 4 * 16 * 27),
        ("DepthwiseConv2dNative", [(1, 8, 8, 6), (3, 3, 6, 2)], [(1, 8, 8, 12)], 8 * 8 * 12 * 9),
        ("Conv2DBackpropInput", [(4,), (2, 2, 5, 3), (1, 4, 4, 3)], [(1, 8, 8, 5)], 4 * 4 * 3 * 5 * 4),
        ("MatMul", [(7, 11), (11, 13)], [(7, 13)], 7 * 11 * 13),
        ("BatchMatMulV2", [(2, 7, 11), (2, 11, 13)], [(2, 7, 13)], 2 * 7 * 11 * 13),
        ("BlockLSTMV2", [(), (12, 1, 10), (1, 4), (1, 4), (14, 16)], [(12, 1, 4)], 12 * 14 * 16),
        ("Relu", [(5, 5)], [(5, 5)], 0),
    ],
)
def test_cost(op: str, inputs: Any, outputs: Any, expected: int) -> None:
    assert macs(op, inputs, outputs) == expected
