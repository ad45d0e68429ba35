"""What a request tells of its sender: address, user agent, browser or script."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.settings import api_settings

from twotoken.conf import conf

USER_AGENT_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Client:
    """The sender of a request. ``ip_address`` and ``user_agent`` are what may be stored of it."""

    ip_address: str | None = None
    user_agent: str = ""
    is_browser: bool = False

    @classmethod
    def from_request(cls, request: HttpRequest | Request, *, by_cookie: bool = False) -> Client:
        """Read the sender. It counts as a browser when our cookie carries the token and it says where it comes from.

        With ``RECORD_CLIENT`` off, neither address nor user agent is taken.
        """
        meta = request.META
        is_browser = by_cookie and bool(meta.get("HTTP_SEC_FETCH_SITE") or meta.get("HTTP_ORIGIN"))
        if not conf.record_client:
            return cls(is_browser=is_browser)
        user_agent = meta.get("HTTP_USER_AGENT", "").replace("\x00", "")[:USER_AGENT_LENGTH]
        return cls(_ip_address(client_address(request)), user_agent, is_browser)


def client_address(request: HttpRequest | Request) -> str:
    """Return the sender's address as text, empty when there is none.

    X-Forwarded-For is believed only as far as DRF's ``NUM_PROXIES`` says: anyone may send the header.
    """
    address: str = request.META.get("REMOTE_ADDR") or ""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR")
    if api_settings.NUM_PROXIES and forwarded:
        hops = forwarded.split(",")
        address = hops[-min(api_settings.NUM_PROXIES, len(hops))].strip()
    return address


def _ip_address(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        if address.scope_id:  # databases have no place for the zone of a link-local address
            return None
    return str(address)
