"""Pure functions for medians, quartiles and ratios of measured rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

Rounds = Sequence[float]


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.middle:.3g}"
        return f"{self.middle:.2f} ({self.low:.2f} to {self.high:.2f})"


def spread(values: Rounds) -> Spread:
    """Return median and quartiles. For a single value, all three are this value."""
    if len(values) < 2:
        return Spread(values[0], values[0], values[0])
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return Spread(middle, low, high)


def quotients(over: Rounds, under: Rounds) -> list[float]:
    """Return each round of ``over`` divided by the round of ``under`` that was measured beside it."""
    return [one / other for one, other in zip(over, under, strict=True)]


def ratio(over: Rounds, under: Rounds) -> Spread:
    """Divide each round of ``over`` by the round of ``under`` measured beside it. Return median and quartiles."""
    return spread(quotients(over, under))


def above(whole: Rounds, floor: Rounds, unit: Rounds) -> Spread:
    """Return how much the cost ``whole`` exceeds the cost ``floor``, as a multiple of the cost ``unit``."""
    return spread([(cost - base) / one for cost, base, one in zip(whole, floor, unit, strict=True)])


def fastest(cases: Mapping[str, Rounds], but: Callable[[str], bool]) -> str:
    """Return the name of the case with the lowest median. Cases for which ``but`` is true don't count."""
    return min((name for name in cases if not but(name)), key=lambda name: median(cases[name]))
