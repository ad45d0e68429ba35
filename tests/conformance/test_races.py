"""Requests at the same time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.helpers import KEY, again, assert_refused, in_threads, log_in, row, state, threads, token_of
from tests.http import Caller
from tests.receivers import received
from twotoken import families
from twotoken.signals import reuse_detected

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("kind", ["script", "browser"])
def test_parallel_refreshes_with_one_key(kind: str, request: pytest.FixtureRequest) -> None:
    """Case 13: twenty parallel refreshes with one key make one rotation, and get the same refresh token."""
    caller = request.getfixturevalue(kind)
    r0 = log_in(caller)
    callers = [again(caller) for _ in range(20)]
    answers = in_threads(20, lambda number: callers[number].refresh(r0, KEY))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({token_of(answer) for answer in answers}) == 1
    assert len({answer.json()["access"] for answer in answers}) == 20
    assert state(r0) == (1, "")


@pytest.mark.parametrize("kind", ["script", "jar"])
def test_parallel_refreshes_without_a_key(kind: str, request: pytest.FixtureRequest) -> None:
    """Case 14: of twenty parallel refreshes without a key or a grace at most one works, and the family is revoked."""
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


def test_logout_races_refresh(script: Caller) -> None:
    """Case 15: if a logout and a refresh run in parallel, no token works afterwards, in a hundred runs."""
    callers = [(again(script), "logout/"), (again(script), "refresh/")]
    with threads(2) as at_once:
        for _ in range(100):
            r0 = families.start(script.user).refresh

            def call(number: int, r0: str = r0) -> Any:
                caller, path = callers[number]
                return caller.send(path, {"refresh": r0})

            logout, refresh = at_once(call)
            assert logout.status_code == 204
            assert refresh.status_code in {200, 401}, refresh.content
            late = script.refresh(token_of(refresh)) if refresh.status_code == 200 else refresh
            assert_refused(late, "revoked")
            assert_refused(script.refresh(r0), "revoked")
            assert row(r0).revoked_reason == "logout"
