"""Writing the timeline's events: what is worth knowing of a token family besides its start and its end."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import DatabaseError, router
from django.db.models import QuerySet

from twotoken.clients import Client
from twotoken.conflicts import settled
from twotoken.models import ACTOR_LENGTH, EventKind, FamilyEvent, RefreshToken

MAX_DEVICE_EVENTS = 18  # a family has one reuse and one revocation at most: 20 events in all

_VERSION = re.compile(r"[\d._]+")

logger = logging.getLogger("twotoken")


def record(kind: EventKind, family_ids: Iterable[UUID], *, actor: str = "", **details: Any) -> None:
    """Write one event for each family's timeline. What it tells of has happened: a failure is logged, not raised."""
    events = [FamilyEvent(family_id=pk, kind=kind, actor=actor[:ACTOR_LENGTH], **details) for pk in family_ids]
    try:
        settled(lambda: _rows().bulk_create(events))
    except DatabaseError:
        logger.exception("An event of a token family could not be written.")


def record_device(family: RefreshToken, client: Client) -> None:
    """Write down that another device has refreshed, as far as the row from before tells. An update is no other one."""
    before, after = family.user_agent, client.user_agent
    if before == after or _without_versions(before) == _without_versions(after):
        return
    known = _rows().filter(family=family.pk, kind=EventKind.DEVICE)
    if known.count() < MAX_DEVICE_EVENTS:
        record(
            EventKind.DEVICE,
            [family.pk],
            ip_address=client.ip_address,
            user_agent=client.user_agent,
            previous_user_agent=family.user_agent,
        )


def _without_versions(user_agent: str) -> str:
    return _VERSION.sub("", user_agent)


def _rows() -> QuerySet[FamilyEvent]:
    return FamilyEvent.objects.using(router.db_for_write(RefreshToken))
