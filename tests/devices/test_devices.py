"""Profiles of devices, their calibration, and what is predicted of a pack."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import support
import tomllib
import wherry
from wherry.cli import main
from wherry.devices import calibrate as calibration
from wherry.devices.predict import arithmetic_of, predict
from wherry.devices.profile import Device, device_names, load_device, parse_device, to_toml
from wherry.errors import BudgetError, UsageError
from wherry.pack.reader import Pack, read_pack

GOOD: dict[str, Any] = {
    "description": "a device", "cores": 2, "memory": "4GB", "memory_gbps": 10, "storage_gbps": 0.5,
    "gmacs": {"float32": 10, "float16": 20.0, "int8": 40},
}  # fmt: skip


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return read_pack(support.pack(tmp_path_factory.mktemp("pack")))


def _device(**changes: Any) -> Device:
    return parse_device("test", {**GOOD, **changes})


# ------------------------------------------------------------------------------------------------------- profiles
def test_every_profile_that_is_shipped_is_one() -> None:
    assert len(device_names()) >= 5
    for name in device_names():
        device = load_device(name)
        assert device.name == name
        assert device.storage_bytes < device.memory_bytes
        assert device.macs["float32"] <= device.macs["float16"] <= device.macs["int8"]
        assert device.safe_budget == device.memory // 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cores": 0}, "cores must be"), ({"cores": True}, "cores must be"), ({"cores": 1.5}, "cores must be"),
        ({"memory": "much"}, "memory: 'much' is not a size"), ({"memory": 0}, "memory must be a size"),
        ({"storage_gbps": 0}, "storage_gbps must be"), ({"memory_gbps": "fast"}, "memory_gbps must be"),
        ({"gmacs": {"float32": 1}}, "gmacs must have"), ({"gmacs": {**GOOD["gmacs"], "int8": -1}}, "gmacs.int8 must"),
        ({"ram": 1}, "entry 'ram' is unknown"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_profile_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _device(**change)
    with pytest.raises(ValueError, match="entry 'cores' is missing"):
        parse_device("test", {key: value for key, value in GOOD.items() if key != "cores"})


def test_a_file_that_is_no_profile_is_refused(tmp_path: Path) -> None:
    for text in ("cores = ", "cores = 2", "\0"):
        (tmp_path / "x.toml").write_text(text)
        with pytest.raises(UsageError, match=r"x\.toml: this is no profile of a device"):
            load_device(str(tmp_path / "x.toml"))
    (tmp_path / "notes.txt").write_text("no profile: nothing\n")
    with pytest.raises(UsageError, match=r"notes\.txt: this is no profile of a device"):
        load_device(str(tmp_path / "notes.txt"))
    with pytest.raises(UsageError, match="there is no device 'nokia-3310'; there are iphone-12"):
        load_device("nokia-3310")


def test_a_profile_survives_being_written() -> None:
    device = _device()
    assert parse_device("test", tomllib.loads(to_toml(device))) == device


def test_calibration_measures_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(calibration, "_FILE_BYTES", 8 << 20)
    monkeypatch.setattr(calibration, "_MEMORY_BYTES", 8 << 20)
    assert main(["calibrate", "--folder", str(tmp_path), "--output", str(tmp_path / "this.toml")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["this.toml"]
    device = load_device(str(tmp_path / "this.toml"))
    assert device.cores >= 1 and device.memory > 1 << 28
    assert all(1e8 < rate < 1e13 for rate in device.macs.values())
    assert 1e6 < device.storage_bytes < 1e12 and 1e7 < device.memory_bytes < 1e12


def test_nothing_is_measured_where_no_file_can_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--folder", str(tmp_path / "none")]) == 1
    assert "none: cannot be measured" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------- predictions
@pytest.mark.parametrize("threads", [1, 2])
def test_memory_is_what_the_runtime_takes(pack: Pack, threads: int) -> None:
    with wherry.Executor(pack.path, threads=threads) as executor:
        needed = executor.stats.memory_needed
    for budget in (needed, needed + (100 << 10), needed + (10 << 20)):
        (found,) = predict(pack, _device(), budget, threads)
        assert found.memory <= budget
        options: dict[str, Any] = {"threads": threads, "memory_budget": budget, "page_cache": "leave"}
        with wherry.Executor(pack.path, **options) as executor:
            executor.run(support.inputs())
            executor.run(support.inputs())
            assert executor.stats.peak_bytes <= found.memory * 1.1
            assert executor.stats.peak_bytes >= found.memory * 0.7


def test_more_memory_or_faster_storage_never_takes_longer(pack: Pack) -> None:
    with wherry.Executor(pack.path, threads=1) as executor:
        needed = executor.stats.memory_needed
    seconds = [predict(pack, _device(), needed + more, 1)[0].seconds["storage"] for more in range(0, 1 << 20, 1 << 17)]
    assert all(b <= 1.02 * a for a, b in itertools.pairwise(seconds))
    slow, fast = (predict(pack, _device(storage_gbps=rate), needed, 1)[0] for rate in (0.001, 4))
    assert fast.seconds["storage"] < slow.seconds["storage"]
    assert fast.compute_seconds == slow.compute_seconds <= fast.seconds["storage"]
    (all_stays,) = predict(pack, _device(), 1 << 30, 1)
    assert all_stays.streamed == all_stays.window == 0
    assert all_stays.seconds["storage"] == pytest.approx(all_stays.compute_seconds)


def test_the_fastest_comes_first_and_what_does_not_fit_not_at_all(pack: Pack) -> None:
    found = predict(pack, _device(cores=3), 0)
    assert sorted(each.threads for each in found) == [1, 2, 3]
    assert [each.seconds["storage"] for each in found] == sorted(each.seconds["storage"] for each in found)
    with pytest.raises(BudgetError, match=r"are too little on test; \d+ bytes will do"):
        predict(pack, _device(), 1000)


def test_arithmetic_is_in_the_key() -> None:
    keys = ("Conv2D_f32_wf32", "Conv2D_f32_wi8", "Conv2D_f32_di8", "QLinearConv2d_u8_wi8", "MatMul_f32_hf16")
    assert [arithmetic_of(key) for key in keys] == ["float32", "float32", "int8", "int8", "float16"]


def test_the_command_says_what_was_found(pack: Pack, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(pack.path), "--device", "raspberry-pi-5"]) == 0
    text = capsys.readouterr().out
    assert "raspberry-pi-5: Raspberry Pi 5" in text and "half of its memory" in text and "fastest from" in text
    options = ["--device", "pixel-6", "--memory-budget", "8MB", "--threads", "2", "--json"]
    assert main(["plan", str(pack.path), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"]["name"] == "pixel-6" and found["budget"] == 8_000_000
    assert [plan["threads"] for plan in found["plans"]] == [2]
    for threads in ("0", "9"):
        assert main(["plan", str(pack.path), "--device", "pixel-6", "--threads", threads]) == 2
        assert "from 1 to 2, the fast cores of pixel-6" in capsys.readouterr().err
