"""Read, set and clear the refresh token's cookie (RFC 6265). ``conf.cookie_name`` is the name of this cookie."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import re
from contextlib import suppress
from operator import attrgetter

from django.core.exceptions import DisallowedHost, ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase
from django.http.request import split_domain_port
from django.urls import NoReverseMatch, reverse
from rest_framework.request import Request

from twotoken import families
from twotoken.conf import HOST, SECURE, conf
from twotoken.exceptions import ConflictingCookies, InvalidToken, MissingToken
from twotoken.families import TokenPair
from twotoken.tokens import RefreshClaims

logger = logging.getLogger("twotoken")

_CAPTURED = re.compile(r"<(?:[^<>:]+:)?([^<>:]+)>")  # the names in a route of path() or re_path()


def cookie_values(request: HttpRequest | Request, name: str) -> list[str]:
    """Return the distinct, non-empty values that a request has for the cookie ``name``.

    Names are compared byte for byte. Django's ``parse_cookie`` would strip blanks such as U+00A0 from a name, although
    browsers keep them. A sibling subdomain, such as blog.example.com beside api.example.com, can't set ``__Host-…``,
    but it can set ``\\xa0__Host-…``, and Django would read both as the same name. ``request.COOKIES`` is not used,
    because it has only the last value of each name.
    """
    header: str = request.META.get("HTTP_COOKIE", "")
    if name not in header:
        return []
    pairs = (part.partition("=") for part in header.split(";"))
    values = (value.strip(" \t") for found, _, value in pairs if found.strip(" \t") == name)
    return [value for value in dict.fromkeys(values) if value]


def token_from_cookie(request: HttpRequest | Request) -> RefreshClaims:
    """Return the claims of the refresh token in the cookie. If there are several such cookies, choose one. No query.

    A sibling subdomain can add cookies with the same name, and can evict the real one (RFC 6265 section 8.6). So tokens
    without a valid signature are ignored. If the mount (an ``include`` of ``twotoken.urls``) uses a companion cookie,
    only tokens of the family that the companion cookie names are kept (see ``companion_name``). Without the companion
    cookie, no token is kept. So a sibling subdomain can log users out, but can't replace their login by its own. If
    tokens of several generations of one family are left, the newest is chosen: after a change of COOKIE_PATH, browsers
    send older tokens too, and a refresh with an older token would look like reuse.

    Raises MissingToken if there is no such cookie, InvalidToken if no token has a valid signature, and
    ConflictingCookies unless exactly one family is left.
    """
    values = cookie_values(request, conf.cookie_name)
    if not values:
        raise MissingToken
    found: list[RefreshClaims] = []
    for value in values:
        with suppress(InvalidToken):
            found.append(families.verify(value))
    if not found:
        raise InvalidToken
    companion = companion_name(cookie_path(request))
    if companion is not None:
        named = cookie_values(request, companion)
        found = [claims for claims in found if [str(claims.family_id)] == named]
    if len({claims.family_id for claims in found}) != 1:
        raise ConflictingCookies
    return max(found, key=attrgetter("generation"))


def hide_cookie(request: HttpRequest | Request, name: str | None = None) -> None:
    """Remove a cookie, by default the refresh cookie, from ``request.COOKIES``.

    Otherwise Django's error reports would show the cookie's value: they hide only cookies with certain names.
    """
    if request.META.get("HTTP_COOKIE"):
        request.COOKIES.pop(name or conf.cookie_name, None)


def set_refresh_cookie(response: HttpResponseBase, pair: TokenPair, request: HttpRequest | Request) -> None:
    """Set the refresh token's cookie on any response, such as the redirect of an OAuth callback.

    If the mount (an ``include`` of ``twotoken.urls``) has a companion cookie (``companion_name``), set this cookie too.
    """
    _set(response, request, pair.refresh, str(pair.family_id), pair.refresh_expires_in)


def clear_refresh_cookie(response: HttpResponseBase, request: HttpRequest | Request) -> None:
    """Clear the refresh token's cookie, with the same attributes with which it is set.

    If the mount (an ``include`` of ``twotoken.urls``) has a companion cookie (``companion_name``), clear both cookies.
    """
    _set(response, request, "", "", 0)


def warn_if_dropped(request: HttpRequest | Request) -> None:
    """Log a warning if browsers drop the refresh cookie, because it is Secure and the request came over plain http.

    There is no warning for localhost, because browsers keep its Secure cookies over http too. There is no warning if
    the page came over https, because then a proxy in front of Django speaks https with the browser.
    """
    is_plain = not request.is_secure() and not request.META.get("HTTP_ORIGIN", "").startswith("https://")
    if not conf.cookie_secure or not is_plain:
        return
    try:
        host = split_domain_port(request.get_host())[0]
    except DisallowedHost:
        return  # a login must not fail because of a log line
    if not is_this_machine(host):
        logger.warning(
            "Browsers drop the Secure refresh cookie of a login over plain http on %s. Use https, and set Django's "
            "SECURE_PROXY_SSL_HEADER if a proxy adds it. Without https set TWOTOKEN['COOKIE_SECURE'] to False.",
            host,
        )


def is_this_machine(host: str) -> bool:
    """Tell whether a host is this machine, such as localhost: browsers keep its Secure cookies even over http."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def companion_name(path: str) -> str | None:
    """Return the name of the companion cookie of a refresh cookie with the Path ``path``, or None if there is none.

    The companion cookie contains the id of the browser's token family. If the refresh cookie's name has the prefix
    ``__Host-``, there is no companion cookie, because sibling subdomains can't set the refresh cookie. With
    COOKIE_DOMAIN there is none, because sibling subdomains are trusted. Without COOKIE_SECURE there is none, because
    browsers would refuse it: its name has the prefix ``__Host-``, which requires Secure. All companion cookies have the
    Path ``/``, so the companion cookie's name contains a digest of ``path``.
    """
    name = conf.cookie_name
    if name.startswith(HOST) or conf.cookie_domain is not None or not conf.cookie_secure:
        return None
    digest = hashlib.sha256(path.encode()).hexdigest()[:12]
    return f"{HOST}{name.removeprefix(SECURE)}-{digest}-sid"


def cookie_path(request: HttpRequest | Request) -> str:
    """Return the Path of the refresh cookie: COOKIE_PATH or, if COOKIE_PATH is None, the parent of the refresh URL.

    The refresh URL is that of the request's mount, the ``include`` of ``twotoken.urls`` that the request was sent to.
    For other requests, the mount with the namespace ``twotoken`` is used. The Path is percent-encoded, as in a
    browser's request. Raises ImproperlyConfigured if there is neither a COOKIE_PATH nor such a mount.
    """
    if conf.cookie_path is not None:
        return conf.cookie_path
    try:
        return endpoint_path(request, "refresh").rstrip("/").rpartition("/")[0] + "/"
    except NoReverseMatch as exc:
        raise ImproperlyConfigured(
            "No mount of twotoken.urls was found for the cookie's path. Set TWOTOKEN['COOKIE_PATH']."
        ) from exc


def endpoint_path(request: HttpRequest | Request, name: str) -> str:
    """Return the percent-encoded path of an endpoint in the request's mount, or else in the default mount.

    A mount is an ``include`` of ``twotoken.urls``. The default mount has the namespace ``twotoken``. Raises
    NoReverseMatch if neither mount has an endpoint with this name.
    """
    match = request.resolver_match
    if match is not None and match.namespace:
        # Pass only the values that the URL prefix of the mount captures. match.kwargs also has the options of
        # include(), and with those reverse() would find no URL.
        captured = set(_CAPTURED.findall(match.route)) - {"family_id"}
        kwargs = {key: value for key, value in match.kwargs.items() if key in captured}
        with suppress(NoReverseMatch):  # the project's own namespace, without such an endpoint
            return _encoded(reverse(f"{match.namespace}:{name}", kwargs=kwargs))
    return _encoded(reverse(f"twotoken:{name}"))


def _encoded(url: str) -> str:
    # Django's reverse() does not encode a semicolon in a captured prefix. The semicolon would end the cookie's Path
    # attribute.
    return url.replace(";", "%3B")


def _set(response: HttpResponseBase, request: HttpRequest | Request, token: str, sid: str, max_age: int) -> None:
    path = cookie_path(request)
    cookies = [(conf.cookie_name, token, path, conf.cookie_domain)]
    if (companion := companion_name(path)) is not None:
        cookies.append((companion, sid, "/", None))
    for name, value, where, domain in cookies:
        response.set_cookie(
            name,
            value,
            max_age=max_age,
            path=where,
            domain=domain,
            secure=conf.cookie_secure,
            httponly=True,
            samesite=conf.cookie_samesite,  # type: ignore[arg-type]  # a check allows only the three words
        )
