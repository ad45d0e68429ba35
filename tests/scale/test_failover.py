"""Tests that kill the primary. It recovers, or a replica that may lack the last writes replaces it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections

from tests.factories import PASSWORD
from tests.jar import cookies
from tests.proof.conftest import FULL, Tried
from tests.proof.servers import (
    ALIAS,
    BODY,
    COOKIE,
    Connection,
    Crowd,
    Service,
    claims_of,
    in_reach,
    new_user,
    row,
    start_family,
)
from tests.proof.test_crashes import Client, post_to, run
from tests.scale.postgres import Postgres, primary, replica_of, wait_until
from tests.scale.settings import VARIABLE
from twotoken.models import RefreshToken

REFRESHES = 500 if FULL else 30
CRASHES = 12 if FULL else 1
KEY = "a-key-of-some-length"


@contextmanager
def served(
    tmp_path_factory: pytest.TempPathFactory, first: Postgres, second: Postgres | None = None, **options: str
) -> Iterator[Service]:
    """Serve twotoken on a primary, or on whichever of two servers accepts writes. This process uses it too."""
    changes: dict[str, Any] = {"OPTIONS": options}
    if second is not None:
        # What libpq has for it: of several servers, the one that takes writes. Django notices that one has gone.
        changes = {"HOST": "127.0.0.1,127.0.0.1", "PORT": f"{first.port},{second.port}", "CONN_HEALTH_CHECKS": True}
        changes["OPTIONS"] = {"target_session_attrs": "read-write", **options}
    server = Service(first.database, tmp_path_factory.mktemp("service"), atomic=False)
    different = json.dumps({"DATABASES": {"default": changes}})
    server.environment |= {"DJANGO_SETTINGS_MODULE": "tests.scale.settings", VARIABLE: different}
    with in_reach(first.database):
        connections.close_all()
        connections.settings[ALIAS].update({**changes, "OPTIONS": {**changes["OPTIONS"], "options": ""}})
        server.start()
        try:
            yield server
        finally:
            server.stop()
            connections.close_all()


@pytest.fixture(autouse=True)
def _database(django_db_blocker: Any) -> Iterator[None]:
    """Let these tests use databases on servers that they start themselves."""
    with django_db_blocker.unblock():
        yield


@pytest.mark.parametrize("commit", ["on", "off"])
def test_kill_9_of_the_primary(tmp_path_factory: pytest.TempPathFactory, tried: Tried, commit: str) -> None:
    """If the primary is killed and recovers while clients with an Idempotency-Key refresh, nobody is logged out.

    With ``synchronous_commit`` on, no answered rotation is lost. With ``synchronous_commit`` off, a client's token may
    be newer than the generation in its row, and the token still works.
    """
    with primary() as server, served(tmp_path_factory, server, options=f"-c synchronous_commit={commit}") as service:
        lost: list[int] = []
        finished = threading.Event()

        def crash(clients: list[Client], done: threading.Event) -> None:
            for _ in range(CRASHES):
                time.sleep(random.uniform(0.3, 1))
                server.kill()
                told = [(client.token, client.rotations) for client in clients]
                connections.close_all()
                server.start()
                for token, rotations in told:
                    generation = row(token).generation
                    lost.append(max(rotations - generation, 0))
                wait_until_all_rotate(clients)
            connections.close_all()
            finished.set()

        def post(token: str, key: str) -> tuple[int, Any]:
            return post_to(service.port, token, key)

        what = f"kill -9 of the primary, synchronous_commit {commit}"
        run(service, what, tried, post, crash, enough=finished.is_set, refreshes=REFRESHES)
        if commit == "on":
            assert sum(lost) == 0
        tried(f"rotations lost to {what}", sum(lost))
        tried("primaries killed", CRASHES)


def wait_until_all_rotate(clients: list[Client]) -> None:
    """Wait until each client has rotated once more or was refused. ``run`` reports refusals."""
    first = [client.rotations for client in clients]

    def all_went_on() -> bool:
        return all(
            client.rotations > rotations or client.refused for client, rotations in zip(clients, first, strict=True)
        )

    wait_until(all_went_on, "a client does not go on")


@pytest.fixture
def pair() -> Iterator[tuple[Postgres, Postgres]]:
    """Start a primary and its streaming replica."""
    with primary() as first, replica_of(first) as second:
        yield first, second


def fail_over(first: Postgres, second: Postgres) -> None:
    """Kill the primary and promote the replica."""
    first.kill()
    second.promote()
    connections.close_all()


def test_a_replica_that_missed_the_last_rotations(
    tmp_path_factory: pytest.TempPathFactory, pair: tuple[Postgres, Postgres], tried: Tried
) -> None:
    """If a promoted replica misses the last rotations, honest clients stay logged in, and a theft is still detected."""
    first, second = pair
    with served(tmp_path_factory, first, second) as service:
        crowd = Crowd(service.port, 1)
        (client,) = crowd.connections
        people = {
            kind: [Person(kind) for _ in range(20 if FULL else 4)] for kind in ("keys", "no keys", "browser", "robbed")
        }
        honest = [person for kind in ("keys", "no keys", "browser") for person in people[kind]]
        everybody = [*honest, *people["robbed"]]
        user = new_user()
        revoked = [start_family(user) for _ in range(3)]
        half_way = [start_family() for _ in range(3)]
        for person in everybody:
            person.refresh(client)
        second.catch_up(first)
        second.miss_what_comes()
        for person in everybody:
            for _ in range(3):
                person.refresh(client)
        for token in revoked:
            assert client.log_out(token).status == 204
        credentials = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD}
        unknown = client.post(f"{BODY}login/", credentials).token
        successors = [client.refresh(token, KEY).token for token in half_way]  # answers that never arrived
        fail_over(first, second)
        behind = sum(person.rotations - row(person.token).generation for person in everybody)
        assert behind == 3 * len(everybody)
        for token, successor in zip(half_way, successors, strict=True):
            answer = client.refresh(token, KEY)
            assert (answer.status, claims_of(answer.token)["jti"]) == (200, claims_of(successor)["jti"])
        for person in honest:
            for _ in range(3):
                person.refresh(client)
            assert row(person.token).generation == person.rotations
        # A thief's copy from before works once more where the row does not know better; the owner's next refresh tells.
        for person in people["robbed"]:
            stolen = client.refresh(person.tokens[-2])
            assert stolen.status == 200
            person.refresh(client)
            assert client.refresh(stolen.token).reason == "reused"
            assert client.refresh(person.token).reason == "revoked"
        # What was revoked on the lost primary is live again, until the recipe ends it; who logged in logs in again.
        assert client.refresh(unknown).reason == "invalid"
        for token in revoked:
            command = [sys.executable, "-m", "django", "revoke_token_families", "--family", claims_of(token)["sid"]]
            assert row(token).revoked_at is None
            subprocess.run(command, env=service.environment, check=True, stdout=subprocess.DEVNULL)
            assert client.refresh(token).reason == "revoked"
        crowd.close()
        tried("clients that went on at a replica that missed rotations", len(honest))
        tried("rotations that it missed", behind)


class Person:
    """An honest client that has got every answer."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.tokens = [start_family()]
        self.rotations = 0

    @property
    def token(self) -> str:
        """The newest refresh token."""
        return self.tokens[-1]

    def refresh(self, client: Connection) -> None:
        """Refresh with the newest token, and keep the new one."""
        key = {"Idempotency_Key": f"{KEY}-{self.rotations}"} if self.kind in {"keys", "browser"} else {}
        if self.kind == "browser":
            answer = client.post(f"{COOKIE}refresh/", Cookie=cookies(self.token), Sec_Fetch_Site="same-origin", **key)
        else:
            answer = client.post(f"{BODY}refresh/", {"refresh": self.token}, **key)
        assert answer.status == 200, answer
        self.tokens.append(answer.token)
        self.rotations += 1


@pytest.mark.full  # in short the synchronous one stands for it
def test_failover_beside_traffic(
    tmp_path_factory: pytest.TempPathFactory, pair: tuple[Postgres, Postgres], tried: Tried
) -> None:
    """After a failover to an asynchronous replica, clients that send Idempotency-Keys stay logged in."""
    first, second = pair
    with served(tmp_path_factory, first, second) as service:
        fail_over_once(service, first, second, tried, "a failover")


def test_failover_to_a_synchronous_replica(
    tmp_path_factory: pytest.TempPathFactory, pair: tuple[Postgres, Postgres], tried: Tried
) -> None:
    """If commits wait for the replica, a failover loses no rotation and no logout that was answered."""
    first, second = pair
    with served(tmp_path_factory, first, second) as service:
        second.catch_up(first)
        first.set("synchronous_standby_names", "*")
        wait_until(
            lambda: first.execute("SELECT sync_state FROM pg_stat_replication") == [("sync",)], "not synchronous"
        )
        revoked = [start_family() for _ in range(10)]
        crowd = Crowd(service.port, 1)
        assert [crowd.connections[0].log_out(token).status for token in revoked] == [204] * len(revoked)
        crowd.close()
        lost = fail_over_once(service, first, second, tried, "a failover to a synchronous replica")
        assert lost == 0
        assert [row(token).revoked_reason for token in revoked] == ["logout"] * len(revoked)


def fail_over_once(service: Service, first: Postgres, second: Postgres, tried: Tried, what: str) -> int:
    """Kill the primary during refreshes and promote the replica; return how many answered rotations were lost."""
    finished = threading.Event()
    lost: list[int] = []

    def disturb(clients: list[Client], done: threading.Event) -> None:
        second.catch_up(first)  # or a family of a moment ago is not known there, and its client logs in again
        time.sleep(1)
        first.kill()
        told = [(client.token, client.rotations) for client in clients]
        second.promote()
        connections.close_all()
        lost.extend(max(rotations - row(token).generation, 0) for token, rotations in told)
        wait_until_all_rotate(clients)
        connections.close_all()
        finished.set()

    def post(token: str, key: str) -> tuple[int, Any]:
        return post_to(service.port, token, key)

    run(service, what, tried, post, disturb, enough=finished.is_set, refreshes=REFRESHES)
    tried(f"rotations lost to {what}", sum(lost))
    assert RefreshToken.objects.filter(revoked_reason="reuse").count() == 0
    return sum(lost)
