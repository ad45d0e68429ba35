"""Fixtures of the conformance cases: a clock, and each kind of client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock that stands still until it is shifted."""
    with time_machine.travel(datetime(2031, 5, 4, 12, 30, 15, 250_000, tzinfo=UTC), tick=False) as traveller:
        yield traveller


@pytest.fixture(params=["script", "browser", "jar"])
def caller(request: pytest.FixtureRequest, db: None) -> Any:
    """A client of each kind. It depends on ``db``, so that a file that is run alone gets a database too."""
    return request.getfixturevalue(request.param)
