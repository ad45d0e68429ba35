"""The Debian packages of the servers that the tests start. They must be installed before the first test."""

from __future__ import annotations

import os

import pytest

from tests.proof import caches
from tests.proof.databases import MARIADB, POSTGRESQL, found, listens

# Debian's package, and a file or a program that it brings.
BRINGS = {
    "postgresql": "initdb",
    "mariadb-server": "mariadbd",
    "memcached": "memcached",
    "redis-server": "redis-server",
    "pgbouncer": "pgbouncer",
    "galera-4": "/usr/lib/galera/libgalera_smm.so",
    "rsync": "rsync",
}


def running() -> set[str]:
    """Return the packages of the servers that run already, which the tests don't start again."""
    kinds = {kind.package for kind in (POSTGRESQL, MARIADB) if kind.variable in os.environ or listens(kind.default)}
    return kinds | ({"redis-server"} if "REDIS_URL" in os.environ or caches.listens(6379) else set())


def demand(packages: set[str]) -> None:
    """Stop if packages are missing, with one message that names all of them."""
    missing = [name for name in sorted(packages) if not (os.path.exists(BRINGS[name]) or found(BRINGS[name]))]
    if missing:
        raise pytest.UsageError(f"Some tests need servers. Run first: apt-get install {' '.join(missing)}")
