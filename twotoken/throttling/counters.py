"""Count the requests of a time window in a cache, atomically."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress

from django.core.cache.backends.base import BaseCache

from twotoken.conflicts import ATTEMPTS, tries


class CacheRefuses(Exception):
    """The cache answers, but does not store the count."""


class _Counter(ABC):
    """Counts the requests of a time window in a cache. A window has as many places as requests are allowed in it."""

    def __init__(self, cache: BaseCache, timeout: int) -> None:
        self.cache = cache
        self.timeout = timeout

    @abstractmethod
    def read(self, current: str, previous: str, limit: int) -> tuple[int, int]:
        """Return two numbers: how many places are taken in the current window, and how many in the previous one.

        Neither number exceeds ``limit``.
        """

    @abstractmethod
    def take(self, window: str, taken: int, room: int) -> bool:
        """Take a place in a window if fewer than ``room`` places are taken. Tell whether this call took a place.

        ``taken`` is the number that ``read`` returned for this window. Raises CacheRefuses if the cache stores nothing.
        """


class _Increments(_Counter):
    """A counter for caches with an atomic ``incr``: Redis, Memcached, local memory. A window is a key with a count."""

    def read(self, current: str, previous: str, limit: int) -> tuple[int, int]:
        counts = self.cache.get_many([current, previous])
        return min(counts.get(current, 0), limit), min(counts.get(previous, 0), limit)

    def take(self, window: str, taken: int, room: int) -> bool:
        if self._increment(window) <= room:
            return True
        with suppress(ValueError):  # the cache dropped the number meanwhile
            self.cache.decr(window)
        return False

    def _increment(self, window: str) -> int:
        for _ in range(ATTEMPTS):
            with suppress(ValueError):  # no number yet, or the cache dropped it
                count = self.cache.incr(window)
                if not count:  # a cache client that is configured to ignore errors returned no count
                    break
                return count
            if self.cache.add(window, 1, self.timeout):
                return 1
        raise CacheRefuses


class _Places(_Counter):
    """A counter for caches whose ``incr`` is not atomic: it reads, then writes, as in the database cache.

    Each place of a window is one key.
    """

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
            # add() also returns False if the cache's database is read-only or was busy with another write.
            if self.cache.get(place) is not None:
                return False
        raise CacheRefuses


def counter_of(cache: BaseCache, *, timeout: int) -> _Counter:
    """Return a counter that counts atomically in this cache. The counts are kept for ``timeout`` seconds."""
    return (_Increments if increments(cache) else _Places)(cache, timeout)


def increments(cache: BaseCache) -> bool:
    """Tell whether a cache has an ``incr`` of its own. The ``incr`` of Django's base class is not atomic."""
    return getattr(cache.incr, "__func__", None) is not BaseCache.incr
