"""make bench-peers: Wherry against LiteRT, ONNX Runtime, MNN and ncnn on one machine in one run.

    python -m benchmarks.peers.run [--quick] [--rounds N] [--seconds S] [--networks A,B] [--peers A,B]
                                   [--kinds A,B] [--threads 1,2] [--save]

Every measurement is a process of its own. A round runs every case once, the programs of one network, kind and
number of threads straight after one another, each round beginning with another of them; a figure is the median over
rounds of the medians in each process. Before a round, packs that lie in small pages, as what was just written does,
are read from storage anew (benchmarks/memory/page_cache.py); peers copy weights to memory of their own. Every program's
outputs are compared with TensorFlow's: one that computes something else is listed, not timed. Converted models are kept
in build/bench/peers. Results go to build/bench/peers.json, with --save also to benchmarks/results, to a file named by
the machine's best instruction set, as ratios of one kind of machine say little of another's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wherry.runtime.single_kernel import isas

from benchmarks import common
from benchmarks.memory import page_cache
from benchmarks.peers import conversions
from benchmarks.peers.cases import KINDS
from benchmarks.peers.conversions import PACKAGES, PEERS, WHERRY, Peer
from benchmarks.peers.figures import SAME, Case, Key, NotDone, figures, kinds_of, network_table
from benchmarks.peers.networks import NETWORKS, Network
from benchmarks.peers.wherry_case import model_path

RESULTS = common.ROOT / "benchmarks" / "results"
ROUNDS, SECONDS = 5, 0.7
THREADS = (1, 2)
LARGE_PAGES = 0.97  # of a pack's whole pages of 2 MiB
_MACHINE = (
    *("tensorflow", "keras", "numpy", "wherry", "ai-edge-litert"),
    *("onnxruntime", "onnx", "tf2onnx", "MNN", "ncnn", "pnnx"),
)


def results_path() -> Path:
    """Where results of machines of this kind are checked in."""
    return RESULTS / f"peers-{list(isas())[-1].lower().replace(' ', '-')}.json"


class Benchmark:
    """What was chosen to run, what came out, and what did not."""

    def __init__(
        self, networks: Sequence[Network], kinds: Sequence[str], threads: Sequence[int], programs: Sequence[Peer]
    ) -> None:
        self.networks, self.kinds, self.threads, self.programs = networks, kinds, threads, programs
        self.cases: dict[Key, Case] = {}
        self.not_done: list[NotDone] = []

    def _groups(self) -> Iterator[tuple[Network, str]]:
        for network in self.networks:
            yield from ((network, kind) for kind in kinds_of(network) if kind in self.kinds)

    def _give_up(self, network: Network, kind: str, program: Peer, reason: str) -> None:
        """The program is out in this network and kind, with any number of threads."""
        self.not_done.append(NotDone(network.name, kind, program.name, reason))
        for threads in self.threads:
            self.cases.pop(Key(network.name, kind, threads, program.name), None)

    def convert(self) -> None:
        """Makes all files. A peer that cannot, or fails, is listed; a network that cannot be made ends the run."""
        for network in self.networks:
            say(f"{network.title}: model")
            conversions.export(network)
            onnx = attempt(partial(conversions.onnx, network)) if any(p.onnx for p in self.programs) else {}
            for program in self.programs:
                for kind in (k for k in kinds_of(network) if k in self.kinds):
                    if program.onnx and "failed" in onnx:
                        self._give_up(network, kind, program, onnx["failed"])
                        continue
                    say(f"{network.title}: {program.name} {kind}")
                    made = attempt(partial(conversions.convert, program, network, kind))
                    reason = made.get("unsupported") or made.get("failed")
                    if reason:
                        self._give_up(network, kind, program, reason)
                        continue
                    for threads in self.threads:
                        self.cases[Key(network.name, kind, threads, program.name)] = Case(made)

    def settle(self) -> None:
        """Has packs lie in large pages, as those do that were not just written; peers copy their weights."""
        for network, kind in self._groups():
            pack = model_path(network, kind)
            key = Key(network.name, kind, self.threads[0], WHERRY.name)
            if key in self.cases:
                page_cache.settle(pack, LARGE_PAGES, partial(run_once, WHERRY, key, 0.0))

    def round(self, index: int, seconds: float) -> None:
        """Runs every case once."""
        turn = index % len(self.programs)
        programs = [*self.programs[turn:], *self.programs[:turn]]
        for network, kind in self._groups():
            for threads in self.threads:
                for program in programs:
                    key = Key(network.name, kind, threads, program.name)
                    if key not in self.cases:
                        continue
                    measured = attempt(partial(run_once, program, key, seconds))
                    reason = measured.get("failed") or wrong(measured, kind)
                    if reason:
                        self._give_up(network, kind, program, reason)
                    else:
                        self.cases[key].rounds.append(measured)

    def to_json(self) -> dict[str, Any]:
        return {
            "cases": [
                {
                    **vars(key),
                    **{
                        name: case.median(name)
                        for name in ("inference_seconds", "load_seconds", "first_inference_seconds", "peak_added_bytes")
                    },
                    "difference": case.difference,
                    "conversion": dict(case.conversion),
                    "rounds": case.rounds,
                }
                for key, case in self.cases.items()
            ],
            "not_done": [vars(entry) for entry in self.not_done],
        }


def say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


def attempt(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The work's result; if its process fails, `failed` with the last line that it wrote."""
    try:
        return work()
    except common.CaseFailed as failure:
        lines = str(failure).replace(f"{common.ROOT}/", "").splitlines()
        return {"failed": f"{lines[0].rsplit(': ', 1)[-1]}: {lines[-1].strip()}" if len(lines) > 1 else lines[0][-200:]}


def wrong(measured: dict[str, Any], kind: str) -> str | None:
    """Why the outputs are not this network's, if they are not."""
    difference = measured["difference"]
    if difference <= SAME[kind]:
        return None
    return f"computes something else: its outputs differ from TensorFlow's by {difference:.2g} of the largest"


def run_once(program: Peer, key: Key, seconds: float) -> dict[str, Any]:
    environment = {"OMP_NUM_THREADS": str(key.threads)}
    arguments: dict[str, Any] = {
        "network": key.network, "kind": key.kind, "threads": key.threads, "seconds": seconds,
    }  # fmt: skip
    return common.run_case(f"benchmarks.peers.{program.module}", "run", environment, **arguments).result


def use_packages() -> None:
    """Lets this process and its cases find the peers' packages. They lie apart from the tree's own environment."""
    if not PACKAGES.exists():
        sys.exit(f"{PACKAGES} is missing: make bench-peers installs the peers there")
    sys.path.append(str(PACKAGES))
    paths = [str(PACKAGES), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)


def parse() -> argparse.Namespace:
    def choice(known: Sequence[str]) -> Callable[[str], list[str]]:
        def chosen(text: str) -> list[str]:
            names = text.split(",")
            if unknown := [name for name in names if name not in known]:
                raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
            return [name for name in known if name in names]

        return chosen

    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    programs = [WHERRY.file_stem(), *(peer.file_stem() for peer in PEERS)]
    parser.add_argument("--quick", action="store_true", help="one short round, to see that every case works")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of inference in each process")
    parser.add_argument("--networks", type=choice(list(NETWORKS)), default=list(NETWORKS))
    parser.add_argument("--peers", type=choice(programs), default=programs, help=f"of {','.join(programs)}")
    parser.add_argument("--kinds", type=choice(KINDS), default=list(KINDS))
    parser.add_argument("--threads", type=choice(("1", "2")), default=[str(n) for n in THREADS])
    saved = results_path().relative_to(common.ROOT)
    parser.add_argument("--save", action="store_true", help=f"also write {saved}, which is checked in")
    options = parser.parse_args()
    everything = (list(NETWORKS), programs, list(KINDS), [str(n) for n in THREADS])
    chosen = (options.networks, options.peers, options.kinds, options.threads)
    if options.save and (options.quick or chosen != everything):
        parser.error("--save keeps the results of a whole run: leave out --quick and the choices")
    if options.quick:
        options.rounds, options.seconds = 1, 0.1
    return options


def main() -> int:
    options = parse()
    use_packages()
    machine = common.machine(_MACHINE)
    benchmark = Benchmark(
        [NETWORKS[name] for name in options.networks],
        options.kinds,
        [int(n) for n in options.threads],
        [program for program in (WHERRY, *PEERS) if program.file_stem() in options.peers],
    )
    benchmark.convert()
    for index in range(options.rounds):
        say(f"round {index + 1} of {options.rounds}")
        benchmark.settle()
        benchmark.round(index, options.seconds)

    names = [program.name for program in benchmark.programs]
    peers = [name for name in names if name != WHERRY.name]
    print(f"median of {options.rounds} rounds of {options.seconds} s, each in a process of its own")
    print(f"{machine['cpu']}, {machine['cores']} cores, {' '.join(machine['flags'])}\n")
    for network in benchmark.networks:
        print(network_table(benchmark.cases, network, benchmark.kinds, benchmark.threads, names), end="\n\n")
    if benchmark.not_done:
        print("Not done:")
        for entry in benchmark.not_done:
            print(f"  {NETWORKS[entry.network].title}, {entry.kind}, {entry.peer}: {entry.reason}")
        print()
    rows = []
    if WHERRY in benchmark.programs:
        rows = figures(benchmark.cases, benchmark.networks, benchmark.kinds, benchmark.threads, peers)
        print(common.figures_table(rows, WHERRY.name))
    content = {
        "machine": machine,
        "rounds": options.rounds,
        "seconds": options.seconds,
        **benchmark.to_json(),
        "figures": [{**vars(row), "reached": row.reached} for row in rows],
    }
    common.write_json("peers", content)
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        results_path().write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    print(common.verdict(rows) if rows else "peers only: nothing to judge")
    return 0


if __name__ == "__main__":
    sys.exit(main())
