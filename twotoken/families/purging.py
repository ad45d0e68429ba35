"""Deleting token families that were revoked or expired long ago."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

from django.db import connections
from django.db.models.signals import post_delete, pre_delete
from django.utils import timezone

from twotoken.conf import conf
from twotoken.conflicts import retry_on_conflict
from twotoken.families.queries import rows
from twotoken.families.revocation import Batch, place
from twotoken.families.revoked import OVERLAP, longest_access
from twotoken.models import FamilyEvent, RefreshToken, RefreshTokenQuerySet

PURGE_BATCH: Final = 10_000  # families; a DELETE of one such range of keys takes some tens of milliseconds


def purge(on_batch: Callable[[Batch], object] | None = None) -> int:
    """Delete the families that were revoked or expired longer than RETENTION ago, with their events; return how many.

    If RETENTION is shorter than the life of an access token, the families are kept that long. Otherwise a process that
    starts after the purge would accept a revoked family's access token again, because REVOCATION_INTERVAL and
    RevocationsView find revoked families in this table.

    Safe beside live traffic and beside another purge: a family that is deleted can't become active again. A batch is
    one range of keys, and only its last key is read. ``on_batch`` is called after each batch.
    """
    inactive = purgeable()
    rest, after, total = inactive, None, 0
    while True:
        last = next(iter(rest.order_by("pk").values_list("pk", flat=True)[PURGE_BATCH - 1 : PURGE_BATCH]), None)
        changed = retry_on_conflict(partial(_delete, inactive, after, last))
        total += changed
        if on_batch is not None:
            on_batch(Batch(changed, 1.0 if last is None else place(last, connections[inactive.db].vendor)))
        if last is None:
            return total
        rest, after = inactive.filter(pk__gt=last), last


def purgeable(overdue: timedelta = timedelta()) -> RefreshTokenQuerySet:
    """Return the families that ``purge`` would delete, or would have deleted already a time ago."""
    return rows().inactive_before(timezone.now() - max(conf.retention, longest_access() + OVERLAP) - overdue)


def _delete(families: RefreshTokenQuerySet, after: UUID | None, last: UUID | None) -> int:
    """Delete those of the families whose keys lie between two keys, the last included."""
    span = {f"pk__{name}": key for name, key in (("gt", after), ("lte", last)) if key is not None}
    families = families.filter(**span)
    if not _may_delete_raw():
        return families.delete()[1].get(RefreshToken._meta.label, 0)  # loads each family
    # The range is given twice, or MariaDB would read every event.
    events = FamilyEvent.objects.using(families.db).filter(family__in=families.values("pk"))
    events.filter(**{name.replace("pk", "family_id"): key for name, key in span.items()})._raw_delete(families.db)
    return families._raw_delete(families.db)


def _may_delete_raw() -> bool:
    """Tell whether only our events have a foreign key to families, and no delete signal has receivers."""
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
