"""The measures. Each measure is a function that takes a ``Run`` and returns its part of the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from benchmarks.competitor import Competitor
from benchmarks.remote import Database, Remote

Case = tuple[str, Remote, str]
"""A name for the tables, the worker, and the operation."""


@dataclass(frozen=True)
class Size:
    """How much is measured. ``seconds`` limits one call of ``interleave``; each client sends ``load`` requests."""

    rounds: int
    batch: int
    load: int
    refreshes: int
    rows: int
    families: tuple[int, ...]
    seconds: float
    warm: bool = True


FULL = Size(60, 10, 25, 1000, 200_000, (1_000, 10_000, 100_000, 1_000_000), 60)
QUICK = Size(1, 2, 2, 5, 200, (50,), 10, warm=False)


@dataclass
class Run:
    """One run of the benchmarks: one worker per competitor, on one kind of database."""

    database: Database
    competitors: dict[str, Competitor]
    size: Size
    remotes: dict[str, Remote] = field(default_factory=dict)

    @contextmanager
    def workers(self) -> Iterator[None]:
        """Start a worker for each competitor, and drop the workers' databases at the end."""
        try:
            for name, competitor in self.competitors.items():
                self.remotes[name] = Remote(competitor, self.database, name)
            for remote in self.remotes.values():
                remote.ready()
            yield
        finally:
            for remote in self.remotes.values():
                remote.close()

    def doing(self, operation: str) -> list[Remote]:
        """Return the workers whose competitor has this operation."""
        return [remote for remote in self.remotes.values() if operation in remote.competitor.operations]

    def packages(self, operation: str) -> list[Remote]:
        """Return one worker with this operation per package, but two for simplejwt. Leave out twotoken's variants."""
        return [remote for remote in self.doing(operation) if not remote.name.startswith("twotoken-")]

    def interleave(
        self,
        cases: Sequence[Case],
        *,
        batch: int = 0,
        rounds: int = 0,
        call: str = "batch",
        figures: Sequence[str] = ("wall", "processor"),
    ) -> dict[str, dict[str, list[float]]]:
        """Run a batch of each case in turn, for several rounds, with every other round in reverse order.

        ``call`` is the worker's method that runs a batch, and ``figures`` are the names of the values that it returns.
        """
        found: dict[str, dict[str, list[float]]] = {name: {figure: [] for figure in figures} for name, _, _ in cases}
        batch = batch or self.size.batch
        for _, remote, operation in cases if self.size.warm else ():
            remote.call(call, operation, batch)
        end = time.monotonic() + self.size.seconds
        for number in range(rounds or self.size.rounds):
            for name, remote, operation in reversed(cases) if number % 2 else cases:
                for figure, value in zip(figures, remote.call(call, operation, batch), strict=True):
                    found[name][figure].append(value)
            if time.monotonic() > end:
                break
        return found


def check(run: Run) -> Any:
    """Check each competitor's operations and promises, and return what was checked."""
    return {name: remote.call("check") for name, remote in run.remotes.items()}


def login(run: Run) -> Any:
    """Measure the login with a cheap password hasher, so that the time of the package's own work shows."""
    return run.interleave([(remote.competitor.name, remote, "login") for remote in run.doing("login")])


def login_real(run: Run) -> Any:
    """Measure the login with Django's default password hasher, which takes most of the time."""
    cases = [(remote.competitor.name, remote, "login-real") for remote in run.doing("login")]
    return run.interleave(cases, batch=1, rounds=min(run.size.rounds, 15))


def get(run: Run) -> Any:
    """Measure a GET with each authentication class and without authentication, and PyJWT, HMAC and ES256 alone."""
    ours = run.remotes["twotoken"]
    cases = [
        (f"{remote.competitor.name} {label}", remote, f"get {label}")
        for remote in run.doing("get")
        for label in remote.competitor.authentication
    ]
    cases += [("floor", run.remotes["floor"], "get none"), ("twotoken none", ours, "get none")]
    cases += [("PyJWT decode", ours, "pyjwt"), ("HMAC-SHA-256", ours, "hmac"), ("ES256 verify", ours, "es256")]
    return run.interleave(cases, batch=run.size.batch * 4)


def refresh(run: Run) -> Any:
    """Measure the refresh, with rotation if the competitor rotates."""
    return run.interleave([(remote.competitor.name, remote, "refresh") for remote in run.doing("refresh")])


def refresh_durable(run: Run) -> Any:
    """Measure the refresh when each commit waits for the disk. Only PostgreSQL can set this per connection."""
    if run.database.kind != "postgresql":
        return {}
    cases = [(remote.competitor.name, remote, "refresh-durable") for remote in run.doing("refresh")]
    return run.interleave(cases, batch=max(2, run.size.batch // 2), rounds=min(run.size.rounds, 30))


def logout(run: Run) -> Any:
    """Measure the logout, which revokes the login on the server."""
    return run.interleave([(remote.competitor.name, remote, "logout") for remote in run.doing("logout")])


PREPARED = " prepared"


def prepared(run: Run) -> Any:
    """Measure each package in turn with and without prepared statements. PostgreSQL only."""
    if run.database.kind != "postgresql":
        return {}
    remotes = {
        remote.name: Remote(remote.competitor, run.database, remote.name, fresh=False, prepared=True)
        for remote in run.remotes.values()
        if remote in [*run.packages("refresh"), *run.packages("get")]
    }
    found = {}
    try:
        for operation in ("login", "get", "refresh", "logout"):
            asked = "get access" if operation == "get" else operation
            cases = [(remote.name, remote, asked) for remote in run.packages(operation)]
            cases += [(f"{name}{PREPARED}", remotes[name], asked) for name, _, _ in cases]
            found[operation] = run.interleave(cases)
    finally:
        for remote in remotes.values():
            remote.close()
    return found


def gunicorn(run: Run) -> Any:
    """Measure each package under gunicorn, with requests of several clients at the same time.

    PostgreSQL only: on SQLite the transactions of several packages fail if another connection writes too.
    """
    if run.database.kind != "postgresql":
        return {}
    started: list[Remote] = []
    found = {}
    try:
        for remote in run.remotes.values():
            if remote in [*run.packages("refresh"), *run.packages("get")]:
                remote.call("start_gunicorn", run.database.environment(remote.name, exists=True))
                started.append(remote)
        for remote in started:
            remote.call("await_gunicorn")
        for operation in ("login", "get", "refresh"):
            asked = "get access" if operation == "get" else operation
            cases = [(remote.name, remote, asked) for remote in run.packages(operation)]
            figures = ("wall", "p50", "p95", "p99")
            found[operation] = run.interleave(cases, batch=run.size.load, call="load", figures=figures)
    finally:
        for remote in started:
            remote.call("stop_gunicorn")
    return found


def statements(run: Run) -> Any:
    """Return the SQL statements of each operation, with BEGIN, COMMIT and SAVEPOINT."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, remote in run.remotes.items():
        operations = sorted(remote.competitor.operations - {"get"})
        if "get" in remote.competitor.operations:
            operations += [f"get {label}" for label in remote.competitor.authentication]
        found[name] = {operation: remote.call("statements", operation) for operation in operations}
    return found


def storage(run: Run) -> Any:
    """Measure the rows and bytes that one login and many refreshes add to a new database."""
    found = {}
    for remote in run.doing("refresh"):
        if remote.competitor.storage:
            found[remote.competitor.name] = remote.call("storage", run.size.refreshes)
    return found


def purge(run: Run) -> Any:
    """Measure time and peak memory of each package's purge of expired rows, in a new process."""
    kinds = {
        "twotoken": ("ended_families", "purge_token_families"),
        "simplejwt": ("expired_tokens", "flushexpiredtokens"),
    }
    kinds = {name: kind for name, kind in kinds.items() if name in run.competitors}
    found: dict[str, dict[str, Any]] = {name: {"seconds": [], "start": [], "peak": []} for name in kinds}
    for count in (run.size.rows // 10, run.size.rows, run.size.rows):
        for name, (kind, command) in kinds.items():
            run.remotes[name].call("fill", kind, count)
            fresh = Remote(run.competitors[name], run.database, name, fresh=False)
            seconds, start, peak = fresh.call("command", command)
            fresh.close()
            if count < run.size.rows:
                found[name]["peak of a tenth"] = peak
            else:
                found[name]["seconds"].append(seconds)
                found[name]["start"].append(start)
                found[name]["peak"].append(peak)
    return found


def growth(run: Run) -> Any:
    """Measure the refresh in tables of more and more families, and the admin's list in the largest table."""
    competitor = run.competitors["twotoken"]
    remotes = {str(count): Remote(competitor, run.database, f"families_{count}") for count in run.size.families}
    try:
        for count, remote in remotes.items():
            remote.ready()
            remote.call("fill", "live_families", int(count))
            remote.call("sample", min(int(count), run.size.rounds * run.size.batch + 100))
        before = {count: remote.call("updates") for count, remote in remotes.items()}
        found: dict[str, Any] = run.interleave([(count, remote, "refresh") for count, remote in remotes.items()])
        for count, remote in remotes.items():
            found[count]["updates"] = [
                now - then for now, then in zip(remote.call("updates"), before[count], strict=True)
            ]
        full = remotes[str(max(run.size.families))]
        listed = {query or "first page": full.call("admin_page", f"?{query}") for query in ("", "q=user0")}
    finally:
        for remote in remotes.values():
            remote.close()
    return {"families": found, "admin": listed}


REVOKED = (0, 1_000, 100_000)
WITHOUT = "without"
POLL_SECONDS = 5.0


def revoked(run: Run) -> Any:
    """Measure a GET with the stateless class, with and without REVOCATION_INTERVAL, by the number of revoked families.

    GETs with and without the setting take turns in one process, because the times of two processes that run the same
    code differ by some percent.
    """
    competitor = run.competitors["twotoken"]
    counts = REVOKED if run.size.warm else REVOKED[:2]
    remotes = {str(count): Remote(competitor, run.database, f"revoked_{count}") for count in counts}
    found: dict[str, Any] = {name: {"without": [], "with": []} for name in remotes}
    try:
        for name, remote in remotes.items():
            remote.ready()
            if int(name):
                remote.call("fill", "revoked_families", int(name))
            found[name]["readings"] = remote.call("readings")
            for seconds in (None, POLL_SECONDS):
                remote.call("poll_revocations", seconds)
                remote.call("batch", "get stateless", run.size.batch)
        end = time.monotonic() + 2 * run.size.seconds  # longer than usual: the difference is small
        batch = max(2, run.size.batch // 2)  # small, because what else runs on the machine changes quickly
        kinds: list[tuple[str, float | None]] = [("without", None), ("with", POLL_SECONDS)]
        while not found["0"]["with"] or (run.size.warm and time.monotonic() < end):
            kinds.reverse()
            for (name, remote), (kind, seconds) in product(remotes.items(), kinds):
                remote.call("poll_revocations", seconds)
                found[name][kind].append(remote.call("batch", "get stateless", batch)[1])
        return found
    finally:
        for remote in remotes.values():
            remote.close()


def revoked_index(run: Run) -> Any:
    """Measure login, refresh and logout with and without the index on ``revoked_at``, in a table of many families."""
    competitor = run.competitors["twotoken"]
    remotes = {name: Remote(competitor, run.database, f"index_{name}") for name in ("with", WITHOUT)}
    rounds = 10 * run.size.rounds  # more than usual: the difference is small
    try:
        for remote in remotes.values():
            remote.ready()
            remote.call("fill", "live_families", run.size.rows // 2)
            remote.call("sample", min(run.size.rows // 2, rounds * run.size.batch + 100))
        remotes[WITHOUT].call("drop_revoked_index")
        found: dict[str, Any] = {}
        for operation in ("refresh", "login", "logout"):
            before = {name: remote.call("updates") for name, remote in remotes.items()}
            cases = [(name, remote, operation) for name, remote in remotes.items()]
            found[operation] = run.interleave(cases, rounds=rounds)
            for name, remote in remotes.items():
                found[operation][name]["updates"] = [
                    now - then for now, then in zip(remote.call("updates"), before[name], strict=True)
                ]
        return found
    finally:
        for remote in remotes.values():
            remote.close()


MEASURES: dict[str, Callable[[Run], Any]] = {
    "storage": storage,
    "statements": statements,
    "get": get,
    "login": login,
    "login-real": login_real,
    "refresh": refresh,
    "refresh-durable": refresh_durable,
    "logout": logout,
    "prepared": prepared,
    "gunicorn": gunicorn,
    "purge": purge,
    "growth": growth,
    "revoked": revoked,
    "revoked-index": revoked_index,
}

BRIEF = ("storage", "statements", "get", "login", "refresh", "logout")
"""The measures that run on MariaDB and SQLite if the command line names no measures."""
