"""The rotation rule, a pure function. It decides what happens to a refresh token whose ``jti`` fits the family's row.

RFC 9700 section 4.14.2 says why the reuse of an old token revokes the token's family.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Protocol

from twotoken.dpop import DPOP
from twotoken.tokens import SHORTEST_LIFE

KEY_LIFETIME = timedelta(minutes=1)  # after this, an Idempotency-Key with the current token names a new rotation


class Verdict(Enum):
    """What the rotation rule decides about a refresh token."""

    ROTATE = auto()
    RETRY = auto()
    REUSED = auto()
    REVOKED = auto()
    EXPIRED = auto()
    USER_INACTIVE = auto()
    PASSWORD_CHANGED = auto()
    WRONG_DEVICE = auto()


class Row(Protocol):
    """The fields of a token family that the rotation rule reads."""

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
    """Apply the rotation rule to a refresh token whose ``jti`` fits the family's row. Only the arguments are read.

    ``generation`` is the token's generation. ``retry_key`` is the digest of the request's Idempotency-Key, or empty
    without this header. ``device_key`` is the key that the request has proven to hold, or empty without a proof. Clocks
    of servers may differ, so the last refresh may be later than ``now``. See RFC 9700 section 4.14.2.
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
    # The proof is checked before the generation: otherwise a thief without the private key could send an old copied
    # token, and its reuse would revoke the bound family. In a family that is not bound, a proof changes nothing: a
    # refresh never binds.
    if row.device_key and device_key != row.device_key:
        return Verdict.WRONG_DEVICE
    behind = row.generation - generation
    if behind > 1:
        return Verdict.REUSED
    if retry_key:
        # An Idempotency-Key names one rotation. If it comes with the token that this rotation replaced, it is a retry,
        # even hours later. If it comes with the token that the rotation made, it is a retry for a minute only: after
        # that the key may name a new rotation.
        is_retry = retry_key == bytes(row.retry_key) and (behind == 1 or (behind == 0 and abs(age) < KEY_LIFETIME))
    elif behind == 1 and row.device_key.startswith(DPOP) and not row.retry_key:
        # Only the family's own device can make a DPoP proof for each request. So if it sends the previous token, even
        # hours later, the answer with the current one was lost. The cookie of DBSC proves less: a thief who copied it
        # with the refresh token would never be noticed.
        is_retry = True
    else:
        # For twice the grace after a rotation, a refresh with the current token gets the same token again. If this
        # refresh rotated the family, a slower tab that still sends the previous token, or gets its answer late, would
        # look like a thief.
        grace = grace_of(row, browser_grace, reuse_grace)
        is_retry = behind >= 0 and abs(age) < (grace if behind == 1 else 2 * grace)
    if is_retry:
        return Verdict.RETRY
    return Verdict.REUSED if behind == 1 else Verdict.ROTATE


def grace_of(row: Row, browser_grace: timedelta, reuse_grace: timedelta) -> timedelta:
    """Return how long after the last rotation a request without an Idempotency-Key may retry it.

    The result is 0 before the first rotation, because there is nothing to retry. It is 0 after a rotation with an
    Idempotency-Key, because only a request with this key is a retry. Whether a browser started the family was stored at
    the login: a thief who later pretends to be a browser does not get a longer grace.
    """
    if row.generation == 0 or row.retry_key:
        return timedelta()
    return browser_grace if row.is_browser else reuse_grace
