"""Finds the inner loop of a function in a compiler's assembly, and what is in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABEL = re.compile(r"^(\.L\w+):")
_BRANCH = re.compile(r"^\s+(?:b\.?\w*|cbn?z|tbn?z)\s.*?(\.L\w+)\s*$")
_FRAME = re.compile(r"^\s+(?:mov|add)\s+x29,\s*sp\b", re.MULTILINE)  # else x29 is a register like any other


@dataclass(frozen=True)
class Loop:
    """instructions: one a line, without labels, comments and directives. stack: registers that address the stack."""

    instructions: tuple[str, ...]
    stack: tuple[str, ...] = ("sp",)

    def count(self, mnemonic: str) -> int:
        return sum(line.split()[0] == mnemonic for line in self.instructions)

    @property
    def stack_accesses(self) -> int:
        return sum(bool(re.search(rf"\[(?:{'|'.join(self.stack)})\b", line)) for line in self.instructions)

    @property
    def text(self) -> str:
        return "\n".join(self.instructions) + "\n"


def function_body(assembly: str, name: str) -> str:
    """The lines of the function whose symbol contains `name`. Raises LookupError unless there is exactly one."""
    found = re.findall(rf"^(\w*{re.escape(name)}\w*):.*?\n(.*?)^\.Lfunc_end", assembly, re.MULTILINE | re.DOTALL)
    if len(found) != 1:
        raise LookupError(f"{len(found)} functions have {name} in their symbol")
    return str(found[0][1])


def inner_loops(body: str) -> list[Loop]:
    """The loops that contain no other: from a label to the branch back to it, with no label between."""
    loops = []
    stack = ("sp", "x29") if _FRAME.search(body) else ("sp",)
    label, lines = "", list[str]()
    for raw in body.splitlines():
        line = raw.split("//")[0].rstrip()
        if match := _LABEL.match(line):
            label, lines = match[1], []
        elif line.strip() and not line.strip().startswith("."):
            lines.append(" ".join(line.split()))
            branch = _BRANCH.match(line)
            if branch is not None and branch[1] == label:
                loops.append(Loop(tuple(lines), stack))
    return loops


def multiply_loop(assembly: str, function: str, mnemonic: str) -> Loop:
    """The function's inner loop with the most instructions of this kind. Raises LookupError when there is none."""
    loops = inner_loops(function_body(assembly, function))
    best = max(loops, key=lambda loop: loop.count(mnemonic), default=None)
    if best is None or best.count(mnemonic) == 0:
        raise LookupError(f"{function} has no loop with {mnemonic}")
    return best
