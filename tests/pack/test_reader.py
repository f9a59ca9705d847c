"""The Python reader of packs: it says what the writer was given, and refuses what is not a sound pack in one line."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import support
import wherry
from fuzz_pack import PackBytes
from wherry import _native
from wherry.cli import main
from wherry.errors import PackError
from wherry.pack import format as fmt
from wherry.pack.format import Place
from wherry.pack.reader import is_pack, read_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.pack(tmp_path_factory.mktemp("packs"), quantize="minmax:5:channel", partitions=5)


def test_says_what_was_written(pack: Path) -> None:
    read = read_pack(pack, check_segments=True)
    program = support.program("minmax:5:channel")
    assert [step.name for step in read.steps] == [step.name for step in program.steps]
    for found, step in zip(read.steps, program.steps, strict=True):
        assert found.kernel == step.kernel and found.attributes == dict(step.attrs)
        assert [read.tensors[n].type for n in found.outputs] == [(t.dtype, t.shape) for t in step.outputs]
        assert [n is not None and read.tensors[n].shape for n in found.inputs] == [t.shape for t in step.inputs]
    assert set(read.kernels) == {step.kernel for step in program.steps}
    assert read.arena_bytes == program.arena_bytes and read.version == (fmt.MAJOR, fmt.MINOR)
    assert len(read.partitions) == 5 and sum(p.num_steps for p in read.partitions) == len(read.steps)
    assert read.file_bytes == pack.stat().st_size and read.provenance["quantize"] == "minmax:5:channel"
    with wherry.Executor(pack) as executor:
        assert {name: tensor.type for name, tensor in read.inputs.items()} == executor.inputs
        assert {name: tensor.type for name, tensor in read.outputs.items()} == executor.outputs


def test_weights_fill_their_segments(pack: Path) -> None:
    read = read_pack(pack)
    for number, segment in enumerate(read.segments):
        held = [t for t in read.tensors if t.place is Place.SEGMENT and t.owner == number]
        assert fmt.align(segment.nbytes, fmt.TENSOR_ALIGNMENT) == sum(t.stored_bytes for t in held)
    assert any(t.quant is not None and t.quant.bits == 5 for t in read.tensors)


def test_is_pack(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"PK\3\4")
    assert is_pack(pack) and not is_pack(tmp_path / "other") and not is_pack(tmp_path) and not is_pack("absent")


def _refused(data: bytes, path: Path, check_segments: bool = False) -> str:
    path.write_bytes(data)
    with pytest.raises(PackError) as caught:
        read_pack(path, check_segments)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message


def test_truncated(pack: Path, tmp_path: Path) -> None:
    data, rng = pack.read_bytes(), random.Random(3)
    for length in [*range(0, 80), *(rng.randrange(80, len(data)) for _ in range(100))]:
        message = _refused(data[:length], tmp_path / "cut.wherry")
        assert ("cut short" if length >= 8 else "not a Wherry pack") in message
    assert "cut short or padded" in _refused(data + b"\0", tmp_path / "cut.wherry")


def test_every_flipped_bit_is_noticed(pack: Path, tmp_path: Path) -> None:
    data, rng = bytearray(pack.read_bytes()), random.Random(4)
    end = fmt.HEADER_BYTES + len(PackBytes(bytes(data)).metadata)
    for at in [*range(64), *(rng.randrange(64, end) for _ in range(200))]:
        data[at] ^= 1 << rng.randrange(8)
        _refused(bytes(data), tmp_path / "flipped.wherry")
        data[:] = pack.read_bytes()
    data[-1] ^= 1  # a weight
    assert "segment" in _refused(bytes(data), tmp_path / "flipped.wherry", check_segments=True)


def test_newer_major_version_is_refused_and_minor_is_not(pack: Path, tmp_path: Path) -> None:
    data = bytearray(pack.read_bytes())
    data[8] = fmt.MAJOR + 1
    assert "update Wherry" in _refused(bytes(data), tmp_path / "new.wherry")
    data[8], data[10] = fmt.MAJOR, fmt.MINOR + 9
    data[56:64] = _native.hash64(bytes(data[:56])).to_bytes(8, "little")
    (tmp_path / "new.wherry").write_bytes(bytes(data))
    assert read_pack(tmp_path / "new.wherry").version == (fmt.MAJOR, fmt.MINOR + 9)


def test_metadata_that_makes_no_sense_under_right_checksums(pack: Path, tmp_path: Path) -> None:
    data, rng = pack.read_bytes(), random.Random(5)
    end = fmt.HEADER_BYTES + len(PackBytes(data).metadata)
    refused = 0
    for _ in range(300):
        changed = bytearray(data)
        for _ in range(3):
            changed[rng.randrange(64, end)] = rng.randrange(256)
        changed[40:48] = _native.hash64(bytes(changed[64:end])).to_bytes(8, "little")
        changed[56:64] = _native.hash64(bytes(changed[:56])).to_bytes(8, "little")
        path = tmp_path / "hostile.wherry"
        path.write_bytes(bytes(changed))
        try:
            read_pack(path)
        except PackError as error:
            refused += "damaged" in str(error)
    assert refused > 10


def test_inspect_command(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(pack), "--json", "--steps"]) == 0
    shown = json.loads(capsys.readouterr().out)
    read = read_pack(pack)
    assert shown["version"] == 1 and shown["kernels"] == list(read.kernels) and len(shown["partitions"]) == 5
    assert len(shown["step_list"]) == shown["steps"] == len(read.steps)
    assert shown["inputs"]["image"] == {"dtype": "float32", "shape": [1, 16, 16, 3]}
    assert main(["inspect", str(pack), "--check"]) == 0
    assert "every checksum is right" in capsys.readouterr().out
    (tmp_path / "cut.wherry").write_bytes(pack.read_bytes()[:5000])
    assert main(["inspect", str(tmp_path / "cut.wherry")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "cut short" in error
