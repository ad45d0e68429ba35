"""Compare the URL in a DPoP proof (``htu``) with the URL of the request (RFC 9449 section 4.3). Pure: no Django."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from twotoken.exceptions import ProofAddress

_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"[!-~]+")  # a URL has no blanks and only ASCII (RFC 3986 section 2)


def normal(url: str) -> tuple[str, str, int | None, bytes]:
    """Return scheme, host, port and path of a URL for comparison (RFC 3986 section 6.2), without query and fragment.

    All percent-encodings are decoded, even those of reserved characters: the path of a request reaches Django decoded,
    so ``%40`` and ``@`` are the same for Django. Raises ProofAddress if ``url`` is not an http or https URL.
    """
    parts = _split(url)
    path = unquote_to_bytes(parts.path)
    try:
        port = parts.port
    except ValueError as exc:
        raise ProofAddress("htu", url) from exc
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    return scheme, host, _DEFAULT_PORTS[scheme] if port is None else port, _without_dots(path)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url) if _URL.fullmatch(url) else None
    except ValueError as exc:  # such as a broken IPv6 address
        raise ProofAddress("htu", url) from exc
    if parts is None or parts.scheme.lower() not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        raise ProofAddress("htu", url)
    return parts


def _without_dots(path: bytes) -> bytes:
    """Return a path without dot segments (RFC 3986 section 5.2.4). An empty path is ``/``."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments and segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
