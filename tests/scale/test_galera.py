"""twotoken on three MariaDB Galera nodes that all accept writes, with and without ``wsrep_sync_wait``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.checks import Tags, run_checks
from django.db import connections
from rest_framework.test import APIClient

from tests.factories import PASSWORD
from tests.http import Caller
from tests.proof.conftest import FULL, Tried
from tests.proof.servers import new_user, row, start_family
from tests.scale.galera import Node, at, wait_for_all
from twotoken import families
from twotoken.clients import Client
from twotoken.exceptions import RevokedToken
from twotoken.families import revocation
from twotoken.families.events import record
from twotoken.models import EventKind, FamilyEvent

User = get_user_model()
KEY = "a-key-of-some-length"
A_MOMENT = 1 if FULL else 0.4  # seconds, by which a call that waits for nothing has been answered


@pytest.fixture
def script(nodes: list[Node]) -> Caller:
    """Return a script's client for a new user."""
    return Caller(new_user(), mount="/api/app/auth/")


def of_a_node_behind(
    nodes: list[Node], before: Callable[[], Any], call: Callable[[], Any], *, waits: bool
) -> tuple[Any, bool]:
    """Call ``before`` at one node, ``call`` at a lagging one. Return the result of ``call``, and whether it waited."""
    first, second, _ = nodes

    def run() -> Any:
        try:
            with at(second, waits=waits):
                return call()
        finally:
            connections.close_all()

    def connect() -> None:  # which waits, too
        with at(second, waits=waits):
            User.objects.exists()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(connect).result()
        with second.behind(first):
            before()
            future = pool.submit(run)
            try:
                return future.result(A_MOMENT), False
            except TimeoutError:
                pass
        return future.result(60), True


@dataclass
class Session:
    """A login and its requests, which a test sends to any node."""

    script: Caller
    access: str = ""
    token: str = ""
    first: str = ""

    def log_in(self) -> None:
        """Log in, and keep the tokens."""
        self.take(self.script.log_in())

    def rotate(self) -> None:
        """Refresh with the Idempotency-Key KEY, and keep the new tokens."""
        self.take(self.refresh(KEY))

    def take(self, response: Any) -> None:
        """Keep the tokens of an answer."""
        self.access, self.token = response.json()["access"], response.json()["refresh"]
        self.first = self.first or self.token

    def refresh(self, key: str | None = None) -> Any:
        """Refresh with the newest token."""
        return self.script.refresh(self.token, key)

    def log_out(self) -> Any:
        """Log out with the newest token."""
        return self.script.send("logout/", {"refresh": self.token})

    def log_out_everywhere(self) -> Any:
        """Revoke every family of the user by ``logout/all/``, with the kept access token."""
        return self.script.send("logout/all/", HTTP_AUTHORIZATION=f"Bearer {self.access}")

    def ask(self) -> Any:
        """Send a GET to the route of RevocableAccessTokenAuthentication."""
        return APIClient().get("/api/revocable/", HTTP_AUTHORIZATION=f"Bearer {self.access}")

    def change_password(self) -> None:
        """Change the user's password."""
        self.script.user.set_password(f"another {PASSWORD}")
        self.script.user.save()


@dataclass(frozen=True)
class Case:
    """A call at one node, a call at a lagging node, and the second call's expected result.

    ``waiting`` is this result if the sessions wait for other nodes' writes, and ``at_once`` if they don't wait: the
    status or reason, the row's generation and its revocation reason. If ``at_once`` is None, both results are equal.
    """

    before: Callable[[Session], Any]
    call: Callable[[Session], Any]
    waiting: tuple[object, int, str]
    at_once: tuple[object, int, str] | None = None
    prepare: Callable[[Session], Any] = Session.log_in


def nothing(session: Session) -> None:
    """Do nothing."""


def replay(session: Session) -> Any:
    """Refresh with the token of the login, even if it was replaced."""
    return session.script.refresh(session.first)


def retry(session: Session) -> Any:
    """Refresh with the token of the login, and the Idempotency-Key of the refresh that replaced this token."""
    return session.script.refresh(session.first, KEY)


def log_in_and_rotate(session: Session) -> None:
    """Log in, and refresh once."""
    session.log_in()
    session.rotate()


def log_in_elsewhere(session: Session) -> None:
    """Log in once more, but keep the access token of the earlier login."""
    access = session.access
    session.log_in()
    session.access = access


# A write that goes by a row that is too old fails its certification, waits for what it has missed, and is tried again.
WRITES = {
    "its successor is rotated": Case(Session.rotate, Session.refresh, (200, 2, "")),
    "a retry gets the same token": Case(Session.rotate, retry, (200, 1, "")),
    "a replay is found out": Case(Session.rotate, replay, ("reused", 1, "reuse")),
    "an ended family is not rotated": Case(Session.log_out, Session.refresh, ("revoked", 0, "logout")),
    "a rotated family is ended": Case(Session.rotate, Session.log_out, (204, 1, "logout")),
}
# What only reads takes what it finds, and what it does not find is not there.
READS = {
    "a new login refreshes": Case(Session.log_in, Session.refresh, (200, 1, ""), ("invalid", 0, ""), nothing),
    "a new login logs out": Case(Session.log_in, Session.log_out, (204, 0, "logout"), (204, 0, ""), nothing),
    "all logins end": Case(log_in_elsewhere, Session.log_out_everywhere, (204, 0, "logout"), (204, 0, "")),
    "an ended family answers no retry": Case(
        Session.log_out, retry, ("revoked", 1, "logout"), (200, 1, "logout"), log_in_and_rotate
    ),
    "an ended family asks for nothing": Case(
        Session.log_out, Session.ask, ("revoked", 0, "logout"), (200, 0, "logout")
    ),
    "an old password refreshes no more": Case(
        Session.change_password, Session.refresh, ("password_changed", 0, "password_changed"), (200, 1, "")
    ),
}
CASES = {**WRITES, **READS}


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_a_node_that_is_behind(nodes: list[Node], script: Caller, name: str, waits: bool, tried: Tried) -> None:
    """At a lagging node, sessions that wait see all writes. Others may miss a write, but never rotate a token twice."""
    case, session = CASES[name], Session(script)
    case.prepare(session)
    wait_for_all(nodes)
    response, waited = of_a_node_behind(nodes, lambda: case.before(session), lambda: case.call(session), waits=waits)
    family = row(session.token)
    said = response.json()["reason"] if response.status_code == 401 else response.status_code
    expected = case.waiting if waits or case.at_once is None else case.at_once
    assert (said, family.generation, family.revoked_reason) == expected
    assert waited or not (waits or name in WRITES)
    tried("calls at a node that is behind")


def test_a_revocation_that_loses_is_written_again(nodes: list[Node], tried: Tried) -> None:
    """If another node rotates between a revocation's read and its write, the revocation is written again."""
    token = start_family()
    with at(nodes[1]):
        family = row(token)
    lost = nodes[1].conflicts()
    pair: list[families.TokenPair] = []
    ended, waited = of_a_node_behind(
        nodes,
        lambda: pair.append(families.rotate(families.verify(token), Client())),
        lambda: revocation.revoke_family(family, "logout"),
        waits=True,
    )
    assert (ended, waited) == (True, True)
    assert nodes[1].conflicts() > lost
    assert (row(token).generation, row(token).revoked_reason) == (1, "logout")
    with at(nodes[2]), pytest.raises(RevokedToken):
        families.rotate(families.verify(pair[0].refresh), Client())
    tried("certification conflicts", nodes[1].conflicts() - lost)


def test_the_tables(nodes: list[Node]) -> None:
    """All tables are InnoDB with a primary key, as Galera requires. Two nodes never give events the same key."""
    columns = (
        "engine, (SELECT COUNT(*) FROM information_schema.key_column_usage AS k WHERE k.table_schema = t.table_schema"
    )
    columns += " AND k.table_name = t.table_name AND k.constraint_name = 'PRIMARY') > 0"
    for node in nodes:
        kinds = node.execute(
            f"SELECT DISTINCT {columns} FROM information_schema.tables AS t WHERE table_schema = DATABASE()"
        )
        assert kinds == [("InnoDB", 1)]
    token = start_family()
    wait_for_all(nodes)
    for node in nodes:
        with at(node):
            record(EventKind.DEVICE, [row(token).pk])
            record(EventKind.DEVICE, [row(token).pk] * 2)
    wait_for_all(nodes)
    numbers = set(FamilyEvent.objects.filter(family=row(token).pk).values_list("pk", flat=True))
    assert len(numbers) == 9
    assert len({number % 3 for number in numbers}) == 3


@pytest.mark.parametrize(("suffix", "found"), [("", []), ("-at-once", ["twotoken.W009"])])
def test_sessions_that_do_not_wait_are_told_of(nodes: list[Node], suffix: str, found: list[str]) -> None:
    """The check W009 reports a database with sessions that don't wait for other nodes, and no other database."""
    alias = f"node1{suffix}"
    with at(nodes[0], waits=not suffix):
        messages = run_checks(databases=[alias], tags=[Tags.database])
    assert [message.id for message in messages if message.id in {"twotoken.W009"}] == found
