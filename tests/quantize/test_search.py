"""The search for the forms of layers: on errors that are known, where the best choice is clear."""

from __future__ import annotations

import math

import pytest
from wherry.quantize.search import Choices, Forms, groups_of, likely_largest, search

COSTS = {"cheap": 1.0, "middle": 3.0, "exact": 10.0}


def choices(errors: dict[str, float], limit: float, factor: float = 1.0) -> Choices:
    """Layers whose cheap form makes these errors, the middle one a quarter of them. factor: of what is measured."""
    forms = {name: {"cheap": error, "middle": error / 4, "exact": 0.0} for name, error in errors.items()}

    def measure(chosen: Forms) -> float:
        return factor * math.hypot(*(forms[name][form] for name, form in chosen.items()))

    return Choices(forms, lambda _name, form, _forms: COSTS[form], measure, limit)


def total(forms: Forms) -> float:
    return sum(COSTS[form] for form in forms.values())


def test_layers_that_make_most_of_the_error_take_dearer_forms() -> None:
    errors = {"a": 8.0, "b": 1.0, "c": 0.5, "d": 2.0}
    found = search(choices(errors, limit=2.6))
    assert found.fits and found.error <= 2.6
    assert found.forms == {"a": "middle", "b": "cheap", "c": "cheap", "d": "middle"} or total(found.forms) <= 8


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_what_is_measured_decides(factor: float) -> None:
    errors = {str(i): 1.0 / (i + 1) for i in range(20)}
    known = choices(errors, limit=0.5, factor=factor)
    found = search(known)
    assert found.fits and known.measure(found.forms) == found.error <= 0.5
    assert total(found.forms) < 0.6 * total(dict.fromkeys(errors, "exact"))


def test_nothing_fits() -> None:
    known = Choices({"a": {"cheap": 2.0, "exact": 0.5}}, lambda _a, form, _f: COSTS[form], lambda _: 1.0, 0.1)
    found = search(known)
    assert (found.forms, found.fits, found.error) == ({"a": "exact"}, False, 1.0)


def test_neighbours_take_a_form_together() -> None:
    """A change of form between neighbours costs more than what one of them gains."""

    def cost(name: str, form: str, forms: Forms) -> float:
        others = [forms[other] for other in ("a", "b", "c") if other != name]
        return COSTS[form] + sum(2.0 for other in others if other != form)

    errors = {name: {"cheap": 1.0, "exact": 0.9} for name in ("a", "b", "c")}
    found = search(Choices(errors, cost, lambda _: 0.0, 1.0))
    assert set(found.forms.values()) == {"cheap"}


def test_the_largest_error_of_other_inputs() -> None:
    assert likely_largest(0.5, 0.1, 1000) == 0.5
    assert 0.32 < likely_largest(0.1, 0.1, 1000) < 0.34  # 3.3 deviations


def test_groups() -> None:
    assert groups_of(["a", "b", "c"], 64) == [["a"], ["b"], ["c"]]
    assert groups_of(["a", "b", "c", "d", "e"], 2) == [["a", "b"], ["c", "d", "e"]]
