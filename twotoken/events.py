"""Writing the timeline's events: what is worth knowing of a token family besides its start and its end."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar
from uuid import UUID

from django.db import Error, connections, router, transaction
from django.db.models import QuerySet

from twotoken.clients import Client
from twotoken.conflicts import settled
from twotoken.models import ACTOR_LENGTH, EventKind, FamilyEvent, RefreshToken

T = TypeVar("T")

MAX_DEVICE_EVENTS = 18  # a family has one reuse and one revocation at most: 20 events in all

_VERSION = re.compile(r"[\d._]+")

logger = logging.getLogger("twotoken")


def record(kind: EventKind, family_ids: Iterable[UUID], *, actor: object = "", **details: Any) -> None:
    """Write one event for each family's timeline. What it tells of has happened: a failure is logged, not raised."""
    who = str(actor)[:ACTOR_LENGTH]
    events = [FamilyEvent(family_id=pk, kind=kind, actor=who, **details) for pk in family_ids]
    with _failures_logged():
        settled(lambda: _apart(lambda: _insert(events)))


def record_device(family: RefreshToken, client: Client) -> None:
    """Write down that another device has refreshed, as far as the row from before tells. An update is no other one."""
    before, after = family.user_agent, client.user_agent
    if before == after or _without_versions(before) == _without_versions(after):
        return
    known = MAX_DEVICE_EVENTS
    with _failures_logged():
        known = settled(lambda: _apart(_rows().filter(family=family.pk, kind=EventKind.DEVICE).count))
    if known < MAX_DEVICE_EVENTS:
        record(
            EventKind.DEVICE,
            [family.pk],
            ip_address=client.ip_address,
            user_agent=after,
            previous_user_agent=before,
        )


@contextmanager
def _failures_logged() -> Iterator[None]:
    try:
        yield
    except Error:
        logger.exception("An event of a token family could not be written.")


def _apart(call: Callable[[], T]) -> T:
    """Keep a failure from undoing what a caller's transaction did before. Outside of one this costs nothing."""
    alias = _rows().db
    with transaction.atomic(using=alias) if connections[alias].in_atomic_block else nullcontext():
        return call()


def _insert(events: list[FamilyEvent]) -> None:
    if len(events) == 1:  # a single one needs no transaction
        events[0].save(force_insert=True, using=_rows().db)
    else:
        _rows().bulk_create(events)


def _without_versions(user_agent: str) -> str:
    return _VERSION.sub("", user_agent)


def _rows() -> QuerySet[FamilyEvent]:
    return FamilyEvent.objects.using(router.db_for_write(RefreshToken))
