"""The refresh token's cookie (RFC 6265): read, set, clear."""

from __future__ import annotations

import re

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase, parse_cookie
from django.urls import NoReverseMatch, reverse
from rest_framework.request import Request

from twotoken.conf import conf
from twotoken.exceptions import ConflictingCookies, MissingToken
from twotoken.families import TokenPair

_CAPTURED = re.compile(r"<(?:[^<>:]+:)?([^<>:]+)>")  # of a path() or a named group


def presented_tokens(request: HttpRequest | Request, name: str | None = None) -> list[str]:
    """Return the different values of our cookie, or of another, as sent: ``request.COOKIES`` would hide all but one."""
    name = name or conf.cookie_name
    header: str = request.META.get("HTTP_COOKIE", "")
    if name not in header:
        return []
    values = [cookies[name] for cookies in map(parse_cookie, header.split(";")) if name in cookies]
    return list(dict.fromkeys(values))


def presented_token(request: HttpRequest | Request, name: str | None = None) -> str:
    """Return the one refresh token that came by cookie.

    Raises MissingToken, or ConflictingCookies when there are two: a sibling subdomain may have tossed one in, and a
    server can't tell which (RFC 6265 section 8.6).
    """
    values = presented_tokens(request, name)
    if len(values) > 1:
        raise ConflictingCookies
    if not values or not values[0]:
        raise MissingToken
    return values[0]


def hide_cookie(request: HttpRequest | Request, name: str | None = None) -> None:
    """Take our cookie out of ``request.COOKIES``: Django's error reports hide it there only under some names."""
    request.COOKIES.pop(name or conf.cookie_name, None)


def set_refresh_cookie(response: HttpResponseBase, pair: TokenPair, request: HttpRequest | Request) -> None:
    """Put the pair's refresh token on any response: an OAuth callback, a redirect."""
    _set(response, pair.refresh, pair.refresh_expires_in, request)


def clear_refresh_cookie(response: HttpResponseBase, request: HttpRequest | Request) -> None:
    """Clear the cookie, with the attributes that it was set with."""
    _set(response, "", 0, request)


def cookie_path(request: HttpRequest | Request) -> str:
    """Return the path to which the cookie is limited: the parent of the refresh URL of the request's own mount.

    Outside a mount it is the default mount's; raises ImproperlyConfigured where there is none and no COOKIE_PATH.
    """
    if conf.cookie_path is not None:
        return conf.cookie_path
    match = request.resolver_match
    if match is not None and match.namespace:
        # What the mount's prefix captures; not what an include() adds, for no reversing within it knows that.
        captured = set(_CAPTURED.findall(match.route)) - {"family_id"}
        kwargs = {name: value for name, value in match.kwargs.items() if name in captured}
        try:
            return _parent(reverse(f"{match.namespace}:refresh", kwargs=kwargs))
        except NoReverseMatch:
            pass  # a namespace of the project's own, without a refresh view
    try:
        return _parent(reverse("twotoken:refresh"))
    except NoReverseMatch as exc:
        raise ImproperlyConfigured(
            "No mount of twotoken.urls was found for the cookie's path. Set TWOTOKEN['COOKIE_PATH']."
        ) from exc


def _parent(url: str) -> str:
    return url.rstrip("/").rpartition("/")[0] + "/"


def _set(response: HttpResponseBase, value: str, max_age: int, request: HttpRequest | Request) -> None:
    response.set_cookie(
        conf.cookie_name,
        value,
        max_age=max_age,
        path=cookie_path(request),
        domain=conf.cookie_domain,
        secure=conf.cookie_secure,
        httponly=True,
        samesite=conf.cookie_samesite,  # type: ignore[arg-type]  # a check holds it to the three words
    )
