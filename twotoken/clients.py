"""Read a request's IP address and user agent, tell whether a browser sent the request, and compare two user agents."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.settings import api_settings

from twotoken.conf import conf

USER_AGENT_LENGTH = 512  # characters; of a longer user agent, only the beginning is stored
ADDRESS_LENGTH = 45  # characters: the longest form is IPv6 whose end is written as IPv4

_VERSION = re.compile(r"[\d._]+")
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|(\d+(?:\.\d+){3}):\d+")


@dataclass(frozen=True, slots=True)
class Client:
    """The IP address and the user agent of a request's sender. Both are empty if RECORD_CLIENT is False."""

    ip_address: str | None = None
    user_agent: str = ""

    @classmethod
    def from_request(cls, request: HttpRequest | Request) -> Client:
        """Return the Client of a request. If RECORD_CLIENT is False, its IP address and user agent are empty."""
        if not conf.record_client:
            return cls()
        user_agent = request.META.get("HTTP_USER_AGENT", "").replace("\x00", "")[:USER_AGENT_LENGTH]
        return cls(stored_address(client_address(request)), user_agent)


def sent_by_browser(request: HttpRequest | Request) -> bool:
    """Tell whether a request seems to come from a browser. Any client can fake this, so use this only for a login."""
    return bool(request.META.get("HTTP_SEC_FETCH_SITE") or request.META.get("HTTP_ORIGIN"))


def is_same_device(user_agent: str, other: str) -> bool:
    """Tell whether two user agents may belong to one device. Versions are ignored, because browsers get updates."""
    return user_agent == other or _VERSION.sub("", user_agent) == _VERSION.sub("", other)


def client_address(request: HttpRequest | Request) -> str:
    """Return the IP address of a request's sender as text, or an empty string if it is unknown.

    DRF's ``NUM_PROXIES`` decides which address of X-Forwarded-For is trusted, because any client can send this header.
    """
    address: str = request.META.get("REMOTE_ADDR") or ""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR")
    if api_settings.NUM_PROXIES and forwarded:
        hops = forwarded.split(",")
        address = hops[-min(api_settings.NUM_PROXIES, len(hops))].strip()
    return address


def stored_address(text: str) -> str | None:
    """Return an IP address in the form that is stored, or None if the address is invalid or has an IPv6 zone."""
    return _stored(text) if len(text) <= ADDRESS_LENGTH else None  # lru_cache must not keep long headers


@lru_cache(maxsize=1024)
def _stored(text: str) -> str | None:
    address = _parse(text)
    # Database types for addresses can't hold the zone of a link-local address.
    return None if address is None or getattr(address, "scope_id", None) else str(address)


def network(text: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address.

    A text that is no IP address is returned unchanged.
    """
    match = _WITH_PORT.fullmatch(text)  # some proxies forward the port with the address
    address = _parse(match[1] or match[2] if match else text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), 64), strict=False))
    return text if address is None else str(address)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
