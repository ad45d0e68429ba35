"""Reading, setting and clearing the refresh token's cookie (RFC 6265)."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from operator import attrgetter

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase
from django.urls import NoReverseMatch, reverse
from rest_framework.request import Request

from twotoken import families
from twotoken.conf import HOST, SECURE, conf
from twotoken.exceptions import ConflictingCookies, InvalidToken, MissingToken
from twotoken.families import TokenPair
from twotoken.tokens import RefreshClaims

_CAPTURED = re.compile(r"<(?:[^<>:]+:)?([^<>:]+)>")  # of a path() or a named group


def cookie_values(request: HttpRequest | Request, name: str) -> list[str]:
    """Return the different values that were sent of a cookie, without an empty one.

    Names are compared byte for byte. Django's ``parse_cookie`` strips U+00A0 and other blanks that browsers keep, so a
    sibling subdomain, which can't set ``__Host-…``, could set ``\\xa0__Host-…`` instead. And ``request.COOKIES`` hides
    all values but the last.
    """
    header: str = request.META.get("HTTP_COOKIE", "")
    if name not in header:
        return []
    pairs = (part.partition("=") for part in header.split(";"))
    values = (value.strip(" \t") for found, _, value in pairs if found.strip(" \t") == name)
    return [value for value in dict.fromkeys(values) if value]


def token_from_cookie(request: HttpRequest | Request) -> RefreshClaims:
    """Return the refresh token that counts among those that came by cookie, without a query.

    A sibling subdomain can add values of our name, and can evict ours (RFC 6265 section 8.6). So values that don't
    verify are dropped. If the mount has a companion cookie, only the family that it names counts, and without that
    cookie none: then a sibling can sign people out, but can't put its own session in place of theirs. Of several
    generations of one family the newest counts: a change of COOKIE_PATH leaves older ones in browsers, and one of those
    would be reuse.

    Raises MissingToken; InvalidToken if no value verifies; ConflictingCookies if it is undecided which family counts.
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
    """Remove our cookie from ``request.COOKIES``: Django's error reports hide a cookie only if it has certain names."""
    request.COOKIES.pop(name or conf.cookie_name, None)


def set_refresh_cookie(response: HttpResponseBase, pair: TokenPair, request: HttpRequest | Request) -> None:
    """Set the refresh token's cookie and its companion on any response, such as the redirect of an OAuth callback."""
    _set(response, request, pair.refresh, str(pair.family_id), pair.refresh_expires_in)


def clear_refresh_cookie(response: HttpResponseBase, request: HttpRequest | Request) -> None:
    """Clear the cookie and its companion, with the attributes that they were set with."""
    _set(response, request, "", "", 0)


def companion_name(path: str) -> str | None:
    """Return the name of the cookie that says which refresh token counts, for the mount with this cookie path.

    None if there is no such cookie: a ``__Host-`` cookie needs none, one with a Domain trusts its siblings, and without
    Secure there is no ``__Host-``. Companions have the Path ``/``, so each mount needs another name.
    """
    name = conf.cookie_name
    if name.startswith(HOST) or conf.cookie_domain is not None or not conf.cookie_secure:
        return None
    digest = hashlib.sha256(path.encode()).hexdigest()[:12]
    return f"{HOST}{name.removeprefix(SECURE)}-{digest}-sid"


def cookie_path(request: HttpRequest | Request) -> str:
    """Return the path to which the cookie is limited: the parent of the refresh URL of the request's own mount.

    It is percent-encoded, as in the URL that a browser asks for. Outside a mount it is the default mount's. Raises
    ImproperlyConfigured if there is no such mount and no COOKIE_PATH.
    """
    if conf.cookie_path is not None:
        return conf.cookie_path
    match = request.resolver_match
    if match is not None and match.namespace:
        # Only what the mount's prefix captures: the options of an include() are in match.kwargs too, and with them
        # reverse() would find no URL.
        captured = set(_CAPTURED.findall(match.route)) - {"family_id"}
        kwargs = {name: value for name, value in match.kwargs.items() if name in captured}
        try:
            return _parent(reverse(f"{match.namespace}:refresh", kwargs=kwargs))
        except NoReverseMatch:
            pass  # the project's own namespace, without a refresh view
    try:
        return _parent(reverse("twotoken:refresh"))
    except NoReverseMatch as exc:
        raise ImproperlyConfigured(
            "No mount of twotoken.urls was found for the cookie's path. Set TWOTOKEN['COOKIE_PATH']."
        ) from exc


def _parent(url: str) -> str:
    # Django's reverse() leaves a semicolon of a captured prefix as it is, and that would end the attribute.
    return url.replace(";", "%3B").rstrip("/").rpartition("/")[0] + "/"


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
            samesite=conf.cookie_samesite,  # type: ignore[arg-type]  # a check holds it to the three words
        )
