"""The ARM cores that inner loops are judged on, and the multiply-adds that each can do in a cycle.

llvm-mca knows a core by a scheduling model that may be another core's: LLVM (up to 19 at least) takes its model of
the Cortex-A57 for the A76, which halves its float32 pipes, and its model of Apple's Cyclone, with three vector pipes,
for the M1. So a loop is measured against what the model can reach, or the machine if that is less; both are shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

A55 = "Arm Cortex-A55 Software Optimization Guide: Q-form FMLA (of halves too) and SDOT, one a cycle"
A76 = "Arm Cortex-A76 Software Optimization Guide: FMLA and SDOT on both vector pipes"
N1 = "Arm Neoverse N1 Software Optimization Guide: FMLA and SDOT on both vector pipes"
N2 = "Arm Neoverse N2 Software Optimization Guide: USMMLA on both vector pipes"
M1 = "D. Johnson, Apple M1 Firestorm microarchitecture: FMLA and SDOT on all four vector pipes"


@dataclass(frozen=True)
class Core:
    """name: as -mcpu takes it. per_cycle: multiply instructions of 128 bits a cycle, which `source` says.
    stand_in: pattern -> replacement for instructions that LLVM's model of this core times wrongly."""

    name: str
    per_cycle: int
    source: str
    stand_in: Mapping[str, str] = field(default_factory=dict)

    def timed_as(self, assembly: str) -> str:
        """The assembly with instructions that the model times as this core really does them."""
        for pattern, replacement in self.stand_in.items():
            assembly = re.sub(pattern, replacement, assembly)
        return assembly


_REGISTERS = r"(v\d+)\.\w+,\s*(v\d+)\.\w+,\s*(v\d+)\.\w+(?:\[\d\])?"
# The model lets the A55 begin two multiplies of 128 bits a cycle: of float32 in all versions, of SDOT by a lane in
# some (14). SDOT of whole vectors has the latency of both and is one a cycle.
_ONE_A_CYCLE = {rf"\b(?:fmla|sdot)\s+{_REGISTERS}": r"sdot \1.4s, \2.16b, \3.16b"}

# What the loops must be fast on.
CORES = (
    Core("cortex-a55", 1, A55, _ONE_A_CYCLE),
    Core("cortex-a76", 2, A76),
    Core("neoverse-n1", 2, N1),
    Core("apple-m1", 4, M1),
)
# Those have no I8MM.
I8MM_CORES = (Core("neoverse-n2", 2, N2),)
