"""What the peers' cases share: the kinds of arithmetic, what a case measures, and reasons why one cannot be.

A peer is a module with two cases. `convert` makes the peer's own file of a network and returns what that took;
`run` loads the file and measures. Both take the network's name and a kind of KINDS.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.peers.networks import Array, Network, relative_difference

# float32: float32 weights and arithmetic. dynamic: 8-bit weights, activations in float or quantized while the
# network runs. static: 8-bit weights, activations quantized with scales found from samples beforehand.
KINDS = ("float32", "dynamic", "static")

Run = Callable[[Array], Array]


class Unsupported(Exception):
    """The peer cannot do this network in this kind; the message is the reason that the report shows."""


def convert_main(convert: Callable[[str, str], dict[str, Any]], run: Callable[..., dict[str, Any]]) -> None:
    """The `__main__` of a peer's module. An Unsupported conversion is a result like any other."""

    def convert_or_reason(network: str, kind: str) -> dict[str, Any]:
        try:
            made, seconds = common.timed(lambda: convert(network, kind))
        except Unsupported as reason:
            return {"unsupported": str(reason)}
        return {"convert_seconds": seconds, **made}

    common.case_main({"convert": convert_or_reason, "run": run})


def path_of(network: Network, peer: str, kind: str, suffix: str) -> Path:
    """Where a converted model goes."""
    return network.folder / f"{peer}_{kind}{suffix}"


def measure(
    network: Network,
    load: Callable[[], Run],
    seconds: float,
    layout: Callable[[Array], Array] = lambda x: x,
) -> dict[str, Any]:
    """Measures one program on one network; call it after the imports, before the model is touched.

    load: opens the model and returns a function of one input, which copies nothing but input and output
    layout: brings an input into the order that the program takes, before anything is timed
    seconds: how long to repeat the inference for (at least 5 times after one that is not counted)

    Returns seconds of load, of the first and of the median inference, bytes that all of it added to the
    process's memory, and the largest difference from TensorFlow's float32 outputs relative to the largest of these.
    """
    inputs, expected = [layout(x) for x in network.test_inputs()], network.reference()
    gain = common.MemoryGain()
    run, load_seconds = common.timed(load)
    loaded = gain.peak_added()
    _, first_seconds = common.timed(lambda: run(inputs[0]))
    run(inputs[0])
    single: list[float] = []
    while len(single) < 5 or sum(single) < seconds:
        single.append(common.timed(lambda: run(inputs[0]))[1])
    peak = gain.peak_added()
    return {
        "load_seconds": load_seconds,
        "first_inference_seconds": first_seconds,
        "inference_seconds": statistics.median(single),
        "fastest_inference_seconds": min(single),
        "inferences": len(single),
        "load_peak_added_bytes": loaded,
        "peak_added_bytes": peak,
        "difference": relative_difference([run(x) for x in inputs], expected),
    }
