"""What a process is like that runs a pack: no TensorFlow in it, and no more memory than was promised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
import wherry

_NO_TENSORFLOW = """
import json, sys
import numpy as np
import wherry, wherry.errors
names = lambda: sorted(m for m in sys.modules if m.split(".")[0] in ("tensorflow", "keras", "jax", "torch"))
after_import = names()
with wherry.Executor(sys.argv[1], threads=2) as executor:
    inputs = {k: np.zeros(t.shape, t.dtype.numpy) for k, t in executor.inputs.items()}
    executor.run(inputs)
print(json.dumps([after_import, names()]))
"""

_GROWTH = """
import gc, json, sys
import numpy as np
import wherry

path, threads, budget, small = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

def status(field):
    fields = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("Vm"))
    return int(fields[field].split()[0]) * 1024

def run(path, budget):
    with wherry.Executor(path, threads=threads, memory_budget=budget or None) as executor:
        inputs = {k: np.zeros(t.shape, t.dtype.numpy) for k, t in executor.inputs.items()}
        for _ in range(3):
            executor.run(inputs)
        return executor.stats

needed = run(small, 0).memory_needed  # code, thread stacks and numpy's own are there before anything is measured
run(small, needed)
gc.collect()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak starts again from here (proc(5))
before = status("VmRSS")
stats = run(path, budget)
print(json.dumps({"grown": status("VmHWM") - before, "peak": stats.peak_bytes, "after": status("VmRSS") - before}))
"""


def _python(code: str, *args: object) -> Any:
    done = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_running_a_pack_imports_no_tensorflow(tmp_path: Path) -> None:
    assert _python(_NO_TENSORFLOW, support.pack(tmp_path)) == [[], []]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_process_gains_no_more_than_promised(tmp_path: Path) -> None:
    """24 MB of weights in 12 layers, under a budget of 6 MB: anonymous memory and mapped file pages together."""
    import keras

    x = keras.Input((512,), name="x")
    y = x
    for _ in range(24):
        y = keras.layers.Dense(512, activation="relu")(y)
    model = keras.Model(x, y)
    report = wherry.compile(model, tmp_path / "big.wherry", memory_budget="6MB")
    assert report.file_bytes > 24e6
    small = support.pack(tmp_path)

    slack = 1 << 20  # the allocator's and the interpreter's own
    streamed = _python(_GROWTH, tmp_path / "big.wherry", 2, 0, small)
    assert streamed["peak"] <= 6_000_000
    assert streamed["grown"] <= 6_000_000 + slack
    assert streamed["grown"] >= streamed["peak"] // 2, "the weights were counted"
    assert streamed["after"] <= slack
    whole = _python(_GROWTH, tmp_path / "big.wherry", 2, 100_000_000, small)
    assert whole["peak"] > 24e6
    assert 24e6 <= whole["grown"] <= whole["peak"] + slack


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 1.0])
def test_compile_keeps_to_any_budget_that_can_be_met(tmp_path: Path, share: float) -> None:
    least = wherry.compile(support.graph(), tmp_path / "a.wherry").memory_needed
    with wherry.Executor(tmp_path / "a.wherry", threads=4) as executor:
        executor.run(support.inputs())
        whole = executor.stats.peak_bytes
    budget = int(least + share * (whole - least))
    report = wherry.compile(support.graph(), tmp_path / "c.wherry", memory_budget=budget)
    assert report.memory_needed <= budget
    with wherry.Executor(tmp_path / "c.wherry", threads=4) as executor:
        executor.run(support.inputs())
        assert executor.stats.peak_bytes <= budget


def test_many_partitions_do_not_make_a_budget_too_small(tmp_path: Path) -> None:
    """Each has a line in a table: where those are what is too much, there are fewer partitions."""
    least = wherry.compile(support.graph(), tmp_path / "one.wherry").memory_needed
    many = wherry.compile(support.graph(), tmp_path / "many.wherry", partitions=20)
    assert many.memory_needed > least
    report = wherry.compile(support.graph(), tmp_path / "m.wherry", memory_budget=least)
    assert report.memory_needed <= least


def test_without_a_budget_it_is_the_pack_s(tmp_path: Path) -> None:
    least = wherry.compile(support.graph(), tmp_path / "m.wherry").memory_needed
    wherry.compile(support.graph(), tmp_path / "m.wherry", memory_budget=least)
    with wherry.Executor(tmp_path / "m.wherry", threads=4) as executor:
        planned = executor.stats.streamed_bytes
        assert planned > 0
        executor.set_memory_budget(wherry.NO_LIMIT)
        assert executor.stats.streamed_bytes == 0
        executor.set_memory_budget(None)
        assert executor.stats.streamed_bytes == planned
    with wherry.Executor(tmp_path / "m.wherry", memory_budget=wherry.NO_LIMIT) as executor:
        assert executor.stats.streamed_bytes == 0


def test_a_budget_that_compile_cannot_meet(tmp_path: Path) -> None:
    with pytest.raises(wherry.BudgetError) as caught:
        wherry.compile(support.graph(), tmp_path / "m.wherry", memory_budget=50_000)
    assert not list(tmp_path.iterdir())
    named = int(str(caught.value).split("a budget of ")[1].split()[0])
    assert wherry.compile(support.graph(), tmp_path / "m.wherry", memory_budget=named).memory_needed <= named
    assert np.isfinite(support.run(tmp_path / "m.wherry", threads=4)["classes"]).all()
