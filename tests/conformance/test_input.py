"""Requests without credentials, and other unusual input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.conformance.helpers import (
    BODY_MOUNT,
    MULTIPART,
    TOOL_MOUNT,
    URLENCODED,
    again,
    assert_refused,
    log_in,
    log_out,
    post_form,
    post_raw,
    rotate,
    state,
    statements,
)
from tests.factories import PASSWORD
from tests.http import Caller
from tests.jar import COOKIE, COOKIE_MOUNT
from tests.receivers import received
from twotoken.models import RefreshToken, RevokedReason
from twotoken.signals import reuse_detected


def test_login_with_a_live_cookie(jar: Caller) -> None:
    """A login that overwrites the cookie of an active family revokes that family, with the reason ``replaced``."""
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
    """A login revokes the family of the token in the replaced cookie, even a used-up token. A failed login does not."""
    r0 = log_in(jar)
    rotate(jar, r0)
    data = {jar.user.USERNAME_FIELD: jar.user.get_username(), "password": "no" if cookie == "failed" else PASSWORD}
    response = jar.send("login/", data, HTTP_COOKIE=f"{COOKIE}={'x' if cookie == 'rubbish' else r0}")
    assert response.status_code == (401 if cookie == "failed" else 200)
    assert state(r0) == (1, "replaced" if cookie == "rotated-out" else "")


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"null", b"{", b"[" * 100_000, b"\xff", b"", b"{}"])
@pytest.mark.parametrize("mount", [COOKIE_MOUNT, BODY_MOUNT, TOOL_MOUNT])
def test_login_with_json_that_is_no_object(user: Any, mount: str, body: bytes) -> None:
    """A login without credentials is a 400 without a query."""
    with CaptureQueriesContext(connection) as queries:
        response = post_raw(Caller(user, mount=mount), f"{mount}login/", body, "application/json")
    assert response.status_code == 400, response.content
    assert set(response.json()) & {"password", "non_field_errors", "code"}
    assert response["Cache-Control"] == "no-store"
    assert statements(queries) == []


@pytest.mark.parametrize("value", [None, 1, True, [], {}, "", "\x00", "a\x00b", "x" * 1_000_000])
@pytest.mark.parametrize("field", ["name", "password"])
def test_login_with_odd_values(script: Caller, field: str, value: Any) -> None:
    """A login with an invalid value is a 400 or the 401 of a failed login, and never a 5xx."""
    name = script.user.USERNAME_FIELD
    data = {name: script.user.get_username(), "password": PASSWORD}
    data[name if field == "name" else "password"] = value
    response = script.send("login/", data)
    assert response.status_code in {400, 401}, response.content
    if response.status_code == 401:
        assert response.json()["code"] == "no_active_account"
    assert not RefreshToken.objects.exists()


def test_a_body_of_a_megabyte(script: Caller) -> None:
    """A token of a megabyte is a 401. Another field of a megabyte is ignored."""
    r0 = log_in(script)
    with CaptureQueriesContext(connection) as queries:
        assert_refused(script.refresh("x" * 1_000_000), "invalid")
    assert statements(queries) == []
    assert script.send("refresh/", {"refresh": r0, "x": "x" * 1_000_000}).status_code == 200


@pytest.mark.parametrize(
    "accept", ["image/png", "application/xml", "text/html", "rubbish", "application/json; v=9", ""]
)
def test_an_accept_that_can_t_be_met(caller: Caller, accept: str) -> None:
    """Login, refresh and refusals are answered in JSON, whatever the Accept header asks for."""
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
    """A body that is neither JSON nor a form is a 415 without a query."""
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
    """An access token counts only in the Authorization header, not in a form (RFC 6750 section 2.2)."""
    login = script.log_in().json()
    sent = {"access_token": login["access"], "access": login["access"]}
    assert_refused(post_form(script, "logout/all/", sent, content_type), "missing")
    assert post_form(script, "logout/", sent, content_type).status_code == 400
    assert state(login["refresh"]) == (0, "")


def test_a_wrong_content_type_at_a_cookie_mount(jar: Caller) -> None:
    """A refresh by cookie reads no body, so any content type is accepted."""
    log_in(jar)
    assert post_raw(jar, f"{COOKIE_MOUNT}refresh/", b"x", "text/plain").status_code == 200
