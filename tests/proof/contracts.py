"""Promises of the rotation rule about a single call of ``judge``, as contracts for CrossHair.

CrossHair runs each function on the real ``judge`` with symbolic arguments. Each function begins with an assertion of
what is given. CrossHair looks for values that satisfy this assertion and break a later one. ``test_contracts.py`` says
what CrossHair must find.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from twotoken.families.rule import KEY_LIFETIME, Verdict, judge
from twotoken.tokens import SHORTEST_LIFE

ANSWERED = {Verdict.ROTATE, Verdict.RETRY}
MICROSECOND = timedelta(microseconds=1)
KEY = b"key"


@dataclass
class Time:
    """A moment or a duration in microseconds: ``datetime`` and ``timedelta`` have too many paths for CrossHair."""

    value: int

    def __sub__(self, other: Any) -> Time:
        return Time(self.value - number(other))

    def __abs__(self) -> Time:
        return Time(abs(self.value))

    def __rmul__(self, factor: int) -> Time:
        return Time(factor * self.value)

    def __lt__(self, other: Any) -> bool:
        return self.value < number(other)

    def __gt__(self, other: Any) -> bool:
        return self.value > number(other)

    def __ge__(self, other: Any) -> bool:
        return self.value >= number(other)


def number(time: Any) -> int:
    """Return the microseconds of a Time or a timedelta."""
    return time.value if isinstance(time, Time) else time // MICROSECOND


@dataclass
class Row:
    """A token family as ``judge`` reads it. Its keys are constants, because the rule only compares keys."""

    generation: int
    is_browser: bool
    has_key: bool
    is_bound: bool
    by_dpop: bool
    refreshed_at: Time
    expires_at: Time | None
    revoked_at: Time | None

    @property
    def retry_key(self) -> bytes:
        """The Idempotency-Key of the last rotation; empty if the rotation had no key."""
        return KEY if self.has_key else b""

    @property
    def device_key(self) -> str:
        """The key of the device that the family is bound to; empty if it is not bound."""
        return self.proven_key if self.is_bound else ""

    @property
    def proven_key(self) -> str:
        """The device key that a proof by the right device shows."""
        return "dpop:key" if self.by_dpop else "dbsc:key"


@dataclass
class Request:
    """A request with a refresh token of the row's family, and what else the request carries."""

    generation: int
    has_key: bool
    same_key: bool
    has_proof: bool
    same_device: bool
    now: Time


@dataclass
class Project:
    """The settings, and the state of the user."""

    idle_limit: Time
    browser_grace: Time
    reuse_grace: Time
    user_is_active: bool
    password_unchanged: bool


def judged(row: Row, request: Request, project: Project) -> Verdict:
    """Return the verdict of ``judge`` on a request."""
    rule: Any = judge  # it takes any numbers for times
    retry_key = (KEY if request.same_key else b"another key") if request.has_key else b""
    device_key = (row.proven_key if request.same_device else "dpop:another key") if request.has_proof else ""
    verdict: Verdict = rule(
        row,
        generation=request.generation,
        retry_key=retry_key,
        device_key=device_key,
        now=request.now,
        **vars(project),
    )
    return verdict


def a_revoked_family_is_refused(row: Row, request: Request, project: Project) -> None:
    """A token of a revoked family gets the verdict REVOKED, whatever its request carries."""
    assert row.revoked_at is not None
    assert judged(row, request, project) is Verdict.REVOKED


def an_idle_family_is_refused(row: Row, request: Request, project: Project) -> None:
    """After the idle limit no token of the family is answered."""
    assert request.now.value - row.refreshed_at.value >= project.idle_limit.value
    assert judged(row, request, project) not in ANSWERED


def an_expired_family_is_refused(row: Row, request: Request, project: Project) -> None:
    """In the last second before a family's absolute end, and after this end, no token of the family is answered."""
    assert row.expires_at is not None and request.now.value > row.expires_at.value - SHORTEST_LIFE // MICROSECOND
    assert judged(row, request, project) not in ANSWERED


def a_user_who_may_not_log_in_is_refused(row: Row, request: Request, project: Project) -> None:
    """If the user is inactive or has another password, no token is answered."""
    assert not project.user_is_active or not project.password_unchanged
    assert judged(row, request, project) not in ANSWERED


def a_bound_family_wants_its_key(row: Row, request: Request, project: Project) -> None:
    """In a bound family, a request without a proof by the family's key is neither answered nor judged as reuse."""
    assert row.is_bound and not (request.has_proof and request.same_device)
    assert judged(row, request, project) not in {*ANSWERED, Verdict.REUSED}


def a_family_without_a_key_ignores_proofs(row: Row, request: Request, project: Project) -> None:
    """If a family is not bound, a proof does not change the verdict."""
    assert not row.is_bound
    assert judged(row, request, project) is judged(row, replace(request, has_proof=False), project)


def an_old_token_is_never_answered(row: Row, request: Request, project: Project) -> None:
    """A token two or more generations behind gets no answer, whatever its request carries."""
    assert row.generation - request.generation >= 2
    assert judged(row, request, project) not in ANSWERED


def only_the_current_token_rotates(row: Row, request: Request, project: Project) -> None:
    """Only the current token rotates, or a token that is newer than the row because a backup was restored."""
    assert request.generation < row.generation
    assert judged(row, request, project) is not Verdict.ROTATE


def another_key_retries_nothing(row: Row, request: Request, project: Project) -> None:
    """A request with a key is a retry only if this key is the key of the last rotation."""
    assert request.has_key and not (request.same_key and row.has_key)
    assert judged(row, request, project) is not Verdict.RETRY


def a_rotation_under_a_key_has_no_grace(row: Row, request: Request, project: Project) -> None:
    """If the last rotation had a key, a request without a key is never a retry."""
    assert row.has_key and not request.has_key
    assert judged(row, request, project) is not Verdict.RETRY


def a_key_retries_its_rotation(row: Row, request: Request, project: Project) -> None:
    """The replaced token with the key of the last rotation is never reuse, and never rotates."""
    assert request.has_key and request.same_key and row.has_key and row.generation - request.generation == 1
    assert judged(row, request, project) not in {Verdict.REUSED, Verdict.ROTATE}


def a_script_has_no_browser_s_grace(row: Row, request: Request, project: Project) -> None:
    """With REUSE_GRACE 0, a script's replaced token is never answered without a key, if the family is not bound."""
    assert (
        not (row.is_browser or request.has_key or row.is_bound)
        and project.reuse_grace.value == 0
        and row.generation - request.generation == 1
    )
    assert judged(row, request, project) not in ANSWERED


def a_grace_ends(row: Row, request: Request, project: Project) -> None:
    """After the browsers' grace and REUSE_GRACE, an unbound family's replaced token is never answered without a key."""
    assert (
        not (request.has_key or row.is_bound)
        and row.generation - request.generation == 1
        and request.now.value - row.refreshed_at.value >= max(project.browser_grace.value, project.reuse_grace.value, 0)
    )
    assert judged(row, request, project) not in ANSWERED


def a_proof_of_the_device_is_a_retry(row: Row, request: Request, project: Project) -> None:
    """In a family bound by DPoP, the replaced token is never reuse if neither request nor last rotation has a key."""
    assert (
        row.is_bound
        and row.by_dpop
        and not row.has_key
        and not request.has_key
        and row.generation - request.generation == 1
    )
    assert judged(row, request, project) not in {Verdict.REUSED, Verdict.ROTATE}


def the_current_token_is_never_reuse(row: Row, request: Request, project: Project) -> None:
    """The current token, or a newer one, is never reuse."""
    assert request.generation >= row.generation
    assert judged(row, request, project) is not Verdict.REUSED


def false_the_replaced_token_is_never_answered(row: Row, request: Request, project: Project) -> None:
    """An untrue contract: the replaced token is never answered. In fact, a retry is answered."""
    assert row.generation - request.generation == 1
    assert judged(row, request, project) not in ANSWERED


def false_a_key_retries_the_current_token_at_its_last_moment(row: Row, request: Request, project: Project) -> None:
    """An untrue contract: within a minute, a request with the last key does not rotate. At exactly a minute it does."""
    assert (
        request.has_key
        and request.same_key
        and row.has_key
        and row.generation == request.generation
        and request.now.value - row.refreshed_at.value <= KEY_LIFETIME // MICROSECOND
        and request.now.value >= row.refreshed_at.value
    )
    assert judged(row, request, project) is not Verdict.ROTATE
