"""Throttles for login and refresh, on DRF's own, with rates read from ``TWOTOKEN`` on use and a count that is atomic.

DRF's throttle reads a list of times, adds one and writes it back, so requests that run at once all read the same list
and all pass. Here a request takes one place of a window, and the cache gives each place to one request only.
"""

from __future__ import annotations

import hashlib
import logging
import math
import unicodedata
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.cache.backends.base import BaseCache
from django.core.exceptions import ValidationError
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from twotoken.clients import network
from twotoken.conf import conf
from twotoken.conflicts import ATTEMPTS, tries

# How much of a name is compared: characters, or weights on MySQL. Longer names that begin alike are counted together.
LONGEST_NAME = 512

logger = logging.getLogger("twotoken")


class CacheRefuses(Exception):
    """The cache is there, but takes no count."""


class _IdentThrottle(SimpleRateThrottle, ABC):
    """Counts requests of an identity that the view knows, under a digest, so that no cache holds a name.

    The count is that of a sliding window: the requests of this window (each minute of the clock, for ``10/min``), and
    of the window before as large a part as the last minute still covers. A request that is refused is not counted, or a
    client that tries too often would never get in again.
    """

    _wait = 0.0

    @abstractmethod
    def ident(self) -> str:
        """Return the identity. Asked only where there is a rate."""

    def get_cache_key(self, request: Request, view: APIView) -> str:
        ident = f"{conf.tenant_issuer or ''}\n{self.ident()}"
        digest = hashlib.sha256(ident.encode(errors="surrogatepass")).hexdigest()
        return self.cache_format % {"scope": self.scope, "ident": digest}

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count a request. False: there were too many, and ``wait`` says for how long.

        A cache that fails lets everybody in: a login that works without its throttle beats none at all.
        """
        if self.rate is None:
            return True
        self.key = self.get_cache_key(request, view)
        try:
            return self._count(self.key)
        except Exception:
            logger.exception("The cache fails, so %s counts nothing and lets everybody in.", type(self).__name__)
            return True

    def _count(self, key: str) -> bool:
        parsed: Any = self
        limit, period = parsed.num_requests, parsed.duration
        counter = (_Increments if increments(self.cache) else _Places)(self.cache, 2 * period + 1)
        window, elapsed = divmod(self.timer(), period)
        passed = elapsed / period
        current, previous = (f"{key}:{int(window) - back}" for back in (0, 1))
        taken, before = counter.read(current, previous, limit)
        room = limit - int(round(before * (1 - passed), 9))  # by floats alone, 9 may be 8.9999…
        if taken < room and counter.take(current, taken, room):
            return True
        taken = max(taken, room)  # others were faster
        # There is room again as soon as the part of the window before is small enough, or in the next window.
        free = 1.0 if taken >= limit else 1 - (limit - taken) / before
        self._wait = (free - passed) * period
        return False

    def wait(self) -> float:
        """Return the whole seconds after which a refused request would pass, if no other came."""
        return max(math.floor(round(self._wait, 6)) + 1, 1)


class LoginThrottle(_IdentThrottle):
    """Per address and name together: never per address alone, behind which a whole office may sit."""

    scope = "twotoken_login"

    def __init__(self, address: str, name: str) -> None:
        super().__init__()
        self.address = address
        self.name = name

    def get_rate(self) -> str | None:
        return conf.login_throttle

    def ident(self) -> str:
        return f"{network(self.address)}\n{normalize_username(self.name)}"


class RefreshThrottle(_IdentThrottle):
    """Per token family, after the signature: nobody can use up somebody else's share."""

    scope = "twotoken_refresh"

    def __init__(self, family_id: UUID) -> None:
        super().__init__()
        self.family_id = family_id

    def get_rate(self) -> str | None:
        return conf.refresh_throttle

    def ident(self) -> str:
        return str(self.family_id)


class _Counter(ABC):
    """Counts the requests of a window in a cache."""

    def __init__(self, cache: BaseCache, timeout: int) -> None:
        self.cache = cache
        self.timeout = timeout

    @abstractmethod
    def read(self, current: str, previous: str, limit: int) -> tuple[int, int]:
        """Return how many places are taken of two windows, up to the limit."""

    @abstractmethod
    def take(self, window: str, taken: int, room: int) -> bool:
        """Take a place of a window, if fewer than ``room`` are taken; ``taken`` is how many were, a moment ago.

        Raises CacheRefuses.
        """


class _Increments(_Counter):
    """For caches that add up by themselves: Redis, Memcached, local memory. One number for each window."""

    def read(self, current: str, previous: str, limit: int) -> tuple[int, int]:
        counts = self.cache.get_many([current, previous])
        return min(counts.get(current, 0), limit), min(counts.get(previous, 0), limit)

    def take(self, window: str, taken: int, room: int) -> bool:
        if self._increment(window) <= room:
            return True
        with suppress(ValueError):  # the cache has dropped the number meanwhile
            self.cache.decr(window)
        return False

    def _increment(self, window: str) -> int:
        for _ in range(ATTEMPTS):
            with suppress(ValueError):  # no number yet, or no more
                count = self.cache.incr(window)
                if not count:  # a client that was told to ignore errors
                    break
                return count
            if self.cache.add(window, 1, self.timeout):
                return 1
        raise CacheRefuses


class _Places(_Counter):
    """For caches whose ``incr`` reads and then writes, as a database's. ``add`` gives the key of a place once."""

    def read(self, current: str, previous: str, limit: int) -> tuple[int, int]:
        windows = [[f"{window}:{number}" for number in range(limit)] for window in (current, previous)]
        found = self.cache.get_many([place for places in windows for place in places])
        taken, before = (sum(place in found for place in places) for places in windows)
        return taken, before

    def take(self, window: str, taken: int, room: int) -> bool:
        return any(self._take(f"{window}:{number}") for number in range(taken, room))

    def _take(self, place: str) -> bool:
        for _ in tries():
            if self.cache.add(place, 1, self.timeout):
                return True
            # False is also the answer of a database that writes nothing, or that was busy with another write.
            if self.cache.get(place) is not None:
                return False
        raise CacheRefuses


def increments(cache: BaseCache) -> bool:
    """Tell whether a cache has an ``incr`` of its own: that of Django's base class is not atomic."""
    return getattr(cache.incr, "__func__", None) is not BaseCache.incr


def normalize_username(name: str) -> str:
    """Return one text for all spellings that the database takes for one name, whether there is such a user or not.

    MariaDB, MySQL and a collation of PostgreSQL that is not deterministic are asked, which takes one statement. It
    reads no user: a count that depended on the user table would tell who has an account. Raises a DatabaseError.
    """
    model = get_user_model()
    field: Any = model._meta.get_field(model.USERNAME_FIELD)
    with suppress(TypeError, ValueError, ValidationError):  # no column holds such a name
        name = str(field.get_prep_value(name))
    connection = connections[router.db_for_write(model)]
    digest = None
    if connection.vendor == "mysql":
        digest = _weigh(connection, field, name)
    if connection.vendor == "postgresql" and getattr(field, "db_collation", None):
        digest = _hash(connection, field.db_collation, name)
    return digest or _fold(name)


def _weigh(connection: BaseDatabaseWrapper, field: Any, name: str) -> str | None:  # pragma: no cover - not SQLite's
    """Return a digest of the weights by which the collation of a MySQL column compares a name.

    The UNION gives the name the column's collation. ``AS CHAR`` fills the weights up with those of spaces, for most
    collations ignore spaces at the end.
    """
    quote = connection.ops.quote_name
    column, table = quote(field.column), quote(field.model._meta.db_table)
    sql = (
        f"SELECT SHA2(WEIGHT_STRING(name AS CHAR({LONGEST_NAME})), 256) FROM "  # noqa: S608 - names of the project's model
        f"(SELECT {column} AS name FROM {table} WHERE FALSE UNION ALL SELECT %s) AS spelling"
    )
    return _answer(connection, sql, [name])


def _hash(connection: BaseDatabaseWrapper, collation: str, name: str) -> str | None:  # pragma: no cover - not SQLite's
    """Return the hash by which PostgreSQL groups names of a collation; None for one that compares bytes."""
    collation = connection.ops.quote_name(collation)
    sql = (
        f"SELECT CASE WHEN NOT collisdeterministic THEN hashtextextended(%s::text COLLATE {collation}, 0) END "  # noqa: S608
        "FROM pg_collation WHERE oid = %s::regcollation"
    )
    return _answer(connection, sql, [name.replace("\x00", ""), collation])


def _answer(
    connection: BaseDatabaseWrapper, sql: str, params: list[str]
) -> str | None:  # pragma: no cover - not SQLite's
    with connection.cursor() as cursor:
        cursor.execute(sql, [param.encode(errors="replace").decode() for param in params])
        ((digest,),) = cursor.fetchall()
    return None if digest is None else str(digest)


def _fold(name: str) -> str:
    """Return a name without what spellings may differ in: case, accents, spaces, invisible characters.

    For databases that compare names exactly: back ends that look a name up by ``iexact`` don't, and citext does not.
    The name is cut, because the time that ``normalize`` takes grows with the square of the accents: for 100,000 of them
    it is half a minute.
    """
    name = name[:LONGEST_NAME]
    name = unicodedata.normalize("NFKD", name).upper().casefold()  # upper(), for casefold() leaves the dotless i
    return "".join(
        character
        for character in unicodedata.normalize("NFKD", name)
        if not unicodedata.category(character).startswith(("M", "C", "Z"))
    )
