"""The promises over HTTP, case by case. R0 is the refresh token from login, Rn the n-th rotation."""

from __future__ import annotations

import base64
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import jwt
import pytest
import time_machine
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import MD5PasswordHasher, make_password
from django.contrib.auth.signals import user_logged_out
from django.core.management import call_command
from django.core.signals import got_request_exception
from django.db import OperationalError, connection, connections
from django.test import override_settings
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext
from django.views.debug import ExceptionReporter

from tests.factories import PASSWORD, UserFactory
from tests.http import Caller
from tests.issuers import tenant
from tests.jar import COMPANION, COOKIE, COOKIE_MOUNT, cookies, family_of
from twotoken.checks import check_cookie
from twotoken.models import EventKind, FamilyEvent, RefreshToken, RevokedReason
from twotoken.signals import family_revoked, reuse_detected, token_retried

KEY = "an-idempotency-key"
OTHER_KEY = "another-idempotency-key"
BODY_MOUNT, TOOL_MOUNT = "/api/app/auth/", "/api/tool/auth/"
ROUTES = ["/api/me/", "/api/stateless/", "/api/revocable/"]
REALM = 'Bearer realm="api"'


# What the tests say again and again.


def options(**changes: Any) -> override_settings:
    """Change settings of ours, and leave the others."""
    return override_settings(TWOTOKEN={**settings.TWOTOKEN, **changes})


def new_user(**values: Any) -> Any:
    """Return another user."""
    return UserFactory(**values)


def log_in(caller: Caller, **extra: Any) -> str:
    """Log in and return R0."""
    response = caller.log_in(**extra)
    assert response.status_code == 200, response.content
    return token_of(response)


def post_raw(caller: Any, path: str, body: bytes, content_type: str, **extra: Any) -> Any:
    """POST a body as it is."""
    return caller.generic("POST", path, body, content_type, **extra)


def token_of(response: Any) -> str:
    """Return the refresh token of an answer, by whichever delivery it came."""
    assert response.status_code == 200, response.content
    if COOKIE in response.cookies:
        return str(response.cookies[COOKIE].value)
    return str(response.json()["refresh"])


def rotate(caller: Caller, token: str, key: str | None = None, **extra: Any) -> str:
    """Refresh, which has to work, and return the refresh token of the answer."""
    return token_of(caller.refresh(token, key, **extra))


def bearer(access: str) -> Any:
    """Return the header of an access token."""
    return {"HTTP_AUTHORIZATION": f"Bearer {access}"}


def claims_of(token: str) -> Any:
    """Return the claims of a JWT, unverified."""
    return jwt.decode(token, options={"verify_signature": False})


def assert_refused(response: Any, reason: str) -> None:
    """Hold a 401 for a token to its body and headers."""
    assert response.status_code == 401, (response.status_code, response.content)
    body = response.json()
    assert set(body) == {"detail", "code", "reason"}
    assert (body["code"], body["reason"]) == ("token_not_valid", reason)
    challenge = response["WWW-Authenticate"]
    assert challenge == REALM if reason == "missing" else challenge.startswith(f'{REALM}, error="invalid_token", ')


def assert_cleared(response: Any) -> None:
    """Hold an answer to a cookie that is cleared with the attributes it was set with."""
    for name, path in ((COOKIE, COOKIE_MOUNT), (COMPANION, "/")):
        cookie = response.cookies[name]
        assert (cookie.value, cookie["max-age"]) == ("", 0)
        assert (cookie["path"], cookie["samesite"], cookie["domain"]) == (path, "Strict", "")
        assert cookie["secure"]
        assert cookie["httponly"]


def row(token: str) -> RefreshToken:
    """Return the row of a refresh or an access token."""
    return RefreshToken.objects.get(pk=claims_of(token)["sid"])


def state(token: str) -> tuple[int, str]:
    """Return a family's generation and why it ended, empty while it lives."""
    family = row(token)
    assert (family.revoked_at is None) == (family.revoked_reason == "")
    return family.generation, family.revoked_reason


def every_row() -> list[dict[str, Any]]:
    """Return all there is in the table."""
    return [
        {**values, "secret": bytes(values["secret"]), "retry_key": bytes(values["retry_key"])}
        for values in RefreshToken.objects.order_by("pk").values()
    ]


def statements(queries: CaptureQueriesContext) -> list[str]:
    """Return the first word of each statement: a BEGIN or SAVEPOINT would show."""
    return [query["sql"].split()[0].upper() for query in queries.captured_queries]


@contextmanager
def unchanged() -> Iterator[None]:
    """Hold a block to change no row of ours and to write nothing at all."""
    before = every_row()
    with CaptureQueriesContext(connection) as queries:
        yield
    assert set(statements(queries)) <= {"SELECT"}
    assert every_row() == before


@contextmanager
def received(signal: Any) -> Iterator[list[dict[str, Any]]]:
    """Collect what a signal carries."""
    calls: list[dict[str, Any]] = []

    def receiver(**details: Any) -> None:
        calls.append(details)

    signal.connect(receiver)
    try:
        yield calls
    finally:
        signal.disconnect(receiver)


def in_threads(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Call in so many threads at once, each with its own connection."""
    barrier = Barrier(count)

    def work(number: int) -> Any:
        try:
            barrier.wait(timeout=60)
            return call(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def again(caller: Caller) -> Caller:
    """Return another client like this one, with a jar of its own."""
    return Caller(caller.user, mount=caller.mount, **caller.defaults)


def email_claim(user: Any, family: Any) -> dict[str, Any]:
    """Claims of a project: the user's address."""
    return {"email": user.email}


def raising_claims(user: Any, family: Any) -> dict[str, Any]:
    """Claims of a project whose source is down."""
    raise RuntimeError("the source of the claims is down")


class CountingHasher(MD5PasswordHasher):
    """Counts how often a password is hashed, which is what takes time."""

    runs = 0

    def encode(self, password: Any, salt: Any) -> str:
        type(self).runs += 1
        return super().encode(password, salt)


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock that stands still until it is shifted."""
    with time_machine.travel(datetime(2031, 5, 4, 12, 30, 15, 250_000, tzinfo=UTC), tick=False) as traveller:
        yield traveller


@pytest.fixture(params=["script", "browser", "jar"])
def caller(request: pytest.FixtureRequest) -> Any:
    """Each kind of client."""
    return request.getfixturevalue(request.param)


# Login.


def test_login_by_cookie(browser: Caller) -> None:
    """Case 1: the answer holds an access token alone, and the cookie every flag."""
    response = browser.log_in()
    assert response.status_code == 200
    assert set(response.json()) == {"access", "expires_in"}
    assert response.json()["expires_in"] == 900
    assert response["Cache-Control"] == "no-store"
    assert set(response.cookies) == {COOKIE, COMPANION}
    cookie = response.cookies[COOKIE]
    assert cookie.value.encode() not in response.content
    assert {name: cookie[name] for name in ("httponly", "secure", "samesite", "path", "domain", "max-age")} == {
        "httponly": True,
        "secure": True,
        "samesite": "Strict",
        "path": COOKIE_MOUNT,
        "domain": "",
        "max-age": 7 * 24 * 3600,
    }
    assert state(cookie.value) == (0, "")


def test_login_by_body(script: Caller) -> None:
    """Case 1 at a body mount: both tokens in the body, and no cookie."""
    response = script.log_in()
    assert response.status_code == 200
    assert set(response.json()) == {"access", "expires_in", "refresh", "refresh_expires_in"}
    assert response.json()["refresh_expires_in"] == 7 * 24 * 3600
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies


@override_settings(PASSWORD_HASHERS=["tests.test_conformance.CountingHasher"])
def test_failed_logins_are_alike(script: Caller) -> None:
    """Case 2: unknown, wrong and inactive get the same answer after the same work."""
    name = script.user.USERNAME_FIELD
    inactive = new_user(is_active=False)
    answers = []
    for username, password in (
        ("nobody-of-that-name", PASSWORD),
        (script.user.get_username(), "wrong"),
        (inactive.get_username(), PASSWORD),
    ):
        CountingHasher.runs = 0
        response = script.send("login/", {name: username, "password": password})
        assert CountingHasher.runs == 1
        assert not response.cookies
        answers.append((response.status_code, response.content, sorted(response.items())))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 401
    assert json.loads(answers[0][1])["code"] == "no_active_account"
    assert ("WWW-Authenticate", REALM) in answers[0][2]
    assert ("Cache-Control", "no-store") in answers[0][2]
    assert not RefreshToken.objects.exists()


# Rotation and reuse.


@options(ACCESS_CLAIMS="tests.test_conformance.email_claim")
def test_refresh(caller: Caller) -> None:
    """Case 3: another pair, its claims read afresh from the user."""
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
    """Case 4: 128 rotations are one row."""
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
    """Case 5: R0 again ends the family, and it is told once."""
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
    """Case 6: R0 with K again gets R1 to the byte, another access token, and writes nothing."""
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
    """Case 7: R0 again with another key, or none, is reuse."""
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
    """Case 7a: a key that is none is a 400 before anything is read or rotated."""
    r0 = log_in(caller)
    with CaptureQueriesContext(connection) as queries:
        response = caller.refresh(r0, key)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_idempotency_key")
    assert not response.cookies
    assert statements(queries) == []
    assert state(r0) == (0, "")


@pytest.mark.parametrize("key", ["k" * 8, "k" * 255, f'"{"k" * 255}"', "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"])
def test_good_keys(script: Caller, key: str) -> None:
    """Case 7a, the other side: 8 to 255 visible characters are a key."""
    r0 = log_in(script)
    assert rotate(script, r0, key) == rotate(script, r0, key)
    assert state(r0) == (1, "")


def test_only_the_last_step_is_retried(script: Caller, clock: Any) -> None:
    """Case 8: after R0→R1→R2 under one key, R0 with it is reuse."""
    r0 = log_in(script)
    r1 = rotate(script, r0, KEY)
    clock.shift(timedelta(minutes=2))
    r2 = rotate(script, r1, KEY)
    assert r2 != r1
    assert_refused(script.refresh(r0, KEY), "reused")
    assert state(r0) == (2, "reuse")
    assert_refused(script.refresh(r2), "revoked")


def test_the_current_token_with_its_key(script: Caller, clock: Any) -> None:
    """Case 8a: R1 with the key that made it is R1 again for a minute, then R2."""
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
    """Case 9: a browser's R0 again within ten seconds gets R1 again."""
    r0 = log_in(browser)
    r1 = rotate(browser, r0)
    clock.shift(later)
    with unchanged():
        assert rotate(browser, r0) == r1
    assert state(r0) == (1, "")


@pytest.mark.parametrize("later", [10, 60])
def test_browser_reuse(browser: Caller, clock: Any, later: float) -> None:
    """Case 10: after ten seconds it is reuse."""
    r0 = log_in(browser)
    r1 = rotate(browser, r0)
    clock.shift(later)
    refused = browser.refresh(r0)
    assert_refused(refused, "reused")
    assert_cleared(refused)
    assert_refused(browser.refresh(r1), "revoked")
    assert state(r0) == (1, "reuse")


def test_a_retry_does_not_move_the_grace(browser: Caller, clock: Any) -> None:
    """Case 10, with a retry between: the ten seconds count from the rotation."""
    r0 = log_in(browser)
    rotate(browser, r0)
    clock.shift(9)
    rotate(browser, r0)
    clock.shift(9)
    assert_refused(browser.refresh(r0), "reused")


def test_the_current_token_of_a_browser(browser: Caller, clock: Any) -> None:
    """Case 10a: R1 within twenty seconds is R1 again without a cookie, then R2."""
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
    """Case 10b: a script's R0 gains no grace at the cookie mount."""
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
    """Case 10c: a "browser" rotates a script's token five seconds before the owner comes. The first round ends it."""
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
    """Case 10d: within a browser's grace R1 is answered again, and leaves an event and a signal."""
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


@pytest.mark.django_db(transaction=True)
def test_many_tabs(browser: Caller, clock: Any) -> None:
    """Case 11: ten tabs at once on one jar, answers in any order, sign nobody out."""
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
    """Case 12: R3 after fifty rotations ends the family, past its own time too."""
    tokens = [log_in(script)]
    for _ in range(50):
        clock.shift(step)
        tokens.append(rotate(script, tokens[-1]))
    assert_refused(script.refresh(tokens[3]), "reused")
    assert_refused(script.refresh(tokens[50]), "revoked")
    assert state(tokens[0]) == (50, "reuse")


# Races.


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["script", "browser"])
def test_parallel_refreshes_with_one_key(kind: str, request: pytest.FixtureRequest) -> None:
    """Case 13: twenty parallel refreshes under one key are one rotation."""
    caller = request.getfixturevalue(kind)
    r0 = log_in(caller)
    callers = [again(caller) for _ in range(20)]
    answers = in_threads(20, lambda number: callers[number].refresh(r0, KEY))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({token_of(answer) for answer in answers}) == 1
    assert len({answer.json()["access"] for answer in answers}) == 20
    assert state(r0) == (1, "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["script", "jar"])
def test_parallel_refreshes_without_a_key(kind: str, request: pytest.FixtureRequest) -> None:
    """Case 14: of twenty parallel refreshes of a script one may work, and the family ends."""
    caller = request.getfixturevalue(kind)
    r0 = log_in(caller)
    callers = [again(caller) for _ in range(20)]
    with received(reuse_detected) as reuses:
        answers = in_threads(20, lambda number: callers[number].refresh(r0))
    good = [answer for answer in answers if answer.status_code == 200]
    assert len(good) <= 1
    reasons = [answer.json()["reason"] for answer in answers if answer.status_code == 401]
    assert len(good) + len(reasons) == 20
    assert set(reasons) <= {"reused", "revoked"}
    assert len(reuses) == 1
    assert state(r0) == (1, "reuse")
    for answer in good:
        assert_refused(caller.refresh(token_of(answer)), "revoked")


@pytest.mark.django_db(transaction=True)
def test_logout_races_refresh(script: Caller) -> None:
    """Case 15: after a logout and a refresh in parallel nothing works, a hundred times."""
    for _ in range(100):
        r0 = log_in(script)
        callers = [again(script), again(script)]

        def call(number: int, r0: str = r0, callers: list[Caller] = callers) -> Any:
            return callers[number].send(("logout/", "refresh/")[number], {"refresh": r0})

        logout, refresh = in_threads(2, call)
        assert logout.status_code == 204
        assert refresh.status_code in {200, 401}, refresh.content
        late = script.refresh(token_of(refresh)) if refresh.status_code == 200 else refresh
        assert_refused(late, "revoked")
        assert_refused(script.refresh(r0), "revoked")
        assert row(r0).revoked_reason == "logout"


# Logout.


def log_out(caller: Caller, token: str, **extra: Any) -> Any:
    """Log out with a token, by this client's delivery."""
    if caller.mount == COOKIE_MOUNT:
        return caller.send("logout/", HTTP_COOKIE=cookies(token), **extra)
    return caller.send("logout/", {"refresh": token}, **extra)


def test_logout(caller: Caller) -> None:
    """Case 16: after a logout R1 is dead."""
    r1 = rotate(caller, log_in(caller))
    response = log_out(caller, r1)
    assert (response.status_code, response.content) == (204, b"")
    assert response["Cache-Control"] == "no-store"
    if caller.mount == COOKIE_MOUNT:
        assert_cleared(response)
    assert_refused(caller.refresh(r1), "revoked")
    assert state(r1) == (1, "logout")


@pytest.mark.parametrize("age", ["rotated-out", "expired"])
def test_logout_with_an_old_token(caller: Caller, clock: Any, age: str) -> None:
    """Case 16 with an old copy: it ends the family as well, and is no reuse."""
    r0 = log_in(caller)
    clock.shift(timedelta(days=4))
    r1 = rotate(caller, r0)
    if age == "expired":
        clock.shift(timedelta(days=4))
        assert claims_of(r0)["exp"] < time.time()
    with received(reuse_detected) as reuses:
        assert log_out(caller, r0).status_code == 204
    assert reuses == []
    assert state(r0) == (1, "logout")
    assert_refused(caller.refresh(r1), "revoked")


@pytest.mark.parametrize("sent", ["twice", "rubbish"])
def test_logout_with_anything(caller: Caller, sent: str) -> None:
    """Case 17: twice or with rubbish it is 204, the cookie cleared."""
    r0 = log_in(caller)
    if sent == "twice":
        assert log_out(caller, r0).status_code == 204
    before = every_row()
    caller.cookies.clear()
    response = log_out(caller, r0 if sent == "twice" else sent)
    assert (response.status_code, response.content) == (204, b"")
    assert response["Cache-Control"] == "no-store"
    if caller.mount == COOKIE_MOUNT:
        assert_cleared(response)
    else:
        assert not response.cookies
    assert every_row() == before


BODIES = pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"[" * 100_000, "application/json", 400, "parse_error"),
        (b"{", "application/json", 400, "parse_error"),
        (b"x" * 3_000_000, "application/json", 400, "parse_error"),
        (b"null", "application/json", 400, {"non_field_errors"}),
        (b"{}", "application/json", 400, {"refresh"}),
        (b'{"refresh": 1}', "application/json", 400, {"refresh"}),
        (b'{"refresh": ""}', "application/json", 400, {"refresh"}),
        (b'{"refresh_token": "x"}', "application/json", 400, {"refresh"}),
        (b"", "application/json", 400, {"refresh"}),
        (b"", "application/x-www-form-urlencoded", 400, {"refresh"}),
        (b"refresh=", "application/x-www-form-urlencoded", 400, {"refresh"}),
        (b"a=b" * 1_000_000, "application/x-www-form-urlencoded", 400, "parse_error"),
        (b"a=b&" * 1_001, "application/x-www-form-urlencoded", 400, "parse_error"),
        (b"--x", "multipart/form-data; boundary=x", 400, {"refresh"}),
        (b"--x", "multipart/form-data", 400, "parse_error"),
        (b"x" * 3_000_000, "multipart/form-data; boundary=x", 400, "parse_error"),
        (b"\xff\x00", "text/plain", 415, "unsupported_media_type"),
        (b"x" * 3_000_000, "application/octet-stream", 415, "unsupported_media_type"),
        (b"{}", "rubbish", 415, "unsupported_media_type"),
    ],
    ids=lambda value: str(value[:30]) if isinstance(value, bytes | str) else str(value),
)


@BODIES
def test_logout_with_any_body(user: Any, body: bytes, content_type: str, status: int, code: Any) -> None:
    """Case 17 at a cookie mount: 204 whatever the body and the Accept, for the body is not read."""
    jar = Caller(user, mount=COOKIE_MOUNT)
    r0 = log_in(jar)
    response = post_raw(jar, f"{COOKIE_MOUNT}logout/", body, content_type, HTTP_ACCEPT="image/png")
    assert (response.status_code, response.content) == (204, b"")
    assert_cleared(response)
    assert state(r0) == (0, "logout")


@BODIES
def test_logout_with_a_body_that_holds_no_token(
    script: Caller, body: bytes, content_type: str, status: int, code: Any
) -> None:
    """Case 17a: a body mount says what is missing, and logs nobody out; a valid access token is enough."""
    login = script.log_in().json()
    url = f"{BODY_MOUNT}logout/"
    response = post_raw(script, url, body, content_type, HTTP_ACCEPT="image/png")
    answer = response.json()
    assert (response.status_code, answer["code"] if isinstance(code, str) else set(answer)) == (status, code)
    assert state(login["refresh"]) == (0, "")
    assert_refused(post_raw(script, url, body, content_type, **bearer("x")), "invalid")
    assert state(login["refresh"]) == (0, "")
    response = post_raw(script, url, body, content_type, **bearer(login["access"]))
    assert (response.status_code, response.content) == (204, b"")
    assert state(login["refresh"]) == (0, "logout")


@pytest.mark.parametrize("mount", [BODY_MOUNT, TOOL_MOUNT])
def test_logout_by_the_access_token(user: Any, mount: str, clock: Any) -> None:
    """Case 17a: its family is revoked, once; an expired one is a 401, and nothing changes."""
    caller = Caller(user, mount=mount)
    access = caller.log_in().json()["access"]
    for _ in range(2):
        response = caller.send("logout/", **bearer(access))
        assert (response.status_code, response.content) == (204, b"")
        assert state(access) == (0, "logout")
    access = caller.log_in().json()["access"]
    clock.shift(timedelta(minutes=16))
    assert_refused(caller.send("logout/", **bearer(access)), "expired")
    assert_refused(caller.send("logout/", HTTP_AUTHORIZATION="Bearer a b"), "invalid")
    assert state(access) == (0, "")


def test_logout_without_a_single_token(user: Any) -> None:
    """Case 17a with the delivery ``none``: a 401, whatever the body holds."""
    tool = Caller(user, mount=TOOL_MOUNT)
    access = tool.log_in().json()["access"]
    assert_refused(tool.send("logout/"), "missing")
    assert_refused(tool.send("logout/", {"refresh": access}, HTTP_AUTHORIZATION="Basic eDp5"), "missing")
    assert state(access) == (0, "")


def test_logout_of_two_families(caller: Caller) -> None:
    """The refresh token's and the access token's: both are revoked, and each user is told to be signed out."""
    other = Caller(new_user(), mount=BODY_MOUNT).log_in().json()
    r0 = log_in(caller)
    with received(user_logged_out) as calls:
        response = log_out(caller, r0, **bearer(other["access"]))
    assert (response.status_code, response.content) == (204, b"")
    assert (state(r0), state(other["refresh"])) == ((0, "logout"), (0, "logout"))
    assert {call["user"] for call in calls} == {caller.user, row(other["refresh"]).user}


def test_logout_with_rubbish_and_an_access_token(caller: Caller) -> None:
    """A refresh token that is none does not save the access token's family."""
    login = Caller(caller.user, mount=BODY_MOUNT).log_in().json()
    assert log_out(caller, "rubbish", **bearer(login["access"])).status_code == 204
    assert state(login["refresh"]) == (0, "logout")


URLENCODED, MULTIPART = "application/x-www-form-urlencoded", MULTIPART_CONTENT


def post_form(caller: Caller, path: str, data: Any, content_type: str, **extra: Any) -> Any:
    """POST a form."""
    body = urlencode(data).encode() if content_type == URLENCODED else encode_multipart(BOUNDARY, data)
    return post_raw(caller, caller.mount + path, body, content_type, **extra)


@pytest.mark.parametrize("content_type", [URLENCODED, MULTIPART], ids=["urlencoded", "multipart"])
def test_forms_at_a_body_mount(script: Caller, content_type: str) -> None:
    """Case 17b: login, refresh and logout read them as they read JSON."""
    name = script.user.USERNAME_FIELD
    credentials = {name: script.user.get_username(), "password": PASSWORD}
    response = post_form(script, "login/", {**credentials, "password": "a wrong guess"}, content_type)
    assert (response.status_code, response.json()["code"]) == (401, "no_active_account")
    response = post_form(script, "login/", {}, content_type)
    assert (response.status_code, set(response.json())) == (400, {name, "password"})
    response = post_form(script, "login/", credentials, content_type)
    r0 = token_of(response)
    response = post_form(script, "refresh/", {"refresh": r0}, content_type)
    r1 = token_of(response)
    assert state(r0) == (1, "")
    response = post_form(script, "refresh/", {"token": r1}, content_type)
    assert (response.status_code, set(response.json())) == (400, {"refresh"})
    assert_refused(post_form(script, "refresh/", {"refresh": "x"}, content_type), "invalid")
    response = post_form(script, "logout/", {"refresh": r1}, content_type)
    assert (response.status_code, response.content) == (204, b"")
    assert state(r0) == (1, "logout")


@pytest.mark.parametrize("content_type", [URLENCODED, MULTIPART], ids=["urlencoded", "multipart"])
def test_forms_at_a_cookie_mount(jar: Caller, content_type: str) -> None:
    """Case 17b: login does not read them, refresh and logout read no body at all."""
    data = {jar.user.USERNAME_FIELD: jar.user.get_username(), "password": PASSWORD}
    response = post_form(jar, "login/", data, content_type)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    r0 = log_in(jar)
    response = post_form(jar, "logout/", {"refresh": "x"}, content_type)
    assert (response.status_code, response.content) == (204, b"")
    assert_cleared(response)
    assert state(r0) == (0, "logout")


@pytest.mark.parametrize("path", ["login/", "refresh/", "logout/"])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"refresh=%00&username=%00&email=%00&password=%00", URLENCODED),
        (b"refresh=%ff&username=%ff&email=%ff&password=%ff", URLENCODED),
        (b"refresh=\xff&username=\xff&email=\xff&password=\xff", f"{URLENCODED}; charset=utf-8"),
        (b"refresh=a&refresh=b&username=a&username=b&password=a&password=b", URLENCODED),
        (b"refresh=a", f"{URLENCODED}; charset=rot13"),
        (b"refresh=a", f"{URLENCODED}; charset=idna"),
        (b"refresh=a&" * 1001, URLENCODED),
        (b'--x\r\nContent-Disposition: form-data; name="refresh"; filename="f"\r\n\r\na\r\n--x--\r\n', "boundary=x"),
        (b"--x\r\nContent-Disposition: form-data; name*=rot13''refresh\r\n\r\na\r\n--x--\r\n", "boundary=x"),
        (b"--x\r\nContent-Disposition: form-data; name*=none''refresh\r\n\r\na\r\n--x--\r\n", "boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="refresh"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
            b"\xff!\r\n--x--\r\n",
            "boundary=x",
        ),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\na\r\n' * 1001 + b"--x--\r\n", "boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\na\r\n' * 101 + b"--x--\r\n",
            "boundary=x",
        ),
        (b"a", "boundary=" + "x" * 200),
        (b"a", "boundary=\xff"),
    ],
    ids=range(15),
)
def test_hostile_forms(script: Caller, path: str, body: bytes, content_type: str) -> None:
    """Case 17b: what is no good form, or holds no good token, is refused like JSON, and never a 5xx."""
    if content_type.startswith("boundary"):
        content_type = f"multipart/form-data; {content_type}"
    response = post_raw(script, BODY_MOUNT + path, body, content_type)
    assert response.status_code in {400, 401} | ({204} if path == "logout/" else set()), response.content
    assert response["Content-Type" if response.status_code != 204 else "Cache-Control"] in {
        "application/json",
        "no-store",
    }


@pytest.mark.parametrize("mount", [COOKIE_MOUNT, BODY_MOUNT])
def test_logout_all(user: Any, mount: str) -> None:
    """Case 18: three families end, another user's stays."""
    callers = [Caller(user, mount=mount) for _ in range(3)]
    logins = [caller.log_in() for caller in callers]
    other = Caller(new_user(), mount=mount)
    others = log_in(other)
    response = callers[0].send("logout/all/", **bearer(logins[0].json()["access"]))
    assert (response.status_code, response.content) == (204, b"")
    assert response["Cache-Control"] == "no-store"
    if mount == COOKIE_MOUNT:
        assert_cleared(response)
    else:
        assert not response.cookies
    for caller, login in zip(callers, logins, strict=True):
        assert state(token_of(login)) == (0, "logout")
        assert_refused(caller.refresh(token_of(login)), "revoked")
    assert state(others) == (0, "")
    rotate(other, others)


def test_logout_all_without_a_token(jar: Caller) -> None:
    """Case 18 without credentials: the cookie alone ends nothing."""
    r0 = log_in(jar)
    response = jar.send("logout/all/")
    assert_refused(response, "missing")
    assert not response.cookies
    assert state(r0) == (0, "")


@pytest.mark.parametrize("scope", ["family", "user"])
def test_reuse_and_the_other_family(script: Caller, scope: str) -> None:
    """Case 19: reuse in family A leaves B alone, unless the settings say otherwise."""
    a0, b0 = log_in(script), log_in(script)
    stranger = Caller(new_user(), mount=BODY_MOUNT)
    s0 = log_in(stranger)
    rotate(script, a0)
    with options(REVOKE_ON_REUSE=scope):
        assert_refused(script.refresh(a0), "reused")
    assert state(a0) == (1, "reuse")
    if scope == "family":
        rotate(script, b0)
        assert state(b0) == (1, "")
    else:
        assert_refused(script.refresh(b0), "revoked")
        assert state(b0) == (0, "reuse")
    rotate(stranger, s0)


# Tenants.


@pytest.mark.parametrize("setting", ["ISSUER", "AUDIENCE"])
@pytest.mark.parametrize("route", ROUTES)
def test_an_access_token_of_another_tenant(script: Caller, route: str, setting: str) -> None:
    """Case 36: where the callable names another tenant, the token is refused before any query."""
    with options(**{setting: f"tests.issuers.{setting.lower()}"}):
        access = script.log_in().json()["access"]
        assert script.get(route, **bearer(access)).status_code == 200
        with tenant("b"), CaptureQueriesContext(connection) as queries:
            assert_refused(script.get(route, **bearer(access)), "invalid")
        assert statements(queries) == []
        with tenant("b"):
            other = script.log_in().json()["access"]
            assert script.get(route, **bearer(other)).status_code == 200
        assert_refused(script.get(route, **bearer(other)), "invalid")


def test_a_refresh_token_of_another_tenant(script: Caller) -> None:
    """Case 36 at the endpoints: refused before any query, and neither that nor a logout there revokes anything."""
    with options(ISSUER="tests.issuers.issuer", REVOKE_ON_REUSE="user"):
        r0 = log_in(script)
        r1 = rotate(script, r0)
        assert claims_of(r1)["iss"] == "https://a.example.com"
        for token in (r0, r1):
            with tenant("b"), unchanged(), CaptureQueriesContext(connection) as queries:
                assert_refused(script.refresh(token), "invalid")
                assert script.send("logout/", {"refresh": token}).status_code in {204, 400}
            assert statements(queries) == []
        assert state(r1) == (1, "")
        with tenant("b"):
            other = log_in(script)
        assert_refused(script.refresh(other), "invalid")
        assert script.refresh(r1).status_code == 200


def test_a_plain_issuer_is_in_no_refresh_token(script: Caller) -> None:
    """An ISSUER that is set or changed later logs nobody out."""
    with options(ISSUER="https://auth.example.com"):
        r0 = log_in(script)
        assert set(claims_of(r0)) == {"sid", "gen", "jti", "exp"}
    with options(ISSUER="https://other.example.com"):
        r1 = rotate(script, r0)
    rotate(script, r1)


def test_a_token_from_before_the_issuer_was_a_callable(script: Caller) -> None:
    """It names no tenant, so its user logs in again."""
    r0 = log_in(script)
    with options(ISSUER="tests.issuers.issuer"):
        assert_refused(script.refresh(r0), "invalid")
    assert state(r0) == (0, "")


def test_an_issuer_that_fails(script: Caller) -> None:
    """A path that leads nowhere is a 500: no token without its tenant is signed, and none is accepted."""
    r0 = log_in(script)
    script.raise_request_exception = False
    with options(ISSUER="tests.issuers.isuer"):
        assert script.log_in().status_code == script.refresh(r0).status_code == 500
    assert state(r0) == (0, "")


# The user's own state.


def test_a_deactivated_user(caller: Caller) -> None:
    """Case 21: refresh and API are refused, and reactivation does not revive the family."""
    login = caller.log_in()
    r0, header = token_of(login), bearer(login.json()["access"])
    users = get_user_model()._default_manager.filter(pk=caller.user.pk)
    users.update(is_active=False)
    for route in ("/api/me/", "/api/revocable/"):
        assert_refused(caller.get(route, **header), "user_inactive")
    assert caller.get("/api/stateless/", **header).status_code == 200
    assert_refused(caller.send("logout/all/", **header), "user_inactive")
    assert_refused(caller.refresh(r0), "user_inactive")
    assert state(r0) == (0, "user_inactive")
    users.update(is_active=True)
    assert_refused(caller.refresh(r0), "revoked")


def test_a_user_saved_as_inactive(caller: Caller) -> None:
    """Case 38: saving the user revokes the families at once, so saving it active again revives none."""
    r0 = token_of(caller.log_in())
    for is_active in (False, True):
        caller.user.is_active = is_active
        caller.user.save()
        assert state(r0) == (0, "user_inactive")
    assert_refused(caller.refresh(r0), "revoked")


def test_a_deleted_user(caller: Caller) -> None:
    """Case 21: the families of a deleted user are gone with it, and no request fails with a 5xx."""
    login = caller.log_in()
    header = bearer(login.json()["access"])
    caller.user.delete()
    assert_refused(caller.refresh(token_of(login)), "invalid")
    assert_refused(caller.get("/api/me/", **header), "user_inactive")
    assert_refused(caller.get("/api/revocable/", **header), "revoked")
    assert_refused(caller.send("logout/all/", **header), "revoked")
    assert log_out(caller, token_of(login)).status_code == 204


@pytest.mark.parametrize("path", ["set_password", "update"])
def test_a_changed_password(caller: Caller, path: str) -> None:
    """Case 22: by whatever path the password changed, the refresh token is dead."""
    login = caller.log_in()
    r0, header = token_of(login), bearer(login.json()["access"])
    if path == "set_password":
        changed = get_user_model()._default_manager.get(pk=caller.user.pk)
        changed.set_password("new")
        changed.save()
    else:
        get_user_model()._default_manager.update(password=make_password("new"))
    assert_refused(caller.get("/api/revocable/", **header), "password_changed")
    assert_refused(caller.refresh(r0), "password_changed")
    assert state(r0) == (0, "password_changed")
    assert_refused(caller.refresh(r0), "revoked")


# Time.


def test_the_idle_limit(script: Caller, clock: Any) -> None:
    """Case 23: the last microsecond before the idle limit is good, the limit itself is not."""
    r0 = log_in(script)
    clock.shift(timedelta(days=7) - timedelta(microseconds=1))
    r1 = rotate(script, r0)
    clock.shift(timedelta(days=7))
    with unchanged():
        assert_refused(script.refresh(r1), "expired")
    assert state(r0) == (1, "")


def test_the_absolute_limit(script: Caller, clock: Any) -> None:
    """Case 23: thirty days after login it ends, whatever was rotated."""
    login = script.log_in()
    token, end = token_of(login), row(token_of(login)).expires_at
    for days in (5, 5, 5, 5, 5, 4):
        clock.shift(timedelta(days=days))
        answer = script.refresh(token)
        token = token_of(answer)
        assert row(token).expires_at == end
    clock.shift(timedelta(days=1, seconds=-1))
    answer = script.refresh(token)
    token = token_of(answer)
    assert answer.json()["refresh_expires_in"] == answer.json()["expires_in"] == 1
    clock.shift(timedelta(microseconds=1))
    with unchanged():
        assert_refused(script.refresh(token), "expired")
    clock.shift(timedelta(seconds=1))
    with unchanged():
        assert_refused(script.refresh(token), "expired")


@pytest.mark.parametrize("kind", ["script", "jar"])
def test_a_token_at_its_limit_clears_the_cookie(kind: str, clock: Any, request: pytest.FixtureRequest) -> None:
    """Case 23: with the key that made it, a token is refused at the limit all the same."""
    caller = request.getfixturevalue(kind)
    r0 = log_in(caller)
    rotate(caller, r0, KEY)
    clock.shift(timedelta(days=7))
    response = caller.refresh(r0, KEY)
    assert_refused(response, "expired")
    if kind == "jar":
        assert_cleared(response)


# Hostile tokens.


def b64(data: bytes) -> str:
    """Encode as a JWT does."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Decode as a JWT does."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(claims: Any, headers: Any = None, *, secret: str | None = None, algorithm: str = "HS256") -> str:
    """Sign whatever is given, with the refresh secret if no other is named."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    key = secret or settings.TWOTOKEN["REFRESH_SECRET"]
    return jwt.PyJWS().encode(payload, key, algorithm, {"typ": "rt+jwt", **(headers or {})})


def assert_invalid(caller: Caller, r0: str, token: str) -> None:
    """Hold the refusal of a token to no query and to a family that lives."""
    with CaptureQueriesContext(connection) as queries:
        assert_refused(caller.refresh(token), "invalid")
    assert statements(queries) == []
    assert state(r0) == (0, "")
    rotate(caller, r0)


@pytest.mark.parametrize("part", [0, 1, 2], ids=["header", "claims", "signature"])
@pytest.mark.parametrize("kind", ["script", "jar"])
def test_a_flipped_bit(kind: str, part: int, request: pytest.FixtureRequest) -> None:
    """Case 24: any bit of any byte of a token."""
    caller = request.getfixturevalue(kind)
    r0 = log_in(caller)
    parts = r0.split(".")
    with CaptureQueriesContext(connection) as queries:
        for position in range(len(unb64(parts[part]))):
            data = bytearray(unb64(parts[part]))
            data[position] ^= 1 << position % 8
            forged = ".".join([*parts[:part], b64(bytes(data)), *parts[part + 1 :]])
            assert_refused(caller.refresh(forged), "invalid")
    assert statements(queries) == []
    assert rotate(caller, r0) != r0


def test_a_flipped_spare_bit(script: Caller) -> None:
    """Case 24: the last letter of a signature has bits to spare, and they count."""
    r0 = log_in(script)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(r0[-1]) ^ 1]
    assert unb64(r0.rpartition(".")[2][:-1] + other) == unb64(r0.rpartition(".")[2])
    assert_invalid(script, r0, r0[:-1] + other)


HOSTILE: dict[str, Callable[[dict[str, Any]], str]] = {
    "other-key": lambda claims: signed(claims, secret="some other secret, of thirty-two bytes or more"),
    "access-key": lambda claims: signed(claims, secret=settings.TWOTOKEN["ACCESS_SECRET"]),
    "secret-key": lambda claims: signed(claims, secret=settings.SECRET_KEY),
    "other-algorithm": lambda claims: signed(claims, algorithm="HS512", secret="s" * 64),
    "same-key-other-algorithm": lambda claims: jwt.encode(
        claims, f"{settings.TWOTOKEN['REFRESH_SECRET']}{' ' * 64}", "HS384", {"typ": "rt+jwt"}
    ),
    "none": lambda claims: b64(b'{"alg":"none","typ":"rt+jwt"}') + "." + b64(json.dumps(claims).encode()) + ".",
    "none-signed": lambda claims: b64(b'{"alg":"none","typ":"rt+jwt"}') + "." + b64(json.dumps(claims).encode()) + ".x",
    "None": lambda claims: b64(b'{"alg":"None","typ":"rt+jwt"}') + "." + b64(json.dumps(claims).encode()) + ".x",
    "crit": lambda claims: signed(claims, {"crit": ["x"], "x": 1}),
    "b64": lambda claims: signed(claims, {"crit": ["b64"], "b64": False}),
    "typ": lambda claims: signed(claims, {"typ": "JWT"}),
    "access-typ": lambda claims: signed(claims, {"typ": "at+jwt"}),
    "10-kB": lambda claims: "a" * 10_240,
    "10-kB-signed": lambda claims: signed({**claims, "x": "x" * 10_240}),
    "10-kB-in-parts": lambda claims: ".".join(["a" * 3_500] * 3),
    "empty-parts": lambda claims: "..",
    "two-parts": lambda claims: signed(claims).rpartition(".")[0],
    "four-parts": lambda claims: signed(claims) + ".x",
    "padding": lambda claims: signed(claims) + "=",
    "deep-header": lambda claims: f"{b64(b'[' * 100_000)}.e30.x",
    "deep-short-header": lambda claims: f"{b64(b'[' * 6_000)}.e30.x",
    "deep-payload": lambda claims: signed(b"[" * 5_000),
    "list": lambda claims: signed([1]),
    "no-json": lambda claims: signed(b"\xff"),
    "no-sid": lambda claims: signed({**claims, "sid": None}),
    "sid-number": lambda claims: signed({**claims, "sid": 1}),
    "sid-rubbish": lambda claims: signed({**claims, "sid": "rubbish"}),
    "gen-text": lambda claims: signed({**claims, "gen": "0"}),
    "gen-negative": lambda claims: signed({**claims, "gen": -1}),
    "gen-true": lambda claims: signed({**claims, "gen": True}),
    "gen-fraction": lambda claims: signed({**claims, "gen": 0.0}),
    "jti-list": lambda claims: signed({**claims, "jti": [claims["jti"]]}),
}


@pytest.mark.parametrize("forge", [*HOSTILE.values()], ids=[*HOSTILE])
@pytest.mark.parametrize("kind", ["script", "jar"])
def test_forged_tokens(kind: str, forge: Callable[[Any], str], request: pytest.FixtureRequest) -> None:
    """Case 24: what fails the check costs no query and ends nothing."""
    caller = request.getfixturevalue(kind)
    r0 = log_in(caller)
    assert_invalid(caller, r0, forge(claims_of(r0)))


@pytest.mark.parametrize(
    "forge", [lambda r0: "\x00", lambda r0: r0 + "\x00", lambda r0: f" {r0}", lambda r0: r0 + "\n"]
)
def test_control_characters(script: Caller, forge: Callable[[str], str]) -> None:
    """Case 24: NUL and spaces are no part of a token."""
    r0 = log_in(script)
    assert_invalid(script, r0, forge(r0))


@pytest.mark.parametrize("change", [{"sid": str(UUID(int=7))}, {"jti": "x" * 22}, {"jti": "\u00e9"}, {"gen": 10**12}])
def test_a_token_made_with_the_secret_alone(script: Caller, change: dict[str, Any]) -> None:
    """Case 24: the refresh secret forges no token, for each is bound to its row."""
    r0 = log_in(script)
    with unchanged():
        assert_refused(script.refresh(signed({**claims_of(r0), **change})), "invalid")
    rotate(script, r0)


NO_TOKEN = {
    "number": b'{"refresh": 1}',
    "list": b'{"refresh": ["x"]}',
    "null": b'{"refresh": null}',
    "missing": b"{}",
    "deep": b"[" * 100_000,
    "deep-refresh": b'{"refresh": ' + b"[" * 100_000,
    "body-list": b"[]",
    "body-text": b'"x"',
    "body-number": b"5",
    "body-null": b"null",
    "no-json": b"{",
    "no-utf8": b'{"refresh": "\xff"}',
    "empty": b"",
    "nan": b'{"refresh": NaN}',
}


@pytest.mark.parametrize("body", [*NO_TOKEN.values()], ids=[*NO_TOKEN])
def test_no_token_in_the_body(script: Caller, body: bytes) -> None:
    """Case 24: a body without a string for a refresh token is a 400 at a body mount, of no account at the other."""
    r0 = log_in(script)
    with CaptureQueriesContext(connection) as queries:
        response = post_raw(script, f"{BODY_MOUNT}refresh/", body, "application/json")
    assert response.status_code == 400, response.content
    assert set(response.json()) & {"refresh", "non_field_errors", "code"}
    assert response["Cache-Control"] == "no-store"
    assert statements(queries) == []
    assert state(r0) == (0, "")
    by_cookie = post_raw(script, f"{COOKIE_MOUNT}refresh/", body, "application/json", HTTP_COOKIE=cookies(r0))
    assert by_cookie.status_code == 200


@pytest.mark.parametrize("endpoint", ["login/", "refresh/"])
def test_a_body_beyond_the_limit(script: Caller, endpoint: str) -> None:
    """Case 24 beyond DATA_UPLOAD_MAX_MEMORY_SIZE: a 400 of ours, in JSON and not to be stored."""
    response = script.send(endpoint, {"refresh": "x" * 3_000_000})
    assert response.status_code == 400
    assert response["Content-Type"] == "application/json"
    assert response.json()["code"] == "parse_error"
    assert response["Cache-Control"] == "no-store"


def test_the_two_tokens_do_not_stand_in(caller: Caller) -> None:
    """Case 25: an access token does not refresh, a refresh token opens no route."""
    login = caller.log_in()
    with CaptureQueriesContext(connection) as queries:
        assert_refused(caller.refresh(login.json()["access"]), "invalid")
        for route in ROUTES:
            assert_refused(caller.get(route, **bearer(token_of(login))), "invalid")
        assert_refused(caller.send("logout/all/", **bearer(token_of(login))), "invalid")
    assert statements(queries) == []
    assert state(token_of(login)) == (0, "")


def test_rotation_of_secrets(script: Caller) -> None:
    """Case 26: the old secret verifies until it is dropped, the new one signs."""
    old: dict[str, str] = {name: str(settings.TWOTOKEN[name]) for name in ("ACCESS_SECRET", "REFRESH_SECRET")}
    new = {name: f"the new one: {secret}" for name, secret in old.items()}
    login = script.log_in()
    with options(**{name: [new[name], old[name]] for name in old}):
        for route in ROUTES:
            assert script.get(route, **bearer(login.json()["access"])).status_code == 200
        answer = script.refresh(token_of(login))
        assert answer.status_code == 200
        lines = {"ACCESS_SECRET": answer.json()["access"], "REFRESH_SECRET": token_of(answer)}
        for name, token in lines.items():
            assert jwt.decode(token, new[name], ["HS256"])["sid"] == str(row(token_of(login)).pk)
            with pytest.raises(jwt.InvalidSignatureError):
                jwt.decode(token, old[name], ["HS256"])
    with options(**new):
        assert_refused(script.get("/api/me/", **bearer(login.json()["access"])), "invalid")
        assert_refused(script.refresh(token_of(login)), "invalid")
        assert script.get("/api/me/", **bearer(answer.json()["access"])).status_code == 200
        assert script.refresh(token_of(answer)).status_code == 200


# API routes.


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("header", [None, "", "Basic eDp5", "Token x"])
def test_a_route_without_a_token(script: Caller, route: str, header: str | None) -> None:
    """Case 27: without credentials of ours the challenge is just the realm."""
    extra: Any = {} if header is None else {"HTTP_AUTHORIZATION": header}
    response = script.get(route, **extra)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, REALM)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("credentials", ["rubbish", "", "two words", "\x00", "a.b.c", "x" * 10_240, "\u00e9"])
def test_a_route_with_a_bad_token(script: Caller, route: str, credentials: str) -> None:
    """Case 27: a bad token is told as RFC 6750 wants it, at no query."""
    with CaptureQueriesContext(connection) as queries:
        response = script.get(route, HTTP_AUTHORIZATION=f"Bearer {credentials}")
    assert_refused(response, "invalid")
    assert response["WWW-Authenticate"] == (
        'Bearer realm="api", error="invalid_token", error_description="The token is not valid."'
    )
    assert statements(queries) == []


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_with_an_expired_token(script: Caller, clock: Any, route: str) -> None:
    """Case 27: an access token is good to the last moment of its fifteen minutes."""
    clock.move_to(datetime(2031, 5, 4, 12, 0, tzinfo=UTC))
    access = script.log_in().json()["access"]
    clock.shift(timedelta(minutes=15) - timedelta(microseconds=1))
    assert script.get(route, **bearer(access)).status_code == 200
    clock.shift(timedelta(microseconds=1))
    response = script.get(route, **bearer(access))
    assert_refused(response, "expired")
    assert response["WWW-Authenticate"].endswith('error_description="The token has expired."')


# Cross-origin protection.

FOREIGN = {
    "cross-site": {"HTTP_SEC_FETCH_SITE": "cross-site"},
    "same-site": {"HTTP_SEC_FETCH_SITE": "same-site"},
    "unknown-word": {"HTTP_SEC_FETCH_SITE": "rubbish"},
    "cross-site-own-origin": {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "http://testserver"},
    "foreign": {"HTTP_ORIGIN": "https://evil.example"},
    "foreign-scheme": {"HTTP_ORIGIN": "https://testserver"},
    "foreign-port": {"HTTP_ORIGIN": "http://testserver:8000"},
    "null": {"HTTP_ORIGIN": "null"},
    "rubbish": {"HTTP_ORIGIN": "http://["},
}


@pytest.mark.parametrize("headers", [*FOREIGN.values()], ids=[*FOREIGN])
@pytest.mark.parametrize("endpoint", ["login/", "refresh/", "logout/"])
def test_cross_origin(jar: Caller, endpoint: str, headers: dict[str, str]) -> None:
    """Case 28: 403, state and cookie untouched."""
    r0 = log_in(jar)
    data = {jar.user.USERNAME_FIELD: jar.user.get_username(), "password": PASSWORD} if endpoint == "login/" else None
    with CaptureQueriesContext(connection) as queries:
        response = jar.send(endpoint, data, **headers)
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    assert set(response.json()) == {"detail", "code"}
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    assert statements(queries) == []
    assert jar.cookie == r0
    assert state(r0) == (0, "")


OURS = {
    "same-origin": {"HTTP_SEC_FETCH_SITE": "same-origin"},
    "same-origin-null": {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": "null"},
    "none": {"HTTP_SEC_FETCH_SITE": "none"},
    "trusted": {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "https://app.example"},
    "trusted-same-site": {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_ORIGIN": "https://x.wild.example"},
    "trusted-alone": {"HTTP_ORIGIN": "https://app.example"},
    "own": {"HTTP_ORIGIN": "http://testserver"},
    "no-headers": {},
}


@pytest.mark.parametrize("headers", [*OURS.values()], ids=[*OURS])
@override_settings(CSRF_TRUSTED_ORIGINS=["https://app.example", "https://*.wild.example"])
def test_same_origin(jar: Caller, headers: dict[str, str]) -> None:
    """Case 29: our own pages, trusted ones and scripts pass."""
    r0 = log_in(jar, **headers)
    r1 = rotate(jar, r0, **headers)
    assert jar.cookie == r1 != r0
    assert jar.send("logout/", **headers).status_code == 204
    assert state(r0) == (1, "logout")


@pytest.mark.parametrize("headers", [*FOREIGN.values()], ids=[*FOREIGN])
def test_cross_origin_at_a_body_mount(script: Caller, headers: dict[str, str]) -> None:
    """Case 28, the other side: where no cookie counts, no origin does."""
    r0 = log_in(script, **headers)
    rotate(script, r0, **headers)
    assert log_out(script, r0, **headers).status_code == 204
    assert state(r0) == (1, "logout")


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete"])
@pytest.mark.parametrize("endpoint", ["login/", "refresh/", "logout/"])
def test_other_methods(caller: Caller, endpoint: str, method: str) -> None:
    """Case 30: only POST does anything."""
    r0 = log_in(caller)
    with CaptureQueriesContext(connection) as queries:
        response = getattr(caller, method)(caller.mount + endpoint)
    assert response.status_code == 405
    if method != "head":
        assert response.json()["code"] == "method_not_allowed"
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    assert statements(queries) == []
    assert state(r0) == (0, "")


# Deliveries.


def test_a_body_token_at_a_cookie_mount(jar: Caller) -> None:
    """Case 31: it is ignored."""
    r0 = log_in(jar)
    jar.cookies.clear()
    with CaptureQueriesContext(connection) as queries:
        response = jar.send("refresh/", {"refresh": r0})
        assert jar.send("logout/", {"refresh": r0}).status_code == 204
    assert_refused(response, "missing")
    assert not response.cookies
    assert statements(queries) == []
    assert state(r0) == (0, "")


def test_a_cookie_at_a_body_mount(script: Caller) -> None:
    """Case 31: it is ignored, neither read nor cleared."""
    r0 = log_in(script)
    cookie = {"HTTP_COOKIE": cookies(r0)}
    with CaptureQueriesContext(connection) as queries:
        response = script.send("refresh/", **cookie)
        logout = script.send("logout/", **cookie)
    assert (response.status_code, set(response.json())) == (400, {"refresh"})
    assert (logout.status_code, set(logout.json())) == (400, {"refresh"})
    assert not response.cookies
    assert not logout.cookies
    assert statements(queries) == []
    assert script.log_in(**cookie).status_code == 200
    assert state(r0) == (0, "")


@pytest.mark.parametrize("mount", [COOKIE_MOUNT, BODY_MOUNT])
@pytest.mark.parametrize("endpoint", ["refresh/", "logout/"])
def test_both_deliveries_at_once(user: Any, mount: str, endpoint: str) -> None:
    """Case 31 with both: each mount takes its own and leaves the other."""
    caller = Caller(user, mount=mount)
    script = Caller(user, mount=BODY_MOUNT)
    by_cookie, by_body = log_in(script), log_in(script)
    response = caller.send(endpoint, {"refresh": by_body}, HTTP_COOKIE=cookies(by_cookie))
    assert response.status_code == (200 if endpoint == "refresh/" else 204)
    taken, left = (by_cookie, by_body) if mount == COOKIE_MOUNT else (by_body, by_cookie)
    assert state(taken) == ((1, "") if endpoint == "refresh/" else (0, "logout"))
    assert state(left) == (0, "")


@pytest.mark.parametrize("header", ["Bearer rubbish", "Bearer", "Basic eDp5", "stale"])
def test_a_stale_authorization_header(caller: Caller, clock: Any, header: str) -> None:
    """Case 32: login, refresh and logout don't look at it."""
    if header == "stale":
        header = f"Bearer {again(caller).log_in().json()['access']}"
        clock.shift(timedelta(hours=1))
    extra = {"HTTP_AUTHORIZATION": header}
    r0 = log_in(caller, **extra)
    r1 = rotate(caller, r0, **extra)
    assert log_out(caller, r1, **extra).status_code == 204
    assert state(r0) == (1, "logout")


@pytest.mark.parametrize("mount", [COOKIE_MOUNT, BODY_MOUNT])
def test_a_django_session(user: Any, mount: str) -> None:
    """Case 32: a session of somebody else is not looked at, asks for no CSRF token and is left as it is."""
    caller = Caller(user, mount=mount, enforce_csrf_checks=True)
    caller.force_login(new_user())
    session = caller.cookies["sessionid"].value
    sent = {"HTTP_COOKIE": f"sessionid={session}"}
    login = caller.log_in(**sent)
    r0 = token_of(login)
    sent["HTTP_COOKIE"] += f"; {cookies(r0)}"
    assert row(r0).user_id == user.pk
    refresh = caller.send("refresh/", {"refresh": r0}, **sent)
    r1 = token_of(refresh)
    sent["HTTP_COOKIE"] = f"sessionid={session}; {cookies(r1)}"
    logout = caller.send("logout/", {"refresh": r1}, **sent)
    assert logout.status_code == 204
    assert state(r0) == (1, "logout")
    for response in (login, refresh, logout):
        assert set(response.cookies) <= {COOKIE, COMPANION}


def test_no_session_is_made(caller: Caller) -> None:
    """Case 32, the other side: none of them makes a session."""
    r0 = log_in(caller)
    rotate(caller, r0)
    log_out(caller, r0)
    assert set(caller.cookies) <= {COOKIE, COMPANION}


@options(REFRESH_THROTTLE="1/min")
def test_a_429_leaves_the_cookie(jar: Caller) -> None:
    """Case 33: too many refreshes of a family change nothing."""
    r1 = rotate(jar, log_in(jar))
    with unchanged():
        response = jar.refresh()
    assert (response.status_code, response.json()["code"]) == (429, "throttled")
    assert int(response["Retry-After"]) > 0
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    assert jar.cookie == r1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["locmem.LocMemCache", "db.DatabaseCache"])
def test_guesses_at_once(script: Caller, clock: Any, kind: str) -> None:
    """Case 37: of 64 wrong passwords for one name in the middle of a minute ten are tried."""
    guess = {script.user.USERNAME_FIELD: script.user.get_username(), "password": "wrong"}
    shared = {"BACKEND": f"django.core.cache.backends.{kind}", "LOCATION": "guesses"}
    with override_settings(CACHES={"default": shared}), options(LOGIN_THROTTLE="10/min"):
        call_command("createcachetable")
        answers = in_threads(64, lambda _: again(script).send("login/", guess))
    assert Counter((answer.status_code, answer.json()["code"]) for answer in answers) == {
        (401, "no_active_account"): 10,
        (429, "throttled"): 54,
    }
    assert {answer.get("Retry-After") for answer in answers if answer.status_code == 429} == {"45"}
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS guesses")


def test_a_403_leaves_the_cookie(jar: Caller) -> None:
    """Case 33: a cross-origin refresh changes nothing."""
    r0 = log_in(jar)
    response = jar.refresh(HTTP_SEC_FETCH_SITE="cross-site")
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    assert not response.cookies
    assert rotate(jar, jar.cookie) != r0


def test_a_500_leaves_the_cookie(jar: Caller) -> None:
    """Case 33: an error of the project changes nothing."""
    r0 = log_in(jar)
    jar.raise_request_exception = False
    with options(ACCESS_CLAIMS="tests.test_conformance.raising_claims"), unchanged():
        response = jar.refresh()
    assert response.status_code == 500
    assert not response.cookies
    assert rotate(jar, jar.cookie) != r0


@pytest.mark.django_db(transaction=True)
def test_a_503_leaves_the_cookie(jar: Caller) -> None:
    """Case 33: a family that others keep changing is a 503 with Retry-After, after four tries."""
    r0 = log_in(jar)
    tries = []

    def deadlock(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE"):
            tries.append(sql)
            raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(deadlock):
        response = jar.refresh()
    assert (response.status_code, response.json()["code"]) == (503, "rotation_conflict")
    assert int(response["Retry-After"]) > 0
    assert len(tries) == 4
    assert not response.cookies
    assert state(r0) == (0, "")
    assert rotate(jar, jar.cookie) != r0


@pytest.mark.parametrize("other", ["rubbish", "another family's", ""])
@pytest.mark.parametrize("order", [1, -1])
def test_two_cookies(jar: Caller, order: int, other: str) -> None:
    """Case 33a: of several values the one of our family counts, wherever it stands; junk is dropped."""
    r0 = log_in(jar)
    second = log_in(again(jar)) if other == "another family's" else other
    header = "; ".join([cookies(r0), "theme=dark", f"{COOKIE}={second}"][::order])
    response = jar.send("refresh/", HTTP_COOKIE=header)
    assert family_of(token_of(response)) == family_of(r0)
    assert state(r0) == (1, "")
    assert {family["revoked_reason"] for family in every_row()} == {""}


def tossed(kind: str, ours: str, theirs: str) -> str:
    """Return the Cookie header of a browser whose cookies a sibling subdomain has replaced."""
    companion = f"{COMPANION}={family_of(ours)}"
    return {
        "another family's": f"{companion}; {COOKIE}={theirs}",
        "another family's and junk": f"{COOKIE}=junk; {companion}; {COOKIE}={theirs}",
        "without a companion": f"{COOKIE}={ours}",
        "another family's without a companion": f"{COOKIE}={theirs}",
        "two families without a companion": f"{COOKIE}={ours}; {COOKIE}={theirs}",
        "a companion with a blank": f"\xa0{COMPANION}={family_of(theirs)}; {COOKIE}={theirs}",
        "two companions": f"{companion}; {COMPANION}={family_of(theirs)}; {COOKIE}={ours}; {COOKIE}={theirs}",
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "another family's",
        "another family's and junk",
        "without a companion",
        "another family's without a companion",
        "two families without a companion",
        "a companion with a blank",
        "two companions",
    ],
)
def test_tossed_cookies(jar: Caller, kind: str) -> None:
    """Case 33a: what the companion does not name is refused without a query, and nothing is revoked or cleared."""
    ours, theirs = log_in(jar), log_in(Caller(new_user(), mount=COOKIE_MOUNT))
    header = tossed(kind, ours, theirs)
    with CaptureQueriesContext(connection) as queries:
        response = again(jar).send("refresh/", HTTP_COOKIE=header)
    assert_refused(response, "invalid")
    assert not response.cookies
    assert statements(queries) == []
    assert {family["revoked_reason"] for family in every_row()} == {""}
    assert rotate(jar, ours) != ours


def test_the_same_cookie_twice(jar: Caller) -> None:
    """Case 33a, the other side: one value is one cookie, however often it comes."""
    r0 = log_in(jar)
    assert jar.send("refresh/", HTTP_COOKIE=f"{cookies(r0)}; {cookies(r0)}").status_code == 200


HOST_COOKIE = "__Host-refresh_token"
NAMES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {COOKIE, COMPANION}),
    ({"COOKIE_PATH": "/"}, {HOST_COOKIE}),
    ({"COOKIE_SECURE": False}, {"refresh_token"}),
    ({"COOKIE_SECURE": False, "COOKIE_PATH": "/"}, {"refresh_token"}),
    ({"COOKIE_DOMAIN": "example.com"}, {COOKIE}),
    ({"COOKIE_DOMAIN": "example.com", "COOKIE_PATH": "/"}, {COOKIE}),
    ({"COOKIE_NAME": "rt"}, {"rt", "__Host-rt-8eb1863cefef-sid"}),
    ({"COOKIE_NAME": "__Secure-rt"}, {"__Secure-rt", "__Host-rt-8eb1863cefef-sid"}),
    ({"COOKIE_NAME": "__Host-rt", "COOKIE_PATH": "/"}, {"__Host-rt"}),
    ({"COOKIE_NAME": "rt", "COOKIE_DOMAIN": "example.com"}, {"rt"}),
]


@pytest.mark.parametrize(("values", "names"), NAMES)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_cookie_names(jar: Caller, values: dict[str, Any], names: set[str], scheme: str) -> None:
    """Case 33a2: the name has the strongest prefix that its attributes allow, whatever the request's own scheme is."""
    extra = {"wsgi.url_scheme": scheme}
    with options(**values):
        assert set(jar.log_in(**extra).cookies) == names
        assert set(jar.refresh(**extra).cookies) == names
        assert {cookie.value for cookie in jar.send("logout/", **extra).cookies.values()} == {""}
        assert not list(check_cookie(None))


def test_a_changed_name(jar: Caller) -> None:
    """Case 33a2: under another name the old cookie is none, and its owner logs in again."""
    log_in(jar)
    with options(COOKIE_PATH="/"):
        response = jar.refresh()
        assert_refused(response, "missing")
        assert not response.cookies


@pytest.mark.parametrize(
    "blank", ["\xa0", "\x85", "\x1c", "\x1f", "\x0b", "\x0c", "\xc2\xa0", "\xe2\x80\x83", "\xe3\x80\x80"]
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_name_with_other_blanks(jar: Caller, blank: str, place: str) -> None:
    """Case 33a3: browsers strip spaces and tabs only, so a name with any other blank is not ours."""
    r0 = log_in(jar)
    name = blank + HOST_COOKIE if place == "before" else HOST_COOKIE + blank
    with options(COOKIE_PATH="/"):
        response = again(jar).send("refresh/", HTTP_COOKIE=f"{name}={r0}")
        assert_refused(response, "missing")
        assert state(r0) == (0, "")
        assert again(jar).send("logout/", HTTP_COOKIE=f"{name}={r0}").status_code == 204
        assert state(r0) == (0, "")
        assert again(jar).send("refresh/", HTTP_COOKIE=f"\t {HOST_COOKIE} \t=\t{r0} ").status_code == 200


@pytest.mark.parametrize("header", ["", f"{COMPANION}={UUID(int=7)}", f"{COOKIE}=", "theme=dark"])
def test_no_cookie_clears_nothing(jar: Caller, header: str) -> None:
    """Case 33: where no cookie of ours came, none is cleared: the one that was set meanwhile may be on its way."""
    response = jar.send("refresh/", HTTP_COOKIE=header)
    assert_refused(response, "missing")
    assert not response.cookies


@options(REFRESH_THROTTLE="60/min", LOGIN_THROTTLE="10/min")
def test_an_office_behind_one_address(db: None) -> None:
    """Case 33b: seventy people who log in and refresh within a minute are not too many."""
    for _ in range(70):
        caller = Caller(new_user(), mount=COOKIE_MOUNT, HTTP_SEC_FETCH_SITE="same-origin")
        rotate(caller, log_in(caller))


@pytest.mark.parametrize("endpoint", ["login/", "refresh/"])
@options(REFRESH_THROTTLE="60/min", LOGIN_THROTTLE="10/min")
def test_cross_site_requests_are_not_counted(browser: Caller, endpoint: str) -> None:
    """Case 33b: a foreign page uses up nobody's share."""
    r0 = log_in(browser)
    data = {browser.user.USERNAME_FIELD: browser.user.get_username(), "password": PASSWORD}
    for _ in range(61):
        response = browser.send(endpoint, data, HTTP_SEC_FETCH_SITE="cross-site")
        assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    rotate(browser, r0)
    log_in(again(browser))


@pytest.mark.parametrize("kind", ["script", "jar"])
def test_a_thief_s_access_token(kind: str, request: pytest.FixtureRequest) -> None:
    """Case 33c: an access token of a locked family ends nothing."""
    caller = request.getfixturevalue(kind)
    other = log_in(again(caller))
    r0 = log_in(caller)
    stolen = caller.refresh(r0)
    assert_refused(caller.refresh(r0), "reused")
    with unchanged():
        response = caller.send("logout/all/", **bearer(stolen.json()["access"]))
    assert_refused(response, "revoked")
    assert not response.cookies
    assert state(other) == (0, "")
    rotate(caller, other)


def test_delivery_none(user: Any) -> None:
    """Case 33d: a single token, which the logout ends for the revocable class."""
    tool = Caller(user, mount=TOOL_MOUNT)
    login = tool.log_in()
    assert login.status_code == 200
    assert set(login.json()) == {"access", "expires_in"}
    assert login["Cache-Control"] == "no-store"
    assert not login.cookies
    access = login.json()["access"]
    for route in ROUTES:
        assert tool.get(route, **bearer(access)).json()["id"] == str(user.pk)
    refresh = tool.send("refresh/", {"refresh": access}, HTTP_COOKIE=cookies(access))
    assert (refresh.status_code, refresh.json()["code"]) == (404, "not_found")
    assert state(access) == (0, "")
    logout = tool.send("logout/", **bearer(access))
    assert (logout.status_code, logout.content) == (204, b"")
    assert state(access) == (0, "logout")
    assert_refused(tool.get("/api/revocable/", **bearer(access)), "revoked")
    assert tool.send("logout/", **bearer(access)).status_code == 204


def test_delivery_none_ends_with_its_token(user: Any, clock: Any) -> None:
    """Case 33d: its family ends with the access token."""
    family = row(Caller(user, mount=TOOL_MOUNT).log_in().json()["access"])
    assert family.expires_at == family.created_at + timedelta(minutes=15)


@contextmanager
def error_reports() -> Iterator[list[str]]:
    """Collect Django's error reports, HTML and text, of what a request raises."""
    reports: list[str] = []

    def receiver(request: Any, **details: Any) -> None:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.extend([reporter.get_traceback_html(), reporter.get_traceback_text()])

    got_request_exception.connect(receiver)
    try:
        yield reports
    finally:
        got_request_exception.disconnect(receiver)


@pytest.mark.parametrize("cookie_name", [COOKIE, "rt"])
@pytest.mark.parametrize("endpoint", ["login/", "refresh/"])
@pytest.mark.parametrize(
    ("mount", "content_type"),
    [(COOKIE_MOUNT, "json"), (BODY_MOUNT, "json"), (BODY_MOUNT, URLENCODED), (BODY_MOUNT, MULTIPART)],
    ids=["cookie", "body", "urlencoded", "multipart"],
)
def test_error_reports(user: Any, mount: str, content_type: str, endpoint: str, cookie_name: str) -> None:
    """Case 33e: a claims hook that raises is a 500 whose report holds no token, and R0 stays good."""
    caller = Caller(user, mount=mount)
    other = Caller(user, mount=BODY_MOUNT)
    login = other.log_in().json()
    r0, access = login["refresh"], login["access"]
    data = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD, "refresh": r0}
    companion = COMPANION.replace("refresh_token", cookie_name.removeprefix("__Secure-"))
    headers = {
        "HTTP_COOKIE": f"{cookie_name}={r0}; {companion}={family_of(r0)}",
        "HTTP_IDEMPOTENCY_KEY": KEY,
        **bearer(access),
    }
    before = every_row()
    caller.raise_request_exception = False
    with (
        options(ACCESS_CLAIMS="tests.test_conformance.raising_claims", COOKIE_NAME=cookie_name),
        error_reports() as found,
    ):
        if content_type == "json":
            response = caller.send(endpoint, data, **headers)
        else:
            response = post_form(caller, endpoint, data, content_type, **headers)
    assert response.status_code == 500
    assert not response.cookies
    assert len(found) == 2
    for report in found:
        assert "the source of the claims is down" in report
        for secret in (r0, access, *r0.split(".")[1:], *access.split(".")[1:], PASSWORD, KEY):
            assert secret not in report
        for name in ("ACCESS_SECRET", "REFRESH_SECRET"):
            assert str(settings.TWOTOKEN[name]) not in report
    assert every_row() == before
    assert rotate(other, r0) != r0
    assert state(r0) == (1, "")


def test_the_api_after_logout(script: Caller, clock: Any) -> None:
    """Case 34: an access token lives on until it expires, but for the revocable class."""
    clock.move_to(datetime(2031, 5, 4, 12, 0, tzinfo=UTC))
    login = script.log_in()
    header = bearer(login.json()["access"])
    assert log_out(script, token_of(login)).status_code == 204
    for later in (timedelta(), timedelta(minutes=14, seconds=59)):
        clock.move_to(datetime(2031, 5, 4, 12, 0, tzinfo=UTC) + later)
        assert script.get("/api/me/", **header).status_code == 200
        assert script.get("/api/stateless/", **header).status_code == 200
        assert_refused(script.get("/api/revocable/", **header), "revoked")
    clock.shift(timedelta(seconds=1))
    for route in ROUTES:
        assert_refused(script.get(route, **header), "expired")


# Statements.


@pytest.mark.parametrize("key", [None, KEY])
def test_statements_of_a_refresh(caller: Caller, key: str | None) -> None:
    """Case 35: one SELECT and one UPDATE, no transaction."""
    r0 = log_in(caller)
    with CaptureQueriesContext(connection) as queries:
        rotate(caller, r0, key)
    assert statements(queries) == ["SELECT", "UPDATE"]


@pytest.mark.django_db(transaction=True)
def test_statements_of_a_refresh_in_autocommit(script: Caller) -> None:
    """Case 35 as in production, where a transaction would show as a BEGIN."""
    r0 = log_in(script)
    with CaptureQueriesContext(connection) as queries:
        rotate(script, r0)
    assert statements(queries) == ["SELECT", "UPDATE"]


@pytest.mark.django_db(transaction=True)
def test_statements_of_a_replay(script: Caller) -> None:
    """Case 35 for a replay: one SELECT, one UPDATE that revokes, and its one event; later ones find it revoked."""
    r0 = log_in(script)
    rotate(script, r0)
    with CaptureQueriesContext(connection) as queries:
        assert_refused(script.refresh(r0), "reused")
    assert statements(queries) == ["SELECT", "UPDATE", "INSERT"]
    with CaptureQueriesContext(connection) as queries:
        assert_refused(script.refresh(r0), "revoked")
    assert statements(queries) == ["SELECT"]


def test_statements_of_a_login(caller: Caller) -> None:
    """Case 35 for a login: our own part is one INSERT; the user and its last login are Django's."""
    with CaptureQueriesContext(connection) as queries:
        log_in(caller)
    assert statements(queries) == ["SELECT", "UPDATE", "INSERT"]
    table = RefreshToken._meta.db_table
    assert [table in query["sql"] for query in queries.captured_queries] == [False, False, True]


@pytest.mark.parametrize(("route", "expected"), [*zip(ROUTES, [["SELECT"], [], ["SELECT"]], strict=True)])
def test_statements_of_a_route(script: Caller, route: str, expected: list[str]) -> None:
    """Case 35 for an authenticated request: 1, 0 and 1, by class."""
    header = bearer(script.log_in().json()["access"])
    with CaptureQueriesContext(connection) as queries:
        assert script.get(route, **header).status_code == 200
    assert statements(queries) == expected


# Bad input.


def test_login_with_a_live_cookie(jar: Caller) -> None:
    """A login that overwrites a live cookie ends its family, as replaced."""
    r0 = log_in(jar)
    r1 = rotate(jar, r0)
    with received(reuse_detected) as reuses:
        new = log_in(jar)
    assert reuses == []
    assert state(r0) == (1, RevokedReason.REPLACED)
    assert_refused(again(jar).refresh(r1), "revoked")
    assert state(new) == (0, "")
    rotate(jar, new)


@pytest.mark.parametrize("cookie", ["rubbish", "rotated-out", "failed"])
def test_login_with_another_cookie(jar: Caller, cookie: str) -> None:
    """A login takes any cookie of ours for replaced, rubbish for none, and ends nothing where it fails."""
    r0 = log_in(jar)
    rotate(jar, r0)
    data = {jar.user.USERNAME_FIELD: jar.user.get_username(), "password": "no" if cookie == "failed" else PASSWORD}
    response = jar.send("login/", data, HTTP_COOKIE=f"{COOKIE}={'x' if cookie == 'rubbish' else r0}")
    assert response.status_code == (401 if cookie == "failed" else 200)
    assert state(r0) == (1, "replaced" if cookie == "rotated-out" else "")


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"null", b"{", b"[" * 100_000, b"\xff", b"", b"{}"])
@pytest.mark.parametrize("mount", [COOKIE_MOUNT, BODY_MOUNT, TOOL_MOUNT])
def test_login_with_json_that_is_no_object(user: Any, mount: str, body: bytes) -> None:
    """A login without credentials is a 400 at no query."""
    with CaptureQueriesContext(connection) as queries:
        response = post_raw(Caller(user, mount=mount), f"{mount}login/", body, "application/json")
    assert response.status_code == 400, response.content
    assert set(response.json()) & {"password", "non_field_errors", "code"}
    assert response["Cache-Control"] == "no-store"
    assert statements(queries) == []


@pytest.mark.parametrize("value", [None, 1, True, [], {}, "", "\x00", "a\x00b", "x" * 1_000_000])
@pytest.mark.parametrize("field", ["name", "password"])
def test_login_with_odd_values(script: Caller, field: str, value: Any) -> None:
    """A login with values that are no credentials is a 400 or the usual 401, never a 5xx."""
    name = script.user.USERNAME_FIELD
    data = {name: script.user.get_username(), "password": PASSWORD}
    data[name if field == "name" else "password"] = value
    response = script.send("login/", data)
    assert response.status_code in {400, 401}, response.content
    if response.status_code == 401:
        assert response.json()["code"] == "no_active_account"
    assert not RefreshToken.objects.exists()


def test_a_body_of_a_megabyte(script: Caller) -> None:
    """A megabyte is read and refused: as a token 401, beside the token ignored."""
    r0 = log_in(script)
    with CaptureQueriesContext(connection) as queries:
        assert_refused(script.refresh("x" * 1_000_000), "invalid")
    assert statements(queries) == []
    assert script.send("refresh/", {"refresh": r0, "x": "x" * 1_000_000}).status_code == 200


@pytest.mark.parametrize(
    "accept", ["image/png", "application/xml", "text/html", "rubbish", "application/json; v=9", ""]
)
def test_an_accept_that_can_t_be_met(caller: Caller, accept: str) -> None:
    """The answer is JSON whatever is asked for."""
    r0 = log_in(caller, HTTP_ACCEPT=accept)
    response = caller.refresh(r0, HTTP_ACCEPT=accept)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    refused = caller.refresh("rubbish", HTTP_ACCEPT=accept)
    assert_refused(refused, "invalid")
    assert refused["Content-Type"] == "application/json"
    assert log_out(caller, r0, HTTP_ACCEPT=accept).status_code == 204


@pytest.mark.parametrize("endpoint", ["login/", "refresh/"])
@pytest.mark.parametrize("content_type", ["application/xml", "text/plain", "rubbish", ""])
def test_a_wrong_content_type(script: Caller, endpoint: str, content_type: str) -> None:
    """What is neither JSON nor a form is a 415 at no query."""
    r0 = log_in(script)
    body = json.dumps({script.user.USERNAME_FIELD: "x", "password": "x", "refresh": r0}).encode()
    with CaptureQueriesContext(connection) as queries:
        response = post_raw(script, BODY_MOUNT + endpoint, body, content_type)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert response["Cache-Control"] == "no-store"
    assert statements(queries) == []
    assert state(r0) == (0, "")


@pytest.mark.parametrize("content_type", [URLENCODED, MULTIPART], ids=["urlencoded", "multipart"])
def test_an_access_token_in_a_form(script: Caller, content_type: str) -> None:
    """It counts in the Authorization header alone (RFC 6750 section 2.2 is not for us)."""
    login = script.log_in().json()
    sent = {"access_token": login["access"], "access": login["access"]}
    assert_refused(post_form(script, "logout/all/", sent, content_type), "missing")
    assert post_form(script, "logout/", sent, content_type).status_code == 400
    assert state(login["refresh"]) == (0, "")


def test_a_wrong_content_type_at_a_cookie_mount(jar: Caller) -> None:
    """A refresh by cookie reads no body, whatever its type."""
    log_in(jar)
    assert post_raw(jar, f"{COOKIE_MOUNT}refresh/", b"x", "text/plain").status_code == 200
