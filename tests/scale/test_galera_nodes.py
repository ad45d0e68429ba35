"""A Galera node is killed, cut off or paused: clients use other nodes, and revoked families stay revoked."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connections

from tests.factories import PASSWORD
from tests.http import Caller
from tests.proof.conftest import FULL, Tried
from tests.proof.databases import Database
from tests.proof.servers import BODY, Connection, Service, new_user, row, start_family
from tests.proof.test_crashes import Client, post_to, run
from tests.scale.galera import Node, at, wait_for_all
from twotoken import families

User = get_user_model()
KEY = "a-key-of-some-length"
CRASHES = 5


@pytest.fixture(scope="module")
def services(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Service]]:
    """Start a server of twotoken for each Galera node."""
    with ExitStack() as stack:
        servers = []
        for node in nodes:
            database = Database(node.url(waits=True))
            servers.append(Service(database, tmp_path_factory.mktemp("service"), atomic=False, processes=2))
            servers[-1].environment["DJANGO_SETTINGS_MODULE"] = "tests.scale.galera_settings"
            servers[-1].start()
            stack.callback(servers[-1].stop)
        yield servers


@pytest.fixture(autouse=True)
def _new_connections() -> Iterator[None]:
    """Close this process's connections to the nodes after each test."""
    yield
    connections.close_all()


@pytest.mark.full
def test_kill_9_of_a_node(nodes: list[Node], services: list[Service], tried: Tried) -> None:
    """If nodes are killed again and again, clients with keys stay logged in, and each rotation counts once."""
    kills: list[int] = []

    def kill_again_and_again(clients: list[Client], done: threading.Event) -> None:
        while not done.wait(random.uniform(0, 0.5)):
            node = nodes[1 + len(kills) % 2]
            node.kill()
            node.restart()
            node.wait(node.is_synced)
            kills.append(1)
        connections.close_all()

    def post(token: str, key: str) -> tuple[int, Any]:
        return post_to(random.choice(services).port, token, key)

    run(services[0], "kill -9 of a node", tried, post, kill_again_and_again, enough=lambda: len(kills) >= CRASHES)
    tried("nodes killed", len(kills))


@pytest.mark.full
@pytest.mark.parametrize("empty", [False, True])
def test_a_node_that_missed_a_logout(nodes: list[Node], services: list[Service], empty: bool, tried: Tried) -> None:
    """A node that missed revocations while it was down catches up before it accepts work, even if its disk was lost."""
    node = nodes[2]
    user = new_user()
    tokens = [start_family(user) for _ in range(10)]
    before = [row(token) for token in tokens]
    wait_for_all(nodes)
    node.kill()
    ended = [families.revoke(family.pk) for family in before[:5]]
    with connection(services[0]) as client:
        rotated = [client.refresh(token).token for token in tokens[5:]]
    assert None not in ended
    node.restart(empty=empty)
    node.wait(node.is_synced)
    with connection(services[2]) as client:
        assert {client.refresh(token).reason for token in tokens[:5]} == {"revoked"}
        assert {client.refresh(token).status for token in rotated} == {200}
        assert {client.refresh(token).reason for token in tokens[5:]} == {"reused"}
    tried("families presented to a node that came back", len(tokens))


@contextmanager
def connection(service: Service) -> Iterator[Connection]:
    """Yield a new HTTP connection to a server."""
    made = Connection(service.port, Counter())
    try:
        yield made
    finally:
        made.http.close()


ENDPOINTS = ["login/", "refresh/", "logout/", "logout/all/", "GET sessions/", "DELETE sessions/"]


@pytest.mark.parametrize("waits", [True, False] if FULL else [False])
def test_a_node_without_the_others(nodes: list[Node], waits: bool, tried: Tried) -> None:
    """A node that is cut off answers 503 at each endpoint, and works again later. The other nodes work meanwhile."""
    script = Caller(new_user(), mount=BODY, raise_request_exception=False)
    pair = script.log_in().json()
    credentials = {script.user.USERNAME_FIELD: script.user.get_username(), "password": PASSWORD}
    bearer: Any = {"HTTP_AUTHORIZATION": f"Bearer {pair['access']}"}
    wait_for_all(nodes)
    with nodes[2].cut_off():
        with at(nodes[2], waits=waits):
            for endpoint in ENDPOINTS:
                method, _, path = endpoint.rpartition(" ")
                body = json.dumps({**credentials, "refresh": pair["refresh"]})
                response = script.generic(method or "POST", BODY + path, body, "application/json", **bearer)
                assert (response.status_code, response["Retry-After"]) == (503, "1")
                assert response.json()["code"] == ("rotation_conflict" if waits else "unavailable")
            assert script.get("/api/revocable/", **bearer).status_code == 500  # a view of the project's own
        after = script.refresh(pair["refresh"], KEY).json()["refresh"]
        nodes[0].wait(lambda: nodes[0].sees(2))
        assert script.send("logout/", {"refresh": after}).status_code == 204
    with at(nodes[2], waits=waits):
        assert script.refresh(after).json()["reason"] == "revoked"
        assert script.get("/api/revocable/", **bearer).json()["reason"] == "revoked"
    tried("requests to a node without the others", len(ENDPOINTS) + 1)


@pytest.mark.full
def test_a_node_that_stands_still(nodes: list[Node], tried: Tried) -> None:
    """A node that missed a logout while it was paused accepts no token of the family when it goes on."""
    script = Caller(new_user(), mount=BODY, raise_request_exception=False)
    pair = script.log_in().json()
    r1 = script.refresh(pair["refresh"], KEY).json()["refresh"]
    bearer: Any = {"HTTP_AUTHORIZATION": f"Bearer {pair['access']}"}
    calls = [
        lambda: script.get("/api/revocable/", **bearer),
        lambda: script.refresh(pair["refresh"], KEY),
        lambda: script.refresh(r1),
    ]
    wait_for_all(nodes)
    ready = threading.Barrier(len(calls) + 1)

    def run(call: Callable[[], Any]) -> Any:
        try:
            with at(nodes[2]):
                User.objects.exists()
                ready.wait(60)
                ready.wait(60)
                return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        answers = [pool.submit(run, call) for call in calls]
        ready.wait(60)
        with nodes[2].paused(nodes[:2]):
            assert script.send("logout/", {"refresh": r1}).status_code == 204
            ready.wait(60)
            time.sleep(0.5)
        statuses = [answer.result(60).status_code for answer in answers]
    assert set(statuses) <= {401, 500, 503}
    assert row(r1).revoked_reason == "logout"
    tried("requests to a node that stood still", len(calls))
