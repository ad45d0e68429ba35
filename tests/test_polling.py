"""``Polled``: a cached value, which a request fetches again when it is too old."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from twotoken import polling
from twotoken.exceptions import Unavailable
from twotoken.polling import Polled

THREADS = 50


class Source:
    """A source that counts its fetches, and that can block or fail. The test moves its clock."""

    def __init__(self) -> None:
        self.calls = 0
        self.now = 1000.0
        self.error: Exception | None = None
        self.asked, self.go = threading.Event(), threading.Event()
        self.go.set()

    def fetch(self) -> int:
        """Return the number of this call, or raise ``error`` if it is set."""
        self.calls += 1
        self.asked.set()
        assert self.go.wait(30)
        if self.error is not None:
            raise self.error
        return self.calls

    def polled(self, **options: Any) -> Polled[int]:
        """Return a Polled of this source. By default its interval is 5 seconds and its maximum age 10."""
        return Polled(self.fetch, **{"interval": 5, "max_age": 10, "clock": lambda: self.now, **options})

    def hang(self) -> None:
        """Block every fetch until ``go`` is set."""
        self.asked.clear()
        self.go.clear()


@pytest.fixture
def source() -> Source:
    """A source that answers at once."""
    return Source()


def in_threads(call: Callable[[], Any], count: int = THREADS, *, begun: Callable[[], None] | None = None) -> list[Any]:
    """Call a function in many threads; return each result or error. ``begun`` is called when all threads run."""

    def caught() -> Any:
        start.wait()
        try:
            return call()
        except Unavailable as exc:
            return type(exc)

    start = threading.Barrier(count, begun)
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(caught) for _ in range(count)]]


def test_a_value_is_kept_for_the_interval(source: Source) -> None:
    """The first request fetches the value. Later requests fetch it at most once per interval."""
    polled = source.polled()
    assert source.calls == 0
    assert [polled.get(), polled.get()] == [1, 1]
    source.now += 4.9
    assert polled.get() == 1
    source.now += 0.1
    assert [polled.get(), polled.get()] == [2, 2]
    assert polled.get(interval=0) == 3


def test_the_age_counts_from_the_start_of_the_fetch(source: Source) -> None:
    """The age of a value counts from the start of its fetch: changes during the fetch may be missing in it."""
    polled = source.polled()
    source.hang()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(polled.get)
        assert source.asked.wait(30)
        source.now += 5
        source.go.set()
        assert first.result() == 1
    assert polled.get() == 2


def test_one_request_fetches_and_the_others_use_the_old_value(source: Source) -> None:
    """When the value is old, one request fetches. The others use the old value until ``max_age``, and then wait."""
    polled = source.polled()
    polled.get()
    source.now += 5
    source.hang()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(polled.get)
        assert source.asked.wait(30)
        assert in_threads(polled.get) == [1] * THREADS
        source.now += 5
        assert in_threads(polled.get, begun=threading.Timer(0.2, source.go.set).start) == [2] * THREADS
        assert first.result() == 2
    assert source.calls == 2


def test_the_first_value_is_fetched_once_for_all(source: Source) -> None:
    """All of the first requests wait for one fetch."""
    assert in_threads(source.polled().get) == [1] * THREADS
    assert source.calls == 1


def test_nobody_waits_for_ever(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the source hangs, one request fetches. The requests that wait for it fail after a time limit."""
    monkeypatch.setattr(polling, "PATIENCE", 0.05)
    polled = source.polled()
    source.hang()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(polled.get)
        assert source.asked.wait(30)
        assert in_threads(polled.get) == [Unavailable] * THREADS
        source.go.set()
        assert first.result() == 1


def test_a_source_slower_than_the_interval(source: Source) -> None:
    """If a fetch takes longer than the interval, the requests that waited for it still use its value."""
    polled = source.polled(interval=1)
    source.hang()
    with ThreadPoolExecutor(THREADS) as pool:
        all_of_them = [pool.submit(polled.get) for _ in range(THREADS)]
        assert source.asked.wait(30)
        time.sleep(0.2)  # until the others wait
        source.now += 2
        source.go.set()
        assert {each.result() for each in all_of_them} == {1}


def test_a_failing_source(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    """If a fetch fails, it is logged and repeated a second later. The old value is used until ``max_age``."""
    polled = source.polled()
    polled.get()
    source.now, source.error = source.now + 5, RuntimeError("down")
    with caplog.at_level(logging.ERROR, logger="twotoken"):
        assert in_threads(polled.get) == [1] * THREADS
    assert source.calls == 2
    (record,) = caplog.records
    assert (record.getMessage(), str(record.exc_info and record.exc_info[1])) == ("Source.fetch failed.", "down")
    source.now += 0.9
    assert (polled.get(), source.calls) == (1, 2)
    source.now += 0.1
    assert (polled.get(), source.calls) == (1, 3)
    source.now += 4
    assert in_threads(polled.get) == [Unavailable] * THREADS
    assert source.calls == 4
    source.now, source.error = source.now + 1, None
    assert polled.get() == 5


def test_without_a_first_value(source: Source) -> None:
    """If the first fetch fails, requests raise Unavailable, and the next fetch is a second later."""
    source.error = RuntimeError("down")
    polled = source.polled()
    assert in_threads(polled.get) == [Unavailable] * THREADS
    assert source.calls == 1
    source.now, source.error = source.now + 1, None
    assert polled.get() == 2


def test_in_background(source: Source) -> None:
    """With ``in_background`` and without ``max_age``, requests use the old value while a fetch hangs."""
    polled = source.polled(max_age=None, in_background=True)
    assert polled.get() == 1
    source.now += 1000
    source.hang()
    assert in_threads(polled.get) == [1] * THREADS
    assert source.asked.wait(30)
    source.go.set()
    assert polled.get(wait=True) == 2
    assert source.calls == 2


def test_in_background_without_threads(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can be started, the old value stays, and a later request fetches."""

    def refuse(thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    polled = source.polled(max_age=None, in_background=True)
    polled.get()
    source.now += 5
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert [polled.get(), polled.get()] == [1, 1]
    assert source.calls == 1
    assert polled.get(wait=True) == 2


def test_a_longer_pause(source: Source) -> None:
    """A failed fetch is repeated after ``pause`` if there is an old value, and after a second if there is none."""
    source.error = RuntimeError("down")
    polled = source.polled(max_age=None, interval=100, pause=20)
    with pytest.raises(Unavailable):
        polled.get()
    source.now += 1
    source.error = None
    assert polled.get() == 2
    source.now += 100
    source.error = RuntimeError("down")
    assert polled.get() == 2
    source.now += 19
    assert (polled.get(), source.calls) == (2, 3)
    source.now += 1
    assert (polled.get(), source.calls) == (2, 4)


def test_to_wait_for_a_newer_value(source: Source) -> None:
    """Requests with ``wait`` wait for a newer value, and share one fetch."""
    polled = source.polled(max_age=None, in_background=True)
    polled.get()
    source.now += 2
    assert polled.get() == 1
    assert in_threads(lambda: polled.get(interval=2, wait=True)) == [2] * THREADS
    assert source.calls == 2


def test_after_a_fork(source: Source) -> None:
    """After a fork during a fetch, the child fetches the value again, and does not wait for the parent's thread."""
    polled = source.polled()
    source.hang()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(polled.get)
        assert source.asked.wait(30)
        polling.renew_locks()
        threading.Timer(0.1, source.go.set).start()
        assert polled.get() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_during_a_fetch(source: Source) -> None:
    """A child that was forked during its parent's fetch has its own lock, and gets a value."""
    polled = source.polled()
    source.hang()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(polled.get)
        assert source.asked.wait(30)
        source.go.set()
        child = os.fork()
        if child == 0:  # pragma: no cover - in another process
            os._exit(polled.get() + 40)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert first.result() == 1
    assert status in {41, 42}
