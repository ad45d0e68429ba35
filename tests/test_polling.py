"""A value that is fetched by the request that finds it old."""

from __future__ import annotations

import asyncio
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
    """A source that counts, that can hang until it is let go, and that can fail. And the clock of who asks it."""

    def __init__(self) -> None:
        self.calls = 0
        self.now = 1000.0
        self.error: Exception | None = None
        self.asked, self.go = threading.Event(), threading.Event()
        self.go.set()

    def fetch(self) -> int:
        """Return how often it was asked."""
        self.calls += 1
        self.asked.set()
        assert self.go.wait(30)
        if self.error is not None:
            raise self.error
        return self.calls

    def polled(self, **options: Any) -> Polled[int]:
        """Return a value of this source with an interval of 5 seconds and, unless said otherwise, a bound of 10."""
        return Polled(self.fetch, **{"interval": 5, "max_age": 10, "clock": lambda: self.now, **options})

    def hang(self) -> None:
        """Answer nobody until ``go`` is set."""
        self.asked.clear()
        self.go.clear()


@pytest.fixture
def source() -> Source:
    """A source that answers."""
    return Source()


def in_threads(call: Callable[[], Any], count: int = THREADS) -> list[Any]:
    """Return what a call gives to each of many threads, or the error that it raises there."""

    def caught() -> Any:
        start.wait()
        try:
            return call()
        except Unavailable as exc:
            return type(exc)

    start = threading.Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(caught) for _ in range(count)]]


def test_a_value_is_kept_for_the_interval(source: Source) -> None:
    """Nothing is fetched before the first request, nor between two intervals."""
    polled = source.polled()
    assert source.calls == 0
    assert [polled.get(), polled.get()] == [1, 1]
    source.now += 4.9
    assert polled.get() == 1
    source.now += 0.1
    assert [polled.get(), polled.get()] == [2, 2]
    assert polled.get(interval=0) == 3
    polled.forget()
    assert polled.get() == 4


def test_the_age_counts_from_the_start_of_the_fetch(source: Source) -> None:
    """What changes at the source during a slow fetch may not be in it."""
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
    """Until it is too old: then they wait for the new one."""
    polled = source.polled()
    polled.get()
    source.now += 5
    source.hang()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(polled.get)
        assert source.asked.wait(30)
        assert in_threads(polled.get) == [1] * THREADS
        source.now += 5
        threading.Timer(0.2, source.go.set).start()
        assert in_threads(polled.get) == [2] * THREADS
        assert first.result() == 2
    assert source.calls == 2


def test_the_first_value_is_fetched_once_for_all(source: Source) -> None:
    """They wait for it."""
    assert in_threads(source.polled().get) == [1] * THREADS
    assert source.calls == 1


def test_nobody_waits_for_ever(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that hangs holds up one request. The others are refused."""
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
    """Those who waited take what came, although it is due again: otherwise each would fetch it once more."""
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
    """The old value stays until it is too old, the error is logged, and few requests ask again."""
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
    """The error has a name, and the next request does not ask again at once."""
    source.error = RuntimeError("down")
    polled = source.polled()
    assert in_threads(polled.get) == [Unavailable] * THREADS
    assert source.calls == 1
    source.now, source.error = source.now + 1, None
    assert polled.get() == 2


def test_in_background(source: Source) -> None:
    """Without a bound, a source that hangs holds up nobody, and a value that fails to come stays the old one."""
    polled = source.polled(max_age=None, in_background=True)
    assert polled.get() == 1
    source.now += 1000
    source.hang()
    assert in_threads(polled.get) == [1] * THREADS
    assert source.asked.wait(30)
    source.go.set()
    assert polled.get(wait=True) == 2
    assert source.calls == 2


def test_a_longer_pause(source: Source) -> None:
    """It holds while the old value is good. Without one the next second may bring the first."""
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
    """Who needs a newer one than the interval gives waits for the one fetch, at most once in a while."""
    polled = source.polled(max_age=None, in_background=True)
    polled.get()
    source.now += 2
    assert polled.get() == 1
    assert in_threads(lambda: polled.get(interval=2, wait=True)) == [2] * THREADS
    assert source.calls == 2


def test_in_an_event_loop(source: Source) -> None:
    """The fetch runs in a thread without one, where Django allows queries. Its error arrives too."""

    def fetch() -> str:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return threading.current_thread().name

    async def ask(polled: Polled[Any]) -> Any:
        return polled.get()

    assert asyncio.run(ask(Polled(fetch, interval=5))) != threading.current_thread().name
    source.error = RuntimeError("down")
    with pytest.raises(Unavailable):
        asyncio.run(ask(source.polled()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_during_a_fetch(source: Source) -> None:
    """A worker that is forked while its parent fetches has a lock of its own."""
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
