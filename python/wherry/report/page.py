"""Gathers facts about packs and benchmark results, and renders them as one HTML page without outside resources."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wherry.errors import PackError, UsageError
from wherry.pack.reader import Pack, is_pack, read_pack
from wherry.report.words import is_repeated, shown, words


def describe(path: Path) -> dict[str, Any]:
    """Facts about one source: a pack, or the JSON file that a benchmark wrote.

    Raises PackError for a damaged pack or no file, UsageError for a file that is neither.
    """
    if is_pack(path):
        return _describe_pack(read_pack(path))
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise PackError(f"{path}: there is no such file") from error
    except (ValueError, OSError) as error:
        raise UsageError(f"{path}: this is neither a pack nor the JSON of a benchmark") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: this JSON is not of a benchmark")
    return {"kind": "benchmark", "name": path.stem, "tables": _tables(content), "facts": _facts(content)}


def _describe_pack(pack: Pack) -> dict[str, Any]:
    counts = Counter(step.kernel for step in pack.steps)
    sizes = [sum(pack.segments[s].nbytes for s in partition.segments) for partition in pack.partitions]
    largest = max(sizes, default=0) or 1
    bars = []
    for number, partition in enumerate(pack.partitions):
        nbytes = sizes[number]
        percent = round(100 * nbytes / largest, 1)
        bars.append({"number": number + 1, "steps": partition.num_steps, "bytes": nbytes, "percent": percent})
    return {
        "kind": "pack",
        "name": pack.name,
        "facts": {
            "file": str(pack.path.name),
            "bytes of the file": pack.file_bytes,
            "bytes of weights": pack.weight_bytes,
            "bytes of the arena": pack.arena_bytes,
            "planned for a budget of": pack.memory_budget or "none given",
            "steps": len(pack.steps),
            **{key: str(value) for key, value in sorted(pack.provenance.items())},
        },
        "inputs": {name: str(tensor.type) for name, tensor in pack.inputs.items()},
        "outputs": {name: str(tensor.type) for name, tensor in pack.outputs.items()},
        "kernels": dict(sorted(counts.items())),
        "partitions": bars,
    }


def _facts(content: dict[str, Any]) -> dict[str, Any]:
    """Plain values, and what was measured several times."""
    plain = {k: v for k, v in content.items() if isinstance(v, str | int | float | bool) or is_repeated(k, v)}
    return {words(key): shown(key, value) for key, value in plain.items()}


def _tables(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Every list of records in the file, and every record of plain values, as a table."""
    tables = []
    for key, value in content.items():
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            columns = list(dict.fromkeys(name for row in value for name in row))
            rows = [[shown(column, row.get(column)) for column in columns] for row in value]
            tables.append({"title": words(key), "columns": [words(column) for column in columns], "rows": rows})
        elif isinstance(value, dict):
            rows = [[words(k), shown(k, v)] for k, v in value.items()]
            tables.append({"title": words(key), "columns": ["", ""], "rows": rows})
    return tables


def render(described: Sequence[dict[str, Any]]) -> str:
    """One HTML page."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("page.html.j2").render(sources=described)
