"""How the benchmarks compute their figures and judge their targets, with invented results."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.competitor import Answer, all_competitors
from benchmarks.figures import Spread, above, fastest, ratio, spread
from benchmarks.report import page, plot, summary
from benchmarks.targets import TARGETS, Target, judge


def timed(*seconds: float) -> dict[str, list[float]]:
    """Return a measure's result with these seconds, one number for each round."""
    return {"wall": list(seconds), "processor": list(seconds)}


@pytest.fixture
def results() -> dict[str, Any]:
    """Results: simplejwt needs six times as long as twotoken for a refresh, and knox half as long for a login."""
    return {
        "about": {"database": "SomeDB 1", "commands": [], "processors": 2, "versions": {}, "size": {}},
        "login": {"twotoken": timed(2, 2), "knox": timed(1, 1), "simplejwt": timed(4, 4)},
        "refresh": {"twotoken": timed(1, 2, 3), "simplejwt": timed(6, 12, 18)},
    }


def test_spread() -> None:
    """``spread`` returns the median and the two quartiles."""
    assert spread([5, 1, 2, 4, 3]) == Spread(3, 2, 4)
    assert spread([7]) == Spread(7, 7, 7)


def test_ratio_is_taken_within_a_round() -> None:
    """``ratio`` divides round by round, so a round that is slow for both sides does not widen the spread."""
    assert ratio([2, 20, 2], [1, 10, 1]) == Spread(2, 2, 2)
    with pytest.raises(ValueError, match="shorter"):
        ratio([1, 2], [1])


def test_above() -> None:
    """``above(whole, floor, unit)`` is the spread of (whole - floor) / unit, round by round."""
    assert above([5, 10], [3, 6], [1, 2]) == Spread(2, 2, 2)


def test_fastest() -> None:
    """``fastest`` returns the competitor with the lowest median. It skips competitors for which ``but`` is true."""
    cases = {"a": [1, 1, 1], "b": [2, 2, 2], "c": [0, 3, 3]}
    assert fastest(cases, but=lambda name: name == "a") == "b"


@pytest.mark.parametrize(
    ("at_least", "figure", "met"), [(True, 2, True), (True, 1.9, False), (False, 2, True), (False, 2.1, False)]
)
def test_a_target_is_met_at_its_bound(at_least: bool, figure: float, met: bool) -> None:
    """A figure that equals the bound meets the target, whether the bound is a minimum or a maximum."""
    target = Target("", 2, at_least, lambda results: spread([figure]))
    assert target.met(target.figure({})) is met


def test_targets_are_judged_by_what_was_measured(results: dict[str, Any]) -> None:
    """``judge`` leaves out a target if its measure did not run, and judges the other targets."""
    judged = {target.text: (found.middle, target.met(found)) for target, found in judge(results)}
    assert judged == {
        "refresh, over simplejwt with rotation": (6, True),
        "login, cheap hasher, over knox": (0.5, False),
    }


def test_targets_of_counts() -> None:
    """``judge`` also judges the targets for rows, heap-only updates, purge, memory and growth."""
    found: dict[str, Any] = {
        "storage": {"twotoken": {"login": {"rows": 1}, "after": {"rows": 3}, "updates": [100, 99]}},
        "purge": {
            "simplejwt": {"seconds": [6, 6]},
            "twotoken": {"seconds": [1, 1], "peak": [120], "peak of a tenth": 100},
        },
        "growth": {
            "families": {"1000": timed(1, 1) | {"updates": [10, 10]}, "20000": timed(1.2, 1.2) | {"updates": [100, 96]}}
        },
    }
    assert [(found.middle, target.met(found)) for target, found in judge(found)] == [
        (2, False),
        (0.96, True),
        (6, True),
        (1.2, False),
        (1.2, True),
    ]


def test_the_cost_of_revocation_in_seconds(results: dict[str, Any]) -> None:
    """REVOCATION_INTERVAL is judged by its worst case. The table shows how long it takes to read revoked families."""
    results["revoked"] = {
        "0": {"without": [1, 1, 1], "with": [1, 1, 1], "readings": [0.001, 0.001, 0]},
        "100000": {"without": [1, 1, 1], "with": [1.04, 1.04, 1.24], "readings": [0.1, 0.01, 9 * 1024 * 1024]},
    }
    results["revoked-index"] = {
        "refresh": {"with": timed(2) | {"updates": [100, 99]}, "without": timed(2) | {"updates": [100, 98]}},
        "login": {"with": timed(2) | {"updates": [0, 0]}, "without": timed(1) | {"updates": [0, 0]}},
    }
    results["about"]["database"] = "SomeDB 1"
    text = page({"somedb": results})
    assert "over without, by processor time | at most 1.05 | 1.04 (1.04 to 1.14) | met |" in text
    assert "| 100,000 | 1.04 (1.04 to 1.14) | 100 ms | 10.0 ms | 0.2% | 9.0 |" in text
    assert "| refresh | 1 | 99.0% | 98.0% |" in text
    assert "| login | 2 |  |  |" in text


def test_prepared_statements(results: dict[str, Any]) -> None:
    """The table shows each package's gain by prepared statements, and its ratio to twotoken with and without them."""
    rounds = {"twotoken": timed(2), "twotoken prepared": timed(1), "knox": timed(4), "knox prepared": timed(3)}
    results["prepared"] = {"login": rounds}
    text = page({"somedb": results})
    assert "| login | twotoken | 2 | 1 | 1 |" in text
    assert "| login | knox | 1.33 | 2 | 3 |" in text


def test_latencies(results: dict[str, Any]) -> None:
    """The table shows each package's throughput and latencies in relation to twotoken's."""
    ours = {"wall": [1], "p50": [0.001], "p95": [0.002], "p99": [0.004]}
    theirs = {"wall": [2], "p50": [0.003], "p95": [0.01], "p99": [0.024]}
    results["gunicorn"] = {"refresh": {"twotoken": ours, "simplejwt": theirs}}
    text = page({"somedb": results})
    assert "| refresh | simplejwt | 2 | 3 | 5 | 6 | 24 ms |" in text
    assert "| refresh | twotoken | 1 | 1 | 1 | 1 | 4 ms |" in text


def test_the_cost_of_a_proof(results: dict[str, Any]) -> None:
    """The page shows the cost of a DPoP proof if requests with a proof were measured."""
    assert "DPoP" not in page({"somedb": results}).partition("## SomeDB")[2]
    results["refresh"]["twotoken-dpop"] = timed(1.5, 3, 4.5)
    assert "| refresh | 1.5 |" in page({"somedb": results}).partition("Requests with a DPoP proof")[2]


def test_the_least_that_a_refresh_can_cost(results: dict[str, Any]) -> None:
    """The page compares a refresh's two SQL statements alone with simplejwt, with and without rotation, if measured."""
    assert "can't be faster than this" not in page({"somedb": results})
    results["refresh"] |= {"two-statements": timed(0.5, 1, 1.5), "simplejwt-norotation": timed(1, 2, 3)}
    assert "answers 12 times as many" in (text := page({"somedb": results}))
    assert "and 2 times as many as simplejwt without rotation" in text


def test_page_and_plot(results: dict[str, Any]) -> None:
    """The page shows each target's figure and verdict. The plot has a bar for each competitor of each operation."""
    text = page({"somedb": results})
    assert "| refresh, over simplejwt with rotation | at least 5.5 | 6 | met |" in text
    assert "| login, cheap hasher, over knox | at least 1 | 0.5 | **not met** |" in text
    assert plot({"somedb": results}).count("<rect") == 5
    assert "| simplejwt | 2.0 |  | 6.0 |  |" in summary(results)


def test_competitors_are_found() -> None:
    """``all_competitors`` finds the competitors by name. Each login is a POST."""
    competitors = all_competitors()
    assert {"twotoken", "simplejwt", "knox", "dj-rest-auth", "allauth", "oauth-toolkit", "floor"} <= set(competitors)
    for competitor in competitors.values():
        if "login" in competitor.operations:
            assert competitor.login("name", "password").method == "POST"


def test_cookies_of_an_answer() -> None:
    """``Answer.cookie`` finds each of several cookies, whether the header is written Set-Cookie or set-cookie."""
    headers = (("Set-Cookie", "a=1; HttpOnly; Path=/"), ("set-cookie", "b=2; Secure; SameSite=Lax"))
    answer = Answer(200, headers, b"{}")
    assert [answer.cookie("a"), answer.cookie("b"), answer.data] == ["1", "2", {}]


def test_every_target_says_what_it_is() -> None:
    """No two targets have the same text."""
    assert len({target.text for target in TARGETS}) == len(TARGETS)
