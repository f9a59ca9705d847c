"""The arithmetic of bench-memory: the limit that is found, how a run under it fared, and what a plan needs at least."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import support
import wherry
from wherry.pack.format import Place
from wherry.pack.reader import Pack, PackTensor, read_pack

from benchmarks import common, kill, planning
from benchmarks.memory import page_cache, run
from benchmarks.memory.bench import Bench
from benchmarks.memory.bisection import NoneSurvives, smallest
from benchmarks.memory.cgroup import NoGroups, Outcome, counter, find_interface
from benchmarks.memory.lower_bound import live_bytes, lower_bound
from benchmarks.memory.packs import Model, digest, up_to_date
from benchmarks.memory.runner import NativeRun, Runner

ALIVE = Outcome(48, 0, 0, False, 1.0, 40, "", "")


@pytest.mark.parametrize("needed", [1, 7, 8, 9, 63, 64])
def test_the_smallest_limit_is_found_in_few_runs(needed: int) -> None:
    asked: list[int] = []

    def survives(limit: int) -> bool:
        asked.append(limit)
        return limit >= needed

    assert smallest(64, 1, survives, confirmations=0) == needed
    assert len(asked) <= 7
    assert smallest(64, 10, lambda limit: limit >= 21) == 30


def test_a_limit_that_is_survived_by_luck_is_not_the_smallest() -> None:
    tried: dict[int, int] = {}

    def survives(limit: int) -> bool:
        tried[limit] = tried.get(limit, 0) + 1
        return limit >= 12 or (limit == 10 and tried[limit] == 1)

    assert smallest(16, 1, survives) == 12


def test_no_limit_will_do() -> None:
    with pytest.raises(NoneSurvives, match="64 bytes"):
        smallest(64, 1, lambda limit: False)
    answers = iter([True, False, False, False, False, False, False, False])
    with pytest.raises(NoneSurvives, match="every time"):
        smallest(8, 1, lambda limit: next(answers))


def test_how_a_run_fared() -> None:
    assert ALIVE.survived and not ALIVE.killed
    shot = replace(ALIVE, status=-signal.SIGKILL, oom_kills=1)
    child_shot = replace(ALIVE, status=1, oom_kills=1)
    assert not shot.survived and shot.killed and not child_shot.survived and child_shot.killed
    thrashing = replace(ALIVE, status=-signal.SIGKILL, timed_out=True, seconds=30.0)
    assert not thrashing.survived and not thrashing.killed and thrashing.reason() == "not done after 30 s"
    failed = replace(ALIVE, status=1, stderr="first\nthe pack is damaged\n")
    assert not failed.survived and not failed.killed and failed.reason() == "exit status 1: the pack is damaged"


def test_kills_are_counted_in_both_versions() -> None:
    assert counter("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill") == 3
    assert counter("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n", "oom_kill") == 1
    assert counter("oom_kill_disable 0\nunder_oom 0\n", "oom_kill") == 0


def test_the_interface_that_is_there(tmp_path: Path) -> None:
    swaps = tmp_path / "swaps"
    swaps.write_text("Filename Type Size Used Priority\n")
    with pytest.raises(NoGroups, match="neither"):
        find_interface(tmp_path, swaps)
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    assert find_interface(tmp_path, swaps).limits == ("memory.max",)
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").touch()
    assert find_interface(tmp_path, swaps).limits == ("memory.limit_in_bytes",)
    swaps.write_text("Filename Type Size Used Priority\n/swap file 1 0 -2\n")
    with pytest.raises(NoGroups, match="swapoff"):
        find_interface(tmp_path, swaps)
    (tmp_path / "memory" / "memory.memsw.limit_in_bytes").touch()
    assert find_interface(tmp_path, swaps).limits[-1] == "memory.memsw.limit_in_bytes"


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="asks Linux for the page cache")
def test_pages_in_the_cache_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(1_000_000))
    page_cache.read_in_small_pages(file)
    assert page_cache.large_pages(file) == 0
    assert page_cache.cached_bytes(file) >= 1_000_000
    (tmp_path / "empty").touch()
    assert page_cache.cached_bytes(tmp_path / "empty") == 0


def test_a_digest_is_of_every_bit() -> None:
    one: dict[str, np.ndarray] = {"y": np.zeros(4, np.float32)}
    assert digest(one) == digest({"y": np.zeros(4, np.float32)})
    values = (one["y"].reshape(2, 2), one["y"].view(np.int32), -one["y"])
    assert len({digest(one), digest({"z": one["y"]}), *(digest({"y": value}) for value in values)}) == 5


def test_a_pack_is_made_again_when_its_source_is_newer(tmp_path: Path) -> None:
    pack, source = tmp_path / "a.wherry", tmp_path / "model.pb"
    source.touch()
    assert not up_to_date(pack, [source])
    pack.touch()
    os.utime(source, (1, 1))
    assert up_to_date(pack, [source])
    os.utime(pack, (0, 0))
    assert not up_to_date(pack, [source])


def pack_of(tmp_path: Path, partitions: int) -> Pack:
    wherry.compile(support.graph(), tmp_path / "m.wherry", measure_outputs=False, partitions=partitions)
    return read_pack(tmp_path / "m.wherry")


def test_a_lower_bound_is_one(tmp_path: Path) -> None:
    """Whatever the partitions; live bytes never exceed the arena, and the executor asks for more than the bound."""
    found = [pack_of(tmp_path, count) for count in (1, 3)]
    assert len({lower_bound(pack) - pack.metadata_bytes for pack in found}) == 1
    for pack in found:
        live = live_bytes(pack)
        assert len(live) == len(pack.steps) and 0 < max(live) <= pack.arena_bytes
    with wherry.Executor(tmp_path / "m.wherry") as executor:
        assert lower_bound(found[-1]) <= executor.stats.memory_needed


def test_live_bytes_are_of_addresses(tmp_path: Path) -> None:
    """A tensor that shares its bytes with another does not count twice, and bytes that nobody reads again are free."""
    pack = pack_of(tmp_path, 1)
    source = next(t for t in pack.tensors if t.place is Place.ARENA)

    def at(offset: int) -> PackTensor:
        return replace(source, offset=offset, nbytes=64)

    x, whole = replace(source, place=Place.EXTERNAL), replace(source, offset=0, nbytes=128)
    first, second, result = at(0), at(64), at(128)
    step = replace(pack.steps[0], inputs=(0,), outputs=(1,))
    steps = (
        step,  # the first half of `whole`
        replace(step, outputs=(2,)),  # the second half
        replace(step, inputs=(3,), outputs=(4,)),  # reads both by the name of the whole
        replace(step, inputs=(4,), outputs=(2,)),  # which is dead: its bytes are used again
    )
    made = replace(pack, tensors=(x, first, second, whole, result), steps=steps, outputs={"y": second})
    assert live_bytes(made) == [64, 128, 192, 128]


def bench(tmp_path: Path) -> Bench:
    model = Model("m", "M", tmp_path / "m.wherry", {"x": tmp_path / "x.npy"}, tmp_path / "m.json")
    made = Bench(1, 1, 1, Runner(tmp_path / "wherry_run", tmp_path / "out"), model, replace(model, name="many"), [])
    made._resident["m"] = NativeRun({"memory_needed": 5}, "right")
    return made


def test_other_bits_are_a_failure(tmp_path: Path) -> None:
    made = bench(tmp_path)
    made.compare("cold", made.contect, ["right", "right"])
    made.compare("cold", made.contect_many, ["right"])
    assert made.failures == []
    made.compare("warm", made.contect_many, ["right", "wrong"])
    assert made.failures == ["warm: the outputs of M are not those of resident mode"]


def test_the_runner_is_told_and_its_outputs_are_read(tmp_path: Path) -> None:
    made = bench(tmp_path)
    command = made.runner.command(made.contect, 36_000_000, repeat=3)
    assert command[0] == str(tmp_path / "wherry_run") and f"x={tmp_path / 'x.npy'}" in command
    assert command[command.index("--memory-budget") + 1] == "36000000"
    assert "--memory-budget" not in made.runner.command(made.contect, None)
    (tmp_path / "out").mkdir()
    np.save(tmp_path / "out" / "a_0.npy", np.ones(3, np.float32))
    result = made.runner.result('{"memory_needed": 7, "outputs": {"a:0": {"dtype": "float32", "shape": [3]}}}')
    assert result.digest == digest({"a:0": np.ones(3, np.float32)}) and result.measured["memory_needed"] == 7
    made.runner.command(made.contect, None)
    assert not (tmp_path / "out").exists()  # what an earlier run left is not taken for this one's


def test_a_part_that_fails_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(bench: Bench) -> list[common.Figure]:
        raise NoGroups("run this as root")

    monkeypatch.setitem(run.PARTS, "limits", fails)
    monkeypatch.setitem(run.PARTS, "streaming", lambda bench: [common.Figure("a", 1.0, 2.0)])
    made = bench(tmp_path)
    assert [row.name for row in run.measure(made, ["limits", "streaming"])] == ["a"]
    assert made.failures == ["limits: run this as root"]


def test_growth_is_the_power_of_n_log_n() -> None:
    def plans(power: float) -> list[planning.Planned]:
        return [planning.Planned("", n, 1e-6 * (n * np.log(n)) ** power, 1, 1, 1) for n in planning.STEPS]

    assert planning.growth(plans(1.0)) == pytest.approx(1.0)
    assert planning.growth(plans(2.0)) == pytest.approx(2.0)
    for kind in planning.KINDS:
        one = planning.plan(kind, 1000)
        assert one.seconds > 0 and one.came >= one.order >= 1 and one.arena >= 1


def test_a_partition_that_had_ended_and_is_run_again_counts() -> None:
    good = kill.Trial(ended=3, resumed_at=3, completed=False, same=True)
    ahead = kill.Trial(ended=3, resumed_at=4, completed=False, same=True)
    again = kill.Trial(ended=3, resumed_at=1, completed=False, same=False)
    assert [row.measured for row in kill.figures([good, ahead])] == [0, 0]
    assert [row.measured for row in kill.figures([good, again])] == [1, 2]
