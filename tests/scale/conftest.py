"""Beyond one machine: the size of a run, and the report of how many of each were tried, are those of the proof."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.proof.conftest import pytest_terminal_summary, tried
from tests.scale.galera import Node, cluster, in_reach

__all__ = ["pytest_terminal_summary", "tried"]


@pytest.fixture(scope="session")
def galera(django_db_blocker: Any) -> Iterator[list[Node]]:
    """A cluster of three."""
    with django_db_blocker.unblock(), cluster() as made:
        yield made


@pytest.fixture(scope="module")
def nodes(galera: list[Node], django_db_blocker: Any) -> Iterator[list[Node]]:
    """The same, in reach."""
    with django_db_blocker.unblock(), in_reach(galera):
        yield galera
