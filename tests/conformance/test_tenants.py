"""One service with an issuer for each tenant."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.conformance.helpers import (
    ROUTES,
    assert_refused,
    bearer,
    claims_of,
    log_in,
    rotate,
    state,
    statements,
    unchanged,
)
from tests.http import Caller
from tests.issuers import tenant
from tests.overrides import with_settings


@pytest.mark.parametrize("setting", ["ISSUER", "AUDIENCE"])
@pytest.mark.parametrize("route", ROUTES)
def test_an_access_token_of_another_tenant(script: Caller, route: str, setting: str) -> None:
    """Case 36: another tenant's token is refused before any query."""
    with with_settings(**{setting: f"tests.issuers.{setting.lower()}"}):
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
    """Case 36: another tenant's refresh token is refused before any query, and a logout with it revokes nothing."""
    with with_settings(ISSUER="tests.issuers.issuer", REVOKE_ON_REUSE="user"):
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
    """If ISSUER is a string, setting or changing it logs nobody out, because refresh tokens don't contain it."""
    with with_settings(ISSUER="https://auth.example.com"):
        r0 = log_in(script)
        assert set(claims_of(r0)) == {"sid", "gen", "jti", "exp"}
    with with_settings(ISSUER="https://other.example.com"):
        r1 = rotate(script, r0)
    rotate(script, r1)


def test_a_token_from_before_the_issuer_was_a_callable(script: Caller) -> None:
    """A refresh token from before ISSUER became a callable has no issuer, and is refused."""
    r0 = log_in(script)
    with with_settings(ISSUER="tests.issuers.issuer"):
        assert_refused(script.refresh(r0), "invalid")
    assert state(r0) == (0, "")


def test_an_issuer_that_fails(script: Caller) -> None:
    """If ISSUER is a dotted path that can't be imported, login and refresh are a 500, and nothing is rotated."""
    r0 = log_in(script)
    script.raise_request_exception = False
    with with_settings(ISSUER="tests.issuers.isuer"):
        assert script.log_in().status_code == script.refresh(r0).status_code == 500
    assert state(r0) == (0, "")
