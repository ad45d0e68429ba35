"""The SQL statements of a request."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.conformance.helpers import KEY, ROUTES, assert_refused, bearer, log_in, rotate, statements
from tests.http import Caller
from twotoken.models import RefreshToken


@pytest.mark.parametrize("key", [None, KEY])
def test_statements_of_a_refresh(caller: Caller, key: str | None) -> None:
    """Case 35: a refresh makes one SELECT and one UPDATE, without a transaction."""
    r0 = log_in(caller)
    with CaptureQueriesContext(connection) as queries:
        rotate(caller, r0, key)
    assert statements(queries) == ["SELECT", "UPDATE"]


@pytest.mark.django_db(transaction=True)
def test_statements_of_a_refresh_in_autocommit(script: Caller) -> None:
    """Case 35: with autocommit, as in production, a refresh makes one SELECT and one UPDATE, and no BEGIN."""
    r0 = log_in(script)
    with CaptureQueriesContext(connection) as queries:
        rotate(script, r0)
    assert statements(queries) == ["SELECT", "UPDATE"]


@pytest.mark.django_db(transaction=True)
def test_statements_of_a_replay(script: Caller) -> None:
    """Case 35: reuse makes a SELECT, an UPDATE and an INSERT of an event. Sending the token again makes one SELECT."""
    r0 = log_in(script)
    rotate(script, r0)
    with CaptureQueriesContext(connection) as queries:
        assert_refused(script.refresh(r0), "reused")
    assert statements(queries) == ["SELECT", "UPDATE", "INSERT"]
    with CaptureQueriesContext(connection) as queries:
        assert_refused(script.refresh(r0), "revoked")
    assert statements(queries) == ["SELECT"]


def test_statements_of_a_login(caller: Caller) -> None:
    """Case 35: a login makes a SELECT and an UPDATE of the user, which are Django's, and an INSERT of the family."""
    with CaptureQueriesContext(connection) as queries:
        log_in(caller)
    assert statements(queries) == ["SELECT", "UPDATE", "INSERT"]
    table = RefreshToken._meta.db_table
    assert [table in query["sql"] for query in queries.captured_queries] == [False, False, True]


@pytest.mark.parametrize(("route", "expected"), [*zip(ROUTES, [["SELECT"], [], ["SELECT"]], strict=True)])
def test_statements_of_a_route(script: Caller, route: str, expected: list[str]) -> None:
    """Case 35: to authenticate, the stateless class makes no query, and each of the two other classes makes one."""
    header = bearer(script.log_in().json()["access"])
    with CaptureQueriesContext(connection) as queries:
        assert script.get(route, **header).status_code == 200
    assert statements(queries) == expected
