"""Where the C++ sources, templates and target files are: beside the package, or in the source tree it runs from."""

from __future__ import annotations

import functools
from pathlib import Path

from wherry.errors import BuildError


@functools.cache
def source_dir() -> Path:
    """The folder that holds CMakeLists.txt, cpp/, ops_templates/ and build_configs/."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "source", package.parent.parent):
        if (candidate / "cpp" / "kernels").is_dir() and (candidate / "ops_templates").is_dir():
            return candidate
    raise BuildError(f"Wherry's C++ sources are not beside {package}: install the package again")
