"""The rotation rule as a table, for each kind of family, token, key and age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from twotoken.families.rule import Verdict, judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IDLE = timedelta(days=7)
KEY, OTHER, NONE = b"the key of the last rotation", b"another key", b""
DEVICE, COOKIE, OTHER_DEVICE = "dpop:the device's key", "dbsc:the device's key", "dpop:another device's key"
RETRY, ROTATE, REUSED, EXPIRED = Verdict.RETRY, Verdict.ROTATE, Verdict.REUSED, Verdict.EXPIRED
WRONG_DEVICE = Verdict.WRONG_DEVICE


@dataclass(frozen=True)
class Row:
    """The values of a family that the rule reads. By default: generation 5, unbound, rotated without a retry key."""

    generation: int = 5
    retry_key: bytes = NONE
    is_browser: bool = False
    device_key: str = ""
    refreshed_at: datetime = NOW
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


def verdict(row: Row, behind: int, key: bytes = NONE, **changed: Any) -> Verdict:
    """Judge a token ``behind`` generations older than the row, with a proof if the row is bound to a device."""
    given = {
        "generation": row.generation - behind,
        "retry_key": key,
        "device_key": row.device_key,
        "now": NOW,
        "idle_limit": IDLE,
        "browser_grace": timedelta(seconds=10),
        "reuse_grace": timedelta(seconds=2),
        "user_is_active": True,
        "password_unchanged": True,
    }
    return judge(row, **{**given, **changed})


# A row of TABLE: family, key of the request, generations behind, seconds since the last rotation, verdict.
BROWSER, SCRIPT = Row(is_browser=True), Row()
BOUND, BOUND_BROWSER = Row(device_key=DEVICE), Row(is_browser=True, device_key=DEVICE)
KEYED_BOUND = Row(retry_key=KEY, device_key=DEVICE)
BY_COOKIE = Row(is_browser=True, device_key=COOKIE)
KEYED, KEYED_BROWSER = Row(retry_key=KEY), Row(retry_key=KEY, is_browser=True)
TABLE: list[tuple[Row, bytes, int, float, Verdict]] = [
    # A browser's family, rotated without a key: ten seconds for the previous token, twenty for the current one.
    (BROWSER, NONE, 1, 0, RETRY),
    (BROWSER, NONE, 1, 9.9, RETRY),
    (BROWSER, NONE, 1, -9.9, RETRY),
    (BROWSER, NONE, 1, 10, REUSED),
    (BROWSER, NONE, 1, -10, REUSED),
    (BROWSER, NONE, 0, 19.9, RETRY),
    (BROWSER, NONE, 0, -19.9, RETRY),
    (BROWSER, NONE, 0, 20, ROTATE),
    (BROWSER, NONE, 0, -20, ROTATE),
    (BROWSER, OTHER, 1, 0, REUSED),
    (BROWSER, OTHER, 0, 0, ROTATE),
    # A script's family has its own grace, which is 0 unless the project sets it.
    (SCRIPT, NONE, 1, 1.9, RETRY),
    (SCRIPT, NONE, 1, 2, REUSED),
    (SCRIPT, NONE, 0, 3.9, RETRY),
    (SCRIPT, NONE, 0, 4, ROTATE),
    (SCRIPT, OTHER, 1, 0, REUSED),
    # Rotated with a key: a retry has this key, at any time with the previous token, for a minute with the current one.
    *((row, KEY, 1, age, RETRY) for row in (KEYED, KEYED_BROWSER) for age in (0, 59, 60, 6 * 86_400, -60)),
    *((row, KEY, 0, age, RETRY) for row in (KEYED, KEYED_BROWSER) for age in (0, 59.999_999, -59.999_999)),
    *((row, KEY, 0, age, ROTATE) for row in (KEYED, KEYED_BROWSER) for age in (60, -60)),
    # In such a family a request without a key or with another key gets no grace.
    *((row, key, 1, 0, REUSED) for row in (KEYED, KEYED_BROWSER) for key in (NONE, OTHER)),
    *((row, key, 0, 0, ROTATE) for row in (KEYED, KEYED_BROWSER) for key in (NONE, OTHER)),
    # Bound by DPoP and rotated without a key: with the device's proof, the previous token is a retry at any time.
    *((row, NONE, 1, age, RETRY) for row in (BOUND, BOUND_BROWSER) for age in (0, 10, 60, 6 * 86_400, -60)),
    # The current token of a bound family gets the same verdicts as in an unbound one.
    (BOUND, NONE, 0, 3.9, RETRY),
    (BOUND, NONE, 0, 4, ROTATE),
    (BOUND_BROWSER, NONE, 0, 19.9, RETRY),
    (BOUND_BROWSER, NONE, 0, 20, ROTATE),
    # A proof replaces a key only if neither the rotation nor the request has a key.
    *((row, OTHER, 1, 0, REUSED) for row in (BOUND, BOUND_BROWSER, KEYED_BOUND)),
    (KEYED_BOUND, KEY, 1, 6 * 86_400, RETRY),
    *((KEYED_BOUND, NONE, 1, age, REUSED) for age in (0, 6 * 86_400)),
    # The cookie of a device session (DBSC) can be copied, so it does not make a retry. The grace does.
    (BY_COOKIE, NONE, 1, 9.9, RETRY),
    (BY_COOKIE, NONE, 1, 10, REUSED),
    (BY_COOKIE, NONE, 0, 20, ROTATE),
    # A token two generations behind is reuse, whatever key or proof the request has.
    *(
        (row, key, 2, 0, REUSED)
        for row in (BROWSER, SCRIPT, KEYED, KEYED_BROWSER, BOUND, BOUND_BROWSER, KEYED_BOUND, BY_COOKIE)
        for key in (NONE, KEY, OTHER)
    ),
    # After a login there is no rotation to retry.
    *((row, key, 0, 0, ROTATE) for row in (Row(generation=0), Row(0, is_browser=True)) for key in (NONE, KEY)),
    # The first rotation has a grace like any other: the generation of the row counts, not that of the token.
    *((row, NONE, behind, 0, RETRY) for row in (Row(1), Row(1, is_browser=True)) for behind in (0, 1)),
    # The token is newer than the row, because the database was restored from a backup.
    *((row, key, -3, 0, ROTATE) for row in (BROWSER, SCRIPT, KEYED) for key in (NONE, KEY)),
]


@pytest.mark.parametrize(("row", "key", "behind", "age", "expected"), TABLE)
def test_the_table(row: Row, key: bytes, behind: int, age: float, expected: Verdict) -> None:
    """The verdict depends on the family, the generation, the request's key and the age of the rotation."""
    assert verdict(row, behind, key, now=NOW + timedelta(seconds=age)) is expected


@pytest.mark.parametrize("row", [BOUND, BOUND_BROWSER, KEYED_BOUND, BY_COOKIE, Row(generation=0, device_key=DEVICE)])
@pytest.mark.parametrize("proven", ["", OTHER_DEVICE, DEVICE.removeprefix("dpop:"), f"{DEVICE} "])
def test_another_device(row: Row, proven: str) -> None:
    """If a family is bound, each token without a proof by its key is refused, even a reused one. Nothing is revoked."""
    for behind, key in product([-1, 0, 1, 2, 5], [NONE, KEY, OTHER]):
        assert verdict(row, behind, key, device_key=proven) is WRONG_DEVICE


def test_a_kind_of_proof_is_not_another() -> None:
    """One public key gives two device keys for two protocols: a device cookie does not count as a DPoP proof."""
    assert verdict(BOUND, 0, device_key=COOKIE) is WRONG_DEVICE
    assert verdict(BY_COOKIE, 0, device_key=DEVICE) is WRONG_DEVICE


@pytest.mark.parametrize("behind", [0, 1, 2])
@pytest.mark.parametrize("row", [BROWSER, SCRIPT, KEYED, KEYED_BROWSER])
def test_a_proof_does_nothing_for_a_family_that_is_not_bound(row: Row, behind: int) -> None:
    """A proof does not change the verdict on a token of an unbound family."""
    ages = [NOW + timedelta(seconds=age) for age in (0, 5, 30)]
    assert [verdict(row, behind, device_key=DEVICE, now=now) for now in ages] == [
        verdict(row, behind, now=now) for now in ages
    ]


@pytest.mark.parametrize("behind", [0, 1, 2])
@pytest.mark.parametrize("key", [NONE, KEY])
def test_a_grace_of_nothing(behind: int, key: bytes) -> None:
    """With a grace of 0 the current token rotates, and each older one is reuse, even at the moment of the rotation."""
    expected = ROTATE if behind == 0 else REUSED
    assert verdict(Row(), behind, key, reuse_grace=timedelta()) is expected


SECOND, TICK = timedelta(seconds=1), timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"refreshed_at": NOW - IDLE + SECOND}, ROTATE),
        ({"refreshed_at": NOW - IDLE + TICK}, ROTATE),
        ({"refreshed_at": NOW - IDLE}, EXPIRED),
        ({"expires_at": NOW + SECOND}, ROTATE),
        ({"expires_at": NOW + SECOND - TICK}, EXPIRED),
        ({"expires_at": NOW}, EXPIRED),
        ({"expires_at": NOW + IDLE, "refreshed_at": NOW - IDLE}, EXPIRED),
    ],
)
def test_both_limits(values: dict[str, Any], expected: Verdict) -> None:
    """A family expires at the idle and at the absolute limit, a second early because ``exp`` has whole seconds."""
    assert verdict(Row(is_browser=False, **values), 0, OTHER) is expected


@pytest.mark.parametrize("behind", [0, 1, 2, -1])
def test_what_comes_first(behind: int) -> None:
    """Revoked, expired, inactive, password changed and wrong device are judged in this order.

    All of them come before a retry or reuse.
    """
    changed: dict[str, Any] = {"user_is_active": False, "password_unchanged": False, "key": KEY, "device_key": ""}
    over: dict[str, Any] = {"retry_key": KEY, "expires_at": NOW, "device_key": DEVICE}
    assert verdict(Row(revoked_at=NOW, **over), behind, **changed) is Verdict.REVOKED
    assert verdict(Row(**over), behind, **changed) is EXPIRED
    assert verdict(KEYED_BOUND, behind, **changed) is Verdict.USER_INACTIVE
    assert verdict(KEYED_BOUND, behind, **{**changed, "user_is_active": True}) is Verdict.PASSWORD_CHANGED
    changed |= {"user_is_active": True, "password_unchanged": True}
    assert verdict(KEYED_BOUND, behind, **changed) is WRONG_DEVICE
