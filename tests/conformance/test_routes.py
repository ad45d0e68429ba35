"""API routes of a project, which require an access token."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.conformance.helpers import REALM, ROUTES, assert_refused, bearer, log_out, statements, token_of
from tests.http import Caller
from tests.overrides import with_settings
from twotoken.testing import poll_revocations


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("header", [None, "", "Basic eDp5", "Token x"])
def test_a_route_without_a_token(script: Caller, route: str, header: str | None) -> None:
    """Case 27: if a request has no access token, the challenge has only the realm."""
    extra: Any = {} if header is None else {"HTTP_AUTHORIZATION": header}
    response = script.get(route, **extra)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, REALM)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("credentials", ["rubbish", "", "two words", "\x00", "a.b.c", "x" * 10_240, "\u00e9"])
def test_a_route_with_a_bad_token(script: Caller, route: str, credentials: str) -> None:
    """Case 27: a bad access token gets the challenge of RFC 6750, without a query."""
    with CaptureQueriesContext(connection) as queries:
        response = script.get(route, HTTP_AUTHORIZATION=f"Bearer {credentials}")
    assert_refused(response, "invalid")
    assert response["WWW-Authenticate"] == (
        'Bearer realm="api", error="invalid_token", error_description="The token is not valid."'
    )
    assert statements(queries) == []


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_with_an_expired_token(script: Caller, clock: Any, route: str) -> None:
    """Case 27: an access token is valid until its fifteen minutes are over, and not longer."""
    clock.move_to(datetime(2031, 5, 4, 12, 0, tzinfo=UTC))
    access = script.log_in().json()["access"]
    clock.shift(timedelta(minutes=15) - timedelta(microseconds=1))
    assert script.get(route, **bearer(access)).status_code == 200
    clock.shift(timedelta(microseconds=1))
    response = script.get(route, **bearer(access))
    assert_refused(response, "expired")
    assert response["WWW-Authenticate"].endswith('error_description="The token has expired."')


@pytest.mark.slow
def test_a_revoked_family_at_the_stateless_class(script: Caller) -> None:
    """Case 41: a logout takes effect after REVOCATION_INTERVAL. All requests of an interval share one query."""
    poll_revocations()
    login, other = script.log_in(), script.log_in()
    header = bearer(login.json()["access"])
    with with_settings(REVOCATION_INTERVAL=timedelta(seconds=1)):
        assert script.get("/api/stateless/", **header).status_code == 200
        assert log_out(script, token_of(login)).status_code == 204
        assert script.get("/api/stateless/", **header).status_code == 200
        time.sleep(1)
        assert_refused(script.get("/api/stateless/", **header), "revoked")
        with CaptureQueriesContext(connection) as queries:
            assert_refused(script.get("/api/stateless/", **header), "revoked")
            assert script.get("/api/stateless/", **bearer(other.json()["access"])).status_code == 200
        assert statements(queries) == []
