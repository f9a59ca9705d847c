"""What a build needs from other packages: Highway's headers, zig, ccache. Found without importing any of them."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from wherry.errors import BuildError


def package_folder(name: str) -> Path | None:
    """The folder of an installed Python package, or None. The package is not imported."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(folders[0]) if folders else None


def highway_folder() -> Path | None:
    """Highway's headers in TensorFlow's wheel; None where CMake has to look for them."""
    package = package_folder("tensorflow")
    folder = package / "include" / "external" / "com_google_highway" if package is not None else None
    return folder if folder is not None and (folder / "hwy" / "highway.h").is_file() else None


def zig_program() -> Path:
    """Raises BuildError when the package ziglang is not installed."""
    package = package_folder("ziglang")
    program = package / "zig" if package is not None else None
    if program is None or not program.is_file():
        raise BuildError("this target needs the compiler of the Python package ziglang: pip install ziglang")
    return program


def compiler_cache() -> str:
    """ccache where it is installed, else ''."""
    return shutil.which("ccache") or ""
