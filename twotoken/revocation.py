"""Ending token families, one or many, and deleting those that ended long ago.

A revocation is a conditional UPDATE by primary key that is tried again until it is settled, so that no race gets past
it. Many families are walked through in the order of their keys, a batch at a time: no statement locks the table, and
memory stays what it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, TypedDict, Unpack
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections
from django.db.models.signals import post_delete, pre_delete
from django.dispatch import Signal
from django.utils import timezone

from twotoken import signals
from twotoken.conf import conf
from twotoken.conflicts import settled
from twotoken.events import record
from twotoken.models import EventKind, FamilyEvent, RefreshToken, RefreshTokenQuerySet, RevokedReason

BATCH: Final = 1000  # families; an UPDATE of so many takes some tens of milliseconds
PURGE_BATCH: Final = 10_000  # families; their DELETE takes as long, for it names no keys but two

logger = logging.getLogger("twotoken")


class Batch(NamedTuple):
    """How many families a batch has changed, and how much of the whole is done after it: from 0 to 1."""

    changed: int
    done: float


def revoke(family_id: UUID, reason: str = RevokedReason.ADMIN, *, actor: str = "") -> RefreshToken | None:
    """Revoke a token family. Returns it, with its user, if this call ended it. One SELECT and one UPDATE.

    ``actor`` says who did it, for the family's timeline.
    """
    family = _rows().select_related("user").filter(pk=family_id).first()
    if family is None or family.revoked_at is not None or not end_family(family, reason):
        return None
    if actor:
        record(EventKind.REVOKED, [family.pk], actor=actor)
    return family


def revoke_all(
    user: AbstractBaseUser | Any, reason: str = RevokedReason.ADMIN, *, keep: UUID | None = None, actor: str = ""
) -> int:
    """Revoke every token family of a user (or of a user's primary key) but the one to keep; return how many.

    Access tokens that are already out live up to ACCESS_LIFETIME, unless the API reads them with
    RevocableAccessTokenAuthentication.
    """
    families = select(user_id=user.pk if isinstance(user, AbstractBaseUser) else user)
    return exhaust(revoke_each(families if keep is None else families.exclude(pk=keep), reason, actor=actor))


class Criteria(TypedDict, total=False):
    """What families to revoke have in common. What is left out is not asked for; a user that is None has none."""

    user_id: Any
    family_id: UUID
    before: datetime
    address: str


def select(**criteria: Unpack[Criteria]) -> RefreshTokenQuerySet:
    """Return the families to revoke: all, or those of a user, started before a time, last seen at an address."""
    lookups = {"user_id": "user_id", "family_id": "pk", "before": "created_at__lt", "address": "ip_address"}
    return _rows().unended().filter(**{lookups[name]: value for name, value in criteria.items()})


def revoke_each(families: RefreshTokenQuerySet, reason: str, *, actor: str = "") -> Iterator[Batch]:
    """Revoke those of the families that have not ended, a batch at each step. Two statements a batch.

    They are read where is written, wherever else the queryset would: a replica may not know the newest yet.
    """
    for batch, done in _walk(families.primary().unended()):
        now = timezone.now()
        count = settled(partial(_rows().filter(pk__in=batch).revoke, reason, now))
        if count < len(batch):  # another request ended some of them meanwhile, and tells of those
            ours = _rows().filter(pk__in=batch, revoked_at=now, revoked_reason=reason).values_list("pk", flat=True)
            batch = {pk: batch[pk] for pk in ours}
        if actor:
            record(EventKind.REVOKED, batch, actor=actor)
        for family_id, user_id in batch.items():
            _tell_revoked(family_id, user_id, reason)
        yield Batch(count, done)


def purge() -> Iterator[Batch]:
    """Delete the families that ended or expired longer than RETENTION ago, with their events, a batch at each step.

    Safe beside live traffic and beside another purge: what is deleted can't come back to life. A batch is what lies
    between two keys, and no more of it is read than the last one.
    """
    over = _rows().ended_before(timezone.now() - conf.retention)
    rest, after = over, None
    while True:
        last = next(iter(rest.order_by("pk").values_list("pk", flat=True)[PURGE_BATCH - 1 : PURGE_BATCH]), None)
        changed = settled(partial(_delete, over, after, last))
        yield Batch(changed, 1.0 if last is None else _place(last, connections[over.db].vendor))
        if last is None:
            return
        rest, after = over.filter(pk__gt=last), last


def exhaust(batches: Iterable[Batch]) -> int:
    """Run all batches and return how many families they changed."""
    return sum(batch.changed for batch in batches)


def end_family(family: RefreshToken, reason: str) -> bool:
    """Revoke one family that was read already; tell whether it was this call that ended it."""
    if not settled(lambda: _rows().filter(pk=family.pk).revoke(reason)):
        return False
    _tell_revoked(family.pk, family.user_id, reason)
    return True


def send(signal: Signal, family_id: UUID, user_id: Any, **details: Any) -> None:
    """Send one of our signals. A receiver that raises is logged by Django and stops nothing."""
    signal.send_robust(sender=RefreshToken, family_id=family_id, user_id=user_id, **details)


def _rows() -> RefreshTokenQuerySet:
    return RefreshToken.objects.primary()


def _tell_revoked(family_id: UUID, user_id: Any, reason: str) -> None:
    logger.info("Token family %s of user %s revoked: %s.", family_id, user_id, reason)
    send(signals.family_revoked, family_id, user_id, reason=str(reason))


def _walk(families: RefreshTokenQuerySet) -> Iterator[tuple[dict[UUID, Any], float]]:
    """Yield the families in the order of their keys: user by family, and how much is done after them.

    Keys are random, so the place of the last one tells the latter without a count.
    """
    page = ordered = families.order_by("pk").values_list("pk", "user_id")
    while batch := dict(page[:BATCH]):
        last = next(reversed(batch))
        yield batch, _place(last, connections[families.db].vendor) if len(batch) == BATCH else 1.0
        if len(batch) < BATCH:
            return
        page = ordered.filter(pk__gt=last)


def _place(key: UUID, vendor: str) -> float:
    # MariaDB sorts its UUIDs by their last group first.
    return key.node / 2**48 if vendor == "mysql" else key.int / 2**128


def _delete(families: RefreshTokenQuerySet, after: UUID | None, last: UUID | None) -> int:
    """Delete those of the families whose keys lie between two, the last included."""
    span = {f"pk__{name}": key for name, key in (("gt", after), ("lte", last)) if key is not None}
    families = families.filter(**span)
    if not _is_ours_alone():
        # Rows of the project's own hang on ours, or somebody listens: Django's way, which loads each family.
        return families.delete()[1].get(RefreshToken._meta.label, 0)
    # The span is said twice, for MariaDB would look at every event there is.
    events = FamilyEvent.objects.using(families.db).filter(family__in=families.values("pk"))
    events.filter(**{name.replace("pk", "family_id"): key for name, key in span.items()})._raw_delete(families.db)
    return families._raw_delete(families.db)


def _is_ours_alone() -> bool:
    """Tell whether nothing but events hangs on families, and nobody listens to what is deleted."""
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
