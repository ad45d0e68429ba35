"""The doctor's probes of what a project's processes share: the cache and the database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import uuid4

from django.core.cache import DEFAULT_CACHE_ALIAS, cache, caches
from django.db import connections
from django.utils import timezone

from twotoken import families
from twotoken.conf import conf
from twotoken.management.doctor.findings import Fault, Finding, ok, skipped, wrong

CLOCKS = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
    "mysql": "SELECT UNIX_TIMESTAMP(SYSDATE(6))",
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
}
LARGEST_DIFFERENCE = 5  # seconds between two clocks. Half of BROWSER_GRACE
OVERDUE = timedelta(days=7)  # it is a fault if no purge has run for longer
RIVALS = 8  # so many threads try to add the same key to the cache at the same time


def probe_cache() -> Iterator[Finding]:
    """Check whether the cache keeps values, and whether only one of several threads can add the same key."""
    key = f"twotoken_doctor_{uuid4().hex}"
    name = type(caches[DEFAULT_CACHE_ALIAS]).__name__
    try:
        kept = cache.add(key, 1, 60) and cache.get(key) == 1
        winners = _winners(f"{key}_rivals") if kept else 0
    finally:
        cache.delete_many([key, f"{key}_rivals"])
    if not kept:
        yield wrong(
            "cache",
            Fault(
                f"The cache, a {name}, does not keep values.",
                "Nothing limits the guesses of a password, and every DPoP proof is refused.",
                "Set CACHES['default'] to Redis, Memcached or a database, and check that it runs and accepts writes.",
            ),
        )
    elif winners != 1:
        yield wrong(
            "cache",
            Fault(
                f"In the cache, a {name}, {winners} of {RIVALS} threads could add the same key at the same time.",
                "Login attempts that run at once count as one, and a DPoP proof can be used twice.",
                "Set CACHES['default'] to Redis, Memcached or a database.",
            ),
        )
    else:
        yield ok("cache", f"The cache, a {name}, keeps values, and only one thread can add a key.")


def probe_clock(alias: str) -> Iterator[Finding]:
    """Compare the clocks of the database and of this machine."""
    connection = connections[alias]
    if connection.vendor not in CLOCKS:
        yield skipped("clock", f"The doctor can't read the clock of {connection.display_name}.")
        return
    before = time.time()
    with connection.cursor() as cursor:
        cursor.execute(CLOCKS[connection.vendor])
        theirs = float(cursor.fetchone()[0])
    yield compared_clocks("clock", "the database", theirs - (before + time.time()) / 2)


def compared_clocks(probe: str, other: str, ahead: float) -> Finding:
    """Return a finding about a clock that is ``ahead`` seconds ahead of this machine's clock, or behind if negative."""
    if abs(ahead) <= LARGEST_DIFFERENCE:
        return ok(probe, f"The clocks of {other} and of this machine agree.")
    return wrong(
        probe,
        Fault(
            f"The clock of {other} is {abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} this machine's.",
            "One of them is wrong. Servers whose clocks differ refuse each other's fresh tokens and DPoP proofs.",
            "Let every machine set its clock by NTP. TWOTOKEN['LEEWAY'] helps only while you do that.",
        ),
    )


def probe_families() -> Iterator[Finding]:
    """Count the token families, and check whether old families are purged."""
    count = families.count()
    counted = f"{count:,} token {'family' if count == 1 else 'families'}"
    # The database reads the index of created_at, oldest family first. If purges run, few families come before the first
    # that a purge would delete.
    oldest = families.purgeable(OVERDUE).order_by("created_at").values_list("created_at", flat=True).first()
    if oldest is None:
        yield ok("families", f"{counted}, and none is overdue for a purge.")
        return
    age = (timezone.now() - oldest).days
    yield wrong(
        "families",
        Fault(
            f"{counted}. The oldest that a purge would delete was started {age:,} days ago.",
            f"purge_token_families has not run for more than {OVERDUE.days} days, and the table grows with each login.",
            "Run manage.py purge_token_families daily, by cron, systemd or Celery. TWOTOKEN['RETENTION'] is "
            f"{conf.retention.days} days.",
        ),
    )


def _winners(key: str) -> int:
    """Let several threads add the same key to the cache at the same time, and return how many succeed."""
    start = Barrier(RIVALS)

    def ask() -> bool:
        start.wait()
        try:
            return cache.add(key, 1, 60)
        finally:
            connections.close_all()  # this thread has opened some if the cache is in a database

    with ThreadPoolExecutor(RIVALS) as pool:
        asked = [pool.submit(ask) for _ in range(RIVALS)]
        return sum(each.result() for each in asked)
