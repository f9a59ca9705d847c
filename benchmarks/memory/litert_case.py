"""LiteRT on Contect, for the limit that it survives: loads the model and runs it once.

Its other case stops before the model, which shows what of that limit is Python and LiteRT's own code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.contect.outputs import THREADS
from benchmarks.contect.peer_litert import MODEL


def imports() -> dict[str, Any]:
    from ai_edge_litert.interpreter import Interpreter

    return {"interpreter": Interpreter.__name__}


def once() -> dict[str, Any]:
    from ai_edge_litert.interpreter import Interpreter

    gain = common.MemoryGain()
    interpreter = Interpreter(model_path=str(MODEL), num_threads=THREADS)
    interpreter.allocate_tensors()
    (wanted,) = interpreter.get_input_details()
    signature = interpreter.get_signature_runner()
    (name,) = interpreter.get_signature_list()["serving_default"]["inputs"]
    random = np.random.default_rng(0)
    outputs = signature(**{name: random.normal(size=wanted["shape"]).astype(wanted["dtype"])})
    finite = all(np.isfinite(array).all() for array in outputs.values())
    return {"peak_added_bytes": gain.peak_added(), "finite": bool(finite)}


if __name__ == "__main__":
    common.case_main({"imports": imports, "once": once})
