"""Fixtures: a user, and clients of each kind."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from socketserver import StreamRequestHandler
from typing import Any

import pytest
from django.contrib.auth.management import create_permissions
from django.core.cache import cache
from django.core.servers.basehttp import ThreadedWSGIServer
from django.db import connections
from django.db.models.signals import post_migrate
from django.test.testcases import LiveServerThread

from tests.factories import UserFactory
from tests.http import Caller
from tests.settings import FOLDER
from tests.staff import staff

# The head and the body of an answer are two packets. The body would wait 40 ms until the client acknowledges the head.
StreamRequestHandler.disable_nagle_algorithm = True


class _LiveServer(ThreadedWSGIServer):
    def serve_forever(self, poll_interval: float = 0.01) -> None:
        """Check often whether the tests have ended, so that the server stops soon."""
        super().serve_forever(poll_interval)


LiveServerThread.server_class = _LiveServer


def pytest_collection_finish() -> None:
    """After pytest has collected the tests, exclude all objects in memory from later garbage collections."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """After a flush don't recreate the permissions: this takes the most time, and no test that commits needs them."""
    name = "django.contrib.auth.management.create_permissions"
    post_migrate.disconnect(dispatch_uid=name)
    try:
        yield
    finally:
        post_migrate.connect(create_permissions, dispatch_uid=name)


@pytest.fixture(scope="session", autouse=True)
def _folder() -> Iterator[None]:
    """Make the folder for SQLite's files (some commands open the default database), and delete it at the end."""
    FOLDER.mkdir(mode=0o700)
    yield
    shutil.rmtree(FOLDER)


@pytest.fixture(scope="session")
def django_db_setup(_folder: None, django_db_setup: None) -> Iterator[None]:
    """Set up the test databases. At the end close all connections, because PostgreSQL drops no database in use."""
    yield
    connections.close_all()


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """Empty the cache before and after each test, because the throttles count in it."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the CA certificates, because httpx would read all of them for each client."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(FOLDER))


@pytest.fixture
def user(db: None) -> Any:
    """A user with the password PASSWORD."""
    return UserFactory()


@pytest.fixture
def script(user: Any) -> Caller:
    """A script: a client of the endpoints with the refresh token in the body."""
    return Caller(user, mount="/api/app/auth/")


@pytest.fixture
def browser(user: Any) -> Caller:
    """A browser: a client of the endpoints with the refresh token in a cookie."""
    return Caller(user, mount="/api/auth/", HTTP_SEC_FETCH_SITE="same-origin")


@pytest.fixture
def jar(user: Any) -> Caller:
    """A script with a cookie jar: a client of the endpoints with the refresh token in a cookie."""
    return Caller(user, mount="/api/auth/")


@pytest.fixture
def viewer(db: None) -> Any:
    """A browser in which a member of staff who may view families is logged in."""
    return staff("view_refreshtoken")


@pytest.fixture
def revoker(db: None) -> Any:
    """A browser in which a member of staff who may view and revoke families is logged in."""
    return staff("view_refreshtoken", "revoke_refreshtoken")
