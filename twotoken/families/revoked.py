"""A list of the token families that were revoked within the life of an access token.

Each process keeps its own list, and reads the list again once per REVOCATION_INTERVAL.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import copy_context
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from django.db import connections, router, transaction
from django.db.models import CharField
from django.db.models.functions import Cast
from django.utils import timezone

from twotoken.conf import conf
from twotoken.exceptions import RevokedToken
from twotoken.families.queries import rows
from twotoken.families.schemas import has_schemas, schema
from twotoken.models import RefreshToken
from twotoken.polling import Polled
from twotoken.tokens import AccessToken, family_digest

T = TypeVar("T")

# The time of a revocation is set before it is committed, perhaps by a server whose clock is behind. So each read also
# covers this much time before the last read.
OVERLAP: Final = timedelta(seconds=60)

# The lists of this process, by database alias, schema, issuer and interval. Tenants differ in one of the first three.
_LISTS: Final[dict[tuple[str, str | None, str | None, timedelta], Polled[Collection[int]]]] = {}


def refuse_revoked(access: AccessToken, interval: timedelta) -> None:
    """Raise RevokedToken if the token's family is in this process's list of revoked families.

    In each process, one request per interval reads the list with a query. Raises Unavailable if the list is older than
    two intervals, or missing, and can't be read now.
    """
    alias = router.db_for_write(RefreshToken)
    # The token was verified, so its issuer is the current tenant's. To read ISSUER again would take longer.
    key = alias, schema(alias), access.issuer, interval
    polled = _LISTS.get(key) or _LISTS.setdefault(key, _polled(alias, interval.total_seconds()))
    if access.family_id.int in polled.get():
        raise RevokedToken


def forget_revoked() -> None:
    """Forget which families were revoked, so that the next request of this process reads them again. For tests."""
    _LISTS.clear()
    has_schemas.cache_clear()


def revoked_since(moment: datetime) -> list[str]:
    """Return the ids of the families that were revoked after a time, as text in the database's own form. One SELECT.

    The ids stay text, because building 100,000 UUIDs takes longer than reading the ids. A failure does not break the
    caller's transaction.
    """
    found: Any = rows().filter(revoked_at__gt=moment).order_by().values_list(Cast("pk", CharField()))
    connection = connections[found.db]
    sql, params = found.query.get_compiler(connection=connection).as_sql()
    savepoint = transaction.atomic(using=found.db) if connection.in_atomic_block else nullcontext()
    with savepoint, connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [text for (text,) in cursor.fetchall()]


def revoked_digests(now: datetime, age: timedelta | None = None) -> list[str]:
    """Return the sorted digests of the families that were revoked in the last ``age``. One SELECT.

    The default and the maximum of ``age`` is the life of an access token. The result also has families that were
    revoked up to OVERLAP before that.
    """
    longest = longest_access()
    age = longest if age is None else min(max(age, timedelta()), longest)
    return sorted(family_digest(_canonical(text)) for text in revoked_since(now - age - OVERLAP))


def longest_access() -> timedelta:
    """Return how long after its revocation a family may still have a valid access token."""
    return conf.access_lifetime + conf.leeway


class RevokedFamilies:
    """The ids of the families that were revoked lately, as numbers, because these are small and quick to look up.

    ``clock`` returns seconds, and its time never goes back.
    """

    def __init__(self, alias: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.alias = alias
        self.clock = clock
        self.ids: set[int] = set()
        self.batches: deque[tuple[float, list[int]]] = deque()  # new ids, with the time at which they were first seen
        self.read_at: tuple[float, datetime] | None = None

    def read(self) -> Collection[int]:
        """Update the ids from the database, and return them.

        The families that were revoked since the last reading are added. Families whose access tokens have all expired
        are dropped.
        """
        seen, now, longest = self.clock(), timezone.now(), longest_access()
        since = longest
        if self.read_at is not None:
            # Either clock may show too little time: the monotonic one if the machine sleeps, the system's if it is set
            # back. So the longer time counts.
            passed = max(timedelta(seconds=seen - self.read_at[0]), now - self.read_at[1])
            since = min(passed, longest)
        found = _outside_event_loop(lambda: revoked_since(now - since - OVERLAP), self.alias)
        self._add(map(_number, found), seen)
        self._drop(seen - (longest + OVERLAP).total_seconds())
        self.read_at = seen, now
        return self.ids

    def _add(self, found: Iterable[int], seen: float) -> None:
        new = [number for number in found if number not in self.ids]
        if new:
            self.ids.update(new)
            self.batches.append((seen, new))

    def _drop(self, before: float) -> None:
        while self.batches and self.batches[0][0] < before:
            self.ids.difference_update(self.batches.popleft()[1])


def _polled(alias: str, interval: float) -> Polled[Collection[int]]:
    return Polled(RevokedFamilies(alias).read, interval=interval, max_age=2 * interval)


def _number(text: str) -> int:
    return int(text.replace("-", ""), 16)


def _canonical(text: str) -> str:
    """Return a family's id with hyphens, as in the ``sid`` claim. SQLite stores ids without hyphens."""
    return text if len(text) > 32 else "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _outside_event_loop(read: Callable[[], T], alias: str) -> T:
    """Call ``read``. If this thread runs an event loop, where Django refuses queries, call ``read`` in another thread.

    The event loop waits meanwhile, because authentication is synchronous. So the other thread may use this thread's
    connection.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return read()
    connection = connections[alias]

    def read_and_close() -> T:
        connections[alias] = connection
        try:
            return read()
        finally:
            if not connection.in_atomic_block:
                connection.close()  # it belongs to an asyncio task, and Django closes no connection of such a task

    connection.inc_thread_sharing()
    try:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(copy_context().run, read_and_close).result()
    finally:
        connection.dec_thread_sharing()
