"""Reads and sets the device cookie and the headers of Device Bound Session Credentials."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from rest_framework.request import Request

from twotoken import dpop
from twotoken.conf import HOST, SECURE, conf
from twotoken.contrib.dbsc import codec
from twotoken.cookies import cookie_path, cookie_values, endpoint_path
from twotoken.families import TokenPair

REGISTRATION_LIFETIME = timedelta(minutes=5)  # how long after a login a browser may register
# A challenge is accepted this much longer than the device cookie that was made with it, because a browser signs the
# challenge only when the cookie has expired.
CHALLENGE_RESERVE = timedelta(minutes=5)
# If a browser says that it could not renew the device cookie, the server asks it to wait, for up to SKIPPED_PATIENCE.
# A second cookie, which lives for SKIPPED_MEMORY, says when the browser was first asked.
SKIPPED_PATIENCE = timedelta(minutes=1)
SKIPPED_MEMORY = timedelta(minutes=10)
SKIPPED_RETRY_AFTER = 5  # seconds

REGISTRATION_HEADER: Final = "Secure-Session-Registration"
CHALLENGE_HEADER: Final = "Secure-Session-Challenge"
_SESSION_ID = re.compile(r' *"?([0-9a-fA-F-]{32,36})"? *')


def cookie_name(request: HttpRequest | Request) -> str:
    """Return the name of the request's device cookie: with ``__Host-`` if its Path is ``/``, otherwise ``__Secure-``.

    The name contains "token", because Django's error reports hide the values of such cookies.
    """
    return f"{HOST if cookie_path(request) == '/' else SECURE}device_token"


def offer_registration(response: HttpResponseBase, pair: TokenPair, request: HttpRequest | Request) -> None:
    """Invite the browser by a response header to bind the login's family to its device. For the cookie delivery only.

    A browser with Device Bound Session Credentials makes a key and registers it at once. Any other browser ignores the
    header. The header is not set if binding can't work: if cryptography is missing; if the refresh cookie is not
    Secure, or has a Domain, because the device cookie has none; or if the login has already bound the family by DPoP.
    """
    is_bound = "HTTP_DPOP" in request.META and conf.dpop != "off"
    if not dpop.SUPPORTED or is_bound or not conf.cookie_secure or conf.cookie_domain is not None:
        return
    challenge = codec.make_challenge(conf.refresh_keys, codec.REGISTRATION, pair.family_id, _seconds())
    path = endpoint_path(request, "device")
    response[REGISTRATION_HEADER] = f'({" ".join(codec.ALGORITHMS)});path="{path}";challenge="{challenge}"'


def is_registration_challenge(challenge: str, family_id: UUID) -> bool:
    """Tell whether a challenge was made at the login of this family, at most REGISTRATION_LIFETIME ago."""
    made = codec.challenge_time(conf.refresh_keys, codec.REGISTRATION, family_id, challenge)
    return made is not None and abs(_seconds() - made) <= REGISTRATION_LIFETIME.total_seconds()


def is_refresh_challenge(challenge: str, family_id: UUID, lifetime: timedelta) -> bool:
    """Tell whether a challenge was made for this family and is not too old.

    It may be as old as the device cookie's ``lifetime`` plus CHALLENGE_RESERVE.
    """
    made = codec.challenge_time(conf.refresh_keys, codec.REFRESH, family_id, challenge)
    return made is not None and abs(_seconds() - made) <= (lifetime + CHALLENGE_RESERVE).total_seconds()


def set_challenge(response: HttpResponseBase, family_id: UUID) -> None:
    """Set the header with the challenge that the browser signs for its next proof."""
    challenge = codec.make_challenge(conf.refresh_keys, codec.REFRESH, family_id, _seconds())
    response[CHALLENGE_HEADER] = f'"{challenge}";id="{family_id}"'


def set_device_cookie(
    response: HttpResponseBase, request: HttpRequest | Request, family_id: UUID, device_key: str, lifetime: timedelta
) -> None:
    """Set the short-lived cookie that a refresh of a bound family needs."""
    seconds = int(lifetime.total_seconds())
    token = codec.make_device_token(conf.refresh_keys, family_id, device_key, _seconds() + seconds)
    _set(response, request, cookie_name(request), token, seconds)


def proven_key(request: HttpRequest | Request, family_id: UUID) -> str:
    """Return the key that the device cookie proves for a family. Empty without a valid device cookie.

    A sibling subdomain can add cookies of the same name (RFC 6265 section 8.6). Invalid cookies are ignored.
    """
    values = cookie_values(request, cookie_name(request))
    found = (codec.proven_key(conf.refresh_keys, family_id, value, _seconds()) for value in values)
    return next(filter(None, found), "")


def session_id(request: HttpRequest | Request) -> UUID | None:
    """Return the id of the family whose device cookie a browser wants to renew. None if the request names no family."""
    match = _SESSION_ID.fullmatch(request.META.get("HTTP_SEC_SECURE_SESSION_ID", ""))
    try:
        return None if match is None else UUID(match[1])
    except ValueError:
        return None


def was_skipped(request: HttpRequest | Request, family_id: UUID) -> bool:
    """Tell whether the request's header says that the browser could not renew this family's device cookie.

    Either the browser's quota of renewals was used up, or the browser got no answer.
    """
    return str(family_id) in request.META.get("HTTP_SECURE_SESSION_SKIPPED", "")


def is_skipped_too_long(request: HttpRequest | Request) -> bool:
    """Tell whether more than SKIPPED_PATIENCE has passed since the server first asked the browser to wait.

    This time is in a cookie that is not signed. Whoever forges it changes only whether the browser has to wait or is
    refused.
    """
    values = cookie_values(request, f"{cookie_name(request)}-skipped")
    first = min((int(value) for value in values if re.fullmatch("[0-9]{1,12}", value)), default=None)
    return first is not None and _seconds() - first > SKIPPED_PATIENCE.total_seconds()


def remember_skipped(response: HttpResponseBase, request: HttpRequest | Request) -> None:
    """Set the cookie that says when the server first asked the browser to wait, unless the browser has it already."""
    name = f"{cookie_name(request)}-skipped"
    if not cookie_values(request, name):
        _set(response, request, name, str(_seconds()), int(SKIPPED_MEMORY.total_seconds()))


def instructions(request: HttpRequest | Request, family_id: UUID) -> dict[str, Any]:
    """Return the session instructions, the JSON that tells a browser which requests need a valid device cookie.

    The instructions have two rules: the first exempts every path, the second requires the cookie for ``refresh/``. If
    both rules fit a request, the browser applies the second. So only a request to ``refresh/`` has to wait until the
    browser has renewed the cookie. All other requests are as fast as without the device's key.
    """
    rules = [("exclude", "/"), ("include", endpoint_path(request, "refresh"))]
    found: dict[str, Any] = {
        "session_identifier": str(family_id),
        "refresh_url": endpoint_path(request, "device_refresh"),
        "scope": {
            "include_site": False,
            "scope_specification": [{"type": kind, "domain": "*", "path": path} for kind, path in rules],
        },
        "credentials": [{"type": "cookie", "name": cookie_name(request), "attributes": _attributes(request)}],
    }
    # The trusted origins are front ends of other origins. Without this entry, a browser renews the cookie only for
    # requests from the session's own origin.
    if hosts := [host for origin in settings.CSRF_TRUSTED_ORIGINS if (host := urlsplit(origin).hostname)]:
        found["allowed_refresh_initiators"] = hosts
    return found


def _attributes(request: HttpRequest | Request) -> str:
    """Return the device cookie's attributes as in ``Set-Cookie``. They must equal the attributes that ``_set`` sets."""
    return f"Path={cookie_path(request)}; Secure; HttpOnly; SameSite={conf.cookie_samesite}"


def _set(response: HttpResponseBase, request: HttpRequest | Request, name: str, value: str, max_age: int) -> None:
    response.set_cookie(
        name,
        value,
        max_age=max_age,
        path=cookie_path(request),
        secure=True,
        httponly=True,
        samesite=conf.cookie_samesite,  # type: ignore[arg-type]  # a check allows only the three words
    )


def _seconds() -> int:
    return int(timezone.now().timestamp())
