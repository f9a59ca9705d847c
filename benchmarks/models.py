"""make bench-models: every model of the zoo against TensorFlow, float32, in 1, 2, 11 and 50 partitions.

The largest difference from TensorFlow, relative to the largest output before any softmax, must stay within 1e-4, and
the number of partitions must not change a bit.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from benchmarks.common import OUTPUT, case_main, machine, run_case, table, write_json
from tests import zoo
from tests.models.check import FLOAT32_LIMIT, compare

PARTITIONS = (1, 2, 11, 50)


def model(name: str) -> dict[str, Any]:
    """One model, in a process of its own."""
    folder = OUTPUT / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return asdict(compare(name, folder, partitions=PARTITIONS))


def main() -> int:
    results = []
    for name in zoo.NAMES:
        results.append(run_case("benchmarks.models", "model", name=name).result)
        print(f"{name}: {results[-1]['relative']:.1e}", file=sys.stderr)
    rows = [
        [
            r["name"], f"{r['relative']:.1e}", "yes" if r["identical"] else "NO", str(r["steps"]),
            f"{r['file_bytes'] / 1e6:.1f}", f"{r['arena_bytes'] / max(r['arena_lower_bound'], 1):.3f}",
            f"{r['compile_seconds']:.1f}", f"{r['run_seconds'] * 1e3:.1f}",
        ]
        for r in results
    ]
    header = ["model", "largest difference", "same bits", "steps", "file MB", "arena / bound", "compile s", "run ms"]
    print(table(header, rows))
    write_json("models", {"machine": machine(["tensorflow", "numpy"]), "limit": FLOAT32_LIMIT, "models": results})
    short = [r["name"] for r in results if r["relative"] > FLOAT32_LIMIT or not r["identical"]]
    print("all figures reached" if not short else f"short of: {', '.join(short)}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        case_main({"model": model})
    else:
        sys.exit(main())
