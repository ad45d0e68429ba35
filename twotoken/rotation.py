"""The rule of rotation, pure: what is said of a token, what a rotation writes, and over which row it may.

See RFC 9700 section 4.14.2 for why an old token that comes back ends its family.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol

KEY_LIFETIME = timedelta(minutes=1)


class Verdict(Enum):
    """What the rule says of a refresh token."""

    ROTATE = auto()
    REPEAT = auto()
    REUSED = auto()
    REVOKED = auto()
    EXPIRED = auto()
    USER_INACTIVE = auto()
    PASSWORD_CHANGED = auto()


class Row(Protocol):
    """What the rule reads of a token family."""

    @property
    def generation(self) -> int: ...
    @property
    def retry_key(self) -> bytes | memoryview: ...
    @property
    def grace(self) -> float: ...
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
    now: datetime,
    idle_limit: timedelta,
    user_is_active: bool,
    password_unchanged: bool,
) -> Verdict:
    """Decide about a refresh token whose ``jti`` fits the row. Pure: all it looks at comes in.

    ``generation`` is the presented one; ``retry_key`` the digest of the request's Idempotency-Key, empty without one.
    Age counts between clocks that differ, so it may be negative. See RFC 9700 section 4.14.2.
    """
    if row.revoked_at is not None:
        return Verdict.REVOKED
    age = now - row.refreshed_at
    if age >= idle_limit or (row.expires_at is not None and now >= row.expires_at):
        return Verdict.EXPIRED
    if not user_is_active:
        return Verdict.USER_INACTIVE
    if not password_unchanged:
        return Verdict.PASSWORD_CHANGED
    behind = row.generation - generation
    if behind > 1:
        return Verdict.REUSED
    if retry_key:
        # A key names one rotation. For the token before it a retry may come hours later; the token that it made is
        # taken for a retry for a minute only, after which the same key may ask for a new rotation.
        asked_again = retry_key == bytes(row.retry_key) and (behind == 1 or (behind == 0 and abs(age) < KEY_LIFETIME))
    else:
        # Twice the grace for the current token, or the slowest of several tabs opened at once would look like a thief.
        grace = timedelta(seconds=row.grace) * (1 if behind == 1 else 2)
        asked_again = behind >= 0 and abs(age) < grace
    if asked_again:
        return Verdict.REPEAT
    return Verdict.REUSED if behind == 1 else Verdict.ROTATE


class Rotation(NamedTuple):
    """What a rotation writes to the row."""

    generation: int
    refreshed_at: datetime
    retry_key: bytes
    grace: float


def rotation(
    *,
    generation: int,
    retry_key: bytes,
    now: datetime,
    is_browser: bool,
    browser_grace: timedelta,
    reuse_grace: timedelta,
) -> Rotation:
    """Return what becomes of the row when the presented ``generation`` is rotated.

    Under a key no grace is granted, for the key says who may ask again. Who made the rotation decides, not who asks
    again: a thief who poses as a browser gains nothing from a script's family.
    """
    grace = timedelta() if retry_key else browser_grace if is_browser else reuse_grace
    return Rotation(generation + 1, now, retry_key, grace.total_seconds())


def guard(generation: int) -> dict[str, Any]:
    """Return the lookups under which a rotation of this generation finds its row: they hold at the write.

    Without them two requests that read the same row would both rotate, or one would rotate what a logout has ended.
    """
    return {"generation__lte": generation, "revoked_at": None}
