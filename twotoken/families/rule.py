"""The rotation rule, a pure function: what to do with a refresh token that fits its family's row.

RFC 9700 section 4.14.2 says why the reuse of an old token revokes its family.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Protocol

from twotoken.dpop import DPOP
from twotoken.tokens import SHORTEST_LIFE

KEY_LIFETIME = timedelta(minutes=1)


class Verdict(Enum):
    """What the rule says of a refresh token."""

    ROTATE = auto()
    RETRY = auto()
    REUSED = auto()
    REVOKED = auto()
    EXPIRED = auto()
    USER_INACTIVE = auto()
    PASSWORD_CHANGED = auto()
    WRONG_DEVICE = auto()


class Row(Protocol):
    """What the rule reads of a token family."""

    @property
    def generation(self) -> int: ...
    @property
    def retry_key(self) -> bytes | memoryview: ...
    @property
    def is_browser(self) -> bool: ...
    @property
    def device_key(self) -> str: ...
    @property
    def refreshed_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def revoked_at(self) -> datetime | None: ...


def judge(
    row: Row,
    *,
    generation: int,
    retry_key: bytes,
    device_key: str,
    now: datetime,
    idle_limit: timedelta,
    browser_grace: timedelta,
    reuse_grace: timedelta,
    user_is_active: bool,
    password_unchanged: bool,
) -> Verdict:
    """Judge a refresh token whose ``jti`` fits the row. Pure: it reads only its arguments.

    ``generation`` is the presented one; ``retry_key`` is the digest of the request's Idempotency-Key, empty without
    one; ``device_key`` is the key that the request has proven to hold, empty without a proof. Clocks of servers may
    differ, so an age may be negative. See RFC 9700 section 4.14.2.
    """
    if row.revoked_at is not None:
        return Verdict.REVOKED
    age = now - row.refreshed_at
    if age >= idle_limit or (row.expires_at is not None and now > row.expires_at - SHORTEST_LIFE):
        return Verdict.EXPIRED
    if not user_is_active:
        return Verdict.USER_INACTIVE
    if not password_unchanged:
        return Verdict.PASSWORD_CHANGED
    # Judged before the generation: a thief without the private key must not be able to end a bound family by the reuse
    # of a copied token. A family that is not bound takes no notice of a proof: a login binds, and nothing later does.
    if row.device_key and device_key != row.device_key:
        return Verdict.WRONG_DEVICE
    behind = row.generation - generation
    if behind > 1:
        return Verdict.REUSED
    if retry_key:
        # A key names one rotation. If it comes with the token that this rotation replaced, it is a retry, even hours
        # later. If it comes with the token that the rotation made, it is a retry for a minute only: after that the key
        # may name a new rotation.
        is_retry = retry_key == bytes(row.retry_key) and (behind == 1 or (behind == 0 and abs(age) < KEY_LIFETIME))
    elif behind == 1 and row.device_key.startswith(DPOP) and not row.retry_key:
        # Only the owner's device can prove the key anew for each request, so this is a lost answer, even hours later.
        # A device cookie (DBSC) is no such proof: a thief who copied it too would never be found out.
        is_retry = True
    else:
        # For twice the grace, a refresh with the current token is answered with the same token. If it rotated at once,
        # a slower tab that still sends the token before it, or gets its answer late, would look like a thief.
        grace = grace_of(row, browser_grace, reuse_grace)
        is_retry = behind >= 0 and abs(age) < (grace if behind == 1 else 2 * grace)
    if is_retry:
        return Verdict.RETRY
    return Verdict.REUSED if behind == 1 else Verdict.ROTATE


def grace_of(row: Row, browser_grace: timedelta, reuse_grace: timedelta) -> timedelta:
    """Return how long the last rotation may be retried without a key.

    After a login there is no rotation to retry. After a rotation under a key, the key says who may retry. Whether the
    family is a browser's was settled at login: a thief who poses as a browser later gains no grace.
    """
    if row.generation == 0 or row.retry_key:
        return timedelta()
    return browser_grace if row.is_browser else reuse_grace
