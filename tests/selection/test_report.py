"""The scan's report: merged, sorted, kept as JSON that reads back, and refused when it is something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wherry.errors import UsageError
from wherry.ops.catalog import Catalog, Kernel
from wherry.selection.report import ScannedModel, ScanReport, from_json, kernel_use, merge, read_json, sources

ONE = ScanReport(
    (ScannedModel("one", "one.wherry", 3, 300),),
    (kernel_use("Conv2D_f32_wi8", 2, 300, 5_000_000), kernel_use("Relu_f32", 1, 0, 0)),
)
TWO = ScanReport(
    (ScannedModel("two", "two.keras", 2, 8),), (kernel_use("AddV2_f32", 1, 8, 0), kernel_use("Relu_f32", 1, 0, 0))
)


def test_key_is_cut_into_op_and_types() -> None:
    use = kernel_use("Conv2D_f32_wi8", 2, 300, 7)
    assert (use.op, use.types, use.count, use.weight_bytes, use.macs) == ("Conv2D", "f32_wi8", 2, 300, 7)


def test_merge_adds_and_sorts() -> None:
    both = merge([ONE, TWO])
    assert [model.name for model in both.models] == ["one", "two"]
    assert both.keys == ("AddV2_f32", "Conv2D_f32_wi8", "Relu_f32")
    assert both.kernels[2].count == 2


def test_json_is_sorted_versioned_and_reads_back() -> None:
    text = merge([TWO, ONE]).to_json()
    data = json.loads(text)
    assert data["version"] == 1
    assert [kernel["key"] for kernel in data["kernels"]] == sorted(kernel["key"] for kernel in data["kernels"])
    assert text == json.dumps(data, indent=2, sort_keys=True) + "\n"
    assert from_json(text) == merge([TWO, ONE])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "models": [], "kernels": [{}]}', '{"version": 1}'])
def test_what_is_not_a_scan_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a scan"):
        from_json(text)


def test_newer_version_is_refused() -> None:
    with pytest.raises(UsageError, match="version 2"):
        from_json(ONE.to_json().replace('"version": 1', '"version": 2'))


def test_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "scan.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"scan\.json"):
        read_json(tmp_path / "scan.json")


def test_table_lists_every_kernel_and_the_sums() -> None:
    lines = merge([ONE, TWO]).table().splitlines()
    assert lines[0] == "models: one (one.wherry), two (two.keras)"
    assert lines[2].split() == ["kernel", "op", "types", "count", "weight", "bytes", "MMACs"]
    assert lines[5].split() == ["Conv2D_f32_wi8", "Conv2D", "f32_wi8", "2", "300", "5.0"]
    assert lines[-1].split() == ["3", "kernels", "5", "308", "5.0"]


def test_sources_of_kernels() -> None:
    kernels = {
        key: Kernel(key, ("Op",), "", source)
        for key, source in (("AddV2_f32", "b/add.cc"), ("Conv2D_f32_wi8", "nn/conv.cc"), ("Relu_f32", "b/add.cc"))
    }
    assert sources(merge([ONE, TWO]), Catalog(kernels, {})) == ("b/add.cc", "nn/conv.cc")
    with pytest.raises(UsageError, match="no kernel Relu_f32"):
        sources(ONE, Catalog({"Conv2D_f32_wi8": kernels["Conv2D_f32_wi8"]}, {}))
