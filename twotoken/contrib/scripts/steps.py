"""The steps that TokenProtocol yields: send, wait, save. ``run``, or an HTTP client's TokenAuth, carries them out."""

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
    """A step: POST JSON without following redirects. The result of the step is an Answer, or Lost."""

    url: str
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pause:
    """A step: wait for ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Save:
    """A step: put a session into the store."""

    session: Session


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the server. ``body`` is the parsed JSON, or None if the answer has no JSON."""

    status: int
    body: Any = field(repr=False)
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The ``code`` of an error. Empty if the answer has no ``code``."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def detail(self) -> str:
        """The ``detail`` of an error, which is a text for people. Empty if the answer has no ``detail``."""
        return str(self.body.get("detail", "")) if isinstance(self.body, dict) else ""

    def retry_after(self, now: float) -> float:
        """Return how many seconds to wait, from the seconds or the date in Retry-After. 0 without this header."""
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
    """Return an Answer with the content parsed as JSON. The names in ``headers`` must be case-insensitive."""
    try:
        body = loads(content)
    except (ValueError, RecursionError):
        body = None
    return Answer(status, body, headers)


def run(flow: Flow[T], post: Callable[[Post], Answer | Lost], store: Store) -> T:
    """Do the steps of a flow, and return the flow's result. ``post`` sends a Post."""
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
