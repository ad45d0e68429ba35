"""Delete token families that were revoked or expired long ago."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, F, Q
from django.db.models.functions import Coalesce, Least
from django.db.models.signals import post_delete, pre_delete
from django.utils import timezone

from twotoken.conf import conf
from twotoken.conflicts import retry_on_conflict
from twotoken.families.queries import rows
from twotoken.families.revocation import Batch
from twotoken.families.revoked import OVERLAP, longest_access
from twotoken.models import FamilyEvent, RefreshToken, RefreshTokenQuerySet, inactive_before

# ``revoked_at`` finds revoked families. ``earliest_end`` finds expired ones: it is never later than the time at which
# the family expires.
COLUMNS: Final = ("revoked_at", "earliest_end")
PURGE_BATCH: Final = 1000  # families; a DELETE of so many keys takes some tens of milliseconds


class _Found(NamedTuple):
    """A family that a purge looks at: its key, its value in the indexed column, and whether the purge deletes it."""

    pk: UUID
    time: datetime
    is_due: bool


def purge(on_batch: Callable[[Batch], object] | None = None, *, within: timedelta | None = None) -> int:
    """Delete the families that were revoked or expired longer than RETENTION ago, with their events; return how many.

    If RETENTION is shorter than the life of an access token plus OVERLAP, families are kept for that sum. Otherwise a
    process that starts after the purge would accept a revoked family's access token again, because the list of revoked
    families (REVOCATION_INTERVAL, RevocationsView) is read from this table.

    A purge may run during live traffic and beside another purge: a family that it deletes can't become active again.
    Each batch deletes some families by their primary keys, and locks only these. ``on_batch`` is called after each
    batch. ``within`` is how long the purge may take: it stops after the batch that exceeds this time.
    """
    deadline = None if within is None else time.monotonic() + within.total_seconds()
    before, total = _before(), 0
    for step, column in enumerate(COLUMNS):
        for changed, done in _purge_by(column, before):
            total += changed
            if on_batch is not None:
                on_batch(Batch(changed, (step + done) / len(COLUMNS)))
            if deadline is not None and time.monotonic() >= deadline:
                return total
    return total


def purgeable(overdue: timedelta = timedelta()) -> RefreshTokenQuerySet:
    """Return the families that ``purge`` would delete now.

    With ``overdue``, return only those that have been due for longer than this.
    """
    before = _before() - overdue
    return rows().filter(Q(revoked_at__lt=before) | Q(earliest_end__lt=before)).inactive_before(before)


def _before() -> datetime:
    return timezone.now() - max(conf.retention, longest_access() + OVERLAP)


def _purge_by(column: str, before: datetime) -> Iterator[tuple[int, float]]:
    """Purge the families that an indexed column finds, in batches in the order of this column.

    After each batch, yield how many families it deleted, and the share of the work that is done, from 0 to 1.
    """
    families = rows().filter(**{f"{column}__lt": before}).order_by(column)
    due = ExpressionWrapper(inactive_before(before), BooleanField())
    page = families.annotate(due=due).values_list("pk", column, "due")[:PURGE_BATCH]
    first, is_last = None, False
    while not is_last:
        batch = [_Found(*row) for row in page.all()]
        is_last = len(batch) < PURGE_BATCH
        keys = [found.pk for found in batch if found.is_due]
        changed = retry_on_conflict(partial(_delete, keys, before)) if keys else 0
        if alive := [found.pk for found in batch if not found.is_due]:
            retry_on_conflict(partial(_postpone, alive))
        first = first or (before if is_last else batch[0].time)
        yield changed, 1.0 if is_last else (batch[-1].time - first) / (before - first)


def _postpone(keys: list[UUID]) -> int:
    """Set the time at which the purge looks at these families again: when they expire if nobody refreshes them."""
    idle_end = F("refreshed_at") + conf.refresh_lifetime
    return rows().filter(pk__in=keys).update(earliest_end=Least(idle_end, Coalesce("expires_at", idle_end)))


def _delete(keys: list[UUID], before: datetime) -> int:
    families = rows().filter(pk__in=keys).inactive_before(before)
    if not _may_delete_raw():
        return families.delete()[1].get(RefreshToken._meta.label, 0)  # loads each family
    FamilyEvent.objects.using(families.db).filter(family__in=keys)._raw_delete(families.db)
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
