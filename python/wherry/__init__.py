"""Wherry: slim, partitioned runtimes for TensorFlow models that are too big for a phone.

The public API. Importing it does not import TensorFlow; running a pack never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.build import BuildReport, build  # now: importing the package later would put it in the function's place
from wherry.errors import (
    BudgetError,
    BuildError,
    LoadError,
    MissingKernelError,
    PackError,
    PassError,
    RuntimeFailure,
    UsageError,
    WherryError,
)
from wherry.runtime.executor import NO_LIMIT, Checkpoint, Executor, ExecutorStats, Memory, memory

if TYPE_CHECKING:
    from wherry.compiler import CompileReport, compile
    from wherry.frontend import load
    from wherry.runtime.tensorflow_executor import TensorFlowExecutor
    from wherry.selection.report import ScanReport
    from wherry.selection.scan import scan

__version__ = "0.1.0"

__all__ = [
    "NO_LIMIT", "BudgetError", "BuildError", "BuildReport", "Checkpoint", "CompileReport", "Executor", "ExecutorStats",
    "LoadError", "Memory", "MissingKernelError", "PackError", "PassError", "RuntimeFailure", "ScanReport",
    "TensorFlowExecutor", "UsageError", "WherryError", "build", "compile", "load", "memory", "scan",
]

# What needs TensorFlow is imported when it is first asked for.
_LAZY = {
    "scan": "wherry.selection.scan", "ScanReport": "wherry.selection.report",
    "compile": "wherry.compiler", "CompileReport": "wherry.compiler", "load": "wherry.frontend",
    "TensorFlowExecutor": "wherry.runtime.tensorflow_executor",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'wherry' has no attribute {name!r}")
