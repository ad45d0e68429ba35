"""Explores the model up to a bound: the rule keeps its promises in each state, and each broken rule breaks one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.proof.conftest import FULL, Tried
from tests.proof.model import (
    IDLE,
    BrokenError,
    Excuse,
    Family,
    Promise,
    Request,
    Scenario,
    Thieves,
)
from tests.proof.model_explorer import Model
from tests.proof.model_server import Row, Rule, may_write, rotated
from twotoken.dpop import DBSC, DPOP
from twotoken.families.rule import KEY_LIFETIME, Verdict, grace_of, judge

KEYED = Excuse.LATE | Excuse.TWICE
# Within every grace; past it and within twice of it; past a key's minute; past the idle limit.
CLOCK = (6, 15, 61, IDLE)
REUSE_GRACE = 8  # differs from the browsers' ten seconds

# The bound is in the name: refreshes of the client / refreshes of the thief / ticks of the clock. A logout or a
# revocation may come at any moment of each.
SCRIPT = Scenario("script with key, 2/1/1", True, False, 2, 1, 1, CLOCK, excuses=KEYED)
KEYLESS_SCRIPT = Scenario("script without key, 2/1/1", False, False, 2, 1, 1, CLOCK, excuses=Excuse.GAVE_UP)
BROWSER = Scenario("browser with key, 2/1/1", True, True, 2, 1, 1, CLOCK, excuses=KEYED)
TABS = Scenario("two tabs without key, 2/1/1", False, True, 2, 1, 1, CLOCK, tabs=2, excuses=None)
PROCESSES = replace(TABS, name="two processes with a grace, 2/1/1", is_browser=False, reuse_grace=REUSE_GRACE)
PROMPT_TABS = Scenario("three tabs, prompt, 4/0/3", False, True, 4, 0, 3, (4, 16), tabs=3, prompt=5, gives_up=False)
PROMPT_PROCESSES = replace(
    PROMPT_TABS,
    name="three processes with a grace, prompt, 4/0/3",
    is_browser=False,
    reuse_grace=REUSE_GRACE,
    clock=(3, 13),
    prompt=4,
)
PROMPT_BROWSER = Scenario(
    "browser with key, prompt, 3/0/3", True, True, 3, 0, 3, (25, 35), prompt=30, excuses=Excuse.TWICE
)
# Bound families. A client shares its private key among its tabs under one lock, and sends no Idempotency-Key.
BOUND_SCRIPT = Scenario("bound script, 4/0/3", False, False, 4, 0, 3, (25, 35), bound=DPOP)
BOUND_BROWSER = replace(BOUND_SCRIPT, name="bound browser, 3/0/3", is_browser=True, requests=3, excuses=Excuse.LATE)
BOUND_TABS = replace(PROMPT_TABS, name="three bound tabs without a lock, prompt, 4/0/3", bound=DPOP)
BOUND_KEYED = replace(SCRIPT, name="bound script with key, 2/0/2", thefts=0, ticks=2, bound=DPOP)
KEY_THIEF = replace(
    BOUND_SCRIPT, name="bound script, private key copied, 2/1/1", requests=2, thefts=1, ticks=1, thief=Thieves.KEY
)
KEYED_KEY_THIEF = replace(
    SCRIPT, name="bound script with key, private key copied, 2/1/1", bound=DPOP, thief=Thieves.KEY
)
PAGE_THIEF = replace(
    KEY_THIEF, name="bound client, a thief's script in its page, 2/1/1", clock=(25, 61), thief=Thieves.PAGE
)
COOKIE_THIEF = replace(
    TABS, name="two tabs bound by a device cookie that was copied, 2/1/1", bound=DBSC, thief=Thieves.KEY
)
OFFERS = replace(KEYLESS_SCRIPT, name="script without key, the thief sends a proof, 2/1/1", offers_proof=True)
SHORT = [
    SCRIPT,
    replace(SCRIPT, name="script with key, 3/0/3", requests=3, thefts=0, ticks=3),
    replace(SCRIPT, name="script that forgets its key at once, 3/0/2", requests=3, thefts=0, ticks=2, key_kept=0),
    KEYLESS_SCRIPT,
    PROCESSES,
    BROWSER,
    replace(BROWSER, name="browser with key, 3/0/3", requests=3, thefts=0, ticks=3),
    TABS,
    PROMPT_TABS,
    PROMPT_PROCESSES,
    PROMPT_BROWSER,
    BOUND_SCRIPT,
    BOUND_BROWSER,
    BOUND_TABS,
    BOUND_KEYED,
    KEY_THIEF,
    KEYED_KEY_THIEF,
    PAGE_THIEF,
    COOKIE_THIEF,
    OFFERS,
]
LONG = [
    replace(SCRIPT, name="script with key, 3/1/1", requests=3),
    replace(SCRIPT, name="script with key, 2/2/1", thefts=2),
    replace(SCRIPT, name="script that forgets its key at once, 4/0/3", requests=4, thefts=0, ticks=3, key_kept=0),
    replace(KEYLESS_SCRIPT, name="script without key, 3/1/2", requests=3, ticks=2),
    replace(KEYLESS_SCRIPT, name="script without key, 2/2/1", thefts=2),
    replace(KEYLESS_SCRIPT, name="two processes without a grace, 2/1/1", tabs=2, excuses=None),
    replace(PROCESSES, name="two processes with a grace, 3/1/1", requests=3),
    replace(PROCESSES, name="two processes with a grace, 2/2/1", thefts=2),
    replace(BROWSER, name="browser with key, 4/0/4", requests=4, thefts=0, ticks=4),
    replace(BROWSER, name="browser with key, 3/1/1", requests=3),
    replace(BROWSER, name="browser with key, 2/2/1", thefts=2),
    replace(TABS, name="two tabs without key, 3/1/1", requests=3),
    replace(TABS, name="two tabs without key, 2/2/1", thefts=2),
    replace(PROMPT_TABS, name="four tabs, prompt, 5/0/4", requests=5, ticks=4, tabs=4),
    replace(PROMPT_PROCESSES, name="four processes with a grace, prompt, 5/0/4", requests=5, ticks=4, tabs=4),
    replace(PROMPT_BROWSER, name="browser with key, prompt, 4/0/3", requests=4),
    replace(BOUND_SCRIPT, name="bound script, 5/0/5", requests=5, ticks=5, clock=(25, 35, IDLE)),
    replace(BOUND_BROWSER, name="bound browser, 4/0/4", requests=4, ticks=4, clock=(25, 35, IDLE)),
    replace(BOUND_TABS, name="four bound tabs without a lock, prompt, 5/0/4", requests=5, ticks=4, tabs=4),
    replace(BOUND_KEYED, name="bound browser with key, 3/0/3", is_browser=True, requests=3, ticks=3),
    replace(KEY_THIEF, name="bound script, private key copied, 3/1/2", requests=3, ticks=2),
    replace(KEY_THIEF, name="bound script, private key copied, 2/2/1", thefts=2),
    replace(KEYED_KEY_THIEF, name="bound browser with key, private key copied, 3/1/1", is_browser=True, requests=3),
    replace(KEYED_KEY_THIEF, name="bound script with key, private key copied, 2/2/1", thefts=2),
    replace(PAGE_THIEF, name="bound browser, a thief's script in its page, 2/1/2", is_browser=True, ticks=2),
    replace(PAGE_THIEF, name="bound client, a thief's script in its page, 2/2/2", thefts=2, ticks=2),
    replace(COOKIE_THIEF, name="two tabs bound by a device cookie that was copied, 3/1/1", requests=3),
]


@pytest.mark.parametrize("scenario", [*SHORT, *(LONG if FULL else [])], ids=lambda scenario: scenario.name)
def test_every_promise_holds(scenario: Scenario, tried: Tried) -> None:
    """Every promise holds in every state of the scenario that can be reached."""
    model = Model(scenario)
    tried("states of the model", model.explore())
    tried("transitions of the model", model.transitions)


NEEDED = {
    # A request that is under way for any time, and a client that did not wait for it.
    "late": Scenario("", True, False, 3, 0, 1, (61,), excuses=Excuse.TWICE),
    # The same within half a minute, if the client forgets its key at once.
    "forgotten": Scenario("", True, False, 3, 0, 1, (25,), prompt=30, key_kept=0, excuses=Excuse.TWICE),
    # However prompt the network: one key twice for one token, before and after the key's minute.
    "twice": Scenario("", True, False, 4, 0, 3, (25, 35), prompt=30),
    "gave up": Scenario("", False, False, 2),
    # Bound: an answer of a request that the browser gave up, and stores when it has gone on.
    "late answer": replace(BOUND_BROWSER, requests=5, ticks=2, clock=(60,), excuses=Excuse.NONE),
}


@pytest.mark.parametrize("name", NEEDED)
def test_every_excuse_is_needed(name: str, tried: Tried) -> None:
    """Without an excuse, some state of the scenario breaks the promise STAYS. With all excuses, no state breaks it."""
    with pytest.raises(BrokenError) as caught:
        Model(NEEDED[name]).explore()
    assert caught.value.promise is Promise.STAYS
    assert Model(replace(NEEDED[name], excuses=Excuse(7))).explore()
    tried("excuses shown to be needed")


@pytest.mark.parametrize(
    ("waits", "skew", "holds"), [(0, 0, False), (35, 0, False), (60, 0, True), (60, 25, False), (85, 25, True)]
)
def test_how_long_a_bound_client_waits(waits: int, skew: int, holds: bool, tried: Tried) -> None:
    """A bound client that gave up a refresh must wait until the server refuses the proof of this refresh.

    If the client sends a newer token earlier, the old request may arrive late and look like reuse.
    """
    model = Model(replace(BOUND_SCRIPT, waits=waits, skew=skew))
    if holds:
        assert model.explore()
        return
    with pytest.raises(BrokenError) as caught:
        model.explore()
    assert caught.value.promise is Promise.STAYS
    tried("waits shown to be too short")


@dataclass(frozen=True)
class NeverBoth(Scenario):
    """A scenario that promises NEVER_BOTH to every client, even if the rule does not keep this promise."""

    @property
    def finds_a_thief(self) -> bool:
        """Return True: NEVER_BOTH is promised to every client."""
        return True


@pytest.mark.parametrize("thief", [Thieves.KEY, Thieves.PAGE])
def test_who_uses_the_private_key_is_not_found(thief: Thieves, tried: Tried) -> None:
    """If a thief uses the owner's private key, NEVER_BOTH does not hold: owner and thief can retry with proofs.

    With Idempotency-Keys NEVER_BOTH holds: see the scenario "bound script with key".
    """
    with pytest.raises(BrokenError) as caught:
        Model(NeverBoth(**vars(replace(KEY_THIEF, thief=thief)))).explore()
    assert caught.value.promise is Promise.NEVER_BOTH
    tried("thieves with the private key")


# --- broken rules


def judging(change: Callable[[Row, dict[str, Any], Verdict], Verdict]) -> Rule:
    """Return a rule that passes each verdict of production's rule through ``change``."""

    def changed(row: Row, **request: Any) -> Verdict:
        return change(row, request, judge(row, **request))

    return Rule(judge=changed)


def behind(row: Row, request: dict[str, Any]) -> int:
    return int(row.generation - request["generation"])


def age(row: Row, request: dict[str, Any]) -> timedelta:
    now: datetime = request["now"]
    return abs(now - row.refreshed_at)


def within(graces: int, row: Row, request: dict[str, Any]) -> bool:
    """Tell whether a request has no key and comes within ``graces`` times the grace."""
    grace = grace_of(row, request["browser_grace"], request["reuse_grace"])
    return not request["retry_key"] and age(row, request) < graces * grace


def grace_for_two_behind(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: give the grace also to a token two generations behind."""
    return Verdict.RETRY if behind(row, request) == 2 and within(1, row, request) else verdict


def keyless_grace_after_a_key(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: let requests without a key use the grace even if the last rotation had a key."""
    return verdict if request["retry_key"] else judge(replace(row, retry_key=b""), **request)


def grace_after_a_login(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: apply the grace also to a family that has not rotated since its login."""
    return judge(replace(row, generation=row.generation + 1), **{**request, "generation": request["generation"] + 1})


def no_grace_for_the_first_token(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: give no grace to the token of generation 0. Right: no grace while the row has generation 0."""
    none = {"browser_grace": timedelta(), "reuse_grace": timedelta()}
    return judge(row, **{**request, **none}) if request["generation"] == 0 else verdict


def browser_grace_for_all(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: give each family the browsers' grace."""
    return judge(replace(row, is_browser=True), **request)


def any_key(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: accept any key as the key of the last rotation."""
    return judge(row, **{**request, "retry_key": row.retry_key if request["retry_key"] else b""})


def no_key_for_a_minute(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: for a minute after a rotation with a key, accept retries without a key."""
    is_within = row.retry_key and not request["retry_key"] and age(row, request) < KEY_LIFETIME
    return Verdict.RETRY if is_within and behind(row, request) in (0, 1) else verdict


def key_for_ever(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: return the current token again for ever, if the request has the key that made the token."""
    is_its_key = request["retry_key"] and request["retry_key"] == row.retry_key
    return Verdict.RETRY if verdict is Verdict.ROTATE and is_its_key else verdict


def key_for_a_minute(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: accept a retry by its key for a minute only. A client that lost the answer may come hours later."""
    is_late = request["retry_key"] and age(row, request) >= KEY_LIFETIME
    return Verdict.REUSED if verdict is Verdict.RETRY and is_late else verdict


def current_token_rotates(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: rotate the current token even within twice the grace, instead of returning it again."""
    is_keyless_retry = verdict is Verdict.RETRY and behind(row, request) == 0 and not request["retry_key"]
    return Verdict.ROTATE if is_keyless_retry else verdict


def current_token_of_a_script_rotates(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: rotate a script's current token within twice REUSE_GRACE, instead of returning it again."""
    return verdict if row.is_browser else current_token_rotates(row, request, verdict)


def single_grace(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: return the current token again only for the grace, instead of twice the grace."""
    return verdict if within(1, row, request) else current_token_rotates(row, request, verdict)


def triple_grace(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: return the current token again for three times the grace, instead of twice the grace."""
    return Verdict.RETRY if verdict is Verdict.ROTATE and within(3, row, request) else verdict


def double_grace_for_both(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: accept a retry with the replaced token for twice the grace, as with the current token."""
    is_one_behind = behind(row, request) == 1 and within(2, row, request)
    return Verdict.RETRY if verdict is Verdict.REUSED and is_one_behind else verdict


def reuse_is_a_rotation(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: rotate even a reused token."""
    return Verdict.ROTATE if verdict is Verdict.REUSED else verdict


def revoked_is_not_read(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: leave out the check of ``revoked_at``."""
    return judge(replace(row, revoked_at=None), **request)


def idle_is_not_read(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: leave out the idle limit."""
    return judge(row, **{**request, "idle_limit": timedelta.max})


def device_is_judged_last(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: judge the generation before the device, so that a copied old token revokes the family as reuse."""
    first = judge(replace(row, device_key=""), **request)
    return first if first is Verdict.REUSED else verdict


def device_is_judged_for_rotations(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: ask for a proof only before a rotation, so that a copied token gets a retry within a grace."""
    first = judge(replace(row, device_key=""), **request)
    return first if first is Verdict.RETRY else verdict


def no_device_is_asked_for(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: never ask for a proof."""
    return judge(replace(row, device_key=""), **request)


def no_proof_is_fine(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: refuse only a proof by another key, so that a request without a proof matches every family."""
    return verdict if request["device_key"] else no_device_is_asked_for(row, request, verdict)


def any_proof_is_fine(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: accept a proof by any key."""
    return judge(row, **{**request, "device_key": row.device_key}) if request["device_key"] else verdict


def proof_for_two_behind(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: with a proof, accept even a token two generations behind as a retry."""
    is_proven = row.device_key and request["device_key"] == row.device_key and not request["retry_key"]
    return Verdict.RETRY if is_proven and behind(row, request) == 2 else verdict


def proof_makes_no_retry(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: leave out the retry by a proof."""
    return judge(replace(row, device_key=""), **request) if verdict is Verdict.RETRY else verdict


def proof_instead_of_a_key(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: let a proof make a retry even if the last rotation had a key."""
    is_proven = row.device_key and request["device_key"] == row.device_key
    return Verdict.RETRY if is_proven and behind(row, request) == 1 else verdict


def cookie_makes_a_retry(row: Row, request: dict[str, Any], verdict: Verdict) -> Verdict:
    """Faulty rule: treat a device cookie, which can be copied, like a proof by a private key."""
    as_dpop = {"device_key": request["device_key"].replace(DBSC, DPOP)}
    return judge(replace(row, device_key=row.device_key.replace(DBSC, DPOP)), **{**request, **as_dpop})


def bound_by_a_refresh(family: Family, request: Request) -> Family:
    """Faulty rule: let a refresh bind the family, so that a thief can bind it to his key and lock out the owner."""
    return rotated(family, request)._replace(device=family.device or request.proof)


def rotated_by_who_claims(family: Family, request: Request) -> Family:
    """Faulty rule: let each rotation's request decide who gets the browsers' grace. twotoken once had this rule."""
    return rotated(family, request)._replace(is_browser=request.claims_browser)


def key_forgotten(family: Family, request: Request) -> Family:
    """Faulty rule: rotate without storing the key."""
    return rotated(family, request)._replace(key=0)


def guards_no_generation(family: Family, request: Request) -> bool:
    return not family.revoked


def guards_no_revocation(family: Family, request: Request) -> bool:
    return may_write(family._replace(revoked=False), request)


@dataclass(frozen=True)
class Mutant:
    """A broken rule, a scenario that shows the error, and the promise that the rule breaks."""

    name: str
    rule: Rule
    scenario: Scenario
    promise: Promise


OLD_RULE = Rule(rotated=rotated_by_who_claims)
FORGOTTEN_FOR_SCRIPTS = judging(current_token_of_a_script_rotates)
FIRST_TOKEN = judging(no_grace_for_the_first_token)
IMPATIENT = replace(BOUND_SCRIPT, waits=0)
PATIENT = Scenario("", True, False, 2, 0, 1, (61,), excuses=KEYED)
MUTANTS = [
    Mutant("who makes the rotation decides the grace", OLD_RULE, KEYLESS_SCRIPT, Promise.NEVER_BOTH),
    Mutant("the same, with a grace", OLD_RULE, replace(PROCESSES, clock=(9,)), Promise.GRACE),
    Mutant("every family has a browser's grace", judging(browser_grace_for_all), KEYLESS_SCRIPT, Promise.GRACE),
    Mutant("keyless grace after a key", judging(keyless_grace_after_a_key), BROWSER, Promise.KEY),
    Mutant("grace after a login", judging(grace_after_a_login), TABS, Promise.CURRENT),
    Mutant("no grace for generation 0 of the token", FIRST_TOKEN, PROMPT_TABS, Promise.STAYS),
    Mutant("no guard on the generation", Rule(may_write=guards_no_generation), SCRIPT, Promise.ONCE),
    Mutant("no guard on the revocation", Rule(may_write=guards_no_revocation), SCRIPT, Promise.DEAD),
    Mutant("a refused write is answered", Rule(judges_again=False), SCRIPT, Promise.NEVER_BOTH),
    Mutant("grace for two generations behind", judging(grace_for_two_behind), TABS, Promise.SAME),
    Mutant("any key", judging(any_key), SCRIPT, Promise.KEY),
    Mutant("no key where there was one", judging(no_key_for_a_minute), SCRIPT, Promise.KEY),
    Mutant("the key is forgotten", Rule(rotated=key_forgotten), PATIENT, Promise.STAYS),
    Mutant("a key for ever", judging(key_for_ever), PATIENT, Promise.CURRENT),
    Mutant("a key for a minute", judging(key_for_a_minute), PATIENT, Promise.STAYS),
    Mutant("the current token rotates", judging(current_token_rotates), PROMPT_TABS, Promise.STAYS),
    Mutant("the same for scripts with a grace", FORGOTTEN_FOR_SCRIPTS, PROMPT_PROCESSES, Promise.STAYS),
    Mutant("single grace for the current token", judging(single_grace), replace(PROMPT_TABS, ticks=4), Promise.STAYS),
    Mutant("triple grace for the current token", judging(triple_grace), replace(TABS, clock=(25,)), Promise.CURRENT),
    Mutant("double grace for the token one behind", judging(double_grace_for_both), TABS, Promise.GRACE),
    Mutant("the token presented sets a cookie", Rule(sets_cookie=lambda *_: True), PROMPT_TABS, Promise.STAYS),
    Mutant("reuse is a rotation", judging(reuse_is_a_rotation), SCRIPT, Promise.ONE_LIVE),
    Mutant("revoked is not read", judging(revoked_is_not_read), SCRIPT, Promise.DEAD),
    Mutant("idle is not read", judging(idle_is_not_read), SCRIPT, Promise.IDLE),
    Mutant(
        "a retry moves the clock",
        Rule(retried=lambda family: family._replace(age=0)),
        replace(TABS, clock=(6,)),
        Promise.NOTHING_WRITTEN,
    ),
    Mutant("reuse does not revoke", Rule(revokes=frozenset()), SCRIPT, Promise.DEAD),
    Mutant("the device is judged last", judging(device_is_judged_last), BOUND_SCRIPT, Promise.NOTHING),
    Mutant(
        "the device is judged before a rotation",
        judging(device_is_judged_for_rotations),
        BOUND_BROWSER,
        Promise.NOTHING,
    ),
    Mutant("the device is not judged", judging(no_device_is_asked_for), BOUND_SCRIPT, Promise.NOTHING),
    Mutant("no proof matches each device", judging(no_proof_is_fine), BOUND_SCRIPT, Promise.NOTHING),
    Mutant("any proof", judging(any_proof_is_fine), BOUND_SCRIPT, Promise.NOTHING),
    Mutant("a proof is good twice", Rule(proofs_once=False), BOUND_SCRIPT, Promise.NOTHING),
    Mutant("proof for two generations behind", judging(proof_for_two_behind), IMPATIENT, Promise.SAME),
    Mutant("no retry by a proof", judging(proof_makes_no_retry), BOUND_SCRIPT, Promise.STAYS),
    Mutant("a proof in place of the key", judging(proof_instead_of_a_key), KEYED_KEY_THIEF, Promise.KEY),
    Mutant("a device cookie as a proof", judging(cookie_makes_a_retry), COOKIE_THIEF, Promise.GRACE),
    Mutant("a refresh binds", Rule(rotated=bound_by_a_refresh), OFFERS, Promise.OWN_DEVICE),
    Mutant("no nonces", Rule(checks_nonces=False), PAGE_THIEF, Promise.PAGE),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_rule_is_seen(mutant: Mutant, tried: Tried) -> None:
    """In its scenario, each broken rule breaks the promise that its mutant names, and the model sees this."""
    with pytest.raises(BrokenError) as caught:
        Model(mutant.scenario, mutant.rule).explore()
    assert caught.value.promise is mutant.promise, caught.value
    tried("broken rules seen by the model")


def test_every_promise_is_broken_by_some_rule() -> None:
    """Each promise is broken by at least one broken rule, so the model can see each promise fail."""
    assert {mutant.promise for mutant in MUTANTS} == set(Promise)
