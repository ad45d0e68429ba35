"""Retry conflicting writes; detect unavailable servers."""

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
# Seconds after which no further try starts. A try may wait for a lock, for as long as the database lets it.
PATIENCE = 5.0
# Seconds between two tries, twice as long after each conflict up to the longest: at most a second and a half in all.
# Half of it is random, or requests that met would meet again. On Galera nobody queues for a row: all try, and one wins.
PAUSE, LONGEST_PAUSE = 0.001, 0.1
# Conflicts with another write: serialization failure and deadlock (PostgreSQL), record changed, lock wait and
# deadlock (MariaDB, and a certification conflict of Galera), busy and busy snapshot (SQLite).
CONFLICTS: Final = frozenset({"40001", "40P01", 1020, 1205, 1213, 5, 517})

# A server that does no work now, and has done none: one that starts or stops, has too many connections, or only reads
# (PostgreSQL: 57P03, 53300, 25006; MariaDB and MySQL: 1290, 1792, 1836), and a node of Galera without its cluster
# (1047).
REFUSALS: Final = frozenset({"57P03", "53300", "25006", 1290, 1792, 1836, 1047})

# Under the decorator that keeps Django's method out of event loops.
_CONNECT: Final = inspect.unwrap(BaseDatabaseWrapper.connect).__code__


def retry_on_conflict(write: Callable[[], T]) -> T:
    """Run a single write, again after each conflict, for seconds at most. Raises what the last try raised."""
    for _ in tries():
        try:
            return write()
        except OperationalError as exc:
            if not may_try_again(exc):
                raise
            conflict = exc
    raise conflict


def tries() -> Iterator[int]:
    """Give the number of each try, after a pause: twenty within PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    yield 0
    for attempt in range(ATTEMPTS - 1):
        if time.monotonic() > deadline:
            return
        pause = min(PAUSE * 2**attempt, LONGEST_PAUSE)
        time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - no secret
        yield attempt + 1


def is_conflict(error: DatabaseError) -> bool:
    """Tell whether a statement failed only because another one was faster."""
    return not CONFLICTS.isdisjoint(_codes(error))


def may_try_again(error: DatabaseError) -> bool:
    """Tell whether what lost can be tried again. A caller's transaction that has lost can only be started again."""
    return is_conflict(error) and not any(known.needs_rollback for known in connections.all(initialized_only=True))


def is_refusal(error: DatabaseError) -> bool:
    """Tell whether the server took no work at all, and may take it later.

    A connection that could not be made counts as well. PostgreSQL's drivers don't tell the code of such an error, and
    its text is in the server's language.
    """
    frames = traceback.walk_tb(error.__traceback__)
    return not REFUSALS.isdisjoint(_codes(error)) or any(frame.f_code is _CONNECT for frame, _ in frames)


def _codes(error: DatabaseError) -> set[object]:
    cause = error.__cause__
    return {*(getattr(cause, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorcode")), *error.args[:1]}
