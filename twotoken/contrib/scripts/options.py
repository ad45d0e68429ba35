"""The options of a client, such as URL, credentials and patience, and the length of its pauses between two tries."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias
from urllib.parse import urlsplit

StepUp: TypeAlias = Callable[[int | None], Mapping[str, Any] | None]
Credentials: TypeAlias = Mapping[str, Any] | Callable[[], Mapping[str, Any] | None]

PATIENCE = 30.0  # seconds, the default of the option
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0  # seconds between tries
LOCK_PAUSE, LONGEST_LOCK_PAUSE = 0.005, 0.1  # seconds between two attempts to take a lock
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The options of a client, explained in the docstring of BaseTokenAuth. Tests replace ``now`` and ``random``."""

    auth_url: str
    credentials: Credentials | None = None
    refresh: str = ""
    origins: Collection[str] = ()
    patience: float = PATIENCE
    dpop: bool = False
    on_step_up: StepUp | None = None
    now: Callable[[], float] = time.time
    random: Callable[[], float] = random.random


def lock_pauses() -> Iterator[float]:
    """Yield the pauses between two attempts to take a lock, in seconds. The pauses grow, with a random part."""
    growing = (min(LOCK_PAUSE * 1.3 ** min(number, 20), LONGEST_LOCK_PAUSE) for number in count())
    return (pause * random.uniform(0.5, 1) for pause in growing)  # noqa: S311 - no secret


def backoff(attempt: int) -> float:
    """Return the longest pause after a failed try, in seconds. The caller makes the pause shorter at random.

    ``attempt`` is 0 for the first try.
    """
    return min(FIRST_PAUSE * 2.0 ** min(attempt, 10), LONGEST_PAUSE)


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an http or https URL. Raises ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is not an absolute http URL.")
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]


def account_of(credentials: Credentials | None) -> str:
    """Return the user's name: the first value in the credentials except the password. Empty for None or a function."""
    if credentials is None or callable(credentials):
        return ""
    return next((str(value) for name, value in credentials.items() if name != "password"), "")
