"""How long a pack takes on a device inside a budget, and with which threads it is fastest.

Steps cost what their multiply-accumulates or their bytes take, whichever is more: weights come from memory, tensors
where they are too large for a core's cache. What stays in memory, how large the
window is for the rest, and how long a run waits for it, say the planner and the simulation of the runtime
(cpp/runtime/residency.h). Partitions have no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wherry.devices.profile import Device
from wherry.errors import BudgetError
from wherry.pack.format import Place
from wherry.pack.reader import Pack, PackStep
from wherry.runtime.executor import NO_LIMIT, Executor
from wherry.text import size

_STEP_SECONDS = 2e-6  # what every step takes
_READ_SECONDS = 1e-5  # of a segment beyond its bytes: neighbours are read together, at the rate of large requests
_MAPPED_SECONDS = 4e-12  # of a byte that is mapped from the page cache and given back, in pages of 2 MiB
_NEAR_BYTES = 512 << 10  # a smaller tensor is still in a core's cache when it is read


@dataclass(frozen=True)
class Prediction:
    """Of runs after the first, with a number of threads.

    seconds: by where streamed weights come from, "storage" or the page "cache"; compute_seconds: all steps one by one
    memory: bytes that it adds to a process when it reads from storage; resident, streamed: of the weights, those that
    then stay and those that every run reads; window: bytes of memory for the latter
    """

    threads: int
    seconds: dict[str, float]
    compute_seconds: float
    memory: int
    resident: int
    streamed: int
    window: int
    stays: tuple[str, ...]  # steps that never wait for weights: theirs stay, or they have none


def predict(pack: Pack, device: Device, budget: int, threads: int | None = None) -> list[Prediction]:
    """For each number of threads that fits, 1 to the device's cores or the one asked for; the fastest first.

    Those that read from storage count; budget 0 stands for the device's safe budget. Raises BudgetError when none fits.
    """
    limit = budget or device.safe_budget
    found, least = [], NO_LIMIT
    for count in [threads] if threads is not None else range(1, device.cores + 1):
        with Executor(pack.path, threads=count, memory_budget=NO_LIMIT) as executor:
            needed = executor.stats.memory_needed
        least = min(least, needed)
        if needed <= limit:
            with Executor(pack.path, threads=count, memory_budget=limit) as executor:
                fixed = executor.stats.peak_bytes  # of all but weights
            found.append(_predicted(pack, device, count, fixed, limit - fixed))
    if not found:
        raise BudgetError(f"{pack.path}: {size(limit)} are too little on {device.name}; {least} bytes will do")
    return sorted(found, key=lambda each: (each.seconds["storage"], each.threads))


def _predicted(pack: Pack, device: Device, threads: int, fixed: int, limit: int) -> Prediction:
    from wherry import _native

    step_seconds = [_seconds(pack, step, device, threads) for step in pack.steps]
    uses = [(number, segment) for number, step in enumerate(pack.steps) for segment in _segments(pack, step)]
    sizes = [0 if segment.resident else segment.nbytes for segment in pack.segments]
    took, window, resident, streamed, stays = _native.plan_residency(
        uses, sizes, step_seconds, device.storage_bytes, _READ_SECONDS, limit
    )
    compute = sum(step_seconds)
    mapped = _MAPPED_SECONDS * sum(sizes[segment] for _, segment in uses) if streamed else 0.0
    seconds = {"storage": max(took, compute), "cache": compute + mapped}
    kept = tuple(s.name for s in pack.steps if all(stays[i] or not streamed for i in _segments(pack, s)))
    memory = fixed + window + resident
    return Prediction(threads, seconds, compute, memory, resident, streamed, window, kept)


def _segments(pack: Pack, step: PackStep) -> Sequence[int]:
    """The streamed segments that a step reads, each once."""
    tensors = (pack.tensors[number] for number in step.inputs if number is not None)
    owners = dict.fromkeys(tensor.owner for tensor in tensors if tensor.place is Place.SEGMENT)
    return [segment for segment in owners if not pack.segments[segment].resident]


def _seconds(pack: Pack, step: PackStep, device: Device, threads: int) -> float:
    tensors = [pack.tensors[number] for number in (*step.inputs, *step.outputs) if number is not None]
    moved = sum(
        tensor.stored_bytes
        for tensor in tensors
        if tensor.place is Place.SEGMENT or (tensor.place is Place.ARENA and tensor.nbytes > _NEAR_BYTES)
    )
    cores = min(threads, device.cores)
    products = 1000 * step.kilo_macs / (device.macs[arithmetic_of(step.kernel)] * cores)
    return _STEP_SECONDS + max(products, moved / device.memory_bytes)


def arithmetic_of(kernel: str) -> str:
    """In what a kernel multiplies, by its key."""
    if kernel.startswith("QLinear") or kernel.endswith("_di8"):
        return "int8"
    return "float16" if kernel.endswith("_hf16") else "float32"
