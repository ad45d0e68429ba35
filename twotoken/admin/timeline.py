"""Describes a token family in words: its timeline, its reason, its times, its device."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext, pgettext

from twotoken.admin.devices import describe
from twotoken.models import EventKind, FamilyEvent, RefreshToken, RevokedReason, State


def timeline(family: RefreshToken) -> list[dict[str, Any]]:
    """Return a family's events, the oldest first. Start, revocation and expiry come from the family's own row."""
    entries = [{"time": family.created_at, "what": pgettext("family", "started")}]
    revoked_by = ""
    for event in FamilyEvent.objects.using(family._state.db).filter(family=family.pk).order_by("created_at", "pk"):
        if event.kind == EventKind.REVOKED:
            revoked_by = event.actor
            continue
        details = describe(event.user_agent)
        if event.kind == EventKind.UNBOUND and event.actor:
            details = pgettext("family", "by %(actor)s") % {"actor": event.actor}
        if event.kind == EventKind.DEVICE:
            before = describe(event.previous_user_agent)
            details = pgettext("device", "from %(before)s to %(after)s") % {
                "before": before or "?",
                "after": details or "?",
            }
        behind = event.generations_behind
        if behind is not None:
            late = ngettext("%(count)d generation behind", "%(count)d generations behind", behind) % {"count": behind}
            details = ", ".join(filter(None, (late, details)))
        entries.append(
            {
                "time": event.created_at,
                "what": EventKind(event.kind).label,
                "details": details,
                "user_agent": event.user_agent,
                "ip_address": event.ip_address,
                "is_reuse": event.kind == EventKind.REUSE,
            }
        )
    if family.revoked_at is not None:
        what = pgettext("family", "revoked: %(reason)s") % {"reason": reason_label(family)}
        by = pgettext("family", "by %(actor)s") % {"actor": revoked_by} if revoked_by else ""
        entries.append({"time": family.revoked_at, "what": what, "details": by})
    elif family.state() is State.EXPIRED:
        entries.append({"time": family.idle_end(), "what": pgettext("family", "expired")})
    return entries


def reason_label(family: RefreshToken) -> str:
    """Return the label of one of twotoken's reasons, or a project's own reason unchanged."""
    labels = dict(RevokedReason.choices)
    return str(labels.get(family.revoked_reason, family.revoked_reason))


def local_time(moment: datetime) -> datetime:
    """Return a time in the current time zone. With ``USE_TZ`` off it already is in that zone."""
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def time_label(moment: datetime) -> str:
    """Return a time as the admin shows it."""
    return str(date_format(local_time(moment), "DATETIME_FORMAT"))


def distance_label(moment: datetime) -> str:
    """Return the distance to a time, such as "2 days ago"; a tooltip shows the time itself."""
    now = timezone.now()
    text = gettext("%(time)s ago") if moment <= now else gettext("in %(time)s")
    nearer, later = sorted((moment, now))
    return format_html(
        '<span title="{}">{}</span>', time_label(moment), text % {"time": timesince(nearer, later, depth=1)}
    )


def device_label(user_agent: str) -> str:
    """Return a device in words; a tooltip shows the raw user agent."""
    return format_html('<span title="{}">{}</span>', user_agent, describe(user_agent)) if user_agent else "-"
