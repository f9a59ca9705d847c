"""Renders what selects kernels at compile time: ops_to_register.h and selected_kernels.cmake.

Python passes data; the templates in ops_templates/ hold all the C++ and CMake.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wherry.errors import BuildError
from wherry.files import write_whole
from wherry.ops.catalog import Catalog
from wherry.resources import source_dir
from wherry.selection.report import ScanReport, sources

HEADER_NAME = "ops_to_register.h"
CMAKE_NAME = "selected_kernels.cmake"


def render(template: str, data: Mapping[str, Any]) -> str:
    """A template of ops_templates/ with its data. A name that the template uses and `data` lacks is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(source_dir() / "ops_templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # what is rendered is C++ and CMake, from names that the scan has checked
    )
    return environment.get_template(template).render(program=program_name(), **data)


def program_name() -> str:
    from wherry import __version__

    return f"wherry {__version__}"


def model_names(report: ScanReport) -> list[str]:
    """Names of a report's models, fit for a comment: no line of it can end there."""
    return [" ".join(model.source.split()).replace("\\", "/") for model in report.models]


def render_header(report: ScanReport) -> str:
    """ops_to_register.h: WHERRY_SELECT_<key> for every kernel of the scan."""
    return render("ops_to_register.h.j2", {"models": model_names(report), "kernels": report.kernels})


def render_cmake(report: ScanReport, kernels: Catalog | None = None) -> str:
    """selected_kernels.cmake: the source files of those kernels."""
    data = {"models": model_names(report), "sources": sources(report, kernels)}
    return render("selected_kernels.cmake.j2", data)


def write_if_changed(path: Path, text: str) -> bool:
    """Leaves a file that already holds the text alone, so that nothing is compiled again for it."""
    if path.is_file() and path.read_text() == text:
        return False
    write_whole(path, text, BuildError)
    return True


def write_selection(report: ScanReport, folder: Path) -> None:
    """Writes the folder that -DWHERRY_SELECTION_DIR names. Raises UsageError for a kernel that this version lacks."""
    header, cmake = render_header(report), render_cmake(report)
    folder.mkdir(parents=True, exist_ok=True)
    write_if_changed(folder / HEADER_NAME, header)
    write_if_changed(folder / CMAKE_NAME, cmake)
