"""Which form each layer gets, where its forms differ in cost and in what they do to the outputs.

A form is how a layer computes: on codes of fixed scales, on codes made as it runs, in float arithmetic. Forms cost time
and bytes; cheap ones move the outputs. Squares of independent errors add up, so the forms wanted are those with the
least sum of cost + weight * error^2 for some weight (Lagrange's, of a limited sum of squares), which each layer can
choose alone, or nearly: what a layer costs depends on its neighbours' forms as well. A weight for which the outputs fit
is found by halves, on measured errors of all layers together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

Forms = dict[str, str]  # layer -> form

_SWEEPS = 4  # over all layers, each choosing for the forms that its neighbours have
_HALVINGS = 7
_STEPS = (-12.0, 12.0)  # powers of two between which weights are looked for, around cost / limit^2
_TRIES = 12  # moves of single layers to cheaper forms, when the weight is found


@dataclass(frozen=True)
class Choices:
    """What a search chooses from.

    errors: layer -> form -> the error at the outputs that it makes alone. Layers in the order of execution.
    cost: of a layer in a form, given the forms of its neighbours; in any unit.
    measure: the error at the outputs with all layers in these forms. limit: what it must not exceed.
    """

    errors: Mapping[str, Mapping[str, float]]
    cost: Callable[[str, str, Forms], float]
    measure: Callable[[Forms], float]
    limit: float

    def best(self, weight: float) -> Forms:
        """The forms of least cost + weight * error^2."""
        forms = {layer: min(errors, key=errors.__getitem__) for layer, errors in self.errors.items()}
        for _ in range(_SWEEPS):
            before = dict(forms)
            for layer, errors in self.errors.items():
                forms[layer] = min(
                    errors, key=lambda form: (self.total(layer, form, forms) + weight * errors[form] ** 2, errors[form])
                )
            if forms == before:
                break
        return forms

    def total(self, layer: str, form: str, forms: Forms) -> float:
        return self.cost(layer, form, {**forms, layer: form})


@dataclass(frozen=True)
class Found:
    """forms: of least cost among those found to fit; the most exact ones where none fits."""

    forms: Forms
    error: float
    fits: bool


def search(choices: Choices) -> Found:
    """Measures some two dozen times at most."""
    exact = {layer: min(errors, key=errors.__getitem__) for layer, errors in choices.errors.items()}
    found = Found(exact, choices.measure(exact), False)
    if found.error > choices.limit:
        return found
    found = _refined(choices, _by_halves(choices, Found(exact, found.error, True)))
    return found


def _by_halves(choices: Choices, found: Found) -> Found:
    """The least weight that fits, where more weight means less error; found: the forms of unlimited weight."""
    scale = sum(choices.total(layer, form, found.forms) for layer, form in found.forms.items())
    unit = max(scale, 1e-30) / max(choices.limit, 1e-30) ** 2
    low, high = _STEPS
    seen: dict[tuple[str, ...], bool] = {tuple(found.forms.values()): True}
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        forms = choices.best(unit * 2.0**middle)
        key = tuple(forms.values())
        if key not in seen:
            error = choices.measure(forms)
            seen[key] = error <= choices.limit
            if seen[key]:
                found = Found(forms, error, True)
        low, high = (low, middle) if seen[key] else (middle, high)
    return found


def _refined(choices: Choices, found: Found) -> Found:
    """Single layers take cheaper forms, those first that gain most for what they do to the outputs."""
    tried: set[tuple[str, str]] = set()
    for _ in range(_TRIES):
        move = _best_move(choices, found.forms, tried)
        if move is None:
            break
        tried.add(move)
        forms = {**found.forms, move[0]: move[1]}
        error = choices.measure(forms)
        if error <= choices.limit:
            found = Found(forms, error, True)
    return found


def _best_move(choices: Choices, forms: Forms, tried: set[tuple[str, str]]) -> tuple[str, str] | None:
    best: tuple[float, tuple[str, str]] | None = None
    for layer, errors in choices.errors.items():
        held = forms[layer]
        for form, error in errors.items():
            gain = choices.total(layer, held, forms) - choices.total(layer, form, forms)
            if form == held or (layer, form) in tried or gain <= 0:
                continue
            worth = gain / max(error**2 - errors[held] ** 2, 1e-30)
            if best is None or worth > best[0]:
                best = worth, (layer, form)
    return best[1] if best is not None else None


def likely_largest(largest: float, rms: float, count: int) -> float:
    """The largest of `count` errors, or what it is likely to be among as many others: inputs that were not measured
    have other errors of the same size. rms: of those measured, taken for normal."""
    return max(largest, rms * NormalDist().inv_cdf(1 - 0.5 / max(count, 2)))


def groups_of(names: Sequence[str], most: int) -> list[list[str]]:
    """Names in at most so many runs of neighbours."""
    count = min(most, len(names))
    return [list(names[len(names) * i // count : len(names) * (i + 1) // count]) for i in range(count)]
