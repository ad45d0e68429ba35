"""Fixtures for tests with several database servers. The size of a run and the report are those of ``tests.proof``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.proof.conftest import FULL, pytest_terminal_summary, tried
from tests.proof.packages import demand
from tests.scale.galera import Node, cluster, in_reach

__all__ = ["pytest_terminal_summary", "tried"]


def pytest_sessionstart() -> None:
    """Stop if packages are missing, and name them. The tests start their own servers, even if others run."""
    demand({"postgresql", "pgbouncer", "mariadb-server", "galera-4", "rsync"})


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the short run, leave out the tests that are marked ``full``."""
    if not FULL:
        left_out = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def galera(django_db_blocker: Any) -> Iterator[list[Node]]:
    """Start a Galera cluster of three nodes."""
    with django_db_blocker.unblock(), cluster() as made:
        yield made


@pytest.fixture(scope="module")
def nodes(galera: list[Node], django_db_blocker: Any) -> Iterator[list[Node]]:
    """Connect the ORM to the nodes of the Galera cluster."""
    with django_db_blocker.unblock(), in_reach(galera):
        yield galera
