"""Swishes of networks that compute in reduced arithmetic: as exact as that is worth.

A swish to 2.5 units in the last place takes a division and a power of e. One with an error of 1e-4 (math/vmath-inl.h)
takes half of the time, and does a hundredth of what rounding the values to 8 bits does.
"""

from __future__ import annotations

from wherry.plan.program import Program

_REDUCED = ("_di8", "_hf16", "_sf32")


def take_fast_swishes(program: Program) -> None:
    """Those that layers apply to their results, where any layer's products are in reduced arithmetic."""
    if not any(step.kernel.startswith("QLinear") or step.kernel.endswith(_REDUCED) for step in program.steps):
        return
    for step in program.steps:
        if step.attrs.get("activation") == "Swish":
            step.attrs = {**step.attrs, "activation": "FastSwish"}
