"""Describes a device in a notice to its user, and tells whether a login came from a new device."""

from __future__ import annotations

import ipaddress
from typing import Any, Final
from uuid import UUID

from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext

from twotoken.clients import is_same_device
from twotoken.models import EventKind, FamilyEvent, RefreshToken

# A login is compared with at most this many families of its user. If there are more, most likely a script has made them
# all, and their user agents are alike.
MOST_FAMILIES: Final = 1000

# Parts of a user agent, each with the name to show; the first part that fits counts. A notice never quotes the user
# agent: a thief could choose one that is a sentence with a link, and the project would mail it.
BROWSERS: Final = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "CriOS/": "Chrome",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
    "okhttp/": "OkHttp",
    "python-": "Python",
    "curl/": "curl",
}
SYSTEMS: Final = {
    "Windows": "Windows",
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Mac OS X": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def describe(user_agent: str) -> str:
    """Return the browser and system in a user agent, such as "Firefox on Linux". Empty if both are unknown."""
    browser, system = (
        next((name for part, name in names.items() if part in user_agent), "") for names in (BROWSERS, SYSTEMS)
    )
    if browser and system:
        return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system


def shown_network(address: str | None) -> str:
    """Return the network part of an address, such as 203.0.113.x or 2001:db8:7:x. Empty if there is no address."""
    if address is None:
        return ""
    version = ipaddress.ip_address(address).version
    if version == 4:
        return f"{address.rpartition('.')[0]}.x"
    groups = ipaddress.IPv6Address(address).exploded.split(":")[:3]  # a /48: one customer of a provider, or more
    return ":".join([*(f"{int(group, 16):x}" for group in groups), "x"])


def is_new(user_agent: str, user_id: Any, family_id: UUID) -> bool:
    """Tell whether a login came from a device from which the user had not logged in before. Two SELECTs.

    False if no earlier login of the user is stored. User agents of logins are compared, not those of refreshes, because
    a thief's refresh must not make the thief's device a known one. Only earlier logins count. Otherwise, of two logins
    at the same time, each would make the other's device a known one.
    """
    rows = RefreshToken.objects.primary()
    started = rows.filter(pk=family_id).values_list("created_at", flat=True).first()
    if started is None:  # the family has already been deleted
        return False
    moved = FamilyEvent.objects.filter(family=OuterRef("pk"), kind=EventKind.DEVICE).order_by("created_at", "pk")
    at_login = Coalesce(Subquery(moved.values("previous_user_agent")[:1]), F("user_agent"))
    # There is no ordering: to sort, a database may read an index of created_at, which has the logins of all users.
    known = rows.filter(user_id=user_id, created_at__lt=started).annotate(at_login=at_login)
    agents = set(known.values_list("at_login", flat=True)[:MOST_FAMILIES]) - {""}
    return bool(agents) and not any(is_same_device(agent, user_agent) for agent in agents)
