"""wherry inspect: what a pack holds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from wherry.cli.common import add_json, counted, print_json, size

if TYPE_CHECKING:
    from wherry.pack.reader import Pack, PackTensor


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser("inspect", help="show what a pack holds")
    parser.add_argument("pack", metavar="PACK")
    parser.add_argument("--check", action="store_true", help="read the whole file and compare every checksum")
    parser.add_argument("--steps", action="store_true", help="list every step too")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from wherry.pack.reader import read_pack

    pack = read_pack(args.pack, check_segments=args.check)
    if args.json:
        print_json(as_json(pack, args.steps))
    else:
        print(as_text(pack, args.steps))
        if args.check:
            print("every checksum is right")
        else:
            print("checksums of the weights were not looked at (--check does)")
    return 0


def as_json(pack: Pack, steps: bool) -> dict[str, Any]:
    from wherry.pack.liveness import largest_live_set

    found: dict[str, Any] = {
        "version": 1,
        "format": ".".join(map(str, pack.version)),
        "file_bytes": pack.file_bytes,
        "metadata_bytes": pack.metadata_bytes,
        "weight_bytes": pack.weight_bytes,
        "largest_step_bytes": pack.largest_step_bytes,
        "arena_bytes": pack.arena_bytes,
        "arena_lower_bound": largest_live_set(pack),
        "memory_budget": pack.memory_budget,
        "inputs": {name: _type(tensor) for name, tensor in pack.inputs.items()},
        "outputs": {name: _type(tensor) for name, tensor in pack.outputs.items()},
        "kernels": list(pack.kernels),
        "steps": len(pack.steps),
        "partitions": [
            {
                "first_step": each.first_step, "steps": each.num_steps,
                "weight_bytes": sum(pack.segments[number].nbytes for number in each.segments),
            }
            for each in pack.partitions
        ],
        "provenance": pack.provenance,
    }
    if steps:
        found["step_list"] = [
            {
                "name": step.name, "kernel": step.kernel, "attributes": step.attributes,
                "inputs": [None if n is None else str(pack.tensors[n].type) for n in step.inputs],
                "outputs": [str(pack.tensors[n].type) for n in step.outputs],
            }
            for step in pack.steps
        ]
    return found


def _type(tensor: PackTensor) -> dict[str, Any]:
    return {"dtype": tensor.dtype.numpy.name, "shape": list(tensor.shape)}


def as_text(pack: Pack, steps: bool) -> str:
    from wherry.pack.liveness import largest_live_set

    made = ", ".join(f"{key} {value}" for key, value in sorted(pack.provenance.items()))
    live = largest_live_set(pack)
    lines = [
        f"{pack.path}: {size(pack.file_bytes)}, format {pack.version[0]}.{pack.version[1]} ({made})",
        f"  inputs      {_signature(pack.inputs)}",
        f"  outputs     {_signature(pack.outputs)}",
        f"  steps       {len(pack.steps)} in {counted(len(pack.partitions), 'partition')}",
        f"  weights     {size(pack.weight_bytes)} in {counted(len(pack.segments), 'segment')}, "
        f"up to {size(pack.largest_step_bytes)} for a step",
        f"  metadata    {size(pack.metadata_bytes)}",
        f"  tensors     {size(pack.arena_bytes)}, {pack.arena_bytes / max(live, 1):.3f} of what lives at one time",
    ]
    if pack.memory_budget:
        lines.append(f"  budget      {size(pack.memory_budget)}")
    lines.append(f"  kernels     {', '.join(sorted(pack.kernels))}")
    if len(pack.partitions) > 1:
        lines.append("  partition      steps      weights")
        for number, each in enumerate(pack.partitions):
            weights = sum(pack.segments[segment].nbytes for segment in each.segments)
            lines.append(f"  {number:9}  {each.num_steps:9}  {size(weights):>11}")
    if steps:
        for step in pack.steps:
            results = ", ".join(str(pack.tensors[n].type) for n in step.outputs)
            lines.append(f"  {step.name}: {step.kernel} -> {results}")
    return "\n".join(lines)


def _signature(tensors: dict[str, PackTensor]) -> str:
    return ", ".join(f"{name} {tensor.type}" for name, tensor in tensors.items())
