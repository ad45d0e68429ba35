"""Conflicts between database writes, and database servers that refuse work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.utils import ConnectionHandler

from twotoken import families
from twotoken.clients import Client
from twotoken.conflicts import ATTEMPTS, LONGEST_PAUSE, PATIENCE, PAUSE, is_conflict, is_refusal, tries
from twotoken.models import RefreshToken


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_a_transaction_that_lost_is_for_its_owner_to_repeat(user: Any, verb: str) -> None:
    """Inside a caller's transaction, a conflict is not retried. The caller gets the error and can repeat everything."""
    pair = families.start(user)
    claims = families.verify(pair.refresh)
    lost: list[str] = []

    def lose(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and not lost:
            lost.append(sql)
            raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")
        return execute(sql, params, many, context)

    with (
        connection.execute_wrapper(lose),
        pytest.raises(OperationalError, match="Deadlock"),
        transaction.atomic(),
    ):
        families.rotate(claims, Client()) if verb == "rotate" else families.revoke(pair.family_id)
    with transaction.atomic():
        assert families.rotate(claims, Client()).generation == 1
    assert RefreshToken.objects.get().revoked_at is None


def test_the_pauses_between_tries() -> None:
    """The limit of the random pause doubles with each try, up to LONGEST_PAUSE. A pause is at least half the limit."""
    pauses: list[float] = []
    assert list(tries(sleep=pauses.append)) == [*range(ATTEMPTS)]
    longest = [min(PAUSE * 2**number, LONGEST_PAUSE) for number in range(ATTEMPTS - 1)]
    assert all(limit / 2 <= pause <= limit for pause, limit in zip(pauses, longest, strict=True))
    assert len(set(pauses)) == len(pauses)


def test_no_try_after_a_long_wait() -> None:
    """No try starts after PATIENCE has passed, for example because a statement waited long for a lock."""
    times = iter([0, PATIENCE, PATIENCE + 0.1])
    assert list(tries(clock=lambda: next(times), sleep=lambda pause: None)) == [0, 1]


@contextmanager
def sqlite(path: Path) -> Iterator[Any]:
    """Yield a connection to an SQLite database that does not wait for locks."""
    values = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": {"timeout": 0}}
    made: Any = ConnectionHandler({"default": values})["default"]
    try:
        yield made
    finally:
        made.close()


@pytest.mark.django_db
@pytest.mark.parametrize(("begin", "code"), [("BEGIN", 517), ("SELECT 1", 5)])
def test_a_busy_sqlite(tmp_path: Path, begin: str, code: int) -> None:
    """SQLite's errors SQLITE_BUSY (5) and SQLITE_BUSY_SNAPSHOT (517) are conflicts, and not refusals."""
    with sqlite(tmp_path / "busy.sqlite3") as ours, sqlite(tmp_path / "busy.sqlite3") as theirs:
        with ours.cursor() as our, theirs.cursor() as their:
            our.execute("PRAGMA journal_mode = WAL")
            our.execute("CREATE TABLE rows (id integer)")
            our.execute(begin)
            our.execute("SELECT * FROM rows")
            their.execute("BEGIN IMMEDIATE")
            their.execute("INSERT INTO rows VALUES (1)")
            if code == 517:
                their.execute("COMMIT")
            with pytest.raises(OperationalError, match="locked") as raised:
                our.execute("INSERT INTO rows VALUES (2)")
        cause: Any = raised.value.__cause__
        assert cause.sqlite_errorcode == code
        assert is_conflict(raised.value)
        assert not is_refusal(raised.value)


@pytest.mark.django_db
def test_no_connection(tmp_path: Path) -> None:
    """``is_refusal`` is true for a failed connection, and false for an invalid statement."""
    with sqlite(tmp_path / "missing" / "db.sqlite3") as missing, pytest.raises(OperationalError) as unreachable:
        missing.cursor()
    with sqlite(tmp_path / "db.sqlite3") as there, there.cursor() as cursor, pytest.raises(DatabaseError) as wrong:
        cursor.execute("SELECT * FROM nowhere")
    assert is_refusal(unreachable.value)
    assert not is_refusal(wrong.value)
    assert not is_conflict(unreachable.value)
