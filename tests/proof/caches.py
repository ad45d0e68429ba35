"""Cache servers for the tests. A running Redis is used, or a new one is started. Memcached is always started."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.proof.databases import START_SECONDS, found
from tests.server import free_port

REDIS = "redis://127.0.0.1:6379"


@contextmanager
def cache(kind: str) -> Iterator[dict[str, Any]]:
    """Yield Django's settings for a cache that all processes share."""
    if kind == "redis":
        with redis() as url:
            yield {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}
    elif kind == "memcached":
        with memcached() as address:
            yield {"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache", "LOCATION": address}
    else:
        yield {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "throttle_counts",
            "OPTIONS": {"MAX_ENTRIES": 10_000},
        }


@contextmanager
def redis() -> Iterator[str]:
    """Yield the URL of a Redis server: the one in the environment, a running one at the usual port, or a new one."""
    url = os.environ.get("REDIS_URL")
    if url is None and listens(6379):
        url = REDIS
    if url is not None:
        yield url
        return
    port = free_port()
    with running("redis-server", "redis-server", port, "--port", str(port), "--bind", "127.0.0.1", "--save", ""):
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def memcached() -> Iterator[str]:
    """Start a Memcached server, yield its address, and stop it at the end."""
    port = free_port()
    account = ["-u", "nobody"] if os.geteuid() == 0 else []
    with running("memcached", "memcached", port, "-l", "127.0.0.1", "-p", str(port), "-U", "0", *account):
        yield f"127.0.0.1:{port}"


@contextmanager
def running(program: str, package: str, port: int, *arguments: str) -> Iterator[None]:
    """Run a server program until the block ends. Raises RuntimeError if the program is not installed."""
    path = found(program)
    if path is None:
        raise RuntimeError(f"{program} is not installed. Install Debian's {package}.")
    process = subprocess.Popen([path, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not listens(port):
            assert process.poll() is None, f"{program} did not start"
            assert time.monotonic() < deadline, f"{program} did not answer"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def listens(port: int) -> bool:
    """Tell whether a server listens at a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
