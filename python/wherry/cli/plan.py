"""wherry plan: what a pack will need on a device, and the fastest way to run it there inside a budget."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from wherry.cli.common import add_json, counted, print_json, size

if TYPE_CHECKING:
    from wherry.devices.predict import Prediction
    from wherry.devices.profile import Device


def register(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser(
        "plan", help="predict time and memory of a pack on a device, and find the fastest way that fits"
    )
    parser.add_argument("pack", metavar="PACK")
    parser.add_argument(
        "--device", required=True, metavar="NAME|FILE",
        help="a profile of build_configs/devices, or a file of wherry calibrate",
    )  # fmt: skip
    parser.add_argument(
        "--memory-budget", metavar="SIZE", help="what running may add to the process (default: half of the device's)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="only with so many (default: all that are possible)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from wherry.devices.predict import predict
    from wherry.devices.profile import load_device
    from wherry.errors import UsageError
    from wherry.pack.reader import read_pack
    from wherry.runtime.executor import parse_bytes

    budget = parse_bytes(args.memory_budget)
    device = load_device(args.device)
    if args.threads is not None and not 1 <= args.threads <= device.cores:
        cores = f"{device.cores}, the fast cores of {device.name}"
        raise UsageError(f"--threads must be from 1 to {cores}, not {args.threads}")
    pack = read_pack(args.pack)
    found = predict(pack, device, budget, args.threads)
    if args.json:
        print_json({"version": 1, "device": device, "budget": budget or device.safe_budget, "plans": found})
    else:
        print(_text(device, budget, found, counted(len(pack.steps), "step")))
    return 0


def _text(device: Device, budget: int, found: list[Prediction], steps: str) -> str:
    safe = "" if budget else ", half of its memory"
    best = found[0]
    lines = [
        f"{device.name}: {device.description}; budget {size(budget or device.safe_budget)}{safe}",
        "  threads      memory       stays      window  read in a run  from storage  from the cache  without waiting",
    ]
    for each in sorted(found, key=lambda prediction: prediction.threads):
        bytes_ = (each.memory, each.resident, each.window)
        times = (each.seconds["storage"], each.seconds["cache"], each.compute_seconds)
        lines.append(
            f"  {each.threads:7}  " + "  ".join(f"{size(n):>10}" for n in bytes_) + f"  {size(each.streamed):>13}"
            + "".join(f"  {1e3 * t:{width}.1f} ms" for t, width in zip(times, (9, 11, 12), strict=True))
        )  # fmt: skip
    threads = counted(best.threads, "thread")
    return "\n".join([*lines, f"fastest from storage: {threads}; {len(best.stays)} of {steps} never wait for weights"])
