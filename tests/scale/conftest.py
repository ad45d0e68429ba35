"""Beyond one machine: the size of a run and the report are those of the proof."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.proof.conftest import FULL, pytest_terminal_summary, tried
from tests.proof.packages import demand
from tests.scale.galera import Node, cluster, in_reach

__all__ = ["pytest_terminal_summary", "tried"]


def pytest_sessionstart() -> None:
    """Name the servers that are missing. The tests start servers of their own, even if others run."""
    demand({"postgresql", "pgbouncer", "mariadb-server", "galera-4", "rsync"})


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests marked ``full`` in the short form."""
    if not FULL:
        left_out = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def galera(django_db_blocker: Any) -> Iterator[list[Node]]:
    """A cluster of three nodes."""
    with django_db_blocker.unblock(), cluster() as made:
        yield made


@pytest.fixture(scope="module")
def nodes(galera: list[Node], django_db_blocker: Any) -> Iterator[list[Node]]:
    """The cluster, with the ORM connected to it."""
    with django_db_blocker.unblock(), in_reach(galera):
        yield galera
