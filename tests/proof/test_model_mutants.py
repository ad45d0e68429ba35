"""The model bites: the rule broken in many ways, each seen by the promise that it breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.proof.conftest import Tried
from tests.proof.model import GRACE, IDLE, BrokenError, Excuse, Family, Promise, Scenario
from tests.proof.model_explorer import Model
from tests.proof.model_server import Row, Rule
from twotoken.families.rule import KEY_LIFETIME, Rotation, Verdict, guard, judge, rotation

CLOCK = (6, 15, 61, IDLE)
KEYED = Excuse.LATE | Excuse.TWICE
SCRIPT = Scenario("", True, False, 2, 1, 1, CLOCK, excuses=KEYED)
KEYLESS_SCRIPT = Scenario("", False, False, 2, 1, 1, CLOCK, excuses=Excuse.GAVE_UP)
TABS = Scenario("", False, True, 3, 1, 1, CLOCK, tabs=2, excuses=None)
PROMPT_TABS = Scenario("", False, True, 4, 0, 4, (4, 16), tabs=3, prompt=5, gives_up=False)
PATIENT = Scenario("", True, False, 2, 0, 1, (61,), excuses=KEYED)


def judging(change: Callable[[Row, dict[str, Any], Verdict], Verdict]) -> Rule:
    """Return a rule whose verdict is changed."""

    def changed(row: Row, **request: Any) -> Verdict:
        return change(row, request, judge(row, **request))

    return Rule(judge=changed)


def behind(row: Row, request: dict[str, Any]) -> int:
    return int(row.generation - request["generation"])


def age(row: Row, request: dict[str, Any]) -> timedelta:
    now: datetime = request["now"]
    return abs(now - row.refreshed_at)


def grace_for_two_behind(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Take the token before the last one too."""
    within = not request["retry_key"] and age(row, request) < timedelta(seconds=row.grace)
    return Verdict.RETRY if behind(row, request) == 2 and within else verdict


def any_key(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Take any key for the one of the last rotation."""
    return judge(row, **{**request, "retry_key": row.retry_key if request["retry_key"] else b""})


def no_key_for_a_keyed(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Take no key for the key of the last rotation, within its minute."""
    is_within = row.retry_key and not request["retry_key"] and age(row, request) < KEY_LIFETIME
    return Verdict.RETRY if is_within and behind(row, request) in (0, 1) else verdict


def key_for_ever(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Answer the current token with itself as long as it comes with its key."""
    is_its_key = request["retry_key"] and request["retry_key"] == row.retry_key
    return Verdict.RETRY if verdict is Verdict.ROTATE and is_its_key else verdict


def key_for_a_minute(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Take a retry for a minute only: who missed the answer comes hours later."""
    is_late = request["retry_key"] and age(row, request) >= KEY_LIFETIME
    return Verdict.REUSED if verdict is Verdict.RETRY and is_late else verdict


def single_grace(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Answer the current token with itself for the grace, not twice as long."""
    is_over = not request["retry_key"] and age(row, request) >= timedelta(seconds=row.grace)
    return Verdict.ROTATE if verdict is Verdict.RETRY and behind(row, request) == 0 and is_over else verdict


def triple_grace(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Answer the current token with itself for longer than twice the grace."""
    is_within = row.grace and not request["retry_key"] and age(row, request) < timedelta(seconds=3 * row.grace)
    return Verdict.RETRY if verdict is Verdict.ROTATE and is_within else verdict


def double_grace_for_both(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Take the token one behind for as long as the current one."""
    is_within = not request["retry_key"] and age(row, request) < timedelta(seconds=2 * row.grace)
    return Verdict.RETRY if verdict is Verdict.REUSED and behind(row, request) == 1 and is_within else verdict


def reuse_is_a_rotation(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Rotate whatever was signed."""
    return Verdict.ROTATE if verdict is Verdict.REUSED else verdict


def revoked_is_not_read(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Leave out the check of ``revoked_at``."""
    return judge(replace(row, revoked_at=None), **request)


def idle_is_not_read(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Leave out the idle limit."""
    return judge(row, **{**request, "idle_limit": timedelta.max})


def granting(grace: Callable[[Rotation, bool], float]) -> Rule:
    """Return a rule that grants another grace."""

    def changed(*, is_browser: bool, **request: Any) -> Rotation:
        rotated = rotation(is_browser=is_browser, **request)
        return rotated._replace(grace=grace(rotated, is_browser))

    return Rule(rotate=changed)


def forgetting(**request: Any) -> Rotation:
    """Rotate, and forget the key."""
    return rotation(**request)._replace(retry_key=b"")


def moved(family: Family) -> Family:
    """Let a retry count as a use."""
    return family._replace(age=0)


def rekeyed(family: Family) -> Family:
    """Let a retry renew the grace."""
    return family._replace(grace=GRACE)


def without(name: str) -> Rule:
    """Return a rule whose write has half a guard."""
    return Rule(guard=lambda generation: {k: v for k, v in guard(generation).items() if k != name})


@dataclass(frozen=True)
class Mutant:
    """A broken rule, where it shows, and what it breaks."""

    name: str
    rule: Rule
    scenario: Scenario
    promise: Promise


MUTANTS = [
    Mutant("no guard on the generation", without("generation__lte"), SCRIPT, Promise.ONCE),
    Mutant("no guard on the revocation", without("revoked_at"), SCRIPT, Promise.DEAD),
    Mutant("a write that found no row is answered", Rule(judges_again=False), SCRIPT, Promise.NEVER_BOTH),
    Mutant("grace for two generations behind", judging(grace_for_two_behind), TABS, Promise.SAME),
    Mutant("a keyed rotation grants grace", granting(lambda _, __: GRACE), SCRIPT, Promise.KEY),
    Mutant(
        "a script's rotation grants grace",
        granting(lambda rotated, _: 0 if rotated.retry_key else GRACE),
        KEYLESS_SCRIPT,
        Promise.KEY,
    ),
    Mutant("any key", judging(any_key), SCRIPT, Promise.KEY),
    Mutant("no key where there was one", judging(no_key_for_a_keyed), SCRIPT, Promise.KEY),
    Mutant("the key is forgotten", Rule(rotate=forgetting), PATIENT, Promise.STAYS),
    Mutant("a key for ever", judging(key_for_ever), PATIENT, Promise.CURRENT),
    Mutant("a key for a minute", judging(key_for_a_minute), PATIENT, Promise.STAYS),
    Mutant("single grace for the current token", judging(single_grace), PROMPT_TABS, Promise.STAYS),
    Mutant("triple grace for the current token", judging(triple_grace), replace(TABS, clock=(25,)), Promise.CURRENT),
    Mutant("double grace for the token one behind", judging(double_grace_for_both), TABS, Promise.WITHIN_GRACE),
    Mutant(
        "an answer that is the token presented sets a cookie",
        Rule(sets_cookie=lambda *_: True),
        PROMPT_TABS,
        Promise.STAYS,
    ),
    Mutant("reuse is a rotation", judging(reuse_is_a_rotation), SCRIPT, Promise.ONE_LIVE),
    Mutant("revoked is not read", judging(revoked_is_not_read), SCRIPT, Promise.DEAD),
    Mutant("idle is not read", judging(idle_is_not_read), SCRIPT, Promise.IDLE),
    Mutant("a retry moves the clock", Rule(repeat=moved), replace(TABS, clock=(6,)), Promise.NOTHING_WRITTEN),
    Mutant("a retry renews the grace", Rule(repeat=rekeyed), SCRIPT, Promise.NOTHING_WRITTEN),
    Mutant("reuse does not revoke", Rule(ends=frozenset()), SCRIPT, Promise.DEAD),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_rule_is_seen(mutant: Mutant, tried: Tried) -> None:
    """And by the promise that it breaks, where the rule itself breaks none."""
    with pytest.raises(BrokenError) as caught:
        Model(mutant.scenario, mutant.rule).explore()
    assert caught.value.promise is mutant.promise, caught.value
    tried("broken rules seen by the model")


def test_every_promise_is_broken_by_some_rule() -> None:
    """None is said in vain."""
    assert {mutant.promise for mutant in MUTANTS} == set(Promise)
