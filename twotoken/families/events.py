"""Record events in a token family's timeline, and send signals. ``models.EventKind`` lists the kinds of events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar
from uuid import UUID

from django.db import Error, connections, router, transaction
from django.db.models import QuerySet
from django.dispatch import Signal

from twotoken.clients import Client, is_same_device
from twotoken.conflicts import retry_on_conflict
from twotoken.models import ACTOR_LENGTH, EventKind, FamilyEvent, RefreshToken

T = TypeVar("T")

# A family usually has at most one event of its reuse, one of its revocation and one of its unbinding. With the limits
# below these are at most 41 events. There can be a few more: requests that run at once may count the same events, and
# two commands that run at once may both record an unbinding.
MAX_DEVICE_EVENTS = 18
MAX_RETRY_EVENTS = 10
MAX_WRONG_DEVICE_EVENTS = 10

logger = logging.getLogger("twotoken")


def send(signal: Signal, family_id: UUID, user_id: Any, **details: Any) -> None:
    """Send a signal of twotoken about a family. If a receiver raises, Django logs the error, and the caller goes on."""
    signal.send_robust(sender=RefreshToken, family_id=family_id, user_id=user_id, **details)


def record(kind: EventKind, family_ids: Iterable[UUID], *, actor: object = "", **details: Any) -> None:
    """Write an event to the timeline of each of these families.

    A failure is logged, not raised, because the change that the event describes is already written.
    """
    who = str(actor)[:ACTOR_LENGTH]
    events = [FamilyEvent(family_id=pk, kind=kind, actor=who, **details) for pk in family_ids]
    with _failures_logged():
        retry_on_conflict(lambda: _in_savepoint(lambda: _insert(events)))


def record_device(family: RefreshToken, client: Client) -> None:
    """Record an event if a refresh's user agent shows another device than the user agent before.

    The user agent before is that of the last refresh or, before the first refresh, of the login.
    """
    before, after = family.user_agent, client.user_agent
    if is_same_device(before, after):
        return
    _record_at_most(
        MAX_DEVICE_EVENTS,
        EventKind.DEVICE,
        family,
        ip_address=client.ip_address,
        user_agent=after,
        previous_user_agent=before,
    )


def record_retry(family: RefreshToken, client: Client) -> None:
    """Record a retry that came from another device or address than the rotation that it repeats."""
    _record_at_most(
        MAX_RETRY_EVENTS, EventKind.RETRIED, family, ip_address=client.ip_address, user_agent=client.user_agent
    )


def record_wrong_device(family: RefreshToken, client: Client) -> None:
    """Record a refresh of a bound family that came without a proof by the device's key."""
    _record_at_most(
        MAX_WRONG_DEVICE_EVENTS,
        EventKind.WRONG_DEVICE,
        family,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )


def _record_at_most(limit: int, kind: EventKind, family: RefreshToken, **details: Any) -> None:
    known = limit
    with _failures_logged():
        known = retry_on_conflict(lambda: _in_savepoint(_rows().filter(family=family.pk, kind=kind).count))
    if known < limit:
        record(kind, [family.pk], **details)


@contextmanager
def _failures_logged() -> Iterator[None]:
    try:
        yield
    except Error:
        logger.exception("An event of a token family could not be written.")


def _in_savepoint(call: Callable[[], T]) -> T:
    """Call ``call``. If a transaction is open, use a savepoint, so that a failure does not break the transaction."""
    alias = _rows().db
    with transaction.atomic(using=alias) if connections[alias].in_atomic_block else nullcontext():
        return call()


def _insert(events: list[FamilyEvent]) -> None:
    if len(events) == 1:  # a single INSERT needs no transaction
        events[0].save(force_insert=True, using=_rows().db)
    else:
        _rows().bulk_create(events)


def _rows() -> QuerySet[FamilyEvent]:
    return FamilyEvent.objects.using(router.db_for_write(RefreshToken))
