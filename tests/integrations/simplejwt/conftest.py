"""Moves a project: simplejwt's project issues tokens, then twotoken's project uses the same database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from django.conf import settings
from django.core.checks.registry import registry
from django.test import override_settings

from tests.integrations.simplejwt.key import SECRET_KEY
from tests.proof.databases import MARIADB, POSTGRESQL, Database, execute, maintenance
from tests.proof.servers import in_reach
from twotoken.contrib.simplejwt.checks import CHECKS
from twotoken.contrib.simplejwt.conf import NAME

LIFETIME = timedelta(days=1)  # simplejwt's default of a refresh token


@dataclass(frozen=True)
class Move:
    """A database after the move. ``issued`` has the tokens that simplejwt's project gave to its clients."""

    has_blacklist: bool
    issued: dict[str, Any]

    def spare(self) -> str:
        """Return a refresh token of simplejwt that no test has used yet."""
        token: str = self.issued["spare"].pop()
        return token


def move_settings() -> dict[str, Any]:
    """Return the present value of TWOTOKEN_SIMPLEJWT."""
    values: dict[str, Any] = getattr(settings, NAME)
    return values


@contextmanager
def empty_database(folder: Path) -> Iterator[Database]:
    """Make an empty database: SQLite, or a database on the server that DATABASE_URL names. Drop it at the end."""
    server = os.environ.get("DATABASE_URL")
    if server is None:
        yield Database(f"sqlite:///{folder}/move.sqlite3")
        return
    ours = Database(f"{server}_move_{token_hex(4)}", MARIADB if server.startswith("mysql") else POSTGRESQL)
    execute(maintenance(ours.url), f"CREATE DATABASE {ours.url.rpartition('/')[2]}")
    try:
        yield ours
    finally:
        ours.cut_connections()
        execute(maintenance(ours.url), f"DROP DATABASE {ours.url.rpartition('/')[2]}")


def issued_by_the_old_project(database: Database, *, has_blacklist: bool) -> dict[str, Any]:
    """Run simplejwt's project in a process of its own, and return the tokens that it issues."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.integrations.simplejwt.before",
        "DATABASE_URL": database.url,
        **({"BLACKLIST": "1"} if has_blacklist else {}),
    }
    command = [sys.executable, "-m", "tests.integrations.simplejwt.issue"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    issued: dict[str, Any] = json.loads(done.stdout)
    return issued


@pytest.fixture(scope="module", params=[True, False], ids=["blacklist", "no-blacklist"])
def move(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[Move]:
    """A project that has moved: once from simplejwt with its blacklist, and once from simplejwt without a blacklist."""
    has_blacklist: bool = request.param
    after = override_settings(
        INSTALLED_APPS=[*settings.INSTALLED_APPS, "twotoken.contrib.simplejwt"],
        ROOT_URLCONF="tests.integrations.simplejwt.after_urls",
        TWOTOKEN_SIMPLEJWT={
            "SIGNING_KEY": SECRET_KEY,
            "CHECK_REVOKE_TOKEN": has_blacklist,
            "UNTIL": datetime.now(UTC) + LIFETIME,
        },
    )
    with django_db_blocker.unblock(), empty_database(tmp_path_factory.mktemp("move")) as database:
        issued = issued_by_the_old_project(database, has_blacklist=has_blacklist)
        with in_reach(database), after:
            yield Move(has_blacklist, issued)
    registry.registered_checks -= set(CHECKS)  # the app that registered them is gone
