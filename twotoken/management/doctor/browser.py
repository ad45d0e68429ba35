"""Predict whether a browser keeps a cookie and sends it back (RFC 6265bis). Pure: no network."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult

from twotoken.conf import HOST, SECURE
from twotoken.cookies import is_this_machine
from twotoken.management.doctor.findings import Fault
from twotoken.management.doctor.sites import is_suffix, origin_of, relation, site_of

LOST = "Each page load would ask the user to log in again."


@dataclass(frozen=True, slots=True)
class Cookie:
    """The name and the attributes of a cookie that an answer sets. The cookie's value is left out."""

    name: str
    path: str
    domain: str
    secure: bool
    samesite: str

    @classmethod
    def parse(cls, header: str, request_path: str) -> Cookie:
        """Read a ``Set-Cookie`` header. Without a Path attribute, browsers use the folder of the request's path."""
        first, *rest = header.split(";")
        found = {name.strip().lower(): value.strip() for name, _, value in (part.partition("=") for part in rest)}
        path = found.get("path", "")
        return cls(
            name=first.partition("=")[0].strip(),
            path=path if path.startswith("/") else request_path.rpartition("/")[0] or "/",
            domain=found.get("domain", "").lower().lstrip("."),
            secure="secure" in found,
            samesite=found.get("samesite", "Lax").capitalize(),
        )


def fault_of(cookie: Cookie, page: SplitResult, api: SplitResult) -> Fault | None:
    """Return why a browser drops the API's cookie or does not send it from a page, or None if there is no fault.

    ``page`` is the URL of the page. ``api`` is the URL at which clients reach ``twotoken.urls``.
    """
    return _dropped(cookie, api) or _withheld(cookie, page, api)


def is_third_party(cookie: Cookie, page: SplitResult, api: SplitResult) -> bool:
    """Tell whether a cookie is sent to the API although the page is of another site. Safari blocks such cookies."""
    return relation(page, api) == "cross-site" and cookie.samesite == "None"


def _dropped(cookie: Cookie, api: SplitResult) -> Fault | None:
    host = api.hostname or ""
    name = cookie.name.lower()  # browsers ignore upper and lower case in a prefix
    if cookie.secure and api.scheme == "http" and not is_this_machine(host):
        return Fault(
            f"Browsers drop the Secure cookie of {origin_of(api)}, which is plain http.",
            LOST,
            "Use https. For development without https, set TWOTOKEN['COOKIE_SECURE'] to False.",
        )
    if name.startswith(HOST.lower()) and not (cookie.secure and cookie.path == "/" and not cookie.domain):
        return Fault(
            f"Browsers drop {cookie.name}: this prefix needs Secure, Path=/ and no Domain.",
            LOST,
            "Set TWOTOKEN['COOKIE_NAME'] to None. If a proxy rewrites the cookie, let it pass the cookie on unchanged.",
        )
    if name.startswith(SECURE.lower()) and not cookie.secure:
        return Fault(
            f"Browsers drop {cookie.name}: this prefix needs Secure.",
            LOST,
            "Set TWOTOKEN['COOKIE_NAME'] to None. If a proxy rewrites the cookie, let it pass the cookie on unchanged.",
        )
    if cookie.samesite == "None" and not cookie.secure:
        return Fault(
            "Browsers drop a cookie with SameSite=None that is not Secure.",
            LOST,
            "Set TWOTOKEN['COOKIE_SECURE'] to True, and use https.",
        )
    if cookie.domain and (not _covers(cookie.domain, host) or is_suffix(cookie.domain)):
        return Fault(
            f"Browsers drop a cookie with Domain={cookie.domain} that {host} sets.",
            LOST,
            f"Set TWOTOKEN['COOKIE_DOMAIN'] to None, or to a domain that {host} belongs to.",
        )
    return None


def _withheld(cookie: Cookie, page: SplitResult, api: SplitResult) -> Fault | None:
    if not _is_below(api.path, cookie.path):
        return _wrong_path(cookie, api)
    if relation(page, api) != "cross-site" or cookie.samesite == "None":
        return None
    text = (
        f"Browsers don't send the cookie from a page of {origin_of(page)} to {origin_of(api)}: these are two sites, "
        f"and the cookie has SameSite={cookie.samesite}."
    )
    if is_this_machine(page.hostname or "") and is_this_machine(api.hostname or ""):
        remedy = f"Use one host name for both: open the page at {origin_of(page._replace(netloc=_moved(page, api)))}."
    elif site_of(page.hostname or "") == site_of(api.hostname or ""):  # only the schemes differ
        remedy = "Serve both over https."
    else:
        remedy = (
            "Serve both under one registrable domain, best of all under one origin. Otherwise set "
            "TWOTOKEN['COOKIE_SAMESITE'] to 'None'; even then Safari blocks the cookie."
        )
    return Fault(text, LOST, remedy)


def _wrong_path(cookie: Cookie, api: SplitResult) -> Fault:
    text = f"The cookie has Path={cookie.path}, and browsers call {api.path}, so they don't send it back."
    if api.path.endswith(cookie.path):
        prefix = api.path.removesuffix(cookie.path)
        remedy = (
            f"The proxy strips {prefix!r}: tell Django with FORCE_SCRIPT_NAME = {prefix!r} (under uvicorn with "
            f"--root-path {prefix}), or let the proxy pass the path on unchanged and mount twotoken.urls at that path."
        )
    else:
        remedy = "Set TWOTOKEN['COOKIE_PATH'] to None. If a proxy changes the path, let it pass the path on unchanged."
    return Fault(text, LOST, remedy)


def _moved(page: SplitResult, api: SplitResult) -> str:
    host = api.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if page.port is None else f"{host}:{page.port}"


def _covers(domain: str, host: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _is_below(path: str, folder: str) -> bool:
    """Tell whether a cookie with the Path ``folder`` is sent to ``path`` (RFC 6265 section 5.1.4)."""
    return path == folder or path.startswith(folder if folder.endswith("/") else f"{folder}/")
