"""Finds the smallest limit under which something survives."""

from __future__ import annotations

from collections.abc import Callable

CONFIRMATIONS = 3


class NoneSurvives(RuntimeError):
    """Not even the largest limit will do."""


def smallest(largest: int, step: int, survives: Callable[[int], bool], confirmations: int = CONFIRMATIONS) -> int:
    """The smallest multiple of `step`, up to `largest`, that is survived `confirmations` more times in a row.

    Survival near the limit has something of chance in it. The first multiple that bisection finds is tried again; each
    time it fails, the next one is. Raises NoneSurvives.
    """
    low, high = 0, largest // step
    if not survives(high * step):
        raise NoneSurvives(f"it does not survive {high * step} bytes, the largest limit that was tried")
    while low + 1 < high:
        middle = (low + high) // 2
        if survives(middle * step):
            high = middle
        else:
            low = middle
    while high * step <= largest:
        if all(survives(high * step) for _ in range(confirmations)):
            return high * step
        high += 1
    raise NoneSurvives(f"it does not survive {largest} bytes, the largest limit that was tried, every time")
