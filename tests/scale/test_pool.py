"""psycopg's connection pool. There are two processes, and the sixteen threads of each share four connections."""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import psycopg
import pytest

from tests.proof.conftest import Tried
from tests.proof.servers import BODY, Crowd, Service, in_reach, live_a_session, new_user, row, start_family
from tests.scale.postgres import Postgres, primary
from tests.scale.settings import VARIABLE

KEY = "a-key-of-some-length"
PROCESSES, THREADS, POOL = 2, 16, 4  # POOL is psycopg's own default
CLIENTS = PROCESSES * THREADS


@pytest.fixture(scope="module")
def server(django_db_blocker: Any) -> Iterator[Postgres]:
    """Start a PostgreSQL server for this module, and create the tables."""
    with django_db_blocker.unblock(), primary() as made, in_reach(made.database):
        yield made


@contextmanager
def pooled(server: Postgres, folder: Path, pool: Any, *, logged: Set[str] = frozenset()) -> Iterator[Crowd]:
    """Serve twotoken with these pool options, and yield clients. At the end, the log must be the lines ``logged``."""
    service = Service(server.database, folder, atomic=False, processes=PROCESSES, threads=THREADS)
    different = {"DATABASES": {"default": {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": pool}}}}
    service.environment |= {"DJANGO_SETTINGS_MODULE": "tests.scale.settings", VARIABLE: json.dumps(different)}
    service.start()
    crowd = Crowd(service.port, CLIENTS)
    try:
        yield crowd
    finally:
        crowd.close()
        service.stop()
    assert set(service.errors().splitlines()) == logged


def connections_made(server: Postgres) -> int:
    """Return how many connections to the tests' database the server has accepted so far."""
    ((count,),) = server.execute("SELECT sessions FROM pg_stat_database WHERE datname = 'scale'", "postgres")
    return int(count)


def test_sessions(server: Postgres, tmp_path: Path, tried: Tried) -> None:
    """If 32 clients log in, refresh and log out at once, all succeed, and the pools open at most eight connections."""
    users = [new_user() for _ in range(CLIENTS)]
    before = connections_made(server)
    with pooled(server, tmp_path, pool=True) as crowd:
        refreshes = crowd.at_once(lambda client, number: live_a_session(client, users[number]), CLIENTS)
        assert set(crowd.statuses) == {200, 204, 401}
    assert 0 < connections_made(server) - before <= PROCESSES * POOL
    tried("refreshes over psycopg's pool", sum(refreshes))


def test_one_token(server: Postgres, tmp_path: Path) -> None:
    """If all clients refresh one token at once with one Idempotency-Key, all get the same new token."""
    token = start_family()
    with pooled(server, tmp_path, pool=True) as crowd:
        answers = crowd.at_once(lambda client, _: client.refresh(token, KEY), CLIENTS)
    assert {(answer.status, answer.token) for answer in answers} == {(200, answers[0].token)}
    assert row(token).generation == 1


def test_an_exhausted_pool(server: Postgres, tmp_path: Path) -> None:
    """If no connection becomes free within the pool's timeout, a refresh is a 503, and its repetition succeeds."""
    tokens = [start_family() for _ in range(CLIENTS)]
    options = {"min_size": 1, "max_size": 1, "timeout": 0.5}
    with pooled(server, tmp_path, options, logged={f"Service Unavailable: {BODY}refresh/"}) as crowd:
        with psycopg.connect(server.url) as lock:
            lock.execute("LOCK TABLE twotoken_refreshtoken")
            release = Timer(3, lock.rollback)
            release.start()
            answers = crowd.at_once(lambda client, number: client.refresh(tokens[number], KEY), CLIENTS)
            release.join()
        refused = [answer.body["code"] for answer in answers if answer.status == 503]
        assert set(refused) == {"unavailable"}
        assert len(refused) >= CLIENTS - PROCESSES  # one of each process has the connection
        answers = [crowd.connections[0].refresh(token, KEY) for token in tokens]
    assert {answer.status for answer in answers} == {200}
