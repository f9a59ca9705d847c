"""The order of a program's steps that needs the least memory.

The set of steps is taken apart into series and parallel pieces (`decompose`). Where nothing else is left, and each
block is freed by the same step in every order, merging the pieces' segments (`segments`) gives the best order. Pieces
that follow each other are solved each for itself, which loses nothing: what lives between them is the same in every
order. A piece that is not of that kind is searched (`search`), which is exact where states are few. What is left gets
the best of the order that it came in, its pieces merged, the smallest change first (`greedy`), and a search that
keeps few states, with its worst stretches repaired. All but the searches takes n log n; those have a limit.

Every piece keeps the order that it came in where another would not lower the peak of the program, so weights lie in a
pack as the model has them. `Program.order_lower_bound` is what no order can go below; it is the peak where all is
exact.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.plan.decompose import Decomposer
from wherry.plan.greedy import by_change, repaired
from wherry.plan.precedence import Precedence, precedence
from wherry.plan.program import Program
from wherry.plan.search import Searcher
from wherry.plan.segments import merge, segments

_MOST_DEPTH = 64  # of pieces within pieces; beyond, time would not be n log n
_SEARCHED_STEPS = 1500  # of one piece; beyond, sets of steps are too large to tell apart quickly
_STATES = 20000
_CORE_STEPS, _CORE_STATES = 200, 500  # for a part of a piece
_BEAM_MOVES = 60000
_MOST_WIDTH = 64


def choose_order(program: Program) -> None:
    """Puts the steps in order and sets order_lower_bound. They are in a topological order; lifetimes are not set."""
    model = precedence(program)
    order, program.order_lower_bound = best_order(model)
    program.steps = [program.steps[i] for i in order]


def best_order(model: Precedence) -> tuple[list[int], int]:
    """An order of all steps, and bytes that every order needs at some moment."""
    return _Planner(model).run()


class _Planner:
    def __init__(self, model: Precedence) -> None:
        self._model = model
        self._decomposer = Decomposer(model)
        self._left = list(model.uses)  # by steps that are sure to come later than those at hand
        self._least = 0  # bytes that every order needs at some moment, as far as is known

    def run(self) -> tuple[list[int], int]:
        """See best_order."""
        given = list(range(len(self._model.before)))
        if not given:
            return [], 0
        pieces = self._decomposer.series(given)
        lives, peaks = [], []
        live = 0
        for piece in pieces:
            self._least = max(self._least, self._bound(piece, live))
            lives.append(live)
            peaks.append(live + self._peak(piece))
            live += self._done(piece)
        if max(peaks) == self._least:
            return given, self._least
        self._left = list(self._model.uses)
        found: list[tuple[list[int], int]] = []
        for i, piece in enumerate(pieces):
            order, peak = piece, peaks[i]
            if peak > self._least:
                order, exact = self._solve(piece, lives[i])
                peak = lives[i] + self._peak(order)
                if exact:
                    self._least = max(self._least, peak)
            found.append((order, peak))
            self._done(piece)
        most = max(peak for _, peak in found)
        best: list[int] = []
        for piece, peak, (order, _) in zip(pieces, peaks, found, strict=True):
            best += piece if peak <= most else order
        return best, self._least

    def _done(self, steps: Sequence[int]) -> int:
        """Goes past steps; returns by how many bytes they change what lives."""
        total = 0
        for step in steps:
            total += self._model.change(step, self._left)[1]
            for block in self._model.reads[step]:
                self._left[block] -= 1
        return total

    def _undo(self, steps: Sequence[int]) -> None:
        for step in steps:
            for block in self._model.reads[step]:
                self._left[block] += 1

    def _peak(self, order: Sequence[int]) -> int:
        return max(self._model.peaks(order, self._left))

    def _readers(self, steps: Sequence[int]) -> dict[int, int]:
        """How many of the steps read each block."""
        readers: dict[int, int] = {}
        for step in steps:
            for block in self._model.reads[step]:
                readers[block] = readers.get(block, 0) + 1
        return readers

    def _bound(self, piece: Sequence[int], live: int) -> int:
        """Bytes that live during one of the steps in every order: its own, and what passes by the whole piece."""
        model = self._model
        readers = self._readers(piece)
        written = {block for step in piece for block in model.writes[step]}
        inside = {block for block, count in readers.items() if count == self._left[block]} | written
        passing = live - sum(model.sizes[block] for block in inside - written)
        return max(
            passing + model.needs(step) - sum(model.sizes[b] for b in model.reads[step] if b not in inside)
            for step in piece
        )

    def _learn(self, steps: Sequence[int], order: Sequence[int]) -> None:
        """No order of a part is better than this one: with what only this part still reads, every order needs it."""
        readers = self._readers(steps)
        for step in steps:
            for block in self._model.writes[step]:
                readers.pop(block, None)
        enters = sum(self._model.sizes[block] for block, count in readers.items() if count == self._left[block])
        self._least = max(self._least, enters + self._peak(order))

    def _solve(self, piece: list[int], live: int) -> tuple[list[int], bool]:
        """An order of a piece, and whether none lowers the peak of the program more. `live` bytes live before it."""
        order, exact = self._arranged(piece, 0)
        best = min((piece, order), key=self._peak)
        enough = max(self._least - live, 0)
        if exact:
            return best, True
        if self._peak(best) <= enough:
            return best, False
        if len(piece) <= _SEARCHED_STEPS:
            search = Searcher(self._model, piece, self._left)
            found = search.exact(_STATES, enough)
            if found is not None:
                return found, True
            found = search.beam(max(1, min(_MOST_WIDTH, _BEAM_MOVES // len(piece))), enough)
        else:
            found = by_change(self._model, piece, self._left)
        best = min((best, found), key=self._peak)
        peaks = self._model.peaks(best, self._left)
        best = min((best, repaired(self._model, best, self._left, peaks, enough)), key=self._peak)
        return best, False

    def _arranged(self, steps: list[int], depth: int) -> tuple[list[int], bool]:
        """An order by merging pieces, and whether none is better, wherever it is merged with others."""
        if len(steps) == 1:
            return steps, True
        if depth == _MOST_DEPTH:
            return steps, False
        pieces = self._decomposer.series(steps)
        if len(pieces) > 1:
            order: list[int] = []
            exact = True
            for piece in pieces:
                part, known = self._arranged(piece, depth + 1)
                order += part
                exact = exact and known
                for step in piece:
                    for block in self._model.reads[step]:
                        self._left[block] -= 1
            self._undo(order)
            return order, exact
        pieces = self._decomposer.parallel(steps)
        if len(pieces) == 1:
            return self._core(steps, depth), False
        readers = self._readers(steps)
        parts, exact = [], True
        for piece in pieces:
            part, known = self._arranged(piece, depth + 1)
            profile, certain = self._profile(part, readers)
            parts.append(segments(profile))
            exact = exact and known and certain
        order = merge(parts)
        if exact:
            self._learn(steps, order)
        else:
            order = self._searched(steps, depth, order)
        return order, exact

    def _core(self, steps: list[int], depth: int) -> list[int]:
        """An order of steps that are neither in series nor in parallel."""
        order = min((steps, by_change(self._model, steps, self._left)), key=self._peak)
        return self._searched(steps, depth, order)

    def _searched(self, steps: list[int], depth: int, order: list[int]) -> list[int]:
        """The order, or a better one where the part is small. What is not part of another is searched later."""
        if depth == 0 or len(steps) > _CORE_STEPS:
            return order
        found = Searcher(self._model, steps, self._left).exact(_CORE_STATES)
        if found is None:
            return order
        self._learn(steps, found)
        return min((order, found), key=self._peak)

    def _profile(
        self, order: Sequence[int], readers: dict[int, int]
    ) -> tuple[list[tuple[int, int, int]], bool]:
        """(step, bytes needed, change) of a part's order, and whether they are the same however it is merged.

        readers: of all parts. A block that several parts read, and nobody else, goes with the last of them, which is
        not known yet: each part frees a share of it.
        """
        model = self._model
        own = self._readers(order)
        counts = dict(own)
        frees: dict[int, int] = {}
        certain = True
        for block, count in own.items():
            if count == self._left[block]:
                frees[block] = model.sizes[block]
                continue
            counts[block] = self._left[block] + 1  # never the last
            if readers[block] == self._left[block]:
                frees[block] = model.sizes[block] * count // self._left[block]
                certain = False
            else:
                frees[block] = 0
        profile = []
        for step in order:
            more, _ = model.change(step, counts)
            written = sum(model.sizes[block] for block in model.writes[step])
            freed = sum(model.sizes[block] for block in model.writes[step] if not model.uses[block])
            for block in model.reads[step]:
                counts[block] -= 1
                own[block] -= 1
                if not own[block]:
                    freed += frees[block]
            profile.append((step, more, written - freed))
        return profile, certain
