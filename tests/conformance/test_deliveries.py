"""Deliveries: where requests carry tokens, and which other credentials are ignored."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from tests.conformance.helpers import (
    BODY_MOUNT,
    KEY,
    MULTIPART,
    ROUTES,
    TOOL_MOUNT,
    URLENCODED,
    again,
    assert_refused,
    bearer,
    error_reports,
    every_row,
    in_threads,
    log_in,
    log_out,
    new_user,
    post_form,
    rotate,
    row,
    state,
    statements,
    token_of,
    unchanged,
)
from tests.factories import PASSWORD
from tests.http import Caller
from tests.jar import COMPANION, COOKIE, COOKIE_MOUNT, cookies, family_of
from tests.overrides import with_settings
from twotoken.checks import check_cookie
from twotoken.models import RefreshToken


def test_a_body_token_at_a_cookie_mount(jar: Caller) -> None:
    """Case 31: a refresh token in the body is ignored at a cookie mount."""
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
    """Case 31: a cookie at a body mount is neither read nor cleared."""
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
    """Case 31: if a request has one token in the cookie and one in the body, each mount reads only its own."""
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
    """Case 32: login, refresh and logout ignore an invalid or expired Authorization header."""
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
    """Case 32: another user's Django session is ignored. No CSRF token is needed, and the session stays."""
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
    """Case 32: login, refresh and logout make no Django session."""
    r0 = log_in(caller)
    rotate(caller, r0)
    log_out(caller, r0)
    assert set(caller.cookies) <= {COOKIE, COMPANION}


@with_settings(REFRESH_THROTTLE="1/min")
def test_a_429_leaves_the_cookie(jar: Caller) -> None:
    """Case 33: a refresh that is throttled changes neither the family nor the cookie."""
    r1 = rotate(jar, log_in(jar))
    with unchanged():
        response = jar.refresh()
    assert (response.status_code, response.json()["code"]) == (429, "throttled")
    assert int(response["Retry-After"]) > 0
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    assert jar.cookie == r1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["locmem.LocMemCache", "db.DatabaseCache"])
def test_guesses_at_once(script: Caller, clock: Any, kind: str) -> None:
    """Case 37: of 64 wrong passwords that come at once for one name, ten are tried, and the rest is throttled."""
    guess = {script.user.USERNAME_FIELD: script.user.get_username(), "password": "wrong"}
    shared = {"BACKEND": f"django.core.cache.backends.{kind}", "LOCATION": "guesses"}
    with override_settings(CACHES={"default": shared}), with_settings(LOGIN_THROTTLE="10/min"):
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
    """Case 33: a cross-origin refresh changes neither the family nor the cookie."""
    r0 = log_in(jar)
    response = jar.refresh(HTTP_SEC_FETCH_SITE="cross-site")
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    assert not response.cookies
    assert rotate(jar, jar.cookie) != r0


def test_a_500_leaves_the_cookie(jar: Caller) -> None:
    """Case 33: a refresh that ends in a 500, an error of the project, changes neither the family nor the cookie."""
    r0 = log_in(jar)
    jar.raise_request_exception = False
    with with_settings(ACCESS_CLAIMS="tests.conformance.helpers.raising_claims"), unchanged():
        response = jar.refresh()
    assert response.status_code == 500
    assert not response.cookies
    assert rotate(jar, jar.cookie) != r0


@pytest.mark.django_db(transaction=True)
def test_a_503_leaves_the_cookie(jar: Caller) -> None:
    """Case 33: if each UPDATE of a refresh ends in a deadlock, there are four tries, then a 503 with Retry-After."""
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
    """Case 33a: the companion cookie names a family. Of several refresh cookies, the server uses this family's."""
    r0 = log_in(jar)
    second = log_in(again(jar)) if other == "another family's" else other
    header = "; ".join([cookies(r0), "theme=dark", f"{COOKIE}={second}"][::order])
    response = jar.send("refresh/", HTTP_COOKIE=header)
    assert family_of(token_of(response)) == family_of(r0)
    assert state(r0) == (1, "")
    assert set(RefreshToken.objects.values_list("revoked_reason", flat=True)) == {""}


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
    """Case 33a: a token is refused without a query if the companion cookie does not name the token's family."""
    ours, theirs = log_in(jar), log_in(Caller(new_user(), mount=COOKIE_MOUNT))
    header = tossed(kind, ours, theirs)
    with CaptureQueriesContext(connection) as queries:
        response = again(jar).send("refresh/", HTTP_COOKIE=header)
    assert_refused(response, "invalid")
    assert not response.cookies
    assert statements(queries) == []
    assert set(RefreshToken.objects.values_list("revoked_reason", flat=True)) == {""}
    assert rotate(jar, ours) != ours


def test_the_same_cookie_twice(jar: Caller) -> None:
    """Case 33a: a refresh cookie that is sent twice with one value counts as one cookie."""
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
    """Case 33a2: over http and https, the cookie's name has the strongest prefix that the cookie's attributes allow."""
    extra = {"wsgi.url_scheme": scheme}
    with with_settings(**values):
        assert set(jar.log_in(**extra).cookies) == names
        assert set(jar.refresh(**extra).cookies) == names
        assert {cookie.value for cookie in jar.send("logout/", **extra).cookies.values()} == {""}
        assert not list(check_cookie(None))


def test_a_changed_name(jar: Caller) -> None:
    """Case 33a2: under a new COOKIE_NAME the old cookie is not read, and its owner has to log in again."""
    log_in(jar)
    with with_settings(COOKIE_PATH="/"):
        response = jar.refresh()
        assert_refused(response, "missing")
        assert not response.cookies


@pytest.mark.parametrize(
    "blank", ["\xa0", "\x85", "\x1c", "\x1f", "\x0b", "\x0c", "\xc2\xa0", "\xe2\x80\x83", "\xe3\x80\x80"]
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_name_with_other_blanks(jar: Caller, blank: str, place: str) -> None:
    """Case 33a3: a blank beside a cookie's name, unless it is a space or tab, makes another name, as in browsers."""
    r0 = log_in(jar)
    name = blank + HOST_COOKIE if place == "before" else HOST_COOKIE + blank
    with with_settings(COOKIE_PATH="/"):
        response = again(jar).send("refresh/", HTTP_COOKIE=f"{name}={r0}")
        assert_refused(response, "missing")
        assert state(r0) == (0, "")
        assert again(jar).send("logout/", HTTP_COOKIE=f"{name}={r0}").status_code == 204
        assert state(r0) == (0, "")
        assert again(jar).send("refresh/", HTTP_COOKIE=f"\t {HOST_COOKIE} \t=\t{r0} ").status_code == 200


@pytest.mark.parametrize("header", ["", f"{COMPANION}={UUID(int=7)}", f"{COOKIE}=", "theme=dark"])
def test_no_cookie_clears_nothing(jar: Caller, header: str) -> None:
    """Case 33: a refresh without a refresh cookie clears no cookie, because a new one may be on its way."""
    response = jar.send("refresh/", HTTP_COOKIE=header)
    assert_refused(response, "missing")
    assert not response.cookies


@pytest.mark.slow
@with_settings(REFRESH_THROTTLE="60/min", LOGIN_THROTTLE="10/min")
def test_an_office_behind_one_address(db: None) -> None:
    """Case 33b: seventy people behind one address may log in and refresh within a minute."""
    for _ in range(70):
        caller = Caller(new_user(), mount=COOKIE_MOUNT, HTTP_SEC_FETCH_SITE="same-origin")
        rotate(caller, log_in(caller))


@pytest.mark.parametrize("endpoint", ["login/", "refresh/"])
@with_settings(REFRESH_THROTTLE="60/min", LOGIN_THROTTLE="10/min")
def test_cross_site_requests_are_not_counted(browser: Caller, endpoint: str) -> None:
    """Case 33b: cross-site requests are not counted by a throttle."""
    r0 = log_in(browser)
    data = {browser.user.USERNAME_FIELD: browser.user.get_username(), "password": PASSWORD}
    for _ in range(61):
        response = browser.send(endpoint, data, HTTP_SEC_FETCH_SITE="cross-site")
        assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    rotate(browser, r0)
    log_in(again(browser))


@pytest.mark.parametrize("kind", ["script", "jar"])
def test_a_thief_s_access_token(kind: str, request: pytest.FixtureRequest) -> None:
    """Case 33c: an access token of a family that was revoked for reuse can't revoke other families."""
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
    """Case 33d: with the delivery ``none`` a login gives only an access token, and a logout revokes its family."""
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
    assert {method(TOOL_MOUNT + "refresh/").status_code for method in (tool.get, tool.options)} == {404}
    assert state(access) == (0, "")
    logout = tool.send("logout/", **bearer(access))
    assert (logout.status_code, logout.content) == (204, b"")
    assert state(access) == (0, "logout")
    assert_refused(tool.get("/api/revocable/", **bearer(access)), "revoked")
    assert tool.send("logout/", **bearer(access)).status_code == 204


def test_delivery_none_ends_with_its_token(user: Any, clock: Any) -> None:
    """Case 33d: with the delivery ``none`` the family expires with its access token."""
    family = row(Caller(user, mount=TOOL_MOUNT).log_in().json()["access"])
    assert family.expires_at == family.created_at + timedelta(minutes=15)


@pytest.mark.parametrize("endpoint", ["login/", "refresh/"])
@pytest.mark.parametrize(
    ("mount", "content_type", "cookie_name"),
    [
        (COOKIE_MOUNT, "json", COOKIE),
        (COOKIE_MOUNT, "json", "rt"),
        (BODY_MOUNT, "json", "rt"),
        (BODY_MOUNT, URLENCODED, COOKIE),
        (BODY_MOUNT, MULTIPART, COOKIE),
    ],
    ids=["cookie", "renamed", "body", "urlencoded", "multipart"],
)
def test_error_reports(user: Any, mount: str, content_type: str, endpoint: str, cookie_name: str) -> None:
    """Case 33e: if ACCESS_CLAIMS raises, the error report has no token, and the refresh token stays valid."""
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
        with_settings(ACCESS_CLAIMS="tests.conformance.helpers.raising_claims", COOKIE_NAME=cookie_name),
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
    """Case 34: after a logout, only the revocable class refuses the access token before it expires."""
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
