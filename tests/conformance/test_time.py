"""The idle limit and the absolute limit of a family."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.conformance.helpers import (
    KEY,
    assert_cleared,
    assert_refused,
    log_in,
    rotate,
    row,
    state,
    token_of,
    unchanged,
)
from tests.http import Caller


def test_the_idle_limit(script: Caller, clock: Any) -> None:
    """Case 23: a token works until a microsecond before the idle limit, and not at the limit."""
    r0 = log_in(script)
    clock.shift(timedelta(days=7) - timedelta(microseconds=1))
    r1 = rotate(script, r0)
    clock.shift(timedelta(days=7))
    with unchanged():
        assert_refused(script.refresh(r1), "expired")
    assert state(r0) == (1, "")


def test_the_absolute_limit(script: Caller, clock: Any) -> None:
    """Case 23: the family expires thirty days after the login, however often it rotated."""
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
    """Case 23: at the idle limit a token is refused, even with the last refresh's key, and the cookie is cleared."""
    caller = request.getfixturevalue(kind)
    r0 = log_in(caller)
    rotate(caller, r0, KEY)
    clock.shift(timedelta(days=7))
    response = caller.refresh(r0, KEY)
    assert_refused(response, "expired")
    if kind == "jar":
        assert_cleared(response)
