"""The performance targets of twotoken, and the functions that judge them by measured values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Spread, above, fastest, ratio, spread

Results = Mapping[str, Any]
"""What each measure has found, by the name of the measure, as in the JSON file."""


@dataclass(frozen=True)
class Target:
    """A limit for a measured value: a minimum if ``at_least`` is True, otherwise a maximum."""

    text: str
    bound: float
    at_least: bool
    figure: Callable[[Results], Spread]

    def met(self, found: Spread) -> bool:
        """Tell whether the median is within the limit."""
        return found.middle >= self.bound if self.at_least else found.middle <= self.bound


def faster(measure: str, ours: str, theirs: str) -> Callable[[Results], Spread]:
    """Return a function that returns twotoken's throughput in a measure, divided by a competitor's."""
    return lambda results: ratio(results[measure][theirs]["wall"], results[measure][ours]["wall"])


def processor_above_floor(results: Results) -> Spread:
    """Return the processor time that the stateless class adds to a GET, divided by the time of a PyJWT decode."""
    cases = results["get"]
    return above(*(cases[name]["processor"] for name in ("twotoken stateless", "twotoken none", "PyJWT decode")))


def login_beside_the_fastest(results: Results) -> Spread:
    """Return the fastest competitor's processor time of a login with the real hasher, divided by twotoken's.

    A password hash takes only processor time. So this ratio shows differences of one percent, which the wall clock
    does not show.
    """
    cases = {name: case["processor"] for name, case in results["login-real"].items()}
    competitor = fastest(cases, but=lambda name: name.startswith("twotoken"))
    return ratio(cases[competitor], cases["twotoken"])


def rows_grown(results: Results) -> Spread:
    """Return the number of rows that twotoken's refreshes added."""
    found = results["storage"]["twotoken"]
    return spread([found["after"]["rows"] - found["login"]["rows"]])


def heap_only(results: Results) -> Spread:
    """Return the smallest share of heap-only updates, among refreshes of one family and refreshes of many families."""
    counts = [
        results["storage"]["twotoken"]["updates"],
        *(case["updates"] for case in results["growth"]["families"].values()),
    ]
    return spread([min(hot / updated for updated, hot in counts)])


def purge_speed(results: Results) -> Spread:
    """Return the rows that twotoken purges per second, divided by those that simplejwt purges per second."""
    return ratio(results["purge"]["simplejwt"]["seconds"], results["purge"]["twotoken"]["seconds"])


def purge_memory(results: Results) -> Spread:
    """Return the peak memory of twotoken's purge, divided by its peak memory with a tenth of the rows."""
    found = results["purge"]["twotoken"]
    return spread([peak / found["peak of a tenth"] for peak in found["peak"]])


def refresh_growth(results: Results) -> Spread:
    """Return the time of a refresh with the most families in the table, divided by its time with the fewest."""
    families = results["growth"]["families"]
    return ratio(families[max(families, key=int)]["wall"], families[min(families, key=int)]["wall"])


def revoked_cost(results: Results) -> Spread:
    """Return the largest ratio of a stateless GET's processor times with and without REVOCATION_INTERVAL."""
    return max((ratio(case["with"], case["without"]) for case in results["revoked"].values()), key=_middle)


def _middle(found: Spread) -> float:
    return found.middle


TARGETS = (
    Target("refresh, over simplejwt with rotation", 5.5, True, faster("refresh", "twotoken", "simplejwt")),
    Target("refresh, over simplejwt without rotation", 1, True, faster("refresh", "twotoken", "simplejwt-norotation")),
    Target("refresh, over django-oauth-toolkit", 6, True, faster("refresh", "twotoken", "oauth-toolkit")),
    Target("GET, access class, over simplejwt", 1.6, True, faster("get", "twotoken access", "simplejwt access")),
    Target("GET, access class, over knox", 1.8, True, faster("get", "twotoken access", "knox access")),
    Target(
        "GET, stateless class, over simplejwt's stateless class",
        1.25,
        True,
        faster("get", "twotoken stateless", "simplejwt stateless"),
    ),
    Target(
        "GET, stateless class, processor time above a GET without authentication, in PyJWT decodes",
        1.8,
        False,
        processor_above_floor,
    ),
    Target(
        "GET, revocable class, over simplejwt's JWTAuthentication",
        0.95,
        True,
        faster("get", "twotoken revocable", "simplejwt access"),
    ),
    Target("login, cheap hasher, over knox", 1, True, faster("login", "twotoken", "knox")),
    Target("login, real hasher, over the fastest competitor, by processor time", 0.98, True, login_beside_the_fastest),
    Target("logout, over simplejwt", 2.5, True, faster("logout", "twotoken", "simplejwt")),
    Target("rows added by refreshes", 0, False, rows_grown),
    Target("heap-only share of updates", 0.95, True, heap_only),
    Target("purge, rows per second, over simplejwt", 5, True, purge_speed),
    Target("purge, peak memory with all rows, over that with a tenth of the rows", 1.1, False, purge_memory),
    Target("GET, stateless class with REVOCATION_INTERVAL, over without, by processor time", 1.05, False, revoked_cost),
    Target("time of a refresh with the most families, over that with the fewest", 1.3, False, refresh_growth),
)


def judge(results: Results) -> list[tuple[Target, Spread]]:
    """Return the targets that the measured values can judge, each with its value."""
    found = []
    for target in TARGETS:
        try:
            found.append((target, target.figure(results)))
        except (KeyError, ZeroDivisionError):  # not measured, or not on this database
            continue
    return found
