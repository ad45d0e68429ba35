"""GET a document of another service, with limits for time and size. This module uses only the standard library.

Redirects are refused. ``urllib`` uses the certificates and, for https, the proxy that the environment names. Only a URL
of this machine may be http.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from queue import Empty, SimpleQueue
from socket import SHUT_RDWR, socket
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import (
    BaseHandler,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    ProxyHandler,
    Request,
    build_opener,
)

CHUNK = 65_536  # bytes


class FetchError(Exception):
    """The document could not be fetched. The message contains nothing of the other service's answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of the other service: a 200 with a body, or a 304 (RFC 9110 section 15.4.5) without a body."""

    status: int
    headers: Message
    body: bytes


class NoRedirects(HTTPRedirectHandler):
    """Refuses redirects. Otherwise an open redirect in the other service would let an attacker supply other keys."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def fetch(url: str, *, seconds: float, limit: int, headers: Mapping[str, str] | None = None) -> Answer:
    """Return the answer to a GET. Raises FetchError for a status other than 200 or 304, or if a limit is exceeded.

    ``seconds`` limits the time, ``limit`` the bytes of the answer.

    A thread makes the request, because ``urllib``'s timeout is for each read: it limits neither the DNS look-up, nor a
    server that sends a byte every second. When the time is over, the connection is shut down, so that the thread ends
    too.
    """
    results: SimpleQueue[Answer | FetchError] = SimpleQueue()
    opened: list[socket] = []
    deadline = time.monotonic() + seconds

    def work() -> None:
        try:
            results.put(_answer(url, seconds, limit, headers or {}, _handlers(opened, deadline)))
        except FetchError as exc:
            results.put(exc)
        except OSError as exc:
            results.put(FetchError(f"{type(exc).__name__}: {exc}"))
        except (HTTPException, ValueError) as exc:  # its text may be what the other service sent
            results.put(FetchError(type(exc).__name__))

    Thread(target=work, name="twotoken.fetch", daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except Empty as exc:
        for connected in opened:
            with suppress(OSError):  # the other service has closed it
                connected.shutdown(SHUT_RDWR)
        raise FetchError(f"no answer within {seconds:g} seconds") from exc
    if isinstance(result, FetchError):
        raise result
    return result


def _handlers(opened: list[socket], deadline: float) -> list[BaseHandler]:
    """Return ``urllib``'s handlers for http and https. They put each connection that they open into ``opened``."""

    class Kept:
        sock: socket

        def connect(self) -> None:
            super().connect()  # type: ignore[misc]  # that of the other base class
            opened.append(self.sock)
            if time.monotonic() > deadline:  # fetch() has stopped waiting and won't shut it down
                raise TimeoutError

    class Plain(Kept, HTTPConnection):
        pass

    class Secure(Kept, HTTPSConnection):
        pass

    class PlainHandler(HTTPHandler):
        def http_open(self, req: Request) -> Any:
            return self.do_open(Plain, req)

    class SecureHandler(HTTPSHandler):
        def https_open(self, req: Request) -> Any:
            return self.do_open(Secure, req)

    return [PlainHandler(), SecureHandler()]


def _answer(
    url: str, seconds: float, limit: int, headers: Mapping[str, str], handlers: Sequence[BaseHandler]
) -> Answer:
    proxies: dict[str, str] | None = None if url.startswith("https:") else {}  # None: those of the environment
    request = Request(url, headers={"Accept": "application/json", **headers})  # noqa: S310 - the settings' own URL
    try:
        response = build_opener(NoRedirects, ProxyHandler(proxies), *handlers).open(request, timeout=seconds)
    except HTTPError as exc:
        with exc:
            if exc.code != 304:
                raise FetchError(f"the answer has the status {exc.code}") from exc
            return Answer(304, exc.headers, b"")
    with response:
        body = bytearray()
        while chunk := response.read1(CHUNK):
            body += chunk
            if len(body) > limit:
                raise FetchError(f"the answer has more than {limit} bytes")
        if response.status != 200:
            raise FetchError(f"the answer has the status {response.status}")
        return Answer(200, response.headers, bytes(body))
