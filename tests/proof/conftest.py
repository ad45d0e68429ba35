"""What all tests of this folder share: the size of a run, and a report of how much was tried."""

from __future__ import annotations

import os
from collections import Counter
from typing import Protocol

import pytest

from tests.proof.packages import demand, running

FULL = os.environ.get("PROOF", "short") == "full"

_tried: Counter[str] = Counter()


class Tried(Protocol):
    """A function that counts what a test has tried, for the report."""

    def __call__(self, what: str, count: int = 1) -> None: ...


def pytest_sessionstart() -> None:
    """Stop if the package of a needed server is missing, and name all missing packages."""
    demand({"postgresql", "mariadb-server", "redis-server", "memcached"} - running())


@pytest.fixture
def tried() -> Tried:
    """Return a function to count with: ``tried("contested refreshes", 10_000)``. Counts with the same text add up."""

    def count(what: str, count: int = 1) -> None:
        _tried[what] += count

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how often each thing was tried."""
    terminalreporter.section(f"tried, {'in full' if FULL else 'in short'}")
    for what, count in sorted(_tried.items()):
        terminalreporter.write_line(f"{count:>12,}  {what}")
