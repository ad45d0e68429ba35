"""Migrates a database of the first migration to a later version, while clients stay logged in.

The later version is twotoken's own newest migration, and a made-up one after it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.test import override_settings
from django.utils import timezone

from tests.proof.conftest import Tried
from tests.proof.databases import Database, database, execute
from tests.proof.servers import ALIAS, Service, new_user, row, start_family, within_reach
from tests.proof.test_crashes import Client, post_to
from twotoken.conf import conf
from twotoken.models import RevokedReason
from twotoken.tokens import encode_refresh

FIRST = ("twotoken", "0001_initial")
FAMILIES, CLIENTS, SAMPLE = 10_000, 4, 20
KEY = "a-key-of-some-length"


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def store(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any) -> Iterator[Database]:
    """Create a database of each kind with the tables of the first migration, and connect the ORM to it."""
    with (
        django_db_blocker.unblock(),
        database(request.param, tmp_path) as made,
        within_reach(made.url),
    ):
        call_command("migrate", database=ALIAS, verbosity=0)
        call_command("migrate", *FIRST, database=ALIAS, verbosity=0)
        yield made


@pytest.fixture
def service(store: Database, tmp_path: Path) -> Iterator[Service]:
    """Return a service on the database ``store``. The test starts the service."""
    server = Service(store, tmp_path, atomic=False, processes=2)
    yield server
    server.stop()


def old_model() -> Any:
    """Return the model ``RefreshToken`` as the first migration has it."""
    state = MigrationExecutor(connections[ALIAS]).loader.project_state([FIRST])
    return state.apps.get_model("twotoken", "RefreshToken")


def populate(old: Any) -> None:
    """Write families of ten users. Every fifth family is revoked."""
    users = [new_user() for _ in range(10)]
    now = timezone.now()
    old.objects.bulk_create(
        old(
            user_id=users[number % len(users)].pk,
            auth_hash=users[number % len(users)].get_session_auth_hash(),
            generation=2,
            user_agent=f"agent {number}",
            refreshed_at=now - timedelta(hours=1),
            revoked_at=now if number % 5 == 4 else None,
            revoked_reason=RevokedReason.LOGOUT if number % 5 == 4 else "",
        )
        for number in range(FAMILIES)
    )


def contents(old: Any) -> list[tuple[Any, ...]]:
    """Return all columns that the first migration has, of the families that ``populate`` wrote."""
    names = [field.attname for field in old._meta.concrete_fields]
    return list(old.objects.filter(user_agent__startswith="agent").order_by("pk").values_list(*names))


def token(family: Any, generation: int) -> str:
    """Return a refresh token of a family, as the first version issued it."""
    claims = {"family_id": family.pk, "secret": bytes(family.secret), "expires_at": timezone.now() + timedelta(days=1)}
    return encode_refresh(conf.refresh_keys, generation=generation, **claims)


def refreshing(service: Service, clients: list[Client], done: threading.Event) -> list[threading.Thread]:
    """Start threads in which clients refresh until ``done`` is set, and return the threads."""

    def work(client: Client) -> None:
        while not (done.is_set() or client.refused):
            client.refresh(lambda refresh, key: post_to(service.port, refresh, key))

    threads = [threading.Thread(target=work, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    return threads


def test_an_upgrade(store: Database, service: Service, tried: Tried) -> None:
    """If clients refresh before, during and after a migration, no data and no login is lost, and reuse is detected."""
    old = old_model()
    populate(old)
    before = contents(old)
    clients = [Client(start_family(), lambda key: None) for _ in range(CLIENTS)]
    first = [client.token for client in clients]
    service.start()
    done = threading.Event()
    threads = refreshing(service, clients, done)
    try:
        with override_settings(MIGRATION_MODULES={"twotoken": "tests.proof.later"}):
            call_command("migrate", "twotoken", database=ALIAS, verbosity=0)
        logged_in = start_family()  # the old version goes on until it is replaced
    finally:
        done.set()
        for thread in threads:
            thread.join()
    service.stop()
    service.start()  # the new version
    assert contents(old) == before
    assert execute(store.url, "SELECT COUNT(*) FROM twotoken_refreshtoken WHERE note_length > 0") >= [(FAMILIES,)]
    for r0, client in zip(first, clients, strict=True):
        client.refresh(lambda refresh, key: post_to(service.port, refresh, key))
        assert (client.refused, row(r0).generation, row(r0).revoked_at) == ([], client.rotations, None)
        assert client.rotations > 1
    assert post_to(service.port, logged_in, KEY)[0] == 200
    for number, family in enumerate(old.objects.filter(user_agent__startswith="agent").order_by("pk")[:SAMPLE]):
        status, body = post_to(service.port, token(family, 2 - number % 3), KEY)
        expected = "revoked" if family.revoked_at else None if number % 3 == 0 else "reused"
        assert (status, body.get("reason")) == (401 if expected else 200, expected)
    tried("families that were migrated", FAMILIES)
    tried("refreshes around a migration", sum(client.rotations for client in clients))
