"""The steps that the protocol asks the code that runs it to do: send, wait, save."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from json import loads
from typing import Any, TypeAlias, TypeVar

from twotoken.contrib.scripts.session import Session
from twotoken.contrib.scripts.stores import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Post:
    """POST JSON without following redirects. The result is an Answer, or Lost."""

    url: str
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Save:
    """Put a session into the store."""

    session: Session


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, its headers, and its JSON, which is None if it has none."""

    status: int
    body: Any = field(repr=False)
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The ``code`` of twotoken's errors."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def detail(self) -> str:
        """The text for people."""
        return str(self.body.get("detail", "")) if isinstance(self.body, dict) else ""

    def retry_after(self, now: float) -> float:
        """Return the seconds that Retry-After asks to wait, given in seconds or as a date; 0 without it."""
        value = self.headers.get("Retry-After", "")
        if value.isascii() and value.isdigit():
            return float(value[:9])
        try:
            date: datetime = parsedate_to_datetime(value)
        except ValueError:
            return 0
        return max(0, date.timestamp() - now)


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer came: nobody knows whether the server has done what it was asked."""

    error: Exception


Step: TypeAlias = Post | Pause | Save
Flow: TypeAlias = Generator[Step, Any, T]


def answer(status: int, content: bytes, headers: Mapping[str, str]) -> Answer:
    """Return an Answer. ``headers`` finds names in any case."""
    try:
        body = loads(content)
    except (ValueError, RecursionError):
        body = None
    return Answer(status, body, headers)


def run(flow: Flow[T], post: Callable[[Post], Answer | Lost], store: Store) -> T:
    """Do the steps of a flow, and return its result."""
    result: Answer | Lost | None = None
    try:
        while True:
            step = flow.send(result)
            result = None
            if isinstance(step, Post):
                result = post(step)
            elif isinstance(step, Pause):
                time.sleep(step.seconds)
            else:
                store.save(step.session)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()
