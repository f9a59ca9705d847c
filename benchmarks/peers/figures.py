"""What the measurements amount to: medians over rounds, ratios to the fastest peer, tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.common import MB, Figure, number, table
from benchmarks.peers.networks import Network

# Wherry's median over that of the fastest peer of the same kind, at most.
RATIOS: dict[str, dict[str, float]] = {
    "mobile": {"float32": 0.85, "dynamic": 0.60, "static": 0.90},
    "large": {"float32": 0.75, "dynamic": 0.65, "static": 0.90},
    "recurrent": {"float32": 0.60, "dynamic": 0.50},
}
KIND_TITLES = {"float32": "float32", "dynamic": "8-bit weights", "static": "8-bit static"}
LOAD_SECONDS = 0.005
EXTRA_BYTES = 2 * MB  # that running may add beyond packed weights and planned arena
EIGHT_BIT_DIFFERENCE = 0.02

# Largest difference from TensorFlow at which a program still computes this network. 8-bit arithmetic differs by
# what its scheme costs, which is shown; beyond half of the largest output it is something else.
SAME = {"float32": 1e-3, "dynamic": 0.5, "static": 0.5}


@dataclass(frozen=True)
class Key:
    """One case: who runs which network in which kind of arithmetic with how many threads."""

    network: str
    kind: str
    threads: int
    peer: str


@dataclass
class Case:
    """A case's rounds, as the processes returned them, and what the conversion returned."""

    conversion: Mapping[str, Any]
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def median(self, name: str) -> float:
        return statistics.median(single[name] for single in self.rounds)

    @property
    def difference(self) -> float:
        return max(float(single["difference"]) for single in self.rounds)


@dataclass(frozen=True)
class NotDone:
    """Something that a program cannot do, or did wrong, and why."""

    network: str
    kind: str
    peer: str
    reason: str


Cases = Mapping[Key, Case]


def kinds_of(network: Network) -> tuple[str, ...]:
    """The kinds that the network is measured in."""
    return tuple(RATIOS[network.family])


def fastest(cases: Cases, network: str, kind: str, threads: int, peers: Iterable[str]) -> tuple[str, float] | None:
    """The peer with the smallest median inference, and its seconds."""
    found = [
        (cases[key].median("inference_seconds"), peer)
        for peer in peers
        if (key := Key(network, kind, threads, peer)) in cases
    ]
    return None if not found else (min(found)[1], min(found)[0])


def figures(
    cases: Cases, networks: Sequence[Network], kinds: Sequence[str], threads: Sequence[int], peers: Sequence[str]
) -> list[Figure]:
    """Every figure that is asked for, of the chosen networks and kinds; one that could not be measured is short."""
    rows: list[Figure] = []
    for network in networks:
        for kind in (k for k in kinds_of(network) if k in kinds):
            name = f"{network.title} {KIND_TITLES[kind]}"
            for count in threads:
                ours = cases.get(Key(network.name, kind, count, "Wherry"))
                other = fastest(cases, network.name, kind, count, peers)
                ratio = ours.median("inference_seconds") / other[1] if ours and other else None
                unit = f"of {other[0]}" if other else "no peer"
                wanted = RATIOS[network.family][kind] if other else None
                rows.append(Figure(f"{name}, {count} thread{'s' * (count > 1)}", ratio, wanted, unit))
            rows += _own_figures(name, kind, [cases.get(Key(network.name, kind, n, "Wherry")) for n in threads])
    return rows


def _own_figures(name: str, kind: str, cases: Sequence[Case | None]) -> list[Figure]:
    """Load time, memory and 8-bit accuracy: the worst over all numbers of threads."""
    done = [case for case in cases if case is not None]
    if len(done) < len(cases):
        return [Figure(f"{name} load", None, LOAD_SECONDS * 1e3, "ms")]
    load = max(case.median("load_seconds") for case in done)
    added = max(case.median("peak_added_bytes") for case in done)
    conversion = done[0].conversion
    wanted = conversion["weight_bytes"] + conversion["arena_bytes"] + EXTRA_BYTES
    rows = [
        Figure(f"{name} load", load * 1e3, LOAD_SECONDS * 1e3, "ms"),
        Figure(f"{name} memory", added / MB, wanted / MB, "MB"),
    ]
    if kind != "float32":
        worst = max(case.difference for case in done)
        rows.append(Figure(f"{name} difference", worst, EIGHT_BIT_DIFFERENCE, "of largest output"))
    return rows


def network_table(
    cases: Cases, network: Network, kinds: Sequence[str], threads: Sequence[int], programs: Sequence[str]
) -> str:
    """Every program's times, memory and difference on one network; what follows the times is with the most threads."""
    columns = [f"{n} thread{'s' * (n > 1)} ms" for n in threads]
    header = [network.title, *columns, "load ms", "first ms", "memory MB", "file MB", "difference"]
    rows = []
    for kind in (k for k in kinds_of(network) if k in kinds):
        for program in programs:
            found = [cases.get(Key(network.name, kind, n, program)) for n in threads]
            times = [number(case.median("inference_seconds") * 1e3) if case else "-" for case in found]
            last = found[-1]
            rest = ["-"] * 5
            if last is not None:
                rest = [
                    number(last.median("load_seconds") * 1e3),
                    number(last.median("first_inference_seconds") * 1e3),
                    number(last.median("peak_added_bytes") / MB),
                    number(last.conversion["file_bytes"] / MB),
                    f"{last.difference:.1e}",
                ]
            rows.append([f"{KIND_TITLES[kind]}: {program}", *times, *rest])
    return table(header, rows)
