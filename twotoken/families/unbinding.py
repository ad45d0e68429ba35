"""Unbind token families from their devices, so that the families' refresh tokens work without a proof."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from twotoken.conflicts import retry_on_conflict
from twotoken.families.events import record
from twotoken.families.queries import rows
from twotoken.families.revocation import Batch, walk
from twotoken.models import EventKind, RefreshTokenQuerySet

logger = logging.getLogger("twotoken")


def unbind_each(
    families: RefreshTokenQuerySet, *, actor: str = "", on_batch: Callable[[Batch], object] | None = None
) -> int:
    """Unbind, in batches, all of these families that are bound and can be revoked; return how many were unbound.

    Each batch is one SELECT, one UPDATE and an INSERT of events. Afterwards, a copied refresh token works on any
    device. Access tokens that were issued before stay bound. The families are read from the write database,
    whichever database the queryset uses: a replica may lag. ``on_batch`` is called after each batch.
    """
    total = 0
    for batch, done in walk(families.primary().revocable().bound()):
        count = retry_on_conflict(partial(rows().filter(pk__in=batch).update, device_key=""))
        record(EventKind.UNBOUND, batch, actor=actor)
        for family_id, user_id in batch.items():
            logger.info("Token family %s of user %s is no longer bound to its device.", family_id, user_id)
        total += count
        if on_batch is not None:
            on_batch(Batch(count, done))
    return total
