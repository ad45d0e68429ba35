"""Counts the numbers of the admin's overview. This is quick even if there are millions of token families.

With up to LIMIT families every number is exact. With more families, most numbers are estimates from a random sample of
LIMIT families. A small estimate would be rough, because the sample may miss some of the few families that it counts. So
a small number of logins or revocations is counted exactly, with an index. The active families of each day remain an
estimate. The reuses by address are not counted in the sample, but among the newest LIMIT events of reuse.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from typing import Any

from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from twotoken import families
from twotoken.admin.timeline import local_time
from twotoken.conf import conf
from twotoken.models import EventKind, RefreshTokenQuerySet, RevokedReason
from twotoken.tokens import SHORTEST_LIFE

DAYS = 30
LIMIT = 20_000  # rows that one statement reads
SMALL = LIMIT // 2  # a number is counted exactly if its estimate is not larger than this
TOP = 10  # how many users, and how many addresses, are shown
CANDIDATES = 100  # the TOP users are chosen among this many, those with the most families in the sample
SURE = 10  # if a user has so many families in the sample, the estimate for this user is good enough
FIELDS = ("user_id", "created_at", "refreshed_at", "expires_at", "revoked_at", "revoked_reason")


@dataclass(frozen=True)
class Series:
    """A number for each of the last DAYS days, the oldest day first."""

    by_day: tuple[int, ...]
    is_estimate: bool = False

    @property
    def total(self) -> int:
        """The sum of the numbers of all days."""
        return sum(self.by_day)


@dataclass(frozen=True)
class Ranked:
    """A user with the number of the user's active families, or an IP address with the number of reuses from it."""

    key: Any
    count: int
    is_estimate: bool = False


@dataclass(frozen=True)
class Figures:
    """The numbers of the overview at the time ``now``, for the last DAYS days, today included.

    ``active`` says how many families were active at the end of each day; its last entry says how many are active now.
    ``users`` are the users with the most active families. ``addresses`` are the IP addresses with the most reuses.
    """

    now: datetime
    starts: tuple[datetime, ...]
    logins: Series
    active: Series
    revoked: dict[str, Series]
    users: list[Ranked]
    addresses: list[Ranked]


def count(found: RefreshTokenQuerySet) -> Figures:
    """Return the numbers of the admin's overview for these families.

    This takes two SQL statements if the sample contains all families. Otherwise it takes up to eleven, and one more for
    each of the project's own revocation reasons that occurs in the sample. The page takes one more statement, for the
    names of the users.
    """
    now = timezone.now()
    starts = day_starts(now)
    sample = families.sample(found, *FIELDS, size=LIMIT)
    logins, active, revoked, users = _counted(sample.rows, starts, now)
    reasons = {}
    for reason in dict.fromkeys([*RevokedReason.values, *revoked]):
        estimate = _scaled(revoked.get(reason, [0] * DAYS), sample.share)
        reasons[reason] = _exact_if_small(found.filter(revoked_reason=reason), "revoked_at", starts, estimate)
    return Figures(
        now=now,
        starts=starts,
        logins=_exact_if_small(found, "created_at", starts, _scaled(logins, sample.share)),
        active=_scaled(active, sample.share),
        revoked=reasons,
        users=_users_with_most(found, users, sample.share),
        addresses=_addresses_with_most_reuse(found, starts[0]),
    )


def day_starts(now: datetime) -> tuple[datetime, ...]:
    """Return when each of the last DAYS days began, today included, in the current time zone."""
    days = [local_time(now).date() - timedelta(days=back) for back in reversed(range(DAYS))]
    return tuple(_midnight(day) for day in days)


def _midnight(day: date) -> datetime:
    start = datetime.combine(day, time())
    return timezone.make_aware(start).astimezone(UTC) if settings.USE_TZ else start  # times of one zone compare faster


def _counted(
    rows: Iterable[tuple[Any, ...]], starts: tuple[datetime, ...], now: datetime
) -> tuple[list[int], list[int], dict[str, list[int]], Counter[Any]]:
    """Count each day's logins, active families, and revocations by reason. Also count each user's active families."""
    logins, changes = [0] * DAYS, [0] * DAYS
    revoked: dict[str, list[int]] = {}
    users: Counter[Any] = Counter()
    idle = conf.refresh_lifetime
    for user_id, created_at, refreshed_at, expires_at, revoked_at, reason in rows:
        created = bisect_right(starts, created_at) - 1
        if created >= 0:
            logins[created] += 1
        if revoked_at is None:
            end = refreshed_at + idle if expires_at is None else min(refreshed_at + idle, expires_at - SHORTEST_LIFE)
        else:
            end = revoked_at
        ended = bisect_right(starts, end) - 1
        if revoked_at is not None and ended >= 0:
            revoked.setdefault(reason, [0] * DAYS)[ended] += 1
        if ended < 0:
            continue
        changes[max(created, 0)] += 1
        if revoked_at is None and end > now:
            users[user_id] += 1
        else:
            changes[max(ended, created)] -= 1
    return logins, list(accumulate(changes)), revoked, users


def _scaled(by_day: list[int], share: float) -> Series:
    return Series(tuple(round(number / share) for number in by_day), is_estimate=share < 1)


def _by_day(moments: Iterable[datetime], starts: tuple[datetime, ...]) -> tuple[int, ...]:
    numbers = Counter(bisect_right(starts, moment) - 1 for moment in moments)
    return tuple(numbers[day] for day in range(DAYS))


def _exact_if_small(found: RefreshTokenQuerySet, field: str, starts: tuple[datetime, ...], estimate: Series) -> Series:
    """Count families by the day of ``field``, an indexed date column.

    Return ``estimate`` unchanged if it is already exact, or if there are too many families to read.
    """
    if not estimate.is_estimate or estimate.total > SMALL:
        return estimate
    moments: Any = found.filter(**{f"{field}__gte": starts[0]}).order_by(f"-{field}").values_list(field, flat=True)
    read = list(moments[: LIMIT + 1])
    return estimate if len(read) > LIMIT else Series(_by_day(read, starts))


def _users_with_most(found: RefreshTokenQuerySet, users: Counter[Any], share: float) -> list[Ranked]:
    """Return the users with the most active families.

    If the sample has only a few families of a user, the user's families are counted exactly. An estimate would be
    rough: if the sample is 1 % of all families, a user with one family in the sample would seem to have 100.
    """
    most = [Ranked(key, round(seen / share), share < 1) for key, seen in users.most_common(CANDIDATES)]
    rare = [user.key for user in most if user.is_estimate and users[user.key] < SURE]
    if rare:
        # There is no limit here, because it would make the numbers too small. These families are few: otherwise the
        # sample would have more of them.
        theirs: Any = found.active().filter(user_id__in=rare).order_by().values_list("user_id")
        exact = dict(theirs.annotate(Count("pk")))
        sure = [user for user in most if users[user.key] >= SURE]
        most = [*sure, *(Ranked(key, number) for key, number in exact.items())]
    return sorted(most, key=lambda user: -user.count)[:TOP]


def _addresses_with_most_reuse(found: RefreshTokenQuerySet, since: datetime) -> list[Ranked]:
    reused: Any = found.filter(events__kind=EventKind.REUSE, events__created_at__gte=since)
    newest = reused.order_by("-events__created_at").values_list("events__ip_address", flat=True)[:LIMIT]
    numbers = Counter(address for address in newest if address)
    return [Ranked(address, number) for address, number in numbers.most_common(TOP)]
