"""What decides how much memory an order of steps needs: who comes before whom, and which blocks each reads and writes.

A step needs its outputs' blocks on top of all that live when it begins; when it ends, blocks that nobody reads any more
go. An output that takes over an input's block needs none. Sizes are in bytes, as the arena rounds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wherry.ops.rules import rule_for
from wherry.plan.arena import rounded
from wherry.plan.lifetimes import may_take_over
from wherry.plan.program import Program, ProgramTensor, Step

# How often each block will still be read.
Counts = Sequence[int] | Mapping[int, int]


@dataclass
class Precedence:
    """Steps are numbers from 0 in a topological order, and so are blocks.

    before, after: the steps that must precede or follow each step at once
    reads, writes: blocks, each once. A block that nobody writes would be the caller's, which is not counted; who writes
        another part of a block that is there already reads it, here
    heirs: for each block that a step writes, the blocks that it may take over, best first
    uses: for each block how many steps read it, and one more for an output of the program, which nothing frees
    """

    before: list[list[int]] = field(default_factory=list)
    after: list[list[int]] = field(default_factory=list)
    reads: list[list[int]] = field(default_factory=list)
    writes: list[list[int]] = field(default_factory=list)
    heirs: list[list[list[int]]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    uses: list[int] = field(default_factory=list)

    def taken_over(self, step: int, left: Counts) -> int:
        """Bytes of outputs that need no memory of their own."""
        total = 0
        taken: set[int] = set()
        for block, heirs in zip(self.writes[step], self.heirs[step], strict=True):
            for heir in heirs:
                if left[heir] == 1 and heir not in taken:
                    taken.add(heir)
                    total += self.sizes[block]
                    break
        return total

    def change(self, step: int, left: Counts) -> tuple[int, int]:
        """Bytes that a step needs beyond those that live when it begins, and by how much it changes those."""
        written = sum(self.sizes[block] for block in self.writes[step])
        taken = self.taken_over(step, left) if any(self.heirs[step]) else 0
        freed = sum(self.sizes[block] for block in self.reads[step] if left[block] == 1)
        dead = sum(self.sizes[block] for block in self.writes[step] if not self.uses[block])
        return written - taken, written - freed - dead

    def peaks(self, order: Sequence[int], left: Counts | None = None) -> list[int]:
        """The bytes that live during each step of an order, beyond those before it.

        left: how often each block will still be read when the order begins; as if nothing had run where None
        """
        before = self.uses if left is None else left
        counts = {block: before[block] for step in order for block in self.reads[step]}
        live, result = 0, []
        for step in order:
            more, change = self.change(step, counts)
            result.append(live + more)
            live += change
            for block in self.reads[step]:
                counts[block] -= 1
        return result

    def needs(self, step: int) -> int:
        """Bytes that live during a step in every order: what it reads, and what it writes beside that."""
        ones = dict.fromkeys(self.reads[step], 1)
        return sum(self.sizes[b] for b in self.reads[step] + self.writes[step]) - self.taken_over(step, ones)


# Storages that are written in parts and at most so much of the largest one are not counted: that their first writer
# must come first would keep independent pieces from being told apart, and orders from being the best.
_SMALL_SHARE = 64


def precedence(program: Program) -> Precedence:
    """Of a program whose steps are in a topological order and whose lifetimes are not set.

    A storage that several steps write counts from the first of them in that order, which has to stay the first.
    """
    found = Precedence()
    number_of: dict[int, int] = {}
    writers: dict[int, list[tuple[int, ProgramTensor]]] = {}  # by storage: steps and what they write
    ignored = _small_parts(program)
    for number, step in enumerate(program.steps):
        reads: list[int] = []
        before: set[int] = set()
        for tensor in step.inputs:
            if tensor.storage is None:
                continue
            before.update(writer for writer, part in writers.get(id(tensor.storage), []) if part.overlaps(tensor))
            block = number_of.get(id(tensor.storage))
            if block is not None and block not in reads:
                reads.append(block)
        writes: list[int] = []
        heirs: list[list[int]] = []
        for index, tensor in enumerate(step.outputs):
            storage = tensor.storage
            if storage is None:
                continue
            others = writers.setdefault(id(storage), [])
            others.append((number, tensor))
            if id(storage) in ignored:
                continue
            block = number_of.get(id(storage))
            if block is None:
                number_of[id(storage)] = len(found.sizes)
                writes.append(len(found.sizes))
                found.sizes.append(rounded(storage.nbytes))
                found.uses.append(0)
                heirs.append(_heirs(step, index, number_of))
            elif others[0][0] != number:
                before.add(others[0][0])
                if block not in reads:
                    reads.append(block)
        found.before.append(sorted(before))
        found.after.append([])
        for earlier in sorted(before):
            found.after[earlier].append(number)
        for block in reads:
            found.uses[block] += 1
        found.reads.append(reads)
        found.writes.append(writes)
        found.heirs.append(heirs)
    for key in {id(tensor.storage) for tensor in program.outputs.values()}:
        if key in number_of:
            found.uses[number_of[key]] += 1
    return found


def _small_parts(program: Program) -> set[int]:
    """Storages that several steps write, and that are small beside the largest."""
    sizes: dict[int, int] = {}
    parts: set[int] = set()
    for step in program.steps:
        for storage in {id(t.storage): t.storage for t in step.outputs if t.storage is not None}.values():
            if id(storage) in sizes:
                parts.add(id(storage))
            sizes[id(storage)] = storage.nbytes
    most = max(sizes.values(), default=0) // _SMALL_SHARE
    return {key for key in parts if sizes[key] <= most}


def _heirs(step: Step, index: int, number_of: dict[int, int]) -> list[int]:
    positions = [p for p in rule_for(step.op).inplace if may_take_over(step, p, step.outputs[index])]
    storages = [id(step.inputs[p].storage) for p in positions]
    return [number_of[storage] for storage in storages if storage in number_of]
