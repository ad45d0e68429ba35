"""Sends raw bytes to a real server: requests that a proxy and a server could read differently."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.jar import COMPANION, cookies
from tests.proof.conftest import Tried
from tests.proof.databases import database
from tests.proof.servers import BODY, COOKIE, Service, in_reach, row, start_family


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Service]:
    """Serve twotoken on SQLite."""
    folder = tmp_path_factory.mktemp("service")
    with django_db_blocker.unblock(), database("sqlite", folder) as made, in_reach(made):
        server = Service(made, folder, atomic=False)
        server.start()
        yield server
        server.stop()
    assert server.errors() == ""


def send(service: Service, *lines: str, body: str = "") -> list[int]:
    """Send a request of these lines. Return the status of every answer before the server closes the connection."""
    request = "\r\n".join([*lines, "", body]).encode("latin-1")
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while part := client.recv(65536):
            answer += part
    return [int(line.split()[1]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def refresh(token: str, *headers: str) -> tuple[list[str], str]:
    """Return the lines and the body of a refresh at the body mount, without its Content-Length."""
    body = json.dumps({"refresh": token})
    lines = [f"POST {BODY}refresh/ HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Connection: close"]
    return [*lines, *headers], body


def test_a_plain_request(service: Service) -> None:
    """A plain refresh succeeds, so the requests of other tests are not refused because of the way they are sent."""
    r0 = start_family()
    lines, body = refresh(r0)
    assert send(service, *lines, f"Content-Length: {len(body)}", body=body) == [200]
    assert row(r0).generation == 1


AMBIGUOUS: dict[str, list[str]] = {
    "two lengths": ["Content-Length: {length}", "Content-Length: 5"],
    "a length and chunks": ["Content-Length: {length}", "Transfer-Encoding: chunked"],
    "chunks in odd spelling": ["Transfer-Encoding: xchunked", "Content-Length: {length}"],
    "a length with a sign": ["Content-Length: +{length}"],
    "a length in another base": ["Content-Length: 0x20"],
    "a length below zero": ["Content-Length: -1"],
    "a space before the colon": ["Content-Length : {length}"],
    "a folded line": ["Content-Length: {length}", "Idempotency-Key: a-key-of-", " some-length"],
    "a NUL in a header": ["Content-Length: {length}", "Idempotency-Key: a-key-of-\x00-length"],
    "a bare line break": ["Content-Length: {length}", "Idempotency-Key: a-key\nX: of-some-length"],
    "a long header": ["Content-Length: {length}", "Idempotency-Key: " + "k" * 100_000],
}


@pytest.mark.parametrize("headers", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_requests_that_are_ambiguous(service: Service, headers: list[str], tried: Tried) -> None:
    """CWE-444: an ambiguous request gets a single refusal or no answer, and changes nothing."""
    r0 = start_family()
    lines, body = refresh(r0)
    statuses = send(service, *lines, *(line.format(length=len(body)) for line in headers), body=body)
    assert statuses in ([], [400], [431], [501])
    assert (row(r0).generation, row(r0).revoked_at) == (0, None)
    tried("ambiguous requests")


def test_a_key_that_comes_twice(service: Service) -> None:
    """If the header Idempotency-Key comes twice, the server joins both values to one key, which works for a retry."""
    r0 = start_family()
    lines, body = refresh(r0, "Idempotency-Key: a-key-of-some-length", "Idempotency-Key: another-key")
    for _ in range(2):
        assert send(service, *lines, f"Content-Length: {len(body)}", body=body) == [200]
        assert (row(r0).generation, row(r0).revoked_at) == (1, None)
    lines, body = refresh(r0, "Idempotency-Key: a-key-of-some-length")
    assert send(service, *lines, f"Content-Length: {len(body)}", body=body) == [401]


SPELLINGS = ["Sec_Fetch_Site: same-origin", "Sec-Fetch_Site: same-origin", "SEC_FETCH_SITE: none"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("first", [True, False])
def test_a_header_spelt_with_underscores(service: Service, spelling: str, first: bool) -> None:
    """CVE-2015-0219: ``Sec_Fetch_Site`` does not replace ``Sec-Fetch-Site``: a cross-site refresh is a 403."""
    r0 = start_family()
    pair = [spelling, "Sec-Fetch-Site: cross-site"] if first else ["Sec-Fetch-Site: cross-site", spelling]
    lines = [f"POST {COOKIE}refresh/ HTTP/1.1", "Host: localhost", f"Cookie: {cookies(r0)}", "Connection: close"]
    assert send(service, *lines, *pair, "Content-Length: 0") == [403]
    assert row(r0).generation == 0


def test_two_cookie_headers(service: Service) -> None:
    """A request with two Cookie headers, one of them from a sibling subdomain, is a 401 in either order."""
    r0 = start_family()
    lines = [f"POST {COOKIE}refresh/ HTTP/1.1", "Host: localhost", "Connection: close", "Content-Length: 0"]
    for values in ([r0, "tossed"], ["tossed", r0]):
        assert send(service, *lines, *(f"Cookie: {cookies(value)}" for value in values)) == [401]
    assert (row(r0).generation, row(r0).revoked_at) == (0, None)


@pytest.mark.parametrize("blank", ["\xa0", "\x85"])
def test_a_cookie_header_that_begins_with_another_blank(service: Service, blank: str) -> None:
    """The server does not strip U+00A0 or U+0085 before the companion cookie's name, so a refresh is a 401."""
    r0 = start_family()
    tossed = cookies(r0).replace(COMPANION, f"{blank}{COMPANION}")
    header = "; ".join(tossed.split("; ")[::-1])
    assert header.startswith(blank)
    lines = [f"POST {COOKIE}refresh/ HTTP/1.1", "Host: localhost", "Connection: close", "Content-Length: 0"]
    assert send(service, *lines, f"Cookie: {header}") == [401]
    assert send(service, *lines, f"Cookie: {header.removeprefix(blank)}") == [200]
