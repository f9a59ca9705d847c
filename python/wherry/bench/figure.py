"""Draws a sweep: time split into loading, inference and overhead, and memory, over the number of partitions, for both
ways in one picture. The only place that imports matplotlib, which the package does without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wherry.bench.prepare import PAPER_QUANTIZE, TENSORFLOW, WHERRY
from wherry.errors import WherryError
from wherry.files import whole_file
from wherry.text import counted

# Dark, middle and light, and one of them hatched: they differ in grey too.
_PARTS = (
    ("load_seconds", "loading", "#16425b", None),
    ("inference_seconds", "inference", "#5fa8d3", None),
    ("overhead_seconds", "overhead", "#e9e4d4", "////"),
)
_LINES = {TENSORFLOW: ("#9c3d10", "s", "--"), WHERRY: ("#16425b", "o", "-")}
_HEADINGS = {
    TENSORFLOW: "TensorFlow: each partition's graph is loaded for every inference",
    WHERRY: "Wherry, on a scale of its own: one pack",
}
_SETTINGS: Any = {"svg.hashsalt": "wherry", "svg.fonttype": "none", "hatch.linewidth": 0.6, "font.size": 10}
NAMES = ("sweep.png", "sweep.svg")


def need_matplotlib() -> None:
    """Raises WherryError where it is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise WherryError("drawing needs matplotlib, which is not installed: pip install 'wherry[bench]'") from error


def draw(
    rows: Sequence[Mapping[str, Any]], model: str, machine: Mapping[str, Any], threads: int, runs: int, folder: Path
) -> list[Path]:
    """Writes NAMES into an existing folder, each whole or not at all. rows: as `sweep` returns them."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(11, 8), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=(5, 4))
        for column, program in enumerate((TENSORFLOW, WHERRY)):
            _times(figure.add_subplot(grid[0, column]), [row for row in rows if row["program"] == program], program)
        _memory(figure.add_subplot(grid[1, :]), rows)
        using = counted(threads, "thread") if threads else "all threads"
        figure.suptitle(
            f"{model}: what one use costs over the number of partitions\n"
            f"{machine['processor']}, {machine['cores']} cores, {using}; "
            f"mean of {counted(runs, 'run')}, each in a process of its own",
            fontsize=11,
        )
        return [_save(figure, folder / name) for name in NAMES]


def _save(figure: Any, path: Path) -> Path:
    kind = path.suffix.removeprefix(".")
    with whole_file(path, WherryError) as temporary:
        figure.savefig(temporary, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return path


def _times(axes: Any, rows: Sequence[Mapping[str, Any]], program: str) -> None:
    """Stacked bars. Each way has a scale of its own, as they may lie a hundred times apart."""
    unit, scale = ("s", 1.0) if max(row["total_seconds"]["mean"] for row in rows) >= 1 else ("ms", 1e3)
    places = range(len(rows))
    bottom = [0.0] * len(rows)
    for key, label, colour, hatch in _PARTS:
        heights = [row[key]["mean"] * scale for row in rows]
        axes.bar(
            places, heights, 0.7, bottom=bottom, label=label, color=colour, hatch=hatch, edgecolor="#333333",
            linewidth=0.5,
        )  # fmt: skip
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    errors = [row["total_seconds"]["deviation"] * scale for row in rows]
    axes.errorbar(places, bottom, errors, fmt="none", ecolor="black", elinewidth=1, capsize=3)
    for place, total, error in zip(places, bottom, errors, strict=True):
        _label(axes, total, (place, total + error), 2)
    axes.set_xticks(places, [str(row["partitions"]) for row in rows])
    axes.set_xlabel("partitions")
    axes.set_ylabel(f"time of one use, {unit}")
    axes.set_ylim(0, 1.2 * max(total + error for total, error in zip(bottom, errors, strict=True)))
    weights = PAPER_QUANTIZE if program == TENSORFLOW else rows[0]["quantize"]
    axes.set_title(f"{_HEADINGS[program]}, {weights}", fontsize=9)
    axes.grid(axis="y", color="#dddddd")
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", ncols=len(_PARTS), fontsize=8)


def _memory(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    counts = sorted({row["partitions"] for row in rows})
    axes.set_xticks(range(len(counts)), [str(count) for count in counts])
    axes.set_xlabel("partitions")
    axes.set_ylabel("peak memory added, MB")
    axes.set_title("Memory that one use adds to a process, mapped file pages included (logarithmic)", fontsize=9)
    if any(row["memory_bytes"] is None for row in rows):
        axes.text(0.5, 0.5, "not known on this system", ha="center", transform=axes.transAxes)
        return
    for program, (colour, marker, style) in _LINES.items():
        own = [row for row in rows if row["program"] == program]
        places = [counts.index(row["partitions"]) for row in own]
        means = [row["memory_bytes"]["mean"] / 1e6 for row in own]
        deviations = [row["memory_bytes"]["deviation"] / 1e6 for row in own]
        axes.errorbar(
            places, means, deviations, label=program, color=colour, marker=marker, linestyle=style, capsize=3
        )
        for place, mean in zip(places, means, strict=True):
            _label(axes, mean, (place, mean), 6)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.06, y=0.2)
    axes.grid(axis="y", which="both", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.legend(loc="center left", fontsize=8)


def _label(axes: Any, value: float, place: tuple[float, float], points_above: int) -> None:
    text = f"{value:.3g}" if value < 999.5 else f"{value:.0f}"
    axes.annotate(text, place, (0, points_above), textcoords="offset points", ha="center", size=8)
