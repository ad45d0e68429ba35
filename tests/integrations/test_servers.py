"""gunicorn and uvicorn with persistent connections, concurrent refreshes, and clients that hang up."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.factories import PASSWORD
from tests.integrations.servers import Served, Uvicorn
from tests.proof.servers import BODY, Crowd, new_user, row, start_family

pytestmark = pytest.mark.usefixtures("in_reach")
KEY = "a-key-of-some-length"
CONNECTIONS, ROUNDS = 12, 4
SERVERS: list[tuple[type[Served], list[str], str]] = [
    (Served, ["-w", "4"], "600"),
    (Served, ["-w", "2", "-k", "gthread", "--threads", "4"], "600"),
    (Uvicorn, [], "0"),
    (Uvicorn, ["--workers", "2"], "0"),
]
NAMES = ["gunicorn-sync", "gunicorn-gthread", "uvicorn", "uvicorn-workers"]


@pytest.fixture(scope="module", params=SERVERS, ids=NAMES)
def server(request: pytest.FixtureRequest, serve: Callable[..., Served]) -> Iterator[Served]:
    """Each server of SERVERS, with the CONN_MAX_AGE that the docs show for it."""
    kind, arguments, age = request.param
    server = serve(kind, *arguments, TEST_CONN_MAX_AGE=age)
    yield server
    server.stop()


@pytest.fixture
def crowd(server: Served) -> Iterator[Crowd]:
    """Twelve clients with one connection each. Their answers must have the status 200, 204 or 401."""
    crowd = Crowd(server.port, CONNECTIONS)
    yield crowd
    crowd.close()
    assert set(crowd.statuses) <= {200, 204, 401}


def test_a_session(crowd: Crowd) -> None:
    """Login, refresh, API and logout work over one HTTP connection."""
    user, client = new_user(), crowd.connections[0]
    pair = client.post(f"{BODY}login/", {"username": user.get_username(), "password": PASSWORD})
    assert pair.status == 200
    for _ in range(3):
        pair = client.refresh(pair.token)
        client.http.request("GET", "/api/revocable/", headers={"Authorization": f"Bearer {pair.body['access']}"})
        response = client.http.getresponse()
        assert (response.status, json.load(response)["id"]) == (200, str(user.pk))
    assert client.log_out(pair.token).status == 204
    assert client.refresh(pair.token).reason == "revoked"


def test_the_address_behind_a_proxy_on_the_same_machine(server: Served, crowd: Crowd) -> None:
    """Without NUM_PROXIES, a family stores the address in X-Forwarded-For under uvicorn, but not under gunicorn."""
    user = new_user()
    body = {"username": user.get_username(), "password": PASSWORD}
    token = crowd.connections[0].post(f"{BODY}login/", body, X_Forwarded_For="192.0.2.9").token
    assert row(token).ip_address == ("192.0.2.9" if isinstance(server, Uvicorn) else "127.0.0.1")


def test_one_token_and_one_key(crowd: Crowd) -> None:
    """Twelve refreshes at once with one token and one Idempotency-Key get the same new token."""
    for _ in range(ROUNDS):
        r0 = start_family()
        answers = crowd.at_once(lambda client, _, token=r0: client.refresh(token, KEY))  # type: ignore[misc]
        assert [answer.status for answer in answers] == [200] * CONNECTIONS
        assert len({answer.token for answer in answers}) == 1
        assert row(r0).generation == 1


def test_one_token_and_no_key(crowd: Crowd) -> None:
    """Of twelve refreshes at once with one token and no key, at most one gets a token, and the family is revoked."""
    for _ in range(ROUNDS):
        r0 = start_family()
        answers = crowd.at_once(lambda client, _, token=r0: client.refresh(token))  # type: ignore[misc]
        winners = [answer for answer in answers if answer.status == 200]
        assert len(winners) <= 1
        assert row(r0).revoked_reason == "reuse"
        assert {crowd.connections[0].refresh(winner.token).reason for winner in winners} <= {"revoked"}


def test_a_logout_that_races_a_refresh(crowd: Crowd) -> None:
    """After a logout and a refresh of one family at once, none of the family's tokens works."""
    for _ in range(ROUNDS):
        tokens = [start_family() for _ in range(CONNECTIONS // 2)]

        def call(client: Any, number: int, tokens: list[str] = tokens) -> Any:
            token = tokens[number // 2]
            return client.log_out(token) if number % 2 else client.refresh(token)

        answers = crowd.at_once(call)
        for number, token in enumerate(tokens):
            after = answers[2 * number].token or token
            assert crowd.connections[0].refresh(after).reason == "revoked"


def test_a_client_that_hangs_up(server: Served, crowd: Crowd) -> None:
    """If a client hangs up during a refresh and repeats it with its Idempotency-Key, the family rotates only once."""
    for _ in range(ROUNDS):
        r0 = start_family()
        body = json.dumps({"refresh": r0})
        head = [
            f"POST {BODY}refresh/ HTTP/1.1",
            *("Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}"),
            f"Idempotency-Key: {KEY}",
        ]
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(("\r\n".join(head) + "\r\n\r\n" + body).encode())
        answer = crowd.connections[0].refresh(r0, KEY)
        assert (answer.status, row(r0).generation) == (200, 1)
        assert crowd.connections[0].refresh(answer.token, f"another-{KEY}").status == 200
