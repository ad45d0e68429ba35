"""``fetch``: one GET with a limit for time and size."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.keyserver import KeyServer, running_key_server
from twotoken.remote.fetching import FetchError, fetch

SECONDS, ENOUGH, LIMIT = 0.5, 10.0, 100_000
NOBODY = "http://127.0.0.1:1/"


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """A key server that answers with an empty JWK Set."""
    with running_key_server() as server:
        server.document = b'{"keys": []}'
        yield server


def test_an_answer(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """``fetch`` returns the body of a 200, and no body for a 304. It uses no proxy for an address of this machine."""
    monkeypatch.setenv("http_proxy", NOBODY)
    answer = fetch(server.url, seconds=ENOUGH, limit=LIMIT)
    assert (answer.status, answer.body) == (200, server.document)
    server.behaviour = "unchanged"
    answer = fetch(server.url, seconds=ENOUGH, limit=LIMIT, headers={"If-None-Match": '"1"'})
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", '"1"')


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        pytest.param("hang", r"within 0\.5 seconds|TimeoutError", marks=pytest.mark.slow),
        pytest.param("drip", r"within 0\.5 seconds", marks=pytest.mark.slow),
        ("dawdle", r"within 0\.5 seconds"),
        ("huge", "more than 100000 bytes"),
        ("broken", "status 500"),
        ("partial", "status 206"),
        ("redirect", "status 302"),
        ("garbage", "^BadStatusLine$"),
    ],
)
def test_a_bad_answer(server: KeyServer, behaviour: str, said: str) -> None:
    """A bad answer is refused within the time limit. No redirect is followed and no thread goes on reading."""
    server.behaviour = behaviour
    seconds = SECONDS if behaviour in {"hang", "drip", "dawdle"} else ENOUGH
    start = time.monotonic()
    with pytest.raises(FetchError, match=said):
        fetch(server.url, seconds=seconds, limit=LIMIT)
    assert time.monotonic() - start < ENOUGH
    assert len(server.asked) == 1
    for thread in fetching():
        thread.join(ENOUGH)
    assert not fetching()


def fetching() -> list[threading.Thread]:
    """Return the threads of fetches that have not ended."""
    return [thread for thread in threading.enumerate() if thread.name == "twotoken.fetch"]


def test_a_connection_that_comes_too_late(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that opens after the time limit is closed, and sends no request."""
    connect = socket.create_connection

    def slowly(*args: Any, **kwargs: Any) -> socket.socket:
        time.sleep(0.2)
        return connect(*args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", slowly)
    with pytest.raises(FetchError, match="within"):
        fetch(server.url, seconds=0.1, limit=LIMIT)
    for thread in fetching():
        thread.join(ENOUGH)
    assert not fetching()
    assert server.asked == []


@pytest.mark.parametrize(
    "url", [NOBODY, "https://127.0.0.1:1/", "http://no-such-host.invalid/", "http://[::1/", "no url"]
)
def test_nobody_there(url: str) -> None:
    """If no server listens, or the URL is invalid, ``fetch`` raises FetchError."""
    with pytest.raises(FetchError):
        fetch(url, seconds=ENOUGH, limit=LIMIT)
