"""Compare the origins and sites of URLs as browsers do."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
# Two hosts below one of these suffixes are two sites. The whole Public Suffix List has ten thousand entries and changes
# weekly, so these are only the suffixes under which projects are commonly deployed.
SHARED_SUFFIXES = frozenset(
    {
        *("amplifyapp.com", "appspot.com", "azurewebsites.net", "cloudfront.net", "firebaseapp.com", "fly.dev"),
        *("github.io", "gitlab.io", "herokuapp.com", "netlify.app", "ngrok-free.app", "ngrok.io", "onrender.com"),
        *("pages.dev", "pythonanywhere.com", "run.app", "up.railway.app", "vercel.app", "web.app", "workers.dev"),
    }
)
SECOND_LEVEL = frozenset(  # as in co.uk: below a country, these are suffixes too
    {"ac", "co", "com", "edu", "gob", "gov", "go", "ltd", "me", "ne", "net", "nom", "or", "org"}
)


def origin_of(url: str | SplitResult) -> str:
    """Return the origin of a URL as a browser writes it: without the default port."""
    parts = urlsplit(url) if isinstance(url, str) else url
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def site_of(host: str) -> str:
    """Return the registrable domain of a host. For SameSite, all hosts of one registrable domain are one site."""
    labels = host.split(".")
    if is_address(host) or len(labels) < 3:
        return host
    for length in (3, 2):
        if ".".join(labels[-length:]) in SHARED_SUFFIXES:
            return ".".join(labels[-length - 1 :])
    length = 3 if len(labels[-1]) == 2 and labels[-2] in SECOND_LEVEL else 2
    return ".".join(labels[-length:])


def is_suffix(domain: str) -> bool:
    """Tell whether a domain is a public suffix, such as co.uk. Browsers accept no cookie with such a Domain."""
    labels = domain.split(".")
    return (
        len(labels) == 1
        or domain in SHARED_SUFFIXES
        or (len(labels) == 2 and len(labels[1]) == 2 and labels[0] in SECOND_LEVEL)
    )


def is_address(host: str) -> bool:
    """Tell whether a host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def relation(page: SplitResult, api: SplitResult) -> str:
    """Return the value of ``Sec-Fetch-Site`` that a browser sends with a request from a page to the API."""
    if origin_of(page) == origin_of(api):
        return "same-origin"
    is_same = page.scheme == api.scheme and site_of(page.hostname or "") == site_of(api.hostname or "")
    return "same-site" if is_same else "cross-site"
