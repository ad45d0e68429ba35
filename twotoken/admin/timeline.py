"""Describes a token family in words: its timeline, its device, its times, and the reason of its revocation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext, npgettext, pgettext

from twotoken.admin.devices import describe
from twotoken.models import EventKind, FamilyEvent, RefreshToken, RevokedReason, State

# The kinds of the moments that come from the family's own row. All other moments have the kind of their event.
STARTED: Final = "started"
ROTATED: Final = "rotated"
EXPIRED: Final = "expired"


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry of a family's timeline, such as a rotation: a row of the timeline's table and a mark in its picture."""

    kind: str
    time: datetime
    what: str
    details: str = ""
    ip_address: str | None = None
    user_agent: str = ""
    generations_behind: int | None = None

    @property
    def time_label(self) -> str:
        """The time with its seconds, because a theft and its discovery may be less than a minute apart."""
        return exact_label(self.time)


def timeline(family: RefreshToken) -> list[Moment]:
    """Return the moments of a family's timeline, the oldest first.

    The start, the last rotation, the revocation and the expiry come from the family's row. The other moments come from
    the family's events.
    """
    found = FamilyEvent.objects.using(family._state.db).filter(family=family.pk).order_by("created_at", "pk")
    events = list(found)
    revoked_by = next((event.actor for event in events if event.kind == EventKind.REVOKED), "")
    moments = [_moment(event) for event in events if event.kind != EventKind.REVOKED]
    if family.generation:
        moments.append(_last_rotation(family))
    # A rotation and the change of device that comes with it have the same time: the rotation comes first.
    moments.sort(key=lambda moment: (moment.time, moment.kind != ROTATED))
    return [_start(family, events), *moments, *_end(family, revoked_by)]


def _start(family: RefreshToken, events: list[FamilyEvent]) -> Moment:
    # The row stores the device of the last rotation. The event of the first change of device has the login's device.
    changes = (event.previous_user_agent for event in events if event.kind == EventKind.DEVICE)
    device = next(changes, family.user_agent)
    what = pgettext("family", "started")
    return Moment(STARTED, family.created_at, what, describe(device), family.login_ip_address, device)


def _last_rotation(family: RefreshToken) -> Moment:
    count = family.generation
    what = npgettext("family", "the only rotation", "last of %(count)d rotations", count) % {"count": count}
    device = family.user_agent
    return Moment(ROTATED, family.refreshed_at, what, describe(device), family.ip_address, device)


def _moment(event: FamilyEvent) -> Moment:
    details = describe(event.user_agent)
    if event.kind == EventKind.UNBOUND and event.actor:
        details = pgettext("family", "by %(actor)s") % {"actor": event.actor}
    if event.kind == EventKind.DEVICE:
        before = describe(event.previous_user_agent)
        names = {"before": before or "?", "after": details or "?"}
        details = pgettext("device", "from %(before)s to %(after)s") % names
    behind = event.generations_behind
    if behind is not None:
        late = ngettext("%(count)d generation behind", "%(count)d generations behind", behind) % {"count": behind}
        details = ", ".join(filter(None, (late, details)))
    what = str(EventKind(event.kind).label)
    return Moment(event.kind, event.created_at, what, details, event.ip_address, event.user_agent, behind)


def _end(family: RefreshToken, revoked_by: str) -> list[Moment]:
    if family.revoked_at is not None:
        by = pgettext("family", "by %(actor)s") % {"actor": revoked_by} if revoked_by else ""
        details = ", ".join(filter(None, (reason_label(family), by)))
        return [Moment(EventKind.REVOKED, family.revoked_at, str(EventKind.REVOKED.label), details)]
    if family.state() is State.EXPIRED:
        return [Moment(EXPIRED, family.idle_end(), pgettext("family", "expired"))]
    return []


def reason_label(family: RefreshToken) -> str:
    """Return the label of one of twotoken's reasons, or a project's own reason unchanged."""
    labels = dict(RevokedReason.choices)
    return str(labels.get(family.revoked_reason, family.revoked_reason))


def local_time(moment: datetime) -> datetime:
    """Return a time in the current time zone. If ``USE_TZ`` is False, the time is in that zone already."""
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def time_label(moment: datetime) -> str:
    """Return a time as text, in the project's DATETIME_FORMAT."""
    return str(date_format(local_time(moment), "DATETIME_FORMAT"))


def exact_label(moment: datetime) -> str:
    """Return a time as text with seconds, which Django's date formats don't show."""
    local = local_time(moment)
    return f"{date_format(local, 'DATE_FORMAT')}, {local:%H:%M:%S}"


def distance_label(moment: datetime) -> str:
    """Return how far a time is from now, such as "2 days ago"; a tooltip shows the time itself."""
    now = timezone.now()
    text = gettext("%(time)s ago") if moment <= now else gettext("in %(time)s")
    nearer, later = sorted((moment, now))
    return format_html(
        '<span title="{}">{}</span>', time_label(moment), text % {"time": timesince(nearer, later, depth=1)}
    )


def device_label(user_agent: str) -> str:
    """Return the device that a user agent names, in words; a tooltip shows the raw user agent."""
    return format_html('<span title="{}">{}</span>', user_agent, describe(user_agent)) if user_agent else "-"
