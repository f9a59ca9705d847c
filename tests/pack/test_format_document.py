"""docs/pack-format.md is what third parties go by: its tables and its example are held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import wherry
from wherry.graph import DType, QuantizedValue, TensorType
from wherry.ops.rules import WeightUse
from wherry.pack import format as fmt
from wherry.pack.bits import pack_bits
from wherry.pack.format import SectionKind
from wherry.pack.writer import write_pack
from wherry.plan.partition import by_count
from wherry.plan.program import Program, ProgramTensor, Step, Storage, Weight

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "pack-format.md").read_text()
SIZES = {"text": 8, "u8": 1, "u16": 2, "u32": 4, "u64": 8, "i64": 8}


def documented_fields(text: str) -> list[tuple[int, int, str]]:
    """(offset, bytes, name) of each row that describes a field."""
    rows = re.findall(rf"^\| (\d+) \| ({'|'.join(SIZES)}|\d+ bytes) \| (\w+) \|", text, re.MULTILINE)
    return [(int(at), SIZES.get(kind) or int(kind.split()[0]), name) for at, kind, name in rows]


def fields_of(record: np.dtype) -> list[tuple[int, int, str]]:
    names = record.names or ()
    return [(record.fields[name][1], record.fields[name][0].itemsize, name) for name in names if record.fields]


def documented_sections() -> dict[SectionKind, tuple[int, str]]:
    """kind -> (stride, the text under its heading)."""
    found = {}
    for part in re.split(r"^### ", DOCUMENT, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        text = re.split(r"^## ", text, flags=re.MULTILINE)[0]
        for kind, stride in re.findall(r"kind (\d+), stride (\d+)", heading):
            found[SectionKind(int(kind))] = (int(stride), text)
    return found


def test_every_section_and_field_is_documented() -> None:
    sections = documented_sections()
    assert set(sections) == set(SectionKind)
    for kind, (stride, text) in sections.items():
        record = fmt.RECORDS[kind]
        assert stride == record.itemsize, kind
        if kind is SectionKind.KERNELS:  # a text alone
            assert documented_fields(text) == [(0, 8, "key")]
        elif record.names:
            assert documented_fields(text) == fields_of(record), kind


@pytest.mark.parametrize(("title", "record"), [("## Header", fmt.HEADER), ("## Metadata", fmt.SECTION)])
def test_header_and_table_of_sections(title: str, record: np.dtype) -> None:
    text = DOCUMENT.split(title + "\n")[1].split("\n#")[0]
    assert documented_fields(text) == fields_of(record)


def write_example(path: Path) -> None:
    codes = np.array([[10, -20, 30], [40, 50, -60]], np.int8)
    scale = np.array([0.5, 0.25, 1], np.float32)
    value = QuantizedValue(TensorType(DType.FLOAT, (2, 3)), codes, scale, None, 1, "int8", 8)
    x = ProgramTensor("x:0", DType.FLOAT, (1, 2), Storage(8, external=0))
    w = ProgramTensor("w:0", DType.FLOAT, (2, 3), weight=Weight(value, WeightUse.MATRIX, False, 192))
    y = ProgramTensor("y:0", DType.FLOAT, (1, 3), Storage(12))
    step = Step("y", "MatMul", "MatMul_f32_wi8", [x, w], [y], {})
    program = Program("example", {"x": x}, {"y": y}, [step], arena_bytes=64)
    write_pack(program, by_count(program, 1), path)


def documented_bytes() -> bytes:
    """The example's hexdump, read back."""
    lines = re.search(r"```\n(00000000  .*?)\n```", DOCUMENT, re.DOTALL)
    assert lines is not None
    data, last = bytearray(), b""
    for line in lines.group(1).splitlines():
        if line == "*":
            continue
        at, *row = line.split()
        while len(data) < int(at, 16):
            data += last
        last = bytes.fromhex("".join(row))
        data += last
    return bytes(data)


def test_the_example_is_what_the_writer_makes(tmp_path: Path) -> None:
    path = tmp_path / "example.wherry"
    write_example(path)
    assert path.read_bytes() == documented_bytes()


def test_the_example_runs(tmp_path: Path) -> None:
    path = tmp_path / "example.wherry"
    path.write_bytes(documented_bytes())
    with wherry.Executor(path) as executor:
        outputs = executor.run({"x": np.array([[1, 2]], np.float32)})
    np.testing.assert_array_equal(outputs["y"], np.array([[45, 20, -90]], np.float32))


def test_the_example_of_packed_codes() -> None:
    codes = np.zeros((1, 16), np.uint8)
    codes[0, :3] = 1, 2, 3
    assert pack_bits(codes, 5)[0, :2].tobytes() == bytes.fromhex("41 0C")


def extended(pack: bytes, minor: int = 1) -> bytes:
    """The pack as a later minor version might write it: eight bytes more to a tensor, and a section of a new kind."""
    header = np.frombuffer(pack[:64], fmt.HEADER).copy()
    metadata = pack[64 : 64 + int(header["metadata_bytes"][0])]
    index = np.frombuffer(metadata, fmt.SECTION, int.from_bytes(metadata[:4], "little"), 8).copy()
    body = bytearray()
    base = 8 + index.nbytes + fmt.SECTION.itemsize
    for section in index:
        stride, count, offset = int(section["stride"]), int(section["count"]), int(section["offset"])
        grown = 8 if section["kind"] == SectionKind.TENSORS else 0
        records = [metadata[offset + i * stride : offset + (i + 1) * stride] + b"\xff" * grown for i in range(count)]
        section["offset"], section["stride"] = base + len(body), stride + grown
        body += b"".join(records)
        body += bytes(-len(body) % 8)
    new = np.array([(99, 16, base + len(body), 1)], fmt.SECTION)
    counts = np.array([len(index) + 1, 0], "<u4")
    metadata = b"".join([counts.tobytes(), index.tobytes(), new.tobytes(), bytes(body), bytes(16)])
    header["minor"], header["metadata_bytes"] = minor, len(metadata)
    header["metadata_hash"] = wherry._native.hash64(metadata)
    header["header_hash"] = wherry._native.hash64(header.tobytes()[:56])
    data = header.tobytes() + metadata
    return data + bytes(fmt.FIRST_SEGMENT_ALIGNMENT - len(data)) + pack[fmt.FIRST_SEGMENT_ALIGNMENT :]


def test_what_a_newer_minor_version_added_is_stepped_over(tmp_path: Path) -> None:
    from wherry.pack.reader import read_pack

    path = tmp_path / "newer.wherry"
    path.write_bytes(extended(documented_bytes()))
    assert read_pack(path, check_segments=True).version == (1, 1)
    with wherry.Executor(path) as executor:
        outputs = executor.run({"x": np.array([[1, 2]], np.float32)})
    np.testing.assert_array_equal(outputs["y"], np.array([[45, 20, -90]], np.float32))


def test_a_newer_major_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "newer.wherry"
    pack = bytearray(documented_bytes())
    pack[8] = 2
    path.write_bytes(pack)
    with pytest.raises(wherry.WherryError, match=r"format 2\.0.*update"):
        wherry.Executor(path)
