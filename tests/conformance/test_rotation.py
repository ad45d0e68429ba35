"""Rotating a refresh token, retrying a refresh, and reusing a token."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.conformance.helpers import (
    KEY,
    OTHER_KEY,
    again,
    assert_cleared,
    assert_refused,
    claims_of,
    in_threads,
    log_in,
    rotate,
    row,
    state,
    statements,
    token_of,
    unchanged,
)
from tests.http import Caller
from tests.jar import COOKIE, COOKIE_MOUNT
from tests.overrides import with_settings
from tests.receivers import received
from twotoken.models import EventKind, FamilyEvent, RefreshToken
from twotoken.signals import family_revoked, reuse_detected, token_retried


@with_settings(ACCESS_CLAIMS="tests.conformance.helpers.email_claim")
def test_refresh(caller: Caller) -> None:
    """Case 3: a refresh returns a new pair. The claims of the access token are read from the user again."""
    login = caller.log_in()
    get_user_model()._default_manager.update(email="moved@example.com")
    r0 = token_of(login)
    refreshed = caller.refresh(r0)
    assert token_of(refreshed) != r0
    assert refreshed["Cache-Control"] == "no-store"
    before, after = (claims_of(response.json()["access"]) for response in (login, refreshed))
    assert before["email"] == caller.user.email
    assert after["email"] == "moved@example.com"
    assert before["sub"] == after["sub"] == str(caller.user.pk)
    assert before["sid"] == after["sid"]
    assert before["jti"] != after["jti"]
    assert state(r0) == (1, "")


def test_many_rotations(script: Caller) -> None:
    """Case 4: after 128 rotations the family still has one row."""
    token = r0 = log_in(script)
    seen = {token}
    for _ in range(128):
        token = rotate(script, token)
        seen.add(token)
    assert len(seen) == 129
    assert RefreshToken.objects.count() == 1
    assert state(r0) == (128, "")


@pytest.mark.parametrize("kind", ["script", "jar"])
def test_reuse(kind: str, request: pytest.FixtureRequest) -> None:
    """Case 5: sending a replaced token again revokes the family, and sends ``reuse_detected`` once."""
    caller = request.getfixturevalue(kind)
    r0 = log_in(caller)
    r1 = rotate(caller, r0)
    with received(reuse_detected) as reuses, received(family_revoked) as revocations:
        refused = caller.refresh(r0)
        assert_refused(refused, "reused")
        assert refused["Cache-Control"] == "no-store"
        assert_refused(caller.refresh(r1), "revoked")
        assert_refused(caller.refresh(r0), "revoked")
    assert state(r0) == (1, "reuse")
    assert len(reuses) == 1
    assert (reuses[0]["family_id"], reuses[0]["user_id"]) == (row(r0).pk, caller.user.pk)
    assert (reuses[0]["generation"], reuses[0]["current_generation"]) == (0, 1)
    assert [revocation["reason"] for revocation in revocations] == ["reuse"]
    if kind == "jar":
        assert_cleared(refused)


@pytest.mark.parametrize("retry", [KEY, f'"{KEY}"'], ids=["bare", "quoted"])
@pytest.mark.parametrize("later", [timedelta(), timedelta(days=1)], ids=["at-once", "a-day-later"])
def test_retry_with_the_key(script: Caller, clock: Any, later: timedelta, retry: str) -> None:
    """Case 6: a refresh repeated with its Idempotency-Key gets the same refresh token, and nothing is written."""
    r0 = log_in(script)
    first = script.refresh(r0, KEY)
    clock.shift(later)
    with unchanged():
        second = script.refresh(r0, retry)
    assert token_of(second) == token_of(first) != r0
    assert second.json()["access"] != first.json()["access"]
    assert second.json()["refresh_expires_in"] == first.json()["refresh_expires_in"] - later.total_seconds()
    assert state(r0) == (1, "")


@pytest.mark.parametrize("key", [OTHER_KEY, KEY.upper(), None])
def test_retry_with_another_key(caller: Caller, key: str | None) -> None:
    """Case 7: a token that is sent again with another Idempotency-Key, or without one, is reuse."""
    r0 = log_in(caller)
    r1 = rotate(caller, r0, KEY)
    assert_refused(caller.refresh(r0, key), "reused")
    assert_refused(caller.refresh(r1, KEY), "revoked")
    assert state(r0) == (1, "reuse")


BAD_KEYS = {
    "7": "k" * 7,
    "256": "k" * 256,
    "quoted-7": f'"{"k" * 7}"',
    "quoted-256": f'"{"k" * 256}"',
    "empty": "",
    "space": "a key with spaces",
    "umlaut": "schl\u00fcssel-schl\u00fcssel",
    "control": "control\x7fcharacter",
    "one-quote": '"half-quoted',
    "inner-quote": 'inner"quote-key',
}


@pytest.mark.parametrize("key", [*BAD_KEYS.values()], ids=[*BAD_KEYS])
def test_bad_keys(caller: Caller, key: str) -> None:
    """Case 7a: an invalid Idempotency-Key is a 400 before anything is read or rotated."""
    r0 = log_in(caller)
    with CaptureQueriesContext(connection) as queries:
        response = caller.refresh(r0, key)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_idempotency_key")
    assert not response.cookies
    assert statements(queries) == []
    assert state(r0) == (0, "")


@pytest.mark.parametrize("key", ["k" * 8, "k" * 255, f'"{"k" * 255}"', "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"])
def test_good_keys(script: Caller, key: str) -> None:
    """Case 7a: 8 to 255 visible characters are a valid key."""
    r0 = log_in(script)
    assert rotate(script, r0, key) == rotate(script, r0, key)
    assert state(r0) == (1, "")


def test_only_the_last_step_is_retried(script: Caller, clock: Any) -> None:
    """Case 8: after two rotations with one key, sending the first token again with this key is reuse."""
    r0 = log_in(script)
    r1 = rotate(script, r0, KEY)
    clock.shift(timedelta(minutes=2))
    r2 = rotate(script, r1, KEY)
    assert r2 != r1
    assert_refused(script.refresh(r0, KEY), "reused")
    assert state(r0) == (2, "reuse")
    assert_refused(script.refresh(r2), "revoked")


def test_the_current_token_with_its_key(script: Caller, clock: Any) -> None:
    """Case 8a: if the current token comes with the last refresh's key, it is returned for a minute, then rotated."""
    r0 = log_in(script)
    r1 = rotate(script, r0, KEY)
    clock.shift(timedelta(seconds=59.9))
    with unchanged():
        assert rotate(script, r1, KEY) == r1
    clock.shift(timedelta(seconds=0.1))
    assert rotate(script, r1, KEY) != r1
    assert state(r0) == (2, "")


@pytest.mark.parametrize("later", [0, 9.9])
def test_browser_grace(browser: Caller, clock: Any, later: float) -> None:
    """Case 9: in a browser's family, a replaced token gets the current one again within ten seconds."""
    r0 = log_in(browser)
    r1 = rotate(browser, r0)
    clock.shift(later)
    with unchanged():
        assert rotate(browser, r0) == r1
    assert state(r0) == (1, "")


@pytest.mark.parametrize("later", [10, 60])
def test_browser_reuse(browser: Caller, clock: Any, later: float) -> None:
    """Case 10: in a browser's family, a replaced token is reuse ten seconds after the rotation."""
    r0 = log_in(browser)
    r1 = rotate(browser, r0)
    clock.shift(later)
    refused = browser.refresh(r0)
    assert_refused(refused, "reused")
    assert_cleared(refused)
    assert_refused(browser.refresh(r1), "revoked")
    assert state(r0) == (1, "reuse")


def test_a_retry_does_not_move_the_grace(browser: Caller, clock: Any) -> None:
    """Case 10: a retry does not prolong the grace: its ten seconds count from the rotation."""
    r0 = log_in(browser)
    rotate(browser, r0)
    clock.shift(9)
    rotate(browser, r0)
    clock.shift(9)
    assert_refused(browser.refresh(r0), "reused")


def test_the_current_token_of_a_browser(browser: Caller, clock: Any) -> None:
    """Case 10a: a browser's current token is returned for twenty seconds, without a Set-Cookie. Then it rotates."""
    r0 = log_in(browser)
    r1 = rotate(browser, r0)
    clock.shift(19.9)
    with unchanged():
        response = browser.refresh(r1)
    assert response.status_code == 200
    assert set(response.json()) == {"access", "expires_in"}
    assert not response.cookies
    assert browser.cookie == r1
    clock.shift(0.1)
    assert rotate(browser, r1) not in {r0, r1}
    assert state(r0) == (2, "")


@pytest.mark.parametrize("kind", ["script", "jar"])
def test_a_thief_who_poses_as_a_browser(kind: str, browser: Caller, request: pytest.FixtureRequest) -> None:
    """Case 10b: a replaced token of a script's family is reuse, even if a browser sends it to the cookie mount."""
    caller = request.getfixturevalue(kind)
    r0 = log_in(caller)
    r1 = rotate(caller, r0)
    assert_refused(browser.refresh(r0), "reused")
    assert_refused(caller.refresh(r1), "revoked")
    assert state(r0) == (1, "reuse")


@pytest.mark.django_db
@pytest.mark.parametrize("claim", [{"HTTP_SEC_FETCH_SITE": "same-origin"}, {"HTTP_ORIGIN": "http://testserver"}])
@pytest.mark.parametrize("kind", ["script", "jar"])
def test_a_thief_who_is_faster_each_time(
    kind: str, claim: dict[str, str], clock: Any, request: pytest.FixtureRequest
) -> None:
    """Case 10c: if a thief poses as a browser and rotates before the owner, the owner's next refresh is reuse."""
    owner = request.getfixturevalue(kind)
    thief = Caller(owner.user, mount=COOKIE_MOUNT, **claim)
    r0 = log_in(owner)
    assert not row(r0).is_browser
    r1 = rotate(thief, r0)
    clock.shift(5)
    assert_refused(owner.refresh(r0), "reused")
    clock.shift(timedelta(minutes=15))
    assert_refused(thief.refresh(r1), "revoked")
    clock.shift(5)
    assert_refused(owner.refresh(r0), "revoked")
    assert state(r0) == (1, "reuse")


@pytest.mark.parametrize("behind", [0, 1])
def test_a_retry_from_another_device(behind: int, browser: Caller, clock: Any) -> None:
    """Case 10d: a retry from another device within the grace gets the current token, with an event and a signal."""
    r0 = log_in(browser)
    r1 = rotate(browser, r0)
    token = r0 if behind else r1
    clock.shift(9)
    with received(token_retried) as calls:
        assert browser.refresh(token).status_code == 200
        assert not calls
        assert browser.refresh(token, REMOTE_ADDR="192.0.2.66", HTTP_USER_AGENT="thief").status_code == 200
    assert browser.cookie == r1
    (call,) = calls
    assert (call["family_id"], call["generation"], call["current_generation"]) == (row(r0).pk, 1 - behind, 1)
    assert (call["ip_address"], call["user_agent"]) == ("192.0.2.66", "thief")
    (event,) = FamilyEvent.objects.filter(family=row(r0).pk)
    assert (event.kind, event.ip_address, event.user_agent) == (EventKind.RETRIED, "192.0.2.66", "thief")
    assert state(r0) == (1, "")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_many_tabs(browser: Caller, clock: Any) -> None:
    """Case 11: ten tabs with one cookie jar refresh at once. Answers in any order log nobody out."""
    for _ in range(3):
        r0 = log_in(again(browser))
        jar = {COOKIE: r0}
        delays = [(random.choice([0, 0, 0.02]), random.uniform(0, 0.05)) for _ in range(10)]

        def tab(number: int, jar: dict[str, str] = jar, delays: Any = delays) -> Any:
            before, after = delays[number]
            time.sleep(before)
            response = again(browser).refresh(jar[COOKIE])
            time.sleep(after)
            morsel = response.cookies.get(COOKIE)
            jar[COOKIE] = morsel.value if morsel else jar[COOKIE]
            return response

        assert [response.status_code for response in in_threads(10, tab)] == [200] * 10
        assert state(r0) == (1, "")
        clock.shift(25)
        assert rotate(browser, jar[COOKIE]) not in {r0, jar[COOKIE]}
        assert state(r0) == (2, "")


@pytest.mark.parametrize("step", [timedelta(), timedelta(hours=12)], ids=["at-once", "past-its-idle-limit"])
def test_an_old_token(script: Caller, clock: Any, step: timedelta) -> None:
    """Case 12: after fifty rotations, an early token is reuse, even if its own ``exp`` is over."""
    tokens = [log_in(script)]
    for _ in range(50):
        clock.shift(step)
        tokens.append(rotate(script, tokens[-1]))
    assert_refused(script.refresh(tokens[3]), "reused")
    assert_refused(script.refresh(tokens[50]), "revoked")
    assert state(tokens[0]) == (50, "reuse")
