"""The life of a token family over HTTP: rotation, retries, reuse, ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from tests.factories import PASSWORD, UserFactory
from tests.http import Caller
from twotoken.models import RefreshToken
from twotoken.signals import reuse_detected
from twotoken.testing import time_travel

KEY = "a-key-of-some-length"


def settings_with(**values: Any) -> Any:
    """Override keys of TWOTOKEN, keeping the others."""
    return override_settings(TWOTOKEN={**settings.TWOTOKEN, **values})


def bearer(access: str) -> Any:
    """Return the header that carries an access token."""
    return {"HTTP_AUTHORIZATION": f"Bearer {access}"}


def assert_refused(response: Any, reason: str) -> None:
    """Hold a 401 of a token to its contract."""
    assert response.status_code == 401, response.content
    assert response.json()["code"] == "token_not_valid"
    assert response.json()["reason"] == reason
    assert response["WWW-Authenticate"].startswith('Bearer realm="api"')
    if "/auth/" in response.wsgi_request.path:
        assert response["Cache-Control"] == "no-store"


def test_login_sets_a_cookie_with_every_flag(browser: Caller) -> None:
    """Case 1: the refresh token is in the cookie alone."""
    response = browser.log_in()
    assert response.status_code == 200
    assert set(response.json()) == {"access", "expires_in"}
    assert response["Cache-Control"] == "no-store"
    morsel = response.cookies["refresh_token"]
    assert morsel["httponly"]
    assert morsel["secure"]
    assert (morsel["samesite"], morsel["path"], morsel["max-age"]) == ("Strict", "/api/auth/", 7 * 24 * 3600)


@pytest.mark.parametrize("wrong", ["unknown", "password", "inactive"])
def test_failed_logins_look_the_same(script: Caller, wrong: str) -> None:
    """Case 2: a caller can't tell an unknown account from a wrong password or an inactive one."""
    name = script.user.get_username()
    if wrong == "inactive":
        get_user_model().objects.update(is_active=False)
    data = {
        script.user.USERNAME_FIELD: "nobody@example.com" if wrong == "unknown" else name,
        "password": "wrong" if wrong == "password" else PASSWORD,
    }
    response = script.send("login/", data)
    assert response.status_code == 401
    assert response.json() == {
        "detail": "No active account found with the given credentials.",
        "code": "no_active_account",
    }
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'
    assert not RefreshToken.objects.exists()


def test_many_rotations_keep_one_row(script: Caller) -> None:
    """Cases 3 and 4: each refresh gives another pair, and storage does not grow."""
    first = script.log_in().json()
    token, seen = first["refresh"], {first["refresh"]}
    for _ in range(128):
        answer = script.refresh(token).json()
        assert answer["access"] != first["access"]
        token = answer["refresh"]
        seen.add(token)
    assert len(seen) == 129
    assert RefreshToken.objects.get().generation == 128


@pytest.mark.parametrize("caller", ["script", "jar"])
def test_reuse_ends_the_family_once(caller: str, request: pytest.FixtureRequest) -> None:
    """Case 5: the old token is reuse, the new one is dead, and one signal tells."""
    client: Caller = request.getfixturevalue(caller)
    heard: list[dict[str, Any]] = []

    def hear(**kwargs: Any) -> None:
        heard.append(kwargs)

    reuse_detected.connect(hear)
    try:
        first = client.log_in()
        r0 = first.json().get("refresh") or client.cookie
        second = client.refresh(r0)
        r1 = second.json().get("refresh") or client.cookie
        assert_refused(client.refresh(r0), "reused")
        assert_refused(client.refresh(r1), "revoked")
        assert_refused(client.refresh(r0), "revoked")
    finally:
        reuse_detected.disconnect(hear)
    assert RefreshToken.objects.get().revoked_reason == "reuse"
    assert [(call["generation"], call["current_generation"]) for call in heard] == [(0, 1)]


@pytest.mark.parametrize("later", [timedelta(), timedelta(days=1)])
@pytest.mark.parametrize("quoted", [False, True])
def test_a_key_gets_the_same_answer_again(script: Caller, later: timedelta, quoted: bool) -> None:
    """Case 6: the very same refresh token, at once and a day later, and nothing is written."""
    r0 = script.log_in().json()["refresh"]
    r1 = script.refresh(r0, KEY).json()["refresh"]
    before = RefreshToken.objects.values().get()
    with time_travel(later):
        again = script.refresh(r0, f'"{KEY}"' if quoted else KEY)
    assert (again.status_code, again.json()["refresh"]) == (200, r1)
    assert RefreshToken.objects.values().get() == before


@pytest.mark.parametrize("key", [None, "another-key"])
def test_another_key_or_none_is_reuse(script: Caller, key: str | None) -> None:
    """Case 7."""
    r0 = script.log_in().json()["refresh"]
    script.refresh(r0, KEY)
    assert_refused(script.refresh(r0, key), "reused")


@pytest.mark.parametrize("key", ["", "1234567", "x" * 256, "with space", 'a"quote"', '"unclosed', "schlüssel"])
def test_a_bad_key_is_refused_before_anything(script: Caller, key: str) -> None:
    """Case 7a: 400, and nothing rotates."""
    r0 = script.log_in().json()["refresh"]
    with CaptureQueriesContext(connection) as queries:
        response = script.refresh(r0, key)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_idempotency_key")
    assert len(queries) == 0
    assert script.refresh(r0).status_code == 200


def test_only_the_last_step_is_retried(script: Caller) -> None:
    """Case 8: a key that made two rotations names the last."""
    r0 = script.log_in().json()["refresh"]
    r1 = script.refresh(r0, KEY).json()["refresh"]
    with time_travel(timedelta(minutes=2)):
        assert script.refresh(r1, KEY).status_code == 200
        assert_refused(script.refresh(r0, KEY), "reused")


def test_a_key_repeats_the_current_token_for_a_minute(script: Caller) -> None:
    """Case 8a."""
    r0 = script.log_in().json()["refresh"]
    r1 = script.refresh(r0, KEY).json()["refresh"]
    with time_travel(timedelta(seconds=58)):
        assert script.refresh(r1, KEY).json()["refresh"] == r1
    with time_travel(timedelta(seconds=61)):
        assert script.refresh(r1, KEY).json()["refresh"] != r1
    assert RefreshToken.objects.get().generation == 2


@pytest.mark.parametrize(("seconds", "status"), [(9, 200), (11, 401)])
def test_a_browser_has_its_grace(browser: Caller, seconds: int, status: int) -> None:
    """Cases 9 and 10: within ten seconds the same answer again, after them reuse."""
    browser.log_in()
    r0 = browser.cookie
    browser.refresh()
    r1 = browser.cookie
    with time_travel(timedelta(seconds=seconds)):
        response = browser.refresh(r0)
    assert response.status_code == status
    if status == 200:
        assert response.cookies["refresh_token"].value == r1
    else:
        assert_refused(response, "reused")
        assert response.cookies["refresh_token"]["max-age"] == 0


def test_a_browser_repeats_the_current_token_without_a_cookie(browser: Caller) -> None:
    """Case 10a: for twice the grace, and no late answer can put an older token back."""
    browser.log_in()
    browser.refresh()
    r1 = browser.cookie
    with time_travel(timedelta(seconds=19)):
        response = browser.refresh(r1)
        assert response.status_code == 200
        assert "refresh_token" not in response.cookies
    with time_travel(timedelta(seconds=21)):
        assert browser.refresh(r1).cookies["refresh_token"].value != r1


def test_a_thief_who_poses_as_a_browser_gains_nothing(jar: Caller) -> None:
    """Case 10b: the row remembers what grace its rotation granted."""
    jar.log_in()
    r0 = jar.cookie
    jar.refresh()
    assert_refused(jar.refresh(r0, HTTP_SEC_FETCH_SITE="same-origin"), "reused")


@pytest.mark.parametrize("days", [0, 8])
def test_a_much_older_token_is_reuse(script: Caller, days: int) -> None:
    """Case 12: past its own ``exp`` too, while the family lives."""
    token = script.log_in().json()["refresh"]
    tokens = [token]
    for number in range(50):
        with time_travel(timedelta(days=days * number / 50)):
            token = script.refresh(token).json()["refresh"]
            tokens.append(token)
    with time_travel(timedelta(days=days)):
        assert_refused(script.refresh(tokens[3]), "reused")
        assert_refused(script.refresh(tokens[50]), "revoked")


def in_parallel(count: int, call: Any) -> list[Any]:
    """Call in so many threads at once, each with connections of its own."""

    def run(number: int) -> Any:
        try:
            return call(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def at(caller: Caller) -> Caller:
    """Return a caller of the same mount with a jar of its own."""
    return Caller(caller.user, mount=caller.mount)


@pytest.mark.django_db(transaction=True)
def test_parallel_refreshes_with_one_key(script: Caller) -> None:
    """Case 13: one rotation, twenty equal answers."""
    r0 = script.log_in().json()["refresh"]
    answers = in_parallel(20, lambda _: at(script).refresh(r0, KEY))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh"] for answer in answers}) == 1
    assert RefreshToken.objects.get().generation == 1


@pytest.mark.django_db(transaction=True)
def test_parallel_refreshes_without_a_key(script: Caller) -> None:
    """Case 14: at most one is answered, and the family ends."""
    r0 = script.log_in().json()["refresh"]
    codes = [answer.status_code for answer in in_parallel(20, lambda _: at(script).refresh(r0))]
    assert codes.count(200) <= 1
    assert codes.count(401) >= 19
    assert RefreshToken.objects.get().revoked_reason == "reuse"


@pytest.mark.django_db(transaction=True)
def test_tabs_don_t_sign_each_other_out(browser: Caller) -> None:
    """Case 11: ten tabs on one cookie, and the jar works afterwards, whichever answer came last."""
    browser.log_in()
    r0 = browser.cookie
    site = {"HTTP_SEC_FETCH_SITE": "same-origin"}
    answers = in_parallel(10, lambda _: at(browser).refresh(r0, **site))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.cookies["refresh_token"].value for answer in answers}) == 1
    assert browser.refresh(answers[-1].cookies["refresh_token"].value).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_nothing_survives_a_logout_that_races_a_refresh(script: Caller) -> None:
    """Case 15: whoever is faster, the family is over."""
    for _ in range(25):
        r0 = script.log_in().json()["refresh"]

        def race(number: int, token: str = r0) -> Any:
            caller = at(script)
            return caller.refresh(token) if number else caller.send("logout/", {"refresh": token})

        logout, refresh = in_parallel(2, race)
        assert logout.status_code == 204
        assert refresh.status_code in {200, 401}
        assert_refused(script.refresh(refresh.json().get("refresh", r0)), "revoked")
        assert_refused(script.refresh(r0), "revoked")


def test_logout_ends_the_family(script: Caller) -> None:
    """Case 16, and by a token that was rotated out as well."""
    r0 = script.log_in().json()["refresh"]
    r1 = script.refresh(r0).json()["refresh"]
    assert script.send("logout/", {"refresh": r0}).status_code == 204
    assert_refused(script.refresh(r1), "revoked")
    assert RefreshToken.objects.get().revoked_reason == "logout"


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"[]", b'{"refresh": 5}', b'{"refresh": "x"}', b"\xff"])
@pytest.mark.parametrize("mount", ["/api/auth/", "/api/app/auth/", "/api/tool/auth/"])
def test_logout_is_204_whatever_is_sent(db: None, client: Any, body: bytes, mount: str) -> None:
    """Case 17: any body, type or Accept; on a cookie mount the cookie is cleared."""
    headers = {"Accept": "text/xml", "Authorization": "Bearer x"}
    response = client.post(mount + "logout/", body, content_type="text/strange", headers=headers)
    assert response.status_code == 204
    assert ("refresh_token" in response.cookies) == (mount == "/api/auth/")


def test_logout_all(script: Caller) -> None:
    """Case 18: three families end, another user's stays."""
    pairs = [script.log_in().json() for _ in range(3)]
    other = Caller(UserFactory(), mount=script.mount)
    kept = other.log_in().json()["refresh"]
    assert script.send("logout/all/", **bearer(pairs[0]["access"])).status_code == 204
    for pair in pairs:
        assert_refused(script.refresh(pair["refresh"]), "revoked")
    assert other.refresh(kept).status_code == 200


@pytest.mark.parametrize(("scope", "status"), [("family", 200), ("user", 401)])
def test_reuse_ends_what_is_set(script: Caller, scope: str, status: int) -> None:
    """Case 19."""
    with settings_with(REVOKE_ON_REUSE=scope):
        a0, b0 = (script.log_in().json()["refresh"] for _ in range(2))
        script.refresh(a0)
        assert_refused(script.refresh(a0), "reused")
        assert script.refresh(b0).status_code == status


def test_an_inactive_user(script: Caller) -> None:
    """Case 21: refused everywhere, and reactivating does not revive the family."""
    pair = script.log_in().json()
    users = get_user_model().objects
    users.update(is_active=False)
    for route in ("me", "revocable"):
        assert_refused(script.get(f"/api/{route}/", **bearer(pair["access"])), "user_inactive")
    assert_refused(script.refresh(pair["refresh"]), "user_inactive")
    users.update(is_active=True)
    assert_refused(script.refresh(pair["refresh"]), "revoked")
    assert RefreshToken.objects.get().revoked_reason == "user_inactive"


def test_a_deleted_user(script: Caller) -> None:
    """Case 21: refused everywhere, and never an error of the server."""
    pair = script.log_in().json()
    get_user_model().objects.all().delete()
    assert_refused(script.refresh(pair["refresh"]), "invalid")
    assert_refused(script.get("/api/me/", **bearer(pair["access"])), "user_inactive")
    assert_refused(script.get("/api/revocable/", **bearer(pair["access"])), "revoked")


def test_a_changed_password(script: Caller) -> None:
    """Case 22: it ends the family at its next refresh, and counts at once for the revocable class."""
    pair = script.log_in().json()
    get_user_model().objects.update(password="!")
    assert_refused(script.get("/api/revocable/", **bearer(pair["access"])), "password_changed")
    assert_refused(script.refresh(pair["refresh"]), "password_changed")
    assert_refused(script.refresh(pair["refresh"]), "revoked")


def test_limits_to_the_microsecond(script: Caller) -> None:
    """Case 23: exactly at the limit is over, and rotation does not move the absolute one."""
    with (
        time_machine.travel("2026-01-01T00:00:00Z", tick=False) as clock,
        settings_with(REFRESH_LIFETIME=timedelta(days=7), FAMILY_LIFETIME=timedelta(days=10)),
    ):
        idle = script.log_in().json()["refresh"]
        used = script.log_in().json()["refresh"]
        clock.shift(timedelta(days=7) - timedelta(microseconds=1))
        answer = script.refresh(used)
        assert answer.status_code == 200
        clock.shift(timedelta(microseconds=1))
        assert_refused(script.refresh(idle), "expired")
        clock.shift(timedelta(days=3) - timedelta(microseconds=1))
        answer = script.refresh(answer.json()["refresh"])
        assert answer.status_code == 200
        clock.shift(timedelta(microseconds=1))
        assert_refused(script.refresh(answer.json()["refresh"]), "expired")


HOSTILE = ["x", "a.b.c", "\x00", "ü.ü.ü", "x" * 10_240, "W1tb" * 1000 + ".e30.x"]


@pytest.mark.parametrize("token", HOSTILE)
def test_a_hostile_token_costs_no_query(script: Caller, token: str) -> None:
    """Case 24: 401 ``invalid`` and the family lives."""
    r0 = script.log_in().json()["refresh"]
    with CaptureQueriesContext(connection) as queries:
        assert_refused(script.refresh(token), "invalid")
    assert len(queries) == 0
    assert script.refresh(r0).status_code == 200


def test_half_a_character_is_refused(script: Caller) -> None:
    """Case 24: a lone surrogate, which JSON can carry, is no token."""
    response = script.post(script.mount + "refresh/", b'{"refresh": "\\ud800"}', content_type="application/json")
    assert_refused(response, "invalid")


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_flipped_bit_is_refused(script: Caller, part: int) -> None:
    """Case 24: in any part, at any of its ends."""
    r0 = script.log_in().json()["refresh"]
    for position in (0, -1):
        parts = r0.split(".")
        letters = list(parts[part])
        letters[position] = chr(ord(letters[position]) ^ 1)
        parts[part] = "".join(letters)
        with CaptureQueriesContext(connection) as queries:
            assert_refused(script.refresh(".".join(parts)), "invalid")
        assert len(queries) == 0
    assert script.refresh(r0).status_code == 200


@pytest.mark.parametrize(
    "body", [b"{}", b'{"refresh": null}', b'{"refresh": 1}', b'{"refresh": []}', b"[" * 100_000, b"5"]
)
def test_a_body_without_a_token_is_a_400(script: Caller, body: bytes) -> None:
    """Case 24: where ``refresh`` is missing or no string."""
    response = script.post(script.mount + "refresh/", body, content_type="application/json")
    assert response.status_code == 400


def test_the_two_tokens_can_t_stand_in_for_each_other(script: Caller) -> None:
    """Case 25."""
    pair = script.log_in().json()
    assert_refused(script.refresh(pair["access"]), "invalid")
    for route in ("me", "stateless", "revocable"):
        assert_refused(script.get(f"/api/{route}/", **bearer(pair["refresh"])), "invalid")


def test_keys_rotate(script: Caller) -> None:
    """Case 26: what the old key signed is good until it ends, and new tokens are signed by the new one."""
    pair = script.log_in().json()
    new = {"ACCESS_SECRET": "n" * 32, "REFRESH_SECRET": "m" * 32}
    both = {key: [value, settings.TWOTOKEN[key]] for key, value in new.items()}
    with settings_with(**both):
        assert script.get("/api/me/", **bearer(pair["access"])).status_code == 200
        pair = script.refresh(pair["refresh"]).json()
    with settings_with(**new):
        assert script.get("/api/me/", **bearer(pair["access"])).status_code == 200
        assert script.refresh(pair["refresh"]).status_code == 200


def test_a_401_of_a_route_says_why(script: Caller) -> None:
    """Case 27: the realm alone without credentials, the error with them."""
    response = script.get("/api/me/")
    assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    access = script.log_in().json()["access"]
    with time_travel(timedelta(minutes=16)):
        response = script.get("/api/me/", **bearer(access))
    assert_refused(response, "expired")
    assert response["WWW-Authenticate"] == (
        'Bearer realm="api", error="invalid_token", error_description="The token has expired."'
    )
    assert_refused(script.get("/api/me/", HTTP_AUTHORIZATION="Bearer a b"), "invalid")
    assert script.get("/api/me/", HTTP_AUTHORIZATION="Basic eDp5").json() == {
        "detail": "Authentication credentials were not provided."
    }


FOREIGN = [
    {"HTTP_SEC_FETCH_SITE": "cross-site"},
    {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_ORIGIN": "https://other.example.com"},
    {"HTTP_ORIGIN": "https://evil.example"},
    {"HTTP_ORIGIN": "null"},
]
OWN = [
    {"HTTP_SEC_FETCH_SITE": "same-origin"},
    {"HTTP_SEC_FETCH_SITE": "none"},
    {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "https://app.example.com"},
    {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_ORIGIN": "https://a.wild.example.com"},
    {"HTTP_ORIGIN": "http://testserver"},
    {},
]
TRUSTED = override_settings(CSRF_TRUSTED_ORIGINS=["https://app.example.com", "https://*.wild.example.com"])


@TRUSTED
@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["login/", "refresh/", "logout/"])
def test_cross_origin_requests_change_nothing(jar: Caller, headers: dict[str, str], path: str) -> None:
    """Case 28: 403, state and cookie untouched."""
    jar.log_in()
    with CaptureQueriesContext(connection) as queries:
        response = jar.send(path, {}, **headers)
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    assert len(queries) == 0
    assert "refresh_token" not in response.cookies
    assert jar.refresh().status_code == 200


@TRUSTED
@pytest.mark.parametrize("headers", OWN)
def test_own_and_trusted_origins_pass(jar: Caller, headers: dict[str, str]) -> None:
    """Case 29."""
    assert jar.log_in(**headers).status_code == 200
    assert jar.refresh(**headers).status_code == 200


@pytest.mark.parametrize("path", ["login/", "refresh/", "logout/"])
def test_get_is_405(jar: Caller, path: str) -> None:
    """Case 30."""
    jar.log_in()
    response = jar.get(jar.mount + path)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert jar.refresh().status_code == 200


def test_each_mount_reads_its_own_delivery(jar: Caller, script: Caller) -> None:
    """Case 31: a body token at a cookie mount and a cookie at a body mount are ignored."""
    token = script.log_in().json()["refresh"]
    assert_refused(jar.send("refresh/", {"refresh": token}), "missing")
    response = script.send("refresh/", HTTP_COOKIE=f"refresh_token={token}")
    assert (response.status_code, response.json()) == (400, {"refresh": ["This field is required."]})
    assert script.refresh(token, HTTP_COOKIE="refresh_token=rubbish").status_code == 200


def test_other_credentials_are_ignored(jar: Caller) -> None:
    """Case 32: a stale Authorization header or a Django session."""
    jar.force_login(jar.user)
    stale = bearer("stale")
    assert jar.log_in(**stale).status_code == 200
    assert jar.refresh(**stale).status_code == 200
    assert jar.send("logout/", **stale).status_code == 204


def test_a_429_leaves_the_cookie_alone(jar: Caller) -> None:
    """Case 33."""
    with settings_with(REFRESH_THROTTLE="1/min"):
        jar.log_in()
        assert jar.refresh().status_code == 200
        response = jar.refresh()
    assert (response.status_code, response.json()["code"]) == (429, "throttled")
    assert int(response["Retry-After"]) > 0
    assert "refresh_token" not in response.cookies


def test_two_cookies_end_nothing(jar: Caller) -> None:
    """Case 33a: 401 ``invalid``, no query, nothing cleared."""
    jar.log_in()
    token = jar.cookie
    with CaptureQueriesContext(connection) as queries:
        response = jar.send("refresh/", HTTP_COOKIE=f"refresh_token={token}; refresh_token=other")
    assert_refused(response, "invalid")
    assert len(queries) == 0
    assert "refresh_token" not in response.cookies
    same = f"refresh_token={token}; refresh_token={token}"
    assert jar.send("refresh/", HTTP_COOKIE=same).status_code == 200


def test_many_people_behind_one_address(db: None) -> None:
    """Case 33b: seventy families refresh, and cross-site requests don't count."""
    with settings_with(REFRESH_THROTTLE="60/min", LOGIN_THROTTLE="10/min"):
        people = [Caller(UserFactory(), mount="/api/auth/") for _ in range(70)]
        assert {person.log_in().status_code for person in people} == {200}
        assert {person.refresh().status_code for person in people} == {200}
        person = people[0]
        for _ in range(61):
            assert person.refresh(HTTP_SEC_FETCH_SITE="cross-site").status_code == 403
        assert person.refresh().status_code == 200


def test_the_login_throttle_is_per_address_and_name(script: Caller) -> None:
    """The name is folded, and another account's success resets nothing."""
    with settings_with(LOGIN_THROTTLE="2/min"):
        field = script.user.USERNAME_FIELD
        name = script.user.get_username()
        for variant in (name, name.upper()):
            assert script.send("login/", {field: variant, "password": "wrong"}).status_code == 401
        assert Caller(UserFactory(), mount=script.mount).log_in().status_code == 200
        response = script.log_in()
        assert response.status_code == 429
        assert int(response["Retry-After"]) > 0
        assert script.log_in(REMOTE_ADDR="192.0.2.7").status_code == 200


def test_a_thief_s_access_token_after_the_lock(script: Caller) -> None:
    """Case 33c: an access token of a locked family does nothing at ``logout/all/``."""
    thief = script.log_in().json()
    owner = script.log_in().json()["refresh"]
    script.refresh(thief["refresh"])
    assert_refused(script.refresh(thief["refresh"]), "reused")
    assert_refused(script.send("logout/all/", **bearer(thief["access"])), "revoked")
    assert script.refresh(owner).status_code == 200
    response = script.send("logout/all/")
    assert_refused(response, "missing")


def test_the_single_token(user: Any) -> None:
    """Case 33d: delivery ``none``."""
    tool = Caller(user, mount="/api/tool/auth/")
    answer = tool.log_in()
    assert set(answer.json()) == {"access", "expires_in"}
    assert not answer.cookies
    access = bearer(answer.json()["access"])
    assert tool.get("/api/revocable/", **access).status_code == 200
    assert tool.send("refresh/").status_code == 404
    assert tool.send("logout/", **access).status_code == 204
    assert_refused(tool.get("/api/revocable/", **access), "revoked")
    assert tool.send("logout/").status_code == 204
    family = RefreshToken.objects.get()
    assert family.expires_at is not None
    assert family.expires_at - family.created_at == timedelta(minutes=15)


def test_the_api_after_logout(script: Caller) -> None:
    """Case 34: only the revocable class knows at once."""
    pair = script.log_in().json()
    script.send("logout/", {"refresh": pair["refresh"]})
    for route, status in (("me", 200), ("stateless", 200), ("revocable", 401)):
        assert script.get(f"/api/{route}/", **bearer(pair["access"])).status_code == status


def statements(queries: CaptureQueriesContext) -> list[str]:
    """Return the first word of each statement."""
    return [query["sql"].split()[0] for query in queries.captured_queries]


@pytest.mark.django_db(transaction=True)
def test_statement_counts(script: Caller) -> None:
    """Case 35: what each operation costs; no transaction anywhere."""
    with CaptureQueriesContext(connection) as queries:
        pair = script.log_in().json()
    # Django's own: the user, and last_login.
    assert statements(queries) == ["SELECT", "UPDATE", "INSERT"]
    for route, count in (("me", 1), ("stateless", 0), ("revocable", 1)):
        with CaptureQueriesContext(connection) as queries:
            assert script.get(f"/api/{route}/", **bearer(pair["access"])).status_code == 200
        assert statements(queries) == ["SELECT"] * count
    with CaptureQueriesContext(connection) as queries:
        assert script.refresh(pair["refresh"], KEY).status_code == 200
    assert statements(queries) == ["SELECT", "UPDATE"]
    with CaptureQueriesContext(connection) as queries:
        assert script.refresh(pair["refresh"], KEY).status_code == 200
    assert statements(queries) == ["SELECT"]
    with CaptureQueriesContext(connection) as queries:
        assert_refused(script.refresh(pair["refresh"]), "reused")
    assert statements(queries) == ["SELECT", "UPDATE"]


def test_a_login_replaces_the_cookie_s_family(jar: Caller) -> None:
    """A login that comes with a live refresh cookie ends that family."""
    jar.log_in()
    token = jar.cookie
    assert jar.log_in().status_code == 200
    assert RefreshToken.objects.get(revoked_at__isnull=False).revoked_reason == "replaced"
    assert_refused(jar.refresh(token), "revoked")


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b"{", b"[" * 100_000, b'{"password": "x"}', b"\xff", b"NaN"])
def test_a_bad_login_body_is_a_400(db: None, client: Any, body: bytes) -> None:
    """JSON that is no object, no JSON at all, or fields that are missing."""
    response = client.post("/api/app/auth/login/", body, content_type="application/json")
    assert response.status_code == 400
    assert response["Cache-Control"] == "no-store"


def test_a_huge_body(script: Caller) -> None:
    """A megabyte is refused for what is in it, more than Django's limit for its size."""
    field = script.user.USERNAME_FIELD
    response = script.send("login/", {field: "x" * 1_000_000, "password": "x" * 1_000_000})
    assert response.status_code == 400
    assert set(response.json()) == {field, "password"}
    assert_refused(script.refresh("x" * 1_000_000), "invalid")
    assert script.refresh("x" * 3_000_000).status_code == 400
