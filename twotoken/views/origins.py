"""Cross-origin protection for requests with the refresh cookie, as in Go 1.25's ``CrossOriginProtection``.

If the browser sends the header ``Sec-Fetch-Site`` (Fetch Metadata), that header decides; otherwise ``Origin`` decides.
A page does not have to fetch a CSRF token first. Django's CSRF cookie is not used, because a sibling subdomain could
set that cookie too.
"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.utils.http import is_same_domain
from rest_framework.request import Request

from twotoken.exceptions import CrossOrigin

logger = logging.getLogger("twotoken")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 section 9.2.1


def check_origin(request: HttpRequest | Request) -> None:
    """Raise CrossOrigin if a browser sent the request from an origin that is neither the server's own nor trusted."""
    if request.method in SAFE_METHODS:
        return
    site = request.META.get("HTTP_SEC_FETCH_SITE", "")
    origin = request.META.get("HTTP_ORIGIN", "")
    if site in {"same-origin", "none"}:
        return
    # Without Fetch Metadata, Origin decides. A request that has neither does not come from a browser.
    if not site and (not origin or _is_ours(request, origin)):
        return
    if not is_trusted(origin):
        # The sender controls the values. They are quoted and shortened, so they can't forge a log line.
        reason = f"Origin {origin!r:.200} is not in CSRF_TRUSTED_ORIGINS (Sec-Fetch-Site {site!r:.20})."
        logger.warning("%s", reason)
        raise CrossOrigin(reason)


def _is_ours(request: HttpRequest | Request, origin: str) -> bool:
    try:
        return origin == f"{request.scheme}://{request.get_host()}"
    except DisallowedHost:
        return False


def is_trusted(origin: str) -> bool:
    """Tell whether an origin, or a wildcard that covers it, is in CSRF_TRUSTED_ORIGINS."""
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    wildcards = (urlsplit(trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS if "*" in trusted)
    return any(
        parts.scheme == trusted.scheme and is_same_domain(parts.netloc, trusted.netloc.lstrip("*"))
        for trusted in wildcards
    )
