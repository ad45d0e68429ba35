"""Describes a user agent in words, if ua-parser is installed (the extra ``admin``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext

parse: Callable[[str], Any] | None
try:
    from ua_parser import parse
except ImportError:  # pragma: no cover - the extra is optional
    parse = None


def describe(user_agent: str) -> str:
    """Return the browser and system of a user agent in words, or the user agent itself if neither is known."""
    if parse is None or not user_agent:
        return user_agent
    result = parse(user_agent)
    browser = result.user_agent and " ".join(filter(None, (result.user_agent.family, result.user_agent.major)))
    system = result.os and result.os.family
    if browser and system:
        return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return str(browser or system or user_agent)
