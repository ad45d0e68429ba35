"""If PostgreSQL refuses work, each refresh is a 503, and the token stays valid."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
from django.db import OperationalError, connections
from django.db.utils import ConnectionHandler
from django.test import Client

from tests.proof.databases import POSTGRESQL, Database, database, execute, listens, maintenance, of_our_own
from tests.proof.servers import ALIAS, BODY, in_reach, start_family, within_reach

ROLE = "twotoken_proof_unavailable"


def refresh(token: str) -> Any:
    """Refresh with Django's test client, on the database that the ORM uses."""
    return Client().post(f"{BODY}refresh/", {"refresh": token}, content_type="application/json")


def assert_unavailable(token: str) -> None:
    """Assert that a refresh is a 503 with Retry-After."""
    response = refresh(token)
    assert (response.status_code, response["Retry-After"], response.json()["code"]) == (503, "1", "unavailable")


def lets_in(url: str) -> bool:
    """Tell whether a server accepts a connection."""
    try:
        execute(maintenance(url), "SELECT 1")
    except OperationalError as error:
        return "shutting down" not in str(error)
    return True


@pytest.fixture
def served(tmp_path: Path, django_db_blocker: Any) -> Iterator[Database]:
    """Create a database on a running server, and a role on this server."""
    with django_db_blocker.unblock(), database("postgresql", tmp_path) as ours:
        server = maintenance(ours.url)
        execute(server, f"DROP ROLE IF EXISTS {ROLE}")
        execute(server, f"CREATE ROLE {ROLE} LOGIN SUPERUSER")
        try:
            yield ours
        finally:
            execute(server, f"DROP ROLE {ROLE}")


@pytest.mark.parametrize(
    "change",
    ["NOSUPERUSER CONNECTION LIMIT 0", "SET default_transaction_read_only = on"],
    ids=["53300", "25006"],
)
def test_a_server_that_refuses(served: Database, change: str) -> None:
    """If PostgreSQL allows no more connections or is read-only, a refresh is a 503, and the token stays valid."""
    execute(maintenance(served.url), f"ALTER ROLE {ROLE} {change}")
    with in_reach(served):
        token = start_family()
    with within_reach(served.url.replace("postgres@", f"{ROLE}@")):
        assert_unavailable(token)
    with within_reach(served.url):
        assert refresh(token).status_code == 200


def test_a_server_that_stops(django_db_blocker: Any) -> None:
    """While PostgreSQL stops, and when it is down, a refresh is a 503 with Retry-After."""
    with django_db_blocker.unblock(), of_our_own(POSTGRESQL) as url, in_reach(Database(maintenance(url))):
        token = start_family()
        ((files,),) = execute(maintenance(url), "SELECT pg_read_file('postmaster.pid')")
        guest = ConnectionHandler({"default": dict(dj_database_url.parse(maintenance(url)))})["default"]
        guest.ensure_connection()
        connections[ALIAS].close()
        os.kill(int(files.split()[0]), signal.SIGTERM)
        while lets_in(url):
            time.sleep(0.1)
        assert_unavailable(token)
        guest.close()
        while listens(url):
            time.sleep(0.1)
        assert_unavailable(token)
