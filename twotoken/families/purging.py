"""Delete token families that were revoked or expired long ago."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce, Least
from django.db.models.signals import post_delete, pre_delete
from django.utils import timezone

from twotoken.conf import conf
from twotoken.conflicts import retry_on_conflict
from twotoken.families.queries import rows
from twotoken.families.revocation import Batch
from twotoken.families.revoked import OVERLAP, longest_access
from twotoken.models import FamilyEvent, RefreshToken, RefreshTokenQuerySet

# ``revoked_at`` finds revoked families. ``earliest_end`` finds expired families: it is not later than the time at which
# the family expires. If REFRESH_LIFETIME has been made shorter since, it may be later, and the purge is late too.
COLUMNS: Final = ("revoked_at", "earliest_end")
PURGE_BATCH: Final = 1000  # families; to delete so many takes some milliseconds, or some tens if they are sent by key


def purge(on_batch: Callable[[Batch], object] | None = None, *, within: timedelta | None = None) -> int:
    """Delete the families that were revoked or expired longer than RETENTION ago, with their events; return how many.

    If RETENTION is shorter than the life of an access token plus OVERLAP, families are kept for that sum. Otherwise a
    process that starts after the purge would accept a revoked family's access token again, because the list of revoked
    families (REVOCATION_INTERVAL, RevocationsView) is read from this table.

    A purge may run during live traffic and beside another purge: a family that it deletes can't become active again.
    Each batch deletes the families of a range of times. On PostgreSQL it locks only the rows of these families, on
    MariaDB also the next row. ``on_batch`` is called after each batch. ``within`` is how long the purge may take: it
    stops after the batch that exceeds this time.
    """
    deadline = None if within is None else time.monotonic() + within.total_seconds()
    before, total = _before(), 0
    for step, column in enumerate(COLUMNS):
        for changed, done in _purge_by(column, before):
            total += changed
            if on_batch is not None:
                on_batch(Batch(changed, (step + done) / len(COLUMNS)))
            if not changed and done == 1:  # no family: this must not use up the only batch of a very short time
                continue
            if deadline is not None and time.monotonic() >= deadline:
                return total
    return total


def purgeable(overdue: timedelta = timedelta()) -> RefreshTokenQuerySet:
    """Return the families that ``purge`` would delete now.

    With ``overdue``, return only families that could have been deleted this long ago.
    """
    before = _before() - overdue
    return rows().filter(Q(revoked_at__lt=before) | Q(earliest_end__lt=before)).inactive_before(before)


def _before() -> datetime:
    return timezone.now() - max(conf.retention, longest_access() + OVERLAP)


def _purge_by(column: str, before: datetime) -> Iterator[tuple[int, float]]:
    """Purge the families that an indexed column finds, in batches in the order of this column.

    After each batch, yield how many families it deleted, and the share of the work that is done, from 0 to 1.

    A batch is a range of times, because a driver takes long to send the key of each family. The keys are sent only if
    more families than a batch may have share one time, as after one UPDATE that revokes all families of a table.
    """
    overdue = rows().filter(**{f"{column}__lt": before})
    first = _time_at(overdue, column, 0)
    if first is None:
        yield 0, 1.0
        return
    # The first batch has no lower limit. On PostgreSQL without USE_TZ, a time in the hour that the clock repeats in
    # autumn may come back an hour later. A batch that begins there may miss families: the next purge begins with them.
    left, start = overdue, first
    while (end := _time_at(left, column, PURGE_BATCH)) is not None:
        keys: list[UUID] = []
        if end > start:
            batch = left.filter(**{f"{column}__lt": end})
        else:
            keys = list(left.order_by(column).values_list("pk", flat=True)[:PURGE_BATCH])
            batch = rows().filter(pk__in=keys)
        yield _purge_batch(batch, before), _share(end - first, before - first)
        left, start = overdue.filter(**{f"{column}__gte": end}), end
        if keys and left.filter(pk__in=keys).exists():  # something keeps them, such as a trigger: leave this time out
            left = overdue.filter(**{f"{column}__gt": end})
    yield _purge_batch(left, before), 1.0


def _share(part: timedelta, whole: timedelta) -> float:
    """Return a part's share of the whole, from 0 to 1. Without USE_TZ, differences of times may be negative or zero."""
    return min(max(part / whole, 0.0), 1.0) if whole else 1.0


def _purge_batch(families: RefreshTokenQuerySet, before: datetime) -> int:
    """Delete those of the families that are due, and return how many. Postpone the others."""
    deleted = retry_on_conflict(partial(_delete, families.inactive_before(before)))
    retry_on_conflict(partial(_postpone, families))
    return deleted


def _time_at(families: RefreshTokenQuerySet, column: str, place: int) -> datetime | None:
    """Return the time of the family at this place, in the order of the column. None if there are fewer families."""
    times: Any = families.order_by(column).values_list(column, flat=True)
    return next(iter(times[place : place + 1]), None)


def _postpone(families: RefreshTokenQuerySet) -> int:
    """Set the time at which the purge looks at these families again: when they expire if nobody refreshes them.

    If DATABASES has a TIME_ZONE with summer time, the database's sum can be an hour too early in spring, or an hour too
    late in autumn.
    """
    idle_end = F("refreshed_at") + conf.refresh_lifetime
    return families.update(earliest_end=Least(idle_end, Coalesce("expires_at", idle_end)))


def _delete(families: RefreshTokenQuerySet) -> int:
    if not _may_delete_raw():
        return families.delete()[1].get(RefreshToken._meta.label, 0)  # loads each family
    events = FamilyEvent.objects.using(families.db)
    # The keys are read first: for a DELETE with a subquery, MariaDB would read the whole table of events. PostgreSQL
    # would read it too if the query started from the events.
    keys = list(families.filter(Exists(events.filter(family=OuterRef("pk")))).values_list("pk", flat=True))
    if keys:
        events.filter(family__in=keys)._raw_delete(families.db)
    return families._raw_delete(families.db)


def _may_delete_raw() -> bool:
    """Tell whether families can be deleted without loading them.

    They can if only our events have a foreign key to families, and no delete signal has receivers.
    """
    pointing = {
        model: [
            relation.related_model
            for relation in model._meta.get_fields(include_hidden=True)  # related_name="+" is hidden
            if relation.auto_created and not relation.concrete
        ]
        for model in (RefreshToken, FamilyEvent)
    }
    listened = any(signal.has_listeners(model) for signal in (pre_delete, post_delete) for model in pointing)
    return pointing == {RefreshToken: [FamilyEvent], FamilyEvent: []} and not listened
