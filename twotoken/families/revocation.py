"""Revoke token families, one or many.

A revocation is an UPDATE, by primary key, of a family's row that is not revoked yet. After a conflict with another
write the UPDATE is run again, so that no concurrent request prevents the revocation. Many families are read in batches,
in the order of their primary keys: no statement locks the table, and memory use stays constant.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections
from django.utils import timezone

from twotoken import signals
from twotoken.conflicts import retry_on_conflict
from twotoken.exceptions import InvalidToken
from twotoken.families.events import record, send
from twotoken.families.queries import find, rows, select
from twotoken.models import EventKind, RefreshToken, RefreshTokenQuerySet, RevokedReason
from twotoken.statements import write_revocation
from twotoken.tokens import RefreshClaims

BATCH: Final = 1000  # families; an UPDATE of so many takes some tens of milliseconds

logger = logging.getLogger("twotoken")


class Batch(NamedTuple):
    """How many families a batch has changed, and the progress of the whole work after this batch, from 0 to 1."""

    changed: int
    done: float


def revoke(family_id: UUID, reason: str = RevokedReason.ADMIN, *, actor: str = "") -> RefreshToken | None:
    """Revoke a token family. Return the family, with its user, if this call revoked it, otherwise None.

    This takes one SELECT and one UPDATE. ``actor`` says who revokes the family, for the family's timeline.
    """
    family = rows().select_related("user").filter(pk=family_id).first()
    if family is None or family.revoked_at is not None or not revoke_family(family, reason):
        return None
    if actor:
        record(EventKind.REVOKED, [family.pk], actor=actor)
    return family


def revoke_presented(claims: RefreshClaims, reason: str = RevokedReason.LOGOUT) -> RefreshToken | None:
    """Revoke the family of a refresh token, as a logout does, even if the token has expired or was replaced.

    Return the family, with its user, if this call revoked it, otherwise None.
    """
    with suppress(InvalidToken):
        family = find(claims)
        if family.revoked_at is None and revoke_family(family, reason):
            return family
    return None


def revoke_own(user: AbstractBaseUser, family_id: UUID, reason: str = RevokedReason.LOGOUT) -> bool:
    """Revoke a family if it belongs to this user; tell whether it does. An earlier revocation keeps its reason."""
    family = rows().filter(pk=family_id, user_id=user.pk).first()
    if family is not None and family.revoked_at is None:
        revoke_family(family, reason)
    return family is not None


def revoke_all(
    user: AbstractBaseUser | Any, reason: str = RevokedReason.ADMIN, *, keep: UUID | None = None, actor: str = ""
) -> int:
    """Revoke every token family of a user except the one to ``keep``; return how many. ``user`` may be a primary key.

    ``keep`` is the id of a family. RevocableAccessTokenAuthentication refuses the access tokens of revoked families at
    once. An authentication class that does not check the family accepts these tokens until they expire.
    """
    families = select(user_id=user.pk if isinstance(user, AbstractBaseUser) else user)
    return revoke_each(families if keep is None else families.exclude(pk=keep), reason, actor=actor)


def revoke_each(
    families: RefreshTokenQuerySet,
    reason: str,
    *,
    actor: str = "",
    on_batch: Callable[[Batch], object] | None = None,
) -> int:
    """Revoke, in batches, all of these families that can be revoked (see ``revocable``); return how many were revoked.

    Each batch is one SELECT and one UPDATE and, with an ``actor``, an INSERT of events. The families are read from the
    write database, whichever database the queryset uses: a replica may lag. ``on_batch`` is called after each batch.
    """
    total = 0
    for batch, done in walk(families.primary().revocable()):
        now = timezone.now()
        count = retry_on_conflict(partial(rows().filter(pk__in=batch).revoke, reason, now))
        if count < len(batch):  # another request revoked some of them meanwhile, and sends their signals
            ours = rows().filter(pk__in=batch, revoked_at=now, revoked_reason=reason).values_list("pk", flat=True)
            batch = {pk: batch[pk] for pk in ours}
        if actor:
            record(EventKind.REVOKED, batch, actor=actor)
        for family_id, user_id in batch.items():
            _tell_revoked(family_id, user_id, reason)
        total += count
        if on_batch is not None:
            on_batch(Batch(count, done))
    return total


def revoke_family(family: RefreshToken, reason: str) -> bool:
    """Revoke a family that has been read from the database; tell whether this call revoked it."""
    if not retry_on_conflict(lambda: write_revocation(family.pk, reason)):
        return False
    _tell_revoked(family.pk, family.user_id, reason)
    return True


def _tell_revoked(family_id: UUID, user_id: Any, reason: str) -> None:
    logger.info("Token family %s of user %s revoked: %s.", family_id, user_id, reason)
    send(signals.family_revoked, family_id, user_id, reason=str(reason))


def walk(families: RefreshTokenQuerySet) -> Iterator[tuple[dict[UUID, Any], float]]:
    """Yield batches of the families, in the order of their primary keys, each with the progress after it, from 0 to 1.

    A batch maps the id of each family to the id of its user. Primary keys are random, so the last key of a batch shows
    the progress, and nothing has to be counted.
    """
    page = ordered = families.order_by("pk").values_list("pk", "user_id")
    while batch := dict(page[:BATCH]):
        last = next(reversed(batch))
        yield batch, place(last, connections[families.db].vendor) if len(batch) == BATCH else 1.0
        if len(batch) < BATCH:
            return
        page = ordered.filter(pk__gt=last)


def place(key: UUID, vendor: str) -> float:
    """Return the place of a primary key in the database's order of all possible keys: 0 is the beginning, 1 the end."""
    # MariaDB sorts its UUIDs by their last group first.
    return key.node / 2**48 if vendor == "mysql" else key.int / 2**128
