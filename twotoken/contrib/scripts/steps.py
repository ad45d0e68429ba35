"""The steps of a flow. The protocol yields them: send, wait, save. The code that runs the flow does them."""

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
    """A step: POST JSON without following redirects. Its result is an Answer, or Lost."""

    url: str
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pause:
    """A step: wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Save:
    """A step: put a session into the store."""

    session: Session


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, its headers, and its JSON as ``body``, which is None if the body is not JSON."""

    status: int
    body: Any = field(repr=False)
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The ``code`` of an error, or an empty string."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def detail(self) -> str:
        """The ``detail`` of an error, a text for people, or an empty string."""
        return str(self.body.get("detail", "")) if isinstance(self.body, dict) else ""

    def retry_after(self, now: float) -> float:
        """Return how many seconds to wait. Retry-After names seconds or a date. 0 without this header."""
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
    """No answer came. Nobody knows whether the server has handled the request."""

    error: Exception


Step: TypeAlias = Post | Pause | Save
Flow: TypeAlias = Generator[Step, Any, T]


def answer(status: int, content: bytes, headers: Mapping[str, str]) -> Answer:
    """Return an Answer. ``headers`` is a mapping that ignores upper and lower case in names."""
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
