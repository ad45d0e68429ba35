"""Fixtures: a user, and clients of each kind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections

from tests.factories import UserFactory
from tests.http import Caller
from tests.settings import FOLDER
from tests.staff import staff


@pytest.fixture(scope="session", autouse=True)
def _folder() -> Iterator[None]:
    """A folder for SQLite's files while the tests run. Some commands open the database that is no test's."""
    FOLDER.mkdir(mode=0o700)
    yield
    shutil.rmtree(FOLDER)


@pytest.fixture(scope="session")
def django_db_setup(_folder: None, django_db_setup: None) -> Iterator[None]:
    """The test databases, left by every alias: PostgreSQL drops none that somebody is connected to."""
    yield
    connections.close_all()


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """Throttles count in the cache."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def user(db: None) -> Any:
    """A user with the usual password."""
    return UserFactory()


@pytest.fixture
def script(user: Any) -> Caller:
    """A script at the body mount."""
    return Caller(user, mount="/api/app/auth/")


@pytest.fixture
def browser(user: Any) -> Caller:
    """A browser at the cookie mount."""
    return Caller(user, mount="/api/auth/", HTTP_SEC_FETCH_SITE="same-origin")


@pytest.fixture
def jar(user: Any) -> Caller:
    """A script with a cookie jar at the cookie mount."""
    return Caller(user, mount="/api/auth/")


@pytest.fixture
def viewer(db: None) -> Any:
    """Who may look."""
    return staff("view_refreshtoken")


@pytest.fixture
def revoker(db: None) -> Any:
    """Who may look and revoke."""
    return staff("view_refreshtoken", "revoke_refreshtoken")
