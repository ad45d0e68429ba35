"""The races of ``tests.proof.test_races`` on three Galera nodes: connections to different nodes race each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.proof.conftest import FULL, Tried
from tests.proof.databases import Database
from tests.proof.servers import Connection, Crowd, Service, new_user, row, start_family
from tests.proof.settings import READ_COMMITTED, REPEATABLE_READ
from tests.proof.test_races import (
    FAMILIES,
    KEY,
    assert_all_dead,
    test_a_purge_of_what_is_refreshed,
    test_logins_race_the_limit,
    test_logouts_race_refreshes,
    test_one_token_and_no_key,
    test_one_token_and_one_key,
    test_revocations_race_refreshes,
    test_tabs,
    test_the_command_races_refreshes,
    turn,
)
from tests.scale.galera import Node, at, wait_for_all
from twotoken import families
from twotoken.models import RefreshToken

PROCESSES = 3  # at each node
STEPS = 100 if FULL else 10
CONFIGURATIONS = [(READ_COMMITTED, False), *([(REPEATABLE_READ, True)] if FULL else [])]


@pytest.fixture(scope="module", params=CONFIGURATIONS, ids=lambda values: values[0].replace(" ", "-"))
def services(
    request: pytest.FixtureRequest, nodes: list[Node], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Service]]:
    """Start a server for each node. At the end, assert that there were no errors, and that nodes had conflicts."""
    isolation, atomic = request.param
    before = conflicts(nodes)
    with ExitStack() as stack:
        servers = []
        for node in nodes:
            folder = tmp_path_factory.mktemp("service")
            database = Database(node.url(waits=True))
            servers.append(Service(database, folder, isolation=isolation, atomic=atomic, processes=PROCESSES))
            servers[-1].start()
            stack.callback(servers[-1].stop)
        yield servers
    assert [server.errors() for server in servers] == [""] * len(servers)
    assert conflicts(nodes) > before


def conflicts(nodes: list[Node]) -> int:
    """Return how many transactions of all nodes were rolled back because of another node's transaction."""
    return sum(node.conflicts() for node in nodes)


@pytest.fixture
def service(services: list[Service]) -> Service:
    """Return the server at the first node."""
    return services[0]


class Spread(Crowd):
    """Connections that go to the nodes in turn."""

    def __init__(self, services: list[Service]) -> None:
        super().__init__(services[0].port)
        for number, connection in enumerate(self.connections):
            self.connections[number] = Connection(services[number % len(services)].port, self.statuses)
            connection.http.close()


@pytest.fixture
def crowd(services: list[Service], nodes: list[Node], tried: Tried) -> Iterator[Crowd]:
    """Open 64 connections to three nodes. At the end, assert that each answer was a 200, 204 or 401."""
    before, crowd = conflicts(nodes), Spread(services)
    yield crowd
    crowd.close()
    assert set(crowd.statuses) <= {200, 204, 401}
    tried("answers in races between nodes", crowd.statuses.total())
    tried("conflicts between nodes", conflicts(nodes) - before)


def test_purges_at_every_node(nodes: list[Node], crowd: Crowd, tried: Tried) -> None:
    """If all nodes purge at once, each old family is deleted once. Active families that rotate at all nodes stay."""
    user = new_user()
    long_ago = timezone.now() - timedelta(days=40)
    old = [RefreshToken(user=user, refreshed_at=long_ago, revoked_at=long_ago) for _ in range(5_000 if FULL else 1_000)]
    RefreshToken.objects.bulk_create(old)
    tokens = [start_family() for _ in range(FAMILIES)]
    wait_for_all(nodes)

    def race(client: Connection, number: int) -> int:
        if number >= FAMILIES:
            with at(nodes[number - FAMILIES]):
                return families.purge()
        for step in range(STEPS):
            tokens[number] = spread[step % 3][number].refresh(tokens[number], f"{KEY}-{step}").token
        return 0

    spread = [crowd.connections[node::3] for node in range(3)]

    assert sum(crowd.at_once(race, FAMILIES + len(nodes))) == len(old)
    assert RefreshToken.objects.filter(user=user).count() == 0
    assert {row(token).generation for token in tokens} == {STEPS}
    tried("families under purges at every node", len(old))


def test_all_of_a_user_ended_at_every_node(nodes: list[Node], crowd: Crowd, tried: Tried) -> None:
    """If all nodes revoke a user's families during refreshes, each family is revoked once, and then no token works."""
    user = new_user()
    tokens = [start_family(user) for _ in range(FAMILIES)]
    wait_for_all(nodes)

    def race(client: Connection, number: int) -> Any:
        if number >= FAMILIES:
            with at(nodes[number - FAMILIES]):
                return families.revoke_all(user)
        return client.refresh(tokens[number], KEY).token

    *handed_out, one, two, three = crowd.at_once(race, FAMILIES + len(nodes))
    assert one + two + three == FAMILIES
    assert_all_dead(crowd, {*tokens, *filter(None, handed_out)})
    tried("families ended by every node at once", FAMILIES)


def test_a_key_that_wanders(crowd: Crowd, tried: Tried) -> None:
    """If clients send each refresh to two nodes with one key, both return the same token, with only one rotation."""

    def wander(client: Connection, number: int) -> tuple[str, str]:
        first = token = start_family()
        for step in range(STEPS):
            once, again, after = (spread[(number + step + more) % 3][number] for more in range(3))
            answer = once.refresh(token, f"{KEY}-{step}")
            assert again.refresh(token, f"{KEY}-{step}").token == answer.token != token
            token = answer.token
            assert after.refresh(token, f"{KEY}-{step}").token == token
        return first, token

    spread = [crowd.connections[node::3] for node in range(3)]
    for first, token in crowd.at_once(wander, FAMILIES):
        family = row(first)
        assert (family.generation, family.revoked_at) == (STEPS, None)
        assert crowd.connections[0].refresh(token).status == 200
    tried("rotations of clients that wander", STEPS * FAMILIES)
