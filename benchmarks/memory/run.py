"""make bench-memory: Contect, a quarter of a billion weights, in little memory; and four small networks.

    python -m benchmarks.memory.run [--only A,B] [--rounds N] [--runs N] [--tries N]

Parts: limits (the smallest limit of a control group that Wherry and LiteRT survive; needs root), streaming (memory,
times, new budgets), kills (runs that are killed and gone on with), plans (seconds of planning), networks (memory
beside the lower bound of the plan). All with 8-bit weights and two threads.
Outputs are compared bit for bit with those that the same pack gives with all weights in memory; a difference is a
failure. Raw figures go to build/bench/memory.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmarks import common
from benchmarks.common import Figure
from benchmarks.contect.outputs import THREADS
from benchmarks.memory import kills, limits, networks, packs, plans, runner, streaming
from benchmarks.memory.bench import Bench
from benchmarks.memory.cgroup import NoGroups

# A part measures, leaves raw results and failures in the Bench, and returns its rows of the table.
PARTS: dict[str, Callable[[Bench], list[Figure]]] = {
    "limits": limits.figures,
    "streaming": streaming.figures,
    "kills": kills.figures,
    "plans": plans.figures,
    "networks": networks.figures,
}
PACKAGES = ("ai-edge-litert", "numpy", "tensorflow", "wherry")


def measure(bench: Bench, parts: list[str]) -> list[Figure]:
    """The rows of these parts. A part that cannot be measured is a failure, and the others go on."""
    rows: list[Figure] = []
    for part in parts:
        try:
            rows += PARTS[part](bench)
        except (common.CaseFailed, NoGroups) as failure:
            bench.failures.append(f"{part}: {failure}")
    return rows


def parse() -> argparse.Namespace:
    def chosen(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in PARTS]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(PARTS)}")
        return [name for name in PARTS if name in names]

    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=chosen, default=list(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind, one after another (default: 5)")
    parser.add_argument("--runs", type=int, default=10, help="inferences in each (default: 10, as in the paper)")
    parser.add_argument("--tries", type=int, default=20, help="runs under the limit that is asked for (default: 20)")
    return parser.parse_args()


def make(options: argparse.Namespace) -> Bench:
    """Compiles the packs and the runner."""
    Bench.say("packs")
    contect, contect_many = packs.contect(1), packs.contect(packs.MANY)
    small = packs.small_networks() if "networks" in options.only else []
    Bench.say("the native runner")
    native = runner.build([contect, contect_many, *small])
    return Bench(options.rounds, options.runs, options.tries, native, contect, contect_many, small)


def main() -> int:
    options = parse()
    machine = common.machine(PACKAGES)
    bench = make(options)
    rows = measure(bench, options.only)
    print(f"Contect, {THREADS} threads; times are medians of {options.rounds} processes of {options.runs} runs")
    print(f"{machine['cpu']}, {machine['cores']} cores, {' '.join(machine['flags'])}")
    print(common.figures_table(rows, "Wherry"))
    for failure in bench.failures:
        print(f"failed: {failure}", file=sys.stderr)
    content = {
        "machine": machine,
        "parts": options.only,
        "measured": bench.measured,
        "failures": bench.failures,
        "figures": [{**vars(row), "reached": row.reached} for row in rows],
    }
    common.write_json("memory", content)
    print(common.verdict(rows))
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
