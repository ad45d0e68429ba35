"""Two ways to send the doctor's requests to ``twotoken.urls``: inside this process, and over HTTP."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from django.test import Client

from twotoken.management.doctor.sites import DEFAULT_PORTS, origin_of
from twotoken.responses import STATUS_CODES

TIMEOUT = 10  # seconds for one answer
LONGEST_ANSWER = 65_536  # bytes. When so many of an answer were read, the rest is ignored
CODES = (*STATUS_CODES, "throttled")  # a tuple, because a server may send a value that can't be hashed


class NoAnswer(Exception):
    """The server did not answer. The message says why, and contains nothing that the server sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request. ``body`` is its JSON, or an empty dict if the answer is not a JSON object or list."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    set_cookies: tuple[str, ...] = field(repr=False)
    body: Any = field(repr=False)
    error: str = ""  # the name of the exception behind a 500, if it is known

    @property
    def code(self) -> str:
        """The ``code`` of the body if it is one of twotoken's codes, otherwise an empty string.

        The doctor's report must not repeat text that another server, such as a proxy, has written.
        """
        code = self.body.get("code") if isinstance(self.body, dict) else None
        return str(code) if code in CODES else ""

    @property
    def cookie_header(self) -> str:
        """The ``Cookie`` header that sends all cookies of this answer back."""
        return "; ".join(header.partition(";")[0] for header in self.set_cookies)

    def listed(self, name: str) -> set[str]:
        """Return the entries of a comma-separated header, in lower case."""
        return {entry.strip().lower() for entry in self.headers.get(name, "").split(",") if entry.strip()}


class Transport(Protocol):
    """Sends requests to the endpoints of one ``include`` of ``twotoken.urls``. ``send`` may raise NoAnswer."""

    url: SplitResult

    def send(self, method: str, endpoint: str, headers: Mapping[str, str], body: object = None) -> Answer: ...


class InProcess:
    """Sends requests through the project's own middleware and URLs, without a server."""

    def __init__(self, url: SplitResult, path: str) -> None:
        self.url, self._path = url, path  # a path without the script prefix

    def send(self, method: str, endpoint: str, headers: Mapping[str, str], body: object = None) -> Answer:
        """Send a request, with ``body`` as JSON, and return the answer."""
        client = Client(raise_request_exception=False)  # new for each request, so that it sends no cookie by itself
        response: Any = client.generic(
            method,
            self._path + endpoint,
            "" if body is None else json.dumps(body),
            content_type="application/json",
            secure=self.url.scheme == "https",
            headers={"Host": self.url.netloc, **headers},
        )
        cookies = [morsel.OutputString() for morsel in response.cookies.values()]
        raised = response.exc_info[0].__name__ if response.exc_info else ""
        return _answer(response.status_code, response.headers.items(), cookies, response.content, raised)


class OverHTTP:
    """Sends requests to a running server, and follows no redirect."""

    def __init__(self, url: SplitResult) -> None:
        self.url = url
        self._opener = build_opener(_NoRedirects)

    def send(self, method: str, endpoint: str, headers: Mapping[str, str], body: object = None) -> Answer:
        """Send a request, and return the answer. The variable SSL_CERT_FILE may name your own certificate authority."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(  # noqa: S310 - the command accepts only http and https
            self.url.geturl() + endpoint,
            data if method != "POST" else data or b"",
            {"Content-Type": "application/json", "Accept": "application/json", **headers},
            method=method,
        )
        try:
            try:
                response: Any = self._opener.open(request, timeout=TIMEOUT)
            except HTTPError as exc:
                response = exc
            with response:
                content = _read(response)
        except URLError as exc:
            raise NoAnswer(str(exc.reason)) from exc
        except (OSError, HTTPException) as exc:
            raise NoAnswer(type(exc).__name__) from exc
        cookies = response.headers.get_all("Set-Cookie", [])
        return _answer(response.status, response.headers.items(), cookies, content)

    def own_address(self) -> str:
        """Return this machine's IP address as the server sees it, if no proxy or NAT changes the address."""
        port = self.url.port or DEFAULT_PORTS[self.url.scheme]
        with socket.create_connection((self.url.hostname or "", port), timeout=TIMEOUT) as connection:
            return str(connection.getsockname()[0])


def _read(response: Any) -> bytes:
    """Return the body of an answer. Raises TimeoutError if reading takes longer than TIMEOUT.

    Without this limit, a server that sends a byte now and then could keep the doctor waiting.
    """
    content, deadline = b"", time.monotonic() + TIMEOUT
    while len(content) < LONGEST_ANSWER and (part := response.read1(LONGEST_ANSWER)):
        content += part
        if time.monotonic() > deadline:
            raise TimeoutError
    return content


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def mount_url(text: str) -> SplitResult:
    """Return the URL at which clients reach ``twotoken.urls``, with a slash at its end and without a default port.

    Raises ValueError if the text is not an http or https URL.
    """
    parts = urlsplit(text)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc or parts.port == 0:
        raise ValueError(text)
    host = origin_of(parts).partition("://")[2]  # as a browser sends it: without the default port
    return parts._replace(netloc=host, path=f"{parts.path.rstrip('/')}/", query="", fragment="")


def _answer(
    status: int, headers: Iterable[tuple[str, str]], cookies: list[str], content: bytes, error: str = ""
) -> Answer:
    body: Any = {}
    with suppress(ValueError, RecursionError):
        found = json.loads(content)
        body = found if isinstance(found, dict | list) else {}
    return Answer(status, {name.lower(): value for name, value in headers}, tuple(cookies), body, error)
