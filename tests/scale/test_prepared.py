"""Prepared statements of psycopg 3 over direct connections, psycopg's pool, and PgBouncer in two pooling modes."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections
from psycopg.rows import scalar_row

from tests.proof.conftest import FULL, Tried
from tests.proof.servers import ALIAS, BODY, Crowd, Service, in_reach, live_a_session, new_user, row, start_family
from tests.proof.test_races import (
    FAMILIES,
    KEY,
    crowd,
    test_logins_race_the_limit,
    test_logouts_race_refreshes,
    test_one_token_and_no_key,
    test_one_token_and_one_key,
    test_revocations_race_refreshes,
    turn,
)
from tests.scale.postgres import Postgres, Server, pgbouncer, primary, program, wait_until
from tests.scale.settings import VARIABLE
from twotoken import families
from twotoken.clients import Client

OPTIONS = {"server_side_binding": True, "prepare_threshold": 0}  # each statement is prepared at its first use
POOL = 4
TRACKED = 200  # PgBouncer's own default from 1.24 on
AGE = 2  # seconds of a connection
WAYS: dict[str, dict[str, Any]] = {
    "direct": {},
    "direct, for one request": {"CONN_MAX_AGE": 0},
    "psycopg's pool": {"CONN_MAX_AGE": 0, "OPTIONS": {**OPTIONS, "pool": True}},
    "session": {"CONN_MAX_AGE": 0, "DISABLE_SERVER_SIDE_CURSORS": True},
    "transaction": {"DISABLE_SERVER_SIDE_CURSORS": True},
}


@cache
def tracks() -> bool:
    """Tell whether the installed PgBouncer tracks prepared statements and knows DEALLOCATE ALL, as 1.22 does."""
    said = subprocess.run([program("pgbouncer", "pgbouncer"), "--version"], capture_output=True, text=True, check=True)
    (major, minor), *_ = re.findall(r"PgBouncer (\d+)\.(\d+)", said.stdout)
    return (int(major), int(minor)) >= (1, 22)


@pytest.fixture(scope="module")
def server(django_db_blocker: Any) -> Iterator[Postgres]:
    """Start a PostgreSQL server and create the tables. Its log names the prepared statement of each execution."""
    with django_db_blocker.unblock(), primary(log_statement="all") as made, in_reach(made.database):
        yield made


@contextmanager
def served(
    server: Server, folder: Path, different: dict[str, Any], *, processes: int, threads: int = 4
) -> Iterator[Service]:
    """Serve twotoken with prepared statements, and with these changes of Django's database settings."""
    service = Service(server.database, folder, atomic=False, processes=processes, threads=threads)
    values = {"DATABASES": {"default": {"OPTIONS": OPTIONS, **different}}}
    service.environment |= {"DJANGO_SETTINGS_MODULE": "tests.scale.settings", VARIABLE: json.dumps(values)}
    service.start()
    try:
        yield service
    finally:
        service.stop()


SHORT = {"direct", "transaction" if tracks() else "session"}


@pytest.fixture(scope="module", params=[way for way in WAYS if FULL or way in SHORT])
def service(
    request: pytest.FixtureRequest, server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Serve twotoken, connected in one of WAYS. At the end, no error may be logged, and each rotation is prepared."""
    way: str = request.param
    if way == "transaction" and not tracks():
        pytest.skip("needs PgBouncer 1.22 or newer")
    before = len(server.log.read_text())
    with ExitStack() as stack:
        front: Server = server
        if way in {"session", "transaction"}:
            prepared = TRACKED if way == "transaction" else None
            front = stack.enter_context(pgbouncer(server, pool=POOL, mode=way, prepared=prepared))
        service = stack.enter_context(served(front, tmp_path_factory.mktemp("service"), WAYS[way], processes=4))
        yield service
    assert service.errors() == ""
    log = server.log.read_text()[before:]
    names = {
        name.rstrip("0123456789") for name in re.findall(r'execute (.+): UPDATE "twotoken_refreshtoken" SET "gen', log)
    }
    assert "<unnamed>" not in names
    assert ("PGBOUNCER_" if way == "transaction" else "_pg3_") in names


def test_sessions(crowd: Crowd, tried: Tried) -> None:
    """If many clients log in, refresh and log out at once with prepared statements, all requests succeed."""
    users = [new_user() for _ in range(FAMILIES)]
    refreshes = crowd.at_once(lambda client, number: live_a_session(client, users[number]), FAMILIES)
    assert set(crowd.statuses) == {200, 204, 401}
    tried("refreshes with prepared statements", sum(refreshes))


@pytest.fixture
def client(server: Postgres, tmp_path: Path) -> Iterator[Any]:
    """A client of a server with one thread, so with one database connection. A connection lives for AGE seconds."""
    with served(server, tmp_path, {"CONN_MAX_AGE": AGE}, processes=1, threads=1) as service:
        crowd = Crowd(service.port, 1)
        yield crowd.connections[0]
        crowd.close()
    assert set(re.findall(r"^django.db.utils.*", service.errors(), re.MULTILINE)) <= {
        "django.db.utils.NotSupportedError: cached plan must not change result type"
    }


def test_a_migration_that_adds_columns(server: Postgres, client: Any) -> None:
    """If a migration adds columns, a refresh still works: Django's statements name the columns that they read."""
    token = client.refresh(start_family(), KEY).token
    for table in ("twotoken_refreshtoken", "auth_user"):
        server.execute(f"ALTER TABLE {table} ADD COLUMN another integer NOT NULL DEFAULT 0")
    assert client.refresh(token, f"another-{KEY}").status == 200


def test_a_migration_that_changes_a_type(server: Postgres, client: Any) -> None:
    """If a migration changes a column's type, a refresh is a 500 until the connection closes. No token is lost."""
    token = client.refresh(start_family(), KEY).token
    server.execute("ALTER TABLE auth_user ALTER COLUMN username TYPE varchar(200)")
    try:

        def status() -> int:
            body = {"refresh": token}
            client.http.request("POST", f"{BODY}refresh/", json.dumps(body), {"Content-Type": "application/json"})
            response = client.http.getresponse()
            response.read()
            return int(response.status)

        assert status() == 500
        wait_until(lambda: status() == 200, "the refresh does not work again")
    finally:
        server.execute("ALTER TABLE auth_user ALTER COLUMN username TYPE varchar(150)")
    assert row(token).generation == 2


def test_discard_all(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a DISCARD ALL on the connection, a rotation works, and psycopg prepares its statement again."""
    connection = connections[ALIAS]
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", OPTIONS)
    token = start_family()
    for _ in range(2):
        token = families.rotate(families.verify(token), Client(None, "")).refresh
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'UPDATE%'")
            assert cursor.fetchone() == (1,)
            cursor.execute("DISCARD ALL")
            cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'UPDATE%'")
            assert cursor.fetchone() == (0,)
    connection.close()


def test_transaction_pooling_without_tracking(server: Postgres) -> None:
    """If PgBouncer does not track prepared statements, a client gets the answer to another client's statement."""
    zero = 0 if tracks() else None
    with ExitStack() as stack:
        front = stack.enter_context(pgbouncer(server, pool=2, prepared=zero))
        one, other, third = (
            stack.enter_context(
                psycopg.connect(front.url, autocommit=True, prepare_threshold=threshold, row_factory=scalar_row)
            )
            for threshold in (0, 0, None)
        )
        assert one.execute("SELECT 'one' WHERE %s > 0", [1]).fetchone() == "one"
        with third.transaction():
            third.execute("SELECT 1")  # has the connection that ``one`` had
            assert other.execute("SELECT 'other' WHERE %s > 0", [1]).fetchone() == "other"
        assert other.execute("SELECT 'other' WHERE %s > 0", [1]).fetchone() == "one"
