"""Logging out."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.signals import user_logged_out

from tests.conformance.helpers import (
    BODY_MOUNT,
    MULTIPART,
    TOOL_MOUNT,
    URLENCODED,
    assert_cleared,
    assert_refused,
    bearer,
    claims_of,
    every_row,
    log_in,
    log_out,
    new_user,
    post_form,
    post_raw,
    rotate,
    row,
    state,
    token_of,
)
from tests.factories import PASSWORD
from tests.http import Caller
from tests.jar import COOKIE_MOUNT
from tests.overrides import with_settings
from tests.receivers import received
from twotoken.signals import reuse_detected


def test_logout(caller: Caller) -> None:
    """Case 16: after a logout the refresh token is refused as revoked."""
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
    """Case 16: a logout with a replaced or expired token revokes the family, as a logout and not as reuse."""
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
    """Case 17: a second logout, or a logout with an invalid token, is a 204 and clears the cookie."""
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
        (b"refresh=+%0A", "application/x-www-form-urlencoded", 400, {"refresh"}),
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
    """Case 17: at a cookie mount a logout with any body and any Accept is a 204, because the body is not read."""
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
    """Case 17a: at a body mount a logout without a token is an error. A valid access token is enough."""
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


def test_logout_with_a_line_s_end(script: Caller) -> None:
    """Case 17a: a token with a line break at its end, as read from a file, logs out."""
    r0 = log_in(script)
    assert log_out(script, f" {r0}\n").status_code == 204
    assert state(r0) == (0, "logout")


@pytest.mark.parametrize("mount", [BODY_MOUNT, TOOL_MOUNT])
def test_logout_by_the_access_token(user: Any, mount: str, clock: Any) -> None:
    """Case 17a: a logout by access token revokes the family, and may be repeated. An expired access token is a 401."""
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
    """Case 17a: with the delivery ``none``, a logout without an access token is a 401, whatever the body is."""
    tool = Caller(user, mount=TOOL_MOUNT)
    access = tool.log_in().json()["access"]
    assert_refused(tool.send("logout/"), "missing")
    assert_refused(tool.send("logout/", {"refresh": access}, HTTP_AUTHORIZATION="Basic eDp5"), "missing")
    assert state(access) == (0, "")


def test_logout_of_two_families(caller: Caller) -> None:
    """A logout with a refresh token and another family's access token revokes both families, with a signal for each."""
    other = Caller(new_user(), mount=BODY_MOUNT).log_in().json()
    r0 = log_in(caller)
    with received(user_logged_out) as calls:
        response = log_out(caller, r0, **bearer(other["access"]))
    assert (response.status_code, response.content) == (204, b"")
    assert (state(r0), state(other["refresh"])) == ((0, "logout"), (0, "logout"))
    assert {call["user"] for call in calls} == {caller.user, row(other["refresh"]).user}


def test_logout_with_rubbish_and_an_access_token(caller: Caller) -> None:
    """A logout with an invalid refresh token and a valid access token revokes the access token's family."""
    login = Caller(caller.user, mount=BODY_MOUNT).log_in().json()
    assert log_out(caller, "rubbish", **bearer(login["access"])).status_code == 204
    assert state(login["refresh"]) == (0, "logout")


@pytest.mark.parametrize("content_type", [URLENCODED, MULTIPART], ids=["urlencoded", "multipart"])
def test_forms_at_a_body_mount(script: Caller, content_type: str) -> None:
    """Case 17b: login, refresh and logout read forms like JSON."""
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
    """Case 17b: at a cookie mount login refuses forms. Refresh and logout read no body."""
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
    """Case 17b: a malformed form, or one without a valid token, is refused like JSON, never with a 5xx."""
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
    """Case 18: ``logout/all/`` revokes the user's three families, and another user's family stays active."""
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
    """Case 18: ``logout/all/`` with the refresh cookie and without an access token revokes nothing."""
    r0 = log_in(jar)
    response = jar.send("logout/all/")
    assert_refused(response, "missing")
    assert not response.cookies
    assert state(r0) == (0, "")


@pytest.mark.parametrize("scope", ["family", "user"])
def test_reuse_and_the_other_family(script: Caller, scope: str) -> None:
    """Case 19: reuse revokes only its own family, or with REVOKE_ON_REUSE ``user`` all families of the user."""
    a0, b0 = log_in(script), log_in(script)
    stranger = Caller(new_user(), mount=BODY_MOUNT)
    s0 = log_in(stranger)
    rotate(script, a0)
    with with_settings(REVOKE_ON_REUSE=scope):
        assert_refused(script.refresh(a0), "reused")
    assert state(a0) == (1, "reuse")
    if scope == "family":
        rotate(script, b0)
        assert state(b0) == (1, "")
    else:
        assert_refused(script.refresh(b0), "revoked")
        assert state(b0) == (0, "reuse")
    rotate(stranger, s0)
