"""Requests from other origins."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from tests.conformance.helpers import log_in, log_out, rotate, state, statements
from tests.factories import PASSWORD
from tests.http import Caller

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
    """Case 28: a cross-origin request is a 403 and changes neither the family nor the cookie."""
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
    """Case 29: requests from our own pages, from trusted origins and from scripts are allowed."""
    r0 = log_in(jar, **headers)
    r1 = rotate(jar, r0, **headers)
    assert jar.cookie == r1 != r0
    assert jar.send("logout/", **headers).status_code == 204
    assert state(r0) == (1, "logout")


@pytest.mark.parametrize("headers", [*FOREIGN.values()], ids=[*FOREIGN])
def test_cross_origin_at_a_body_mount(script: Caller, headers: dict[str, str]) -> None:
    """Case 28: at a body mount the origin does not matter, because no cookie is read."""
    r0 = log_in(script, **headers)
    rotate(script, r0, **headers)
    assert log_out(script, r0, **headers).status_code == 204
    assert state(r0) == (1, "logout")


@pytest.mark.parametrize("endpoint", ["login/", "refresh/", "logout/"])
def test_other_methods(caller: Caller, endpoint: str) -> None:
    """Case 30: at login, refresh and logout, methods other than POST are a 405 and change nothing."""
    r0 = log_in(caller)
    for method in (caller.get, caller.head, caller.put, caller.patch, caller.delete):
        with CaptureQueriesContext(connection) as queries:
            response = method(caller.mount + endpoint)
        assert response.status_code == 405
        if method != caller.head:
            assert response.json()["code"] == "method_not_allowed"
        assert response["Cache-Control"] == "no-store"
        assert not response.cookies
        assert statements(queries) == []
    assert state(r0) == (0, "")
