"""Cases: measurements in processes of their own, so that none sees the imports, the heap or the threads of another.

A case is a function of a module whose `__main__` is `case_main(cases)`. Arguments and result travel as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from wherry.errors import RuntimeFailure, UsageError, WherryError

_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def run_case(what: str, module: str, case: str, **arguments: Any) -> dict[str, Any]:
    """What a case returns. Raises UsageError or WherryError where it does, RuntimeFailure, naming `what` is measured,
    where its process dies."""
    command = [sys.executable, "-m", module, case, json.dumps(arguments, default=os.fspath)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**_QUIET, **os.environ})
    if done.returncode in (1, 2):
        error = UsageError if done.returncode == 2 else WherryError
        raise error(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the measurement failed")
    if done.returncode != 0:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        raise RuntimeFailure(f"{what}: the measuring process ended with {how}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def case_main(cases: Mapping[str, Callable[..., dict[str, Any]]]) -> int:
    """Runs the case that the command line names and prints its result. Returns the exit status."""
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    try:
        result = cases[name](**arguments)
    except WherryError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    print(json.dumps(result), flush=True)
    return 0
