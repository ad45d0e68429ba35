"""A value that each process keeps and fetches again when it is old: revoked families, or the keys of another service.

A request that finds the value older than the interval fetches the value, so a process without requests does no work.
This module imports no models and uses no HTTP.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar
from weakref import WeakSet

from twotoken.exceptions import Unavailable

T = TypeVar("T")

PATIENCE: Final = 5.0  # seconds for which a request waits for the fetch of another one
LONGEST_PAUSE: Final = 1.0  # seconds after a failed fetch in which nobody fetches again, if there is no good value

logger = logging.getLogger("twotoken")


class _Held(NamedTuple, Generic[T]):
    """A fetched value, and the time at which its fetch started. Later changes at the source may be missing."""

    value: T
    fetched_at: float


class Polled(Generic[T]):
    """A value that ``fetch`` returns, kept in this process. Safe for threads, and after a fork.

    Times are in seconds of ``clock``. The first request that finds the value older than ``interval`` calls ``fetch``.
    Meanwhile other requests get the old value if it is good, that is, not older than ``max_age``; otherwise they wait.
    Without ``max_age`` an old value stays good for ever. With ``in_background`` a thread calls ``fetch``, so that the
    first request also gets the old value at once if it is good.

    If ``fetch`` raises, the error is logged, and the old value stays in use until ``max_age``. After an error there is
    a pause in which no request calls ``fetch``, so that a source that fails is not asked at each request. ``pause`` is
    the longest duration of this pause while the old value is good.
    """

    def __init__(
        self,
        fetch: Callable[[], T],
        *,
        interval: float,
        max_age: float | None = None,
        in_background: bool = False,
        pause: float = LONGEST_PAUSE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._interval = interval
        self._max_age = max_age
        self._in_background = in_background
        self._pause = pause
        self._clock = clock
        self._held: _Held[T] | None = None
        self._failed_at: float | None = None
        self._lock = threading.Lock()
        _ALL.add(self)

    def get(self, interval: float | None = None, *, wait: bool = False) -> T:
        """Return the value. If it is older than ``interval`` (by default this object's), it has to be fetched again.

        With ``wait``, the call waits for this fetch, its own or another request's, even if the old value is still good.
        In the pause after an error, the call does not wait, but returns the old value. Raises Unavailable if there is
        no good value and none can be fetched now.
        """
        held = self._held
        interval = self._interval if interval is None else interval
        if held is not None and self._clock() - held.fetched_at < interval:
            return held.value
        return self._renewed(held, wait=wait)

    def renew_lock(self) -> None:
        """Make a new lock in a forked process, because another thread of the parent may hold the old lock."""
        self._lock = threading.Lock()

    def _renewed(self, seen: _Held[T] | None, *, wait: bool) -> T:
        usable, lock = self._usable(), self._lock
        must_wait = wait or usable is None
        if usable is not None and self._is_pausing():
            return usable.value
        if not (lock.acquire(timeout=PATIENCE) if must_wait else lock.acquire(blocking=False)):
            return self._value_or_raise()
        if usable is not None and self._in_background and not must_wait:
            self._start(seen, lock)
            return usable.value
        self._fetch_and_release(seen, lock)
        return self._value_or_raise()

    def _start(self, seen: _Held[T] | None, lock: threading.Lock) -> None:
        try:
            threading.Thread(target=self._fetch_and_release, args=(seen, lock), daemon=True).start()
        except RuntimeError:  # the system has no thread left. The next request tries again
            lock.release()
            logger.exception("A thread could not be started.")

    def _fetch_and_release(self, seen: _Held[T] | None, lock: threading.Lock) -> None:
        """Fetch the value, and release the lock in any case.

        Fetch nothing during the pause after a failure, or if another request has fetched the value since ``seen``.
        """
        try:
            if self._is_pausing() or self._held is not seen:
                return
            started = self._clock()
            self._held = _Held(self._fetch(), started)
            self._failed_at = None
        except Exception:  # whatever went wrong, an old value must stay in use
            self._failed_at = self._clock()
            logger.exception("%s failed.", getattr(self._fetch, "__qualname__", self._fetch))
        finally:
            lock.release()

    def _value_or_raise(self) -> T:
        usable = self._usable()
        if usable is None:
            raise Unavailable
        return usable.value

    def _usable(self) -> _Held[T] | None:
        held = self._held
        if held is None or self._max_age is None or self._clock() - held.fetched_at < self._max_age:
            return held
        return None

    def _is_pausing(self) -> bool:
        failed_at = self._failed_at
        if failed_at is None:
            return False
        pause = LONGEST_PAUSE if self._usable() is None else self._pause
        return self._clock() - failed_at < min(pause, self._interval / 4)


_ALL: Final[WeakSet[Polled[Any]]] = WeakSet()


def renew_locks() -> None:
    """Renew the lock of each Polled object of this process, after a fork."""
    for polled in list(_ALL):
        polled.renew_lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=renew_locks)
