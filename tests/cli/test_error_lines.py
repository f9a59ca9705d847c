"""Whatever is wrong with what the command line is given: one line on stderr, exit status 1 or 2, nothing half-written.

TensorFlow takes seconds to import: the commands that need it run one after another in one process, but for two.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import support
from fuzz_pack import PackBytes


@dataclass(frozen=True)
class Case:
    """status: the exit status. line: what stderr's one line must match. tensorflow: the command needs it."""

    arguments: str
    status: int
    line: str
    tensorflow: bool = False
    env: dict[str, str] = field(default_factory=dict)
    file_limit: int | None = None


NO_FILE = r": there is no such file$"
NOWHERE = r": there is no folder \S+/none; make it first$"
CASES: dict[str, Case] = {
    # a path that is not a model
    "no such path": Case("compile {dir}/nothing -o {out}", 1, r"compile: \S+/nothing: there is no such file or folder"),
    "not a model": Case("compile {dir}/notes.txt -o {out}", 1, r"notes\.txt: not a model.*SavedModel", True),
    "not a SavedModel": Case("compile {dir}/empty -o {out}", 1, r"empty: not a SavedModel", True),
    "damaged keras": Case("compile {dir}/bad.keras -o {out}", 1, r"bad\.keras: damaged or cut short", True),
    "keras by another name": Case("compile {dir}/renamed.zip -o {out}", 1, r"renamed\.zip: .*rename it", True),
    "damaged GraphDef": Case("compile {dir}/bad.pb -o {out}", 1, r"bad\.pb", True),
    # an unknown signature or output, a missing kernel, NaN
    "signature": Case("compile {dir}/model --signature sreving -o {out}", 2, r"sreving.*serving_default", True),
    "output": Case("compile {dir}/model --outputs z -o {out}", 2, r"'z'.*y", True),
    "missing kernels": Case(
        "compile {dir}/missing -o {out}", 1,
        r"node '[^']+': the runtime has no kernel for Lgamma\(f32\) -> \(f32\).*\(and 1 more node; wherry scan", True,
    ),
    "NaN": Case("compile {dir}/nan -o {out}", 1, r"holds NaN or infinity", True),
    "NaN when quantized": Case("compile {dir}/nan --quantize int8 -o {out}", 1, r"NaN or infinity", True),
    "compile budget": Case("compile {dir}/model --memory-budget 2kB -o {out}", 1, r"a budget of \d+ will do", True),
    "partitions": Case("compile {dir}/model --partitions 999 -o {out}", 2, r"has \d+ steps?, .*ask for fewer", True),
    "disk full": Case("compile {dir}/model -o {out}", 1, r"cannot be written: File too large", True, file_limit=9_000),
    "no folder": Case("compile {dir}/model -o {dir}/none/m.wherry", 1, r"m\.wherry" + NOWHERE),
    "a folder": Case("compile {dir}/model -o {dir}/empty", 1, r"this is a folder"),
    "both plans": Case("compile {dir}/model --partitions 2 --memory-budget 1MB", 2, r"not allowed with"),
    "branches of one's own": Case(
        "compile {dir}/branches -o {out}", 1, r"'\S*cond': the runtime has no kernel for branches of which",
        True,
    ),
    "a masked layer": Case(
        "compile {dir}/masked.keras -o {out}", 1, r"no kernel for a While that .*--outputs \S*transpose:0", True
    ),
    "a pack for a model": Case("compile {pack} -o {out}", 1, r"this is a pack already"),
    "a loop of one's own": Case(
        "compile {dir}/loop -o {out}", 1, r"no kernel for a While that is no LSTM or GRU layer as Keras writes it", True
    ),
    "format": Case("compile {dir}/model --quantize int3 -o {out}", 2, r"'int3' is not a weight format"),
    "no samples": Case(
        "compile {dir}/model --quantize int8-static -o {out}", 2, r"name an \.npz of them with calibrate"
    ),
    "samples missing": Case(
        "compile {dir}/model --quantize int8-static --calibrate {dir}/none.npz -o {out}", 1, r"none\.npz" + NO_FILE,
        True,
    ),
    "samples not npz": Case(
        "compile {dir}/model --quantize int8-static --calibrate {dir}/notes.txt -o {out}", 2, r"not an \.npz file",
        True,
    ),
    "calibration": Case(
        "compile {dir}/model --quantize int8-static --calibrate {dir}/none.npz --calibration best -o {out}", 2,
        r"'best' is not a way to calibrate; there are minmax",
    ),
    "calibrate for another format": Case(
        "compile {dir}/model --quantize int8 --calibrate {dir}/none.npz -o {out}", 2, r"int8-static only"
    ),
    "budget text": Case("compile {dir}/model --memory-budget lots -o {out}", 2, r"'lots' is not a size"),
    "shapes": Case("compile {dir}/model --input-shapes x=1,b -o {out}", 2, r"is not NAME=D,D"),
    # inputs
    "input name": Case(
        "run {pack} --inputs {dir}/name.npz", 2, r"name\.npz: there is no input 'wrods'; .*'image', 'words'"
    ),
    "input missing": Case("run {pack} --inputs {dir}/image.npz", 2, r"image\.npz: the input 'words' .* is missing"),
    "inputs of a batch": Case(
        "run {pack} --inputs {dir}/batch.npz", 2, r"or compile with --input-shapes image=3,16,16,3$"
    ),
    "input that is too many": Case("run {pack} --inputs {dir}/extra.npz", 2, r"there is no input 'more'"),
    "input shape": Case("run {pack} --inputs {dir}/shape.npz", 2, r"run: \S+/shape\.npz: .* shape \(16, 16, 3\)"),
    "input type": Case("run {pack} --inputs {dir}/type.npz", 2, r"is of type float64, .*: \.astype\('float32'\)"),
    "inputs missing": Case("run {pack} --inputs {dir}/none.npz", 1, r"none\.npz" + NO_FILE),
    "inputs not npz": Case("run {pack} --inputs {dir}/notes.txt", 2, r"not an \.npz file"),
    "inputs npy": Case("run {pack} --inputs {dir}/array.npy", 2, r"not an \.npz file"),
    "inputs pickled": Case("run {pack} --inputs {dir}/pickled.npz", 2, r"pickled\.npz: it holds Python objects"),
    "inputs cut short": Case("run {pack} --inputs {dir}/short.npz", 2, r"not an \.npz file"),
    "word out of range": Case("run {pack} --inputs {dir}/range.npz", 1, r"run: \S+/small\.wherry: .*9999"),
    # packs
    "no pack": Case("run {dir}/nothing.wherry", 1, r"run: \S+/nothing\.wherry" + NO_FILE),
    **{
        f"no file for {command}": Case(command + " {dir}/nothing.wherry", 1, r": \S+/nothing\.wherry" + NO_FILE)
        for command in ("bench", "inspect", "report", "scan", "header", "build")
    },
    "a model for a pack": Case("run {dir}/model", 1, r"model: this is a folder; wherry compile makes a pack"),
    "no scan": Case("header {dir}/nothing.json", 1, r"nothing\.json" + NO_FILE),
    "not a pack": Case("run {dir}/notes.txt", 1, r"notes\.txt: this is not a Wherry pack"),
    "truncated": Case("run {dir}/truncated.wherry", 1, r"the pack is cut short"),
    "flipped in metadata": Case("run {dir}/flipped1.wherry", 1, r"the pack is damaged: its metadata"),
    "flipped in weights": Case("run {dir}/flipped2.wherry", 1, r"the pack is damaged: segment \d+"),
    "newer": Case("run {dir}/newer.wherry", 1, r"has format 2\.\d+, this library reads up to 1\.x: update"),
    "run budget": Case("run {pack} --memory-budget 10kB", 1, r"small\.wherry: a memory .* too small.* needs \d+"),
    "threads": Case("run {pack} --threads -2", 2, r"threads must be a whole number, 0 or more"),
    "repeat": Case("run {pack} --repeat 0", 2, r"--repeat must be 1 or more"),
    "outputs nowhere": Case("run {pack} --outputs {dir}/none/o.npz", 1, r"o\.npz" + NOWHERE),
    "scan nowhere": Case("scan {pack} -o {dir}/none/s", 1, r"none/s" + NOWHERE),
    "report nowhere": Case("report {pack} -o {dir}/none/r", 1, r"none/r" + NOWHERE),
    "header nowhere": Case("header {dir}/model --format tensorflow -o {dir}/none/h", 1, r"none/h" + NOWHERE),
    "outputs not npz": Case("run {pack} --outputs {out}.txt", 2, r"out\.txt: .* as an \.npz; name it \S+/out\.npz$"),
    "outputs on a full disk": Case("run {pack} --outputs {out}.npz", 1, r"written: File too large", file_limit=100),
    "outputs to a device": Case("run {pack} --outputs /dev/null", 1, r"/dev/null: this is not a file"),
    # the paper's experiments
    "no model for the paper": Case("bench --paper {dir}/nothing", 1, r"bench: \S+/nothing: there is no such file or"),
    "a pack for the paper": Case("bench --paper {pack}", 2, r"small\.wherry is a pack; --paper takes the model"),
    "both experiments": Case("bench --paper --sweep {dir}/model", 2, r"not allowed with"),
    "partitions of a pack": Case("bench {pack} --partitions 3", 2, r"--partitions goes with --paper only"),
    "counts for the paper": Case("bench --paper {dir}/model --counts 1,2", 2, r"--counts goes with --sweep only"),
    "counts": Case("bench --sweep {dir}/model --counts 1,many", 2, r"--counts '1,many' is not N,N"),
    "pictures nowhere": Case("bench --sweep {dir}/model -o {dir}/none", 1, r"none: there is no such folder; make it"),
    "samples for the paper": Case("bench --paper {dir}/model --quantize int8-static", 2, r"no samples for int8-static"),
    "runs": Case("bench {pack} --runs 0", 2, r"--runs must be 1 or more"),
    "too many partitions for the paper": Case("bench --paper {dir}/model", 2, r"has \d+ steps?, .*ask for fewer", True),
    # other commands
    "inspect truncated": Case("inspect {dir}/truncated.wherry", 1, r"truncated\.wherry"),
    "inspect a text": Case("inspect {dir}/notes.txt", 1, r"notes\.txt"),
    "scan a flipped pack": Case("scan {dir}/flipped1.wherry", 1, r"flipped1\.wherry"),
    "no compiler": Case(
        "build {pack} --target host --output {out}", 1, r"compiler|c\+\+|CXX",
        env={"PATH": "/nowhere", "CXX": "/nowhere/c++"},
    ),
    "jobs": Case("build {pack} --jobs 0 --output {out}", 2, r"jobs must be 1 or more, not 0"),
    "TensorFlow's header of a pack": Case("header {pack} --format tensorflow", 2, r"from a model, not from a pack"),
    "TensorFlow's header of a scan": Case("header {dir}/s.json --format tensorflow", 2, r"not from what wherry scan"),
    "unknown target": Case("build {pack} --target toaster --output {out}", 2, r"toaster"),
    # usage
    "no command": Case("", 2, r"required: COMMAND"),
    "unknown command": Case("sail", 2, r"invalid choice: 'sail'"),
    "unknown option": Case("run {pack} --fast", 2, r"unrecognized arguments: --fast; wherry run --help shows"),
    "no number": Case("compile m --partitions many", 2, r"argument --partitions: invalid int value: 'many'"),
}


# Of the cases that import TensorFlow, those with a process of their own: what it prints while it is imported counts.
ALONE = {"missing kernels", "disk full"}

_BATCH = """
import contextlib, io, json, os, sys
import wherry.cli
outcomes = []
for arguments, place in json.load(sys.stdin):
    os.chdir(os.path.dirname(place))
    kept, file = os.dup(2), os.open(place, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 2)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            status = wherry.cli.main(arguments)
        except SystemExit as end:
            status = end.code
    os.dup2(kept, 2)
    outcomes.append([status, printed.getvalue()])
print(json.dumps(outcomes))
"""


@dataclass(frozen=True)
class Outcome:
    status: int
    stdout: str
    stderr: str
    left: list[str]  # in the folder for outputs
    imported: set[str]


def _models(folder: Path) -> None:
    import keras
    import tensorflow as tf

    def save(name: str, function: Callable[[tf.Tensor], dict[str, tf.Tensor]]) -> None:
        module = tf.Module()
        module.f = tf.function(function, input_signature=[tf.TensorSpec([1, 64], tf.float32, name="x")])
        tf.saved_model.save(module, str(folder / name), signatures={"serving_default": module.f})

    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    damaged = weights.copy()
    damaged[5, 6] = np.nan
    save("model", lambda x: {"y": tf.nn.relu(tf.matmul(x, weights))})
    save("nan", lambda x: {"y": tf.nn.relu(tf.matmul(x, damaged))})
    save("loop", lambda x: {"y": tf.while_loop(lambda y: tf.reduce_sum(y) < 9.0, lambda y: (y + 1.0,), (x,))[0]})
    save("branches", lambda x: {"y": tf.cond(tf.reduce_sum(x) > 0, lambda: x * 2.0, lambda: x)})
    save("missing", lambda x: {"y": tf.math.lgamma(x), "z": tf.math.digamma(x)})
    masked = keras.Sequential([keras.Input((5, 4), batch_size=1), keras.layers.Masking(), keras.layers.LSTM(16)])
    masked.save(folder / "masked.keras")
    (folder / "renamed.zip").write_bytes((folder / "masked.keras").read_bytes())
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("no model\n" * 9)
    (folder / "bad.keras").write_bytes(b"PK\x03\x04" + bytes(99))
    (folder / "bad.pb").write_bytes(b"\xff\x01garbage" * 20)


def _inputs(folder: Path) -> None:
    good = support.inputs()
    np.savez(folder / "name.npz", image=good["image"], wrods=good["words"])
    np.savez(folder / "extra.npz", **good, more=good["words"])
    np.savez(folder / "shape.npz", image=good["image"][0], words=good["words"])
    np.savez(folder / "type.npz", image=good["image"].astype(np.float64), words=good["words"])
    np.savez(folder / "image.npz", image=good["image"])
    np.savez(folder / "batch.npz", image=np.repeat(good["image"], 3, axis=0), words=good["words"])
    np.savez(folder / "range.npz", image=good["image"], words=np.full((1, 6), 9999, np.int32))
    np.savez(folder / "pickled.npz", image=np.array([{}], object), words=good["words"])
    np.save(folder / "array.npy", good["image"])
    (folder / "short.npz").write_bytes((folder / "extra.npz").read_bytes()[:200])


def _packs(folder: Path) -> Path:
    path = support.pack(folder, partitions=3)
    data = path.read_bytes()
    (folder / "truncated.wherry").write_bytes(data[:-1000])
    for name, at in (("flipped1.wherry", 500), ("flipped2.wherry", len(data) - 8)):
        changed = bytearray(data)
        changed[at] ^= 16
        (folder / name).write_bytes(changed)
    newer = PackBytes(data)
    newer.header["major"] = 2
    (folder / "newer.wherry").write_bytes(newer.bytes())
    return path


def _run(case: Case, folder: Path, pack: Path, own: Path) -> Outcome:
    """own: an empty folder for this case."""
    arguments = case.arguments.format(dir=folder, pack=pack, out=own / "out").split()
    environment = {k: v for k, v in os.environ.items() if k not in ("TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES")}
    environment.update(case.env)

    def limit() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (case.file_limit or 0, resource.RLIM_INFINITY))

    code = (
        "import atexit, sys; from wherry.cli import main\n"
        "atexit.register(lambda: print('imported:', *(m for m in ('tensorflow', 'keras') if m in sys.modules)))\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, cwd=own, check=False,
        preexec_fn=limit if case.file_limit is not None else None,
    )
    body, _, imported = done.stdout.rpartition("imported:")
    return Outcome(done.returncode, body, done.stderr, sorted(p.name for p in own.rglob("*")), set(imported.split()))


def _run_together(names: list[str], folder: Path, pack: Path, own: Path) -> dict[str, Outcome]:
    jobs = []
    for number in range(len(names)):
        (own / str(number) / "empty").mkdir(parents=True)
    for number, name in enumerate(names):
        place = own / str(number)
        arguments = CASES[name].arguments.format(dir=folder, pack=pack, out=place / "empty" / "out").split()
        jobs.append([arguments, str(place / "stderr")])
    done = subprocess.run(
        [sys.executable, "-c", _BATCH], input=json.dumps(jobs), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    outcomes = {}
    for number, (name, (status, stdout)) in enumerate(zip(names, json.loads(done.stdout), strict=True)):
        place = own / str(number)
        left = sorted(p.name for p in place.rglob("*") if p.name not in ("stderr", "empty"))
        outcomes[name] = Outcome(status, stdout, (place / "stderr").read_text(), left, {"tensorflow"})
    return outcomes


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Outcome]]:
    folder = tmp_path_factory.mktemp("bad")
    _models(folder)
    _inputs(folder)
    pack = _packs(folder)
    together = [name for name, case in CASES.items() if case.tensorflow and name not in ALONE]
    with ThreadPoolExecutor(2) as pool:
        batch = pool.submit(_run_together, together, folder, pack, tmp_path_factory.mktemp("together"))
        futures = {
            name: pool.submit(_run, case, folder, pack, tmp_path_factory.mktemp("own"))
            for name, case in CASES.items()
            if name not in together
        }
        yield lambda name: batch.result()[name] if name in together else futures[name].result()


@pytest.mark.parametrize("name", CASES)
def test_one_line(name: str, outcomes: Callable[[str], Outcome]) -> None:
    case, outcome = CASES[name], outcomes(name)
    lines = outcome.stderr.splitlines()
    assert len(lines) == 1, outcome.stderr
    assert lines[0].startswith("wherry"), lines[0]
    assert re.search(case.line, lines[0]), lines[0]
    assert outcome.status == case.status
    assert outcome.stdout == ""
    assert outcome.left == [], "something was left behind"
    assert case.tensorflow or not outcome.imported, "TensorFlow was imported for nothing"


def test_python_dash_m() -> None:
    done = subprocess.run([sys.executable, "-m", "wherry", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"wherry \d+\.\d+\.\d+\n", done.stdout)
