"""Writes that lose against another: which errors say so, and writing again. And servers that take no work."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from django.db import DatabaseError, OperationalError, connections

T = TypeVar("T")

ATTEMPTS = 20
# Seconds between two of them, twice as long after each loss up to the longest: at most a second and a half in all. Half
# of it is drawn, or those who met would meet again. On Galera nobody queues for a row: all try, and one wins.
PAUSE, LONGEST_PAUSE = 0.001, 0.1
# A write that lost against another: serialization failure and deadlock (PostgreSQL), record changed, lock wait and
# deadlock (MariaDB, and a certification conflict of Galera), busy and busy snapshot (SQLite).
CONFLICTS: Final = frozenset({"40001", "40P01", 1020, 1205, 1213, 5, 517})

# A server that says that it takes no work now, and has done none: a node of Galera without its cluster.
REFUSALS: Final = frozenset({1047})


def retry_on_conflict(write: Callable[[], T]) -> T:
    """Run a single write, again where it lost against another: a revocation must not. Raises what remains."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return write()
        except OperationalError as exc:
            if not may_try_again(exc):
                raise
        pause = min(PAUSE * 2**attempt, LONGEST_PAUSE)
        time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - no secret
    return write()


def is_conflict(error: DatabaseError) -> bool:
    """Tell whether a statement failed only because another one was faster."""
    return not CONFLICTS.isdisjoint(_codes(error))


def may_try_again(error: DatabaseError) -> bool:
    """Tell whether what lost can be tried again. A caller's transaction that has lost can only be started again."""
    return is_conflict(error) and not any(known.needs_rollback for known in connections.all(initialized_only=True))


def is_refusal(error: DatabaseError) -> bool:
    """Tell whether the server took no work at all, and may take it later."""
    return not REFUSALS.isdisjoint(_codes(error))


def _codes(error: DatabaseError) -> set[object]:
    cause = error.__cause__
    return {*(getattr(cause, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorcode")), *error.args[:1]}
