"""Crashes: servers are killed, clients hang up, and database connections are cut.

A client that got no answer and repeats the refresh with its Idempotency-Key, or with a DPoP proof, stays logged in.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import pytest
from django.db import connections

from tests.proof.conftest import FULL, Tried
from tests.proof.databases import Database, database
from tests.proof.servers import BODY, Service, in_reach, row, start_family
from tests.proofs import Device

CLIENTS = 8
REFRESHES = 170 if FULL else 16  # of all clients together, under each kind of crash, on each database; or more, until
CRASHES = 15 if FULL else 2  # there were as many
PATIENCE = 120  # seconds for one refresh, crashes and all


@dataclass
class Client:
    """A client that follows the docs: it keeps the Idempotency-Key of a refresh until it has an answer."""

    token: str
    settle: Callable[[str], None]
    rotations: int = 0
    cut: int = 0
    refused: list[Any] = field(default_factory=list)

    def refresh(self, post: Callable[[str, str], tuple[int, Any]]) -> None:
        """Refresh. As long as no answer or a 5xx comes, repeat the request with the same key."""
        key, deadline, cut = token_hex(8), time.monotonic() + PATIENCE, self.cut
        while time.monotonic() < deadline:
            try:
                status, body = post(self.token, key)
            except ConnectionRefusedError:  # the server is down: nothing was sent
                status, body = 0, None
            except (OSError, http.client.HTTPException, ValueError):
                status, body = 599, None
            if status == 200:
                self.token = body["refresh"]
                self.rotations += 1
                if self.cut > cut:
                    self.settle(key)
                return
            if 400 <= status < 500:
                break
            self.cut += status > 0
            time.sleep(0.02)
        self.refused.append((status, body))


def post_to(port: int, token: str, key: str, device: Device | None = None) -> tuple[int, Any]:
    """Refresh over a new connection, with a key or with a new proof by a device. Return the status and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"Content-Type": "application/json"}
        headers |= {"Idempotency-Key": key} if device is None else {"DPoP": device.proof(f"{BODY}refresh/")}
        connection.request("POST", f"{BODY}refresh/", json.dumps({"refresh": token}), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[Database]:
    """Create a database of each kind with its tables, and connect the ORM to it."""
    with (
        django_db_blocker.unblock(),
        database(request.param, tmp_path_factory.mktemp("database")) as made,
        in_reach(made),
    ):
        yield made


@pytest.fixture(scope="module")
def service(store: Database, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Service]:
    """Serve twotoken on the database ``store``. A test may kill the server and start it again."""
    with django_db_blocker.unblock():
        server = Service(store, tmp_path_factory.mktemp("service"), atomic=False)
        server.start()
        yield server
        server.stop()


def run(
    service: Service,
    kind: str,
    tried: Tried,
    post: Callable[[str, str], tuple[int, Any]],
    disturb: Callable[[list[Client], threading.Event], None],
    settle: Callable[[str], None] = lambda key: None,
    enough: Callable[[], bool] = lambda: True,
    refreshes: int = REFRESHES,
    device: Device | None = None,
) -> None:
    """Have clients refresh while ``disturb`` runs. Each family must stay active and have its client's generation."""
    clients = [Client(start_family(device=device), settle) for _ in range(CLIENTS)]
    first = [client.token for client in clients]
    done = threading.Event()
    turns = iter(range(refreshes))
    lock = threading.Lock()

    def work(client: Client) -> None:
        while not client.refused:
            with lock:
                if next(turns, None) is None and (enough() or not disturber.is_alive()):
                    return
            client.refresh(post)

    threads = [threading.Thread(target=work, args=[client]) for client in clients]
    disturber = threading.Thread(target=disturb, args=[clients, done])
    for thread in [*threads, disturber]:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    disturber.join()
    connections.close_all()
    assert [client.refused for client in clients] == [[]] * CLIENTS
    assert enough()
    assert known(clients) >= refreshes
    for r0, client in zip(first, clients, strict=True):
        family = row(r0)
        assert (family.generation, family.revoked_at) == (client.rotations, None)
        client.refresh(lambda token, key: post_to(service.port, token, key, device))
        assert (client.refused, row(r0).generation) == ([], client.rotations)
    tried(f"refreshes under {kind}", known(clients) - CLIENTS)
    tried(f"answers lost to {kind}", sum(client.cut for client in clients))


@pytest.mark.parametrize("is_bound", [False, True])
def test_kill_9(service: Service, is_bound: bool, tried: Tried) -> None:
    """If all processes are killed at random moments, clients that retry with a key or a proof stay logged in."""
    device = Device(host=f"http://127.0.0.1:{service.port}") if is_bound else None
    kills: list[int] = []

    def kill_again_and_again(clients: list[Client], done: threading.Event) -> None:
        while not done.wait(random.uniform(0, 0.2)):
            service.kill()
            kills.append(1)
            time.sleep(0.1)
            written = sum(row(client.token).generation for client in clients)
            tried("rotations that were written when a kill -9 took their answer", written - known(clients))
            service.start()
        connections.close_all()

    def post(token: str, key: str) -> tuple[int, Any]:
        return post_to(service.port, token, key, device)

    kind = "kill -9, bound" if is_bound else "kill -9"
    run(service, kind, tried, post, kill_again_and_again, enough=lambda: len(kills) >= CRASHES, device=device)
    tried("servers killed", len(kills))


def known(clients: list[Client]) -> int:
    """Return how many rotations the clients know of."""
    return sum(client.rotations for client in clients)


def idle(clients: list[Client], done: threading.Event) -> None:
    """Disturb nothing: a ``disturb`` for ``run``."""


def test_clients_that_hang_up(service: Service, tried: Tried) -> None:
    """Clients that hang up at any moment, and retry with their key, stay logged in.

    A client keeps its key until a request that it gave up can't arrive any more. Here a client waits until the server
    has finished each of its requests; real clients keep the key for thirty seconds.
    """
    sent: Counter[str] = Counter()

    def post(token: str, key: str) -> tuple[int, Any]:
        if random.random() < 0.5:
            sent[key] += hang_up(service.port, token, key)
            raise ConnectionError
        sent[key] += 1
        return post_to(service.port, token, key)

    def settle(key: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while service.answered(key) < sent[key]:
            assert time.monotonic() < deadline, "a request was lost"
            time.sleep(0.05)

    run(service, "clients that hang up", tried, post, idle, settle)


def hang_up(port: int, token: str, key: str) -> bool:
    """Send a refresh or a part of it, and close the connection. Tell whether the server has got enough to act on it."""
    body = json.dumps({"refresh": token})
    head = f"POST {BODY}refresh/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head = f"{head}Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    request = (head + body).encode()
    length = random.choice([len(request), len(request), len(head) + len(body) // 2, len(head) // 2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(request[:length])
        match random.randrange(3):
            case 0:
                time.sleep(random.uniform(0, 0.02))
            case 1:
                client.settimeout(0.05)
                with suppress(OSError):
                    client.recv(10)
    return length > len(head)


@pytest.mark.parametrize("store", ["postgresql", "mariadb"], indirect=True)  # SQLite has none
def test_a_database_that_cuts_its_connections(service: Service, store: Database, tried: Tried) -> None:
    """If database connections are cut during requests, as in a failover, clients that retry get their next token."""

    cuts: list[int] = []

    def cut(clients: list[Client], done: threading.Event) -> None:
        while not done.wait(random.uniform(0, 0.1)):
            cuts.append(store.cut_connections())

    def post(token: str, key: str) -> tuple[int, Any]:
        return post_to(service.port, token, key)

    run(service, "a database that cuts", tried, post, cut, enough=lambda: sum(cuts) >= 10 * CRASHES)
    tried("database connections cut", sum(cuts))
