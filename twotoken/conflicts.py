"""Retry database writes after a conflict with another transaction; detect database servers that are unavailable."""

from __future__ import annotations

import inspect
import random
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from django.db import DatabaseError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

ATTEMPTS = 20
# Seconds after which no further try starts. Each try may wait for a lock as long as the database allows.
PATIENCE = 5.0
# Seconds between two tries. The pause doubles after each conflict, up to LONGEST_PAUSE: at most 1.5 s in all. Half of
# each pause is random, because otherwise the same requests would conflict again. Galera does not queue the writers of
# a row: all try at once, and one wins.
PAUSE, LONGEST_PAUSE = 0.001, 0.1
# Conflicts with another write: serialization failure and deadlock (PostgreSQL), record changed, lock wait and
# deadlock (MariaDB, and a certification conflict of Galera), busy and busy snapshot (SQLite).
CONFLICTS: Final = frozenset({"40001", "40P01", 1020, 1205, 1213, 5, 517})

# The server refused the statement without executing it, because the server is starting or stopping, has too many
# connections, or is read-only (PostgreSQL: 57P03, 53300, 25006; MariaDB and MySQL: 1290, 1792, 1836), or is a Galera
# node without its cluster (1047).
REFUSALS: Final = frozenset({"57P03", "53300", "25006", 1290, 1792, 1836, 1047})

# The code object of Django's ``connect`` itself, which appears in a traceback. ``unwrap`` is needed because
# Django wraps the method in ``async_unsafe``.
_CONNECT: Final = inspect.unwrap(BaseDatabaseWrapper.connect).__code__


def retry_on_conflict(write: Callable[[], T]) -> T:
    """Run a write, and run it again after each conflict, as often as ``tries`` allows. Raises the last run's error."""
    for _ in tries():
        try:
            return write()
        except OperationalError as exc:
            if not may_try_again(exc):
                raise
            conflict = exc
    raise conflict  # pyright: ignore[reportPossiblyUnboundVariable, reportGeneralTypeIssues]  # one try at least


def tries(*, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> Iterator[int]:
    """Yield the number of each try, from 0. Before each try except the first, sleep.

    There are at most ATTEMPTS tries. After PATIENCE seconds no further try starts.
    """
    deadline = clock() + PATIENCE
    yield 0
    for attempt in range(ATTEMPTS - 1):
        if clock() > deadline:
            return
        pause = min(PAUSE * 2**attempt, LONGEST_PAUSE)
        sleep(random.uniform(pause / 2, pause))  # noqa: S311 - not a secret
        yield attempt + 1


def is_conflict(error: DatabaseError) -> bool:
    """Tell whether a statement failed only because of a conflict with another transaction."""
    return not CONFLICTS.isdisjoint(_codes(error))


def may_try_again(error: DatabaseError) -> bool:
    """Tell whether a failed write can be run again: it failed because of a conflict, and no transaction is broken.

    A broken transaction must be run again as a whole. Only the caller can do this.
    """
    return is_conflict(error) and not any(known.needs_rollback for known in connections.all(initialized_only=True))


def is_refusal(error: DatabaseError) -> bool:
    """Tell whether the database server refused to execute a statement, and may accept the statement later.

    A failed connection counts too. It is recognized by its traceback, because PostgreSQL's drivers give no code for it,
    and the message is in the server's language.
    """
    frames = traceback.walk_tb(error.__traceback__)
    return not REFUSALS.isdisjoint(_codes(error)) or any(frame.f_code is _CONNECT for frame, _ in frames)


def _codes(error: DatabaseError) -> set[object]:
    cause = error.__cause__
    return {*(getattr(cause, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorcode")), *error.args[:1]}
