"""Fixtures: a database that servers and tests share, servers that use the database, and a real Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import context, running_chromium
from tests.integrations.servers import Served, Uvicorn
from tests.proof.servers import within_reach

__all__ = ["context"]

NAME, PASSWORD = "demo", "a password for the servers"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of one module. It is closed after them, because tests of other modules use the ORM."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with all tables and one user."""
    path = tmp_path_factory.mktemp("database") / "db.sqlite3"
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.integrations.served",
        "DATABASE_URL": f"sqlite:///{path}",
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    user = ["createsuperuser", "--noinput", "--username", NAME, "--email", "demo@example.com"]
    for command in (["migrate", "-v0"], user):
        subprocess.run([sys.executable, "-m", "django", *command], env=environment, check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def serve(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Start servers. After the module's tests, stop them and assert that they logged no error."""
    servers: list[Served] = []

    def make(kind: type[Served] = Uvicorn, *arguments: str, **options: Any) -> Served:
        server = kind(database, tmp_path_factory.mktemp("server"), *arguments, **options)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.stop()
    assert [server.errors() for server in servers] == [""] * len(servers)


@pytest.fixture
def in_reach(database: Path, django_db_blocker: Any) -> Iterator[None]:
    """Make the ORM of this process use the servers' database."""
    with django_db_blocker.unblock(), within_reach(f"sqlite:///{database}"):
        yield
