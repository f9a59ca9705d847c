"""Opens a pack that was just written, before anybody gets it: whether its kernels take it, and what memory it needs."""

from __future__ import annotations

import os

from wherry.errors import BudgetError, MissingKernelError, RuntimeFailure, WherryError
from wherry.runtime.executor import Executor

# Scratch memory grows with the number of threads: packs are planned for this many unless told otherwise.
PLANNED_THREADS = 4
NO_LIMIT = 1 << 62


def memory_needed(path: str | os.PathLike[str], name: str, threads: int = PLANNED_THREADS) -> int:
    """The smallest budget that a pack runs in with so many threads.

    Raises MissingKernelError, naming the model, when a kernel refuses its step: the compiler thought that it would not.
    """
    try:
        with Executor(path, threads=threads, memory_budget=NO_LIMIT) as executor:
            return executor.stats.memory_needed
    except (BudgetError, RuntimeFailure):
        raise
    except WherryError as error:
        text = str(error).removeprefix(f"{os.fspath(path)}: ")
        raise MissingKernelError(
            f"{name}: a kernel of the runtime does not take this model: {text}; "
            "cut the model before it with outputs (--outputs)"
        ) from error
