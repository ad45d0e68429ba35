"""Measures what ten million token families cost, compared with a thousand, and what a million rotations leave.

``python -m tests.scale.growth`` starts its own PostgreSQL server, and measures with the workers of the benchmarks. Only
the ratios mean something on other machines, not the times.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
import psycopg

from benchmarks.competitor import all_competitors
from benchmarks.figures import ratio, spread
from benchmarks.measures import QUICK, Run
from benchmarks.remote import Database, Remote
from benchmarks.report import table
from tests.scale.postgres import Postgres, account, children_of, primary, program

BASE = 1_000
CHUNK = 1_000_000  # families that one statement inserts
TABLE = "twotoken_refreshtoken"
OPERATIONS = ("login", "refresh", "get access", "get revocable", "logout")
# Pages of the admin, each under what ``docs/how-to/scale.md`` calls it.
PAGES = {
    "the list": "",
    "the filter *active*": "?state=active",
    "the filter *revoked*": "?state=revoked",
    "the filter *expired*": "?state=expired",
    "the filter *bound*": "?bound=yes",
    "the filter by reason, with 99% of the revoked families": "?reason=logout",
    "the filter by reason, with one family in 25,000": "?reason=reuse",
    "the filter by reason, with none": "?reason=password_changed",
    "the filter by year": f"?created_at__year={datetime.now(UTC).year}",
    "search by address": "?q=10.0.0.77",
    "search by address, without matches": "?q=192.0.2.1",
    "search by the beginning of a name, with many matches": "?q=person1",
    "search by the beginning of a name, with few": "?q=person1234",
    "search by part of a name": "?q=*erson1234*",
    "the page of a family": "{family}/change/",
    "the overview": "overview/",
}
# Changes that make families due for the purge, or make the purge look at them. All but one spread the ends of the
# families over a day, as before each run of a daily purge.
THEN = "now() - interval '31 days'"
A_DAY = f"{THEN} - random() * interval '1 day'"
DUE = {
    "nothing to delete": "",
    "revoked families": f"SET revoked_at = {A_DAY} WHERE revoked_at IS NOT NULL",
    "families that were revoked at one time": f"SET revoked_at = {THEN} WHERE revoked_at IS NOT NULL",
    "expired families": f"SET expires_at = {THEN}, earliest_end = {A_DAY} WHERE revoked_at IS NULL",
    "families that may have expired, and have not": f"SET earliest_end = {A_DAY}, expires_at = NULL,"
    " refreshed_at = now() WHERE revoked_at IS NULL",
}
CLIENTS = 8  # of pgbench
Figures = dict[str, Any]
COMPETITOR = all_competitors()["twotoken"]


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    families: int
    rounds: int
    batch: int
    ended: int
    rotations: int
    rotated: int
    """How many families share so many rotations."""


FULL = Size(families=10_000_000, rounds=60, batch=10, ended=100_000, rotations=1_000_000, rotated=100_000)
SHORT = Size(families=50_000, rounds=3, batch=4, ended=2_000, rotations=40_000, rotated=4_000)


@dataclass(frozen=True)
class Population:
    """A database with this many families, and the worker that uses it."""

    server: Postgres
    remote: Remote
    count: int

    @property
    def name(self) -> str:
        """Return the name of the database."""
        return f"growth_{self.count}"

    def ask(self, expression: str) -> Any:
        """Return the value of an SQL expression."""
        ((value,),) = self.server.execute(f"SELECT {expression}", self.name)
        return value

    def load(self, kind: str = "people") -> None:
        """Insert families and, with the kind "people", their users. Create the indexes afterwards."""
        statements = self.remote.call("drop_indexes")
        for first in range(0, self.count, CHUNK):
            self.remote.call("fill", kind, first, min(CHUNK, self.count - first))
        for statement in [*statements, f"VACUUM ANALYZE {TABLE}", "VACUUM ANALYZE auth_user"]:
            self.remote.call("run", statement)

    def sizes(self) -> Figures:
        """Return the bytes of the table and of each of its indexes."""
        indexes = (
            f"SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes WHERE relname = '{TABLE}'"
        )
        return {"table": self.ask(f"pg_table_size('{TABLE}')"), **dict(self.server.execute(indexes, self.name))}

    def updates(self) -> Figures:
        """Return the number of updated rows, the number of heap-only updates, and how often autovacuum ran."""
        columns = ("n_tup_upd", "n_tup_hot_upd", "autovacuum_count")
        ((*values,),) = self.server.execute(
            f"SELECT {', '.join(columns)} FROM pg_stat_user_tables WHERE relname = '{TABLE}'", self.name
        )
        return dict(zip(columns, values, strict=True))

    def blocks(self, operation: str, count: int) -> float:
        """Return how many blocks of tables, indexes and catalogues an operation reads in the database.

        The result is the lowest of five counts, because a count also has the blocks that autovacuum reads meanwhile.
        """
        found = []
        for _ in range(5):
            first = self._blocks()
            before = self._blocks()  # to ask costs as many as lie between the two
            self.remote.call("batch", operation, count)
            found.append((self._blocks() - before - (before - first)) / count)
        return min(found)

    def _blocks(self) -> int:
        self.remote.call("updates")  # has the worker's connection tell its counts
        column = "blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()"
        return int(self.ask(column))

    def cost(self, operation: str, count: int) -> Figures:
        """Return an operation's processor seconds in application and database, and its bytes of write-ahead log."""
        self.remote.call("batch", operation, count)
        before, position = processor_seconds(self.server), self.ask("pg_current_wal_lsn()")
        _, application = self.remote.call("batch", operation, count)
        database = (processor_seconds(self.server) - before) / count
        log = float(self.ask(f"pg_current_wal_lsn() - '{position}'::pg_lsn")) / count
        return {"application": application, "database": database, "log": log}


def measure(size: Size) -> Figures:
    """Measure everything, and print the progress."""
    fast = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "8GB", "maintenance_work_mem": "512MB"}
    with primary(shared_buffers="1GB", **fast) as server:
        database = Database("postgresql", server.url, "growth")
        small, large = (
            Population(server, Remote(COMPETITOR, database, str(count)), count) for count in (BASE, size.families)
        )
        try:
            for population in (small, large):
                with told(f"{population.count:,} families"):
                    population.remote.ready()
                    population.load()
                    population.remote.call("sample", size.rounds * size.batch * len(OPERATIONS) + 1000)
            # The load is over: from here on the server is as safe as any.
            for name, value in (("fsync", "on"), ("full_page_writes", "on"), ("max_wal_size", "1GB")):
                server.set(name, value)
            server.execute("CHECKPOINT")
            found: Figures = {"size": vars(size)}
            with told("operations"):
                found["operations"] = operations(database, small, large, size)
            with told("costs"):
                count = size.rounds * size.batch
                found["costs"] = {operation: large.cost(operation, count) for operation in OPERATIONS}
            statement = large.remote.call("rotation")
            some = Population(server, Remote(COMPETITOR, database, str(size.rotated)), size.rotated)
            some.remote.ready()
            some.load()
            some.remote.pipe.close()
            with told("rotations"):
                found["rotations"] = {
                    f"{size.rotations:,} of {some.count:,} families": rotate(some, statement, size.rotations),
                    f"{size.rotations:,} of {large.count:,} families": rotate(large, statement, size.rotations),
                    f"{size.rotations // 5:,} of {some.count:,} families, beside a transaction that stays open": rotate(
                        some, statement, size.rotations // 5, beside_an_old_snapshot=True
                    ),
                }
            with told("a table as sixty days of logins leave it"):
                server.execute(f"TRUNCATE {TABLE} CASCADE", large.name)
                large.load("sixty_days")
            found["bytes of a family"] = bytes_of_a_family(large)
            with told("pages"):
                found["pages"] = pages(large, max(2, size.rounds // 10))
            with told("purge"):
                found["purge"] = purge(database, large, size.ended)
        finally:
            for population in (small, large):
                population.remote.process.kill()  # its database goes with the server
    return found


@contextmanager
def told(what: str) -> Iterator[None]:
    """Print how long something took."""
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.0f} s", flush=True)


def bytes_of_a_family(population: Population) -> Figures:
    """Return the bytes that a family takes in the table and in each index."""
    return {name: size / population.count for name, size in population.sizes().items()}


def operations(database: Database, small: Population, large: Population, size: Size) -> Figures:
    """Return each operation's ratio of times with many and with few families, and its blocks with few and many."""
    run = Run(database, {}, replace(QUICK, rounds=size.rounds, batch=size.batch, seconds=900, warm=True))
    cases = [
        (f"{operation} {population.count}", population.remote, operation)
        for operation in OPERATIONS
        for population in (small, large)
    ]
    found = run.interleave(cases)
    return {
        operation: {
            "time": str(
                ratio(found[f"{operation} {large.count}"]["wall"], found[f"{operation} {small.count}"]["wall"])
            ),
            "blocks": [population.blocks(operation, 25) for population in (small, large)],
        }
        for operation in OPERATIONS
    }


def pages(large: Population, rounds: int) -> Figures:
    """Return each admin page's number of SQL statements, and its seconds at the first opening and at later ones."""
    found: Figures = {}
    family = large.ask("md5('family7')::uuid")
    for name, address in PAGES.items():
        (first, statements), *later = [
            large.remote.call("admin_page", address.format(family=family)) for _ in range(rounds)
        ]
        seconds = spread([took for took, _ in later]).middle
        found[name] = {"first": first, "later": seconds, "statements": statements}
    return found


def purge(database: Database, large: Population, ended: int) -> Figures:
    """For each entry of DUE, return how many seconds the purge takes and how many families it deletes."""
    found: Figures = {}
    for name, change in DUE.items():
        if change:
            some = f"SELECT id FROM {TABLE} {change[change.index('WHERE') :]} ORDER BY random() LIMIT {ended}"
            large.server.execute(f"UPDATE {TABLE} {change} AND id IN ({some})", large.name)
            large.server.execute(f"VACUUM ANALYZE {TABLE}", large.name)
        before = large.ask(f"count(*) FROM {TABLE}")
        fresh = Remote(COMPETITOR, database, str(large.count), fresh=False)
        seconds, *_ = fresh.call("command", "purge_token_families")
        fresh.close()
        found[name] = {"seconds": seconds, "deleted": before - large.ask(f"count(*) FROM {TABLE}")}
    return found


def rotate(population: Population, statement: str, rotations: int, *, beside_an_old_snapshot: bool = False) -> Figures:
    """Run rotations, which are twotoken's SQL statement, with pgbench. Return how table and indexes have changed."""
    values = iter(
        (
            ":generation + 1",
            "now()",
            "sha256(:generation::text::bytea)",
            "auth_hash",
            "'198.51.100.8'",
            "'Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0'",
            "md5('family' || :family)::uuid",
            ":generation",
            "auth_hash",
        )
    )
    script = population.server.folder / "rotation.sql"
    script.write_text(
        # Each client has families of its own, or one that is behind the others would change nothing.
        f"\\set family {CLIENTS} * random(0, {population.count // CLIENTS - 1}) + :client_id + 1\n"
        "\\set generation :generation + 1\n" + re.sub("%s", lambda _: next(values), statement) + ";\n"
    )
    url = population.server.url.rpartition("/")[0] + f"/{population.name}"
    before, sizes, position = population.updates(), population.sizes(), population.ask("pg_current_wal_lsn()")
    snapshot: Any = psycopg.connect(url) if beside_an_old_snapshot else nullcontext()
    with snapshot:
        if beside_an_old_snapshot:
            snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            snapshot.execute(f"SELECT count(*) FROM {TABLE}")
        # After those that the worker made, and after one another's.
        command = [program("pgbench", "postgresql"), "-n", "-c", f"{CLIENTS}", "-t", f"{rotations // CLIENTS}"]
        command += ["-D", f"generation={before['n_tup_upd'] + 1000}", "-f", f"{script}", url]
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            user=account(),
            cwd=population.server.folder,
            env={**os.environ, "PGOPTIONS": "-c synchronous_commit=off"},
        )
    after, grown = population.updates(), population.sizes()
    updated, hot, vacuums = (after[name] - before[name] for name in before)
    written = float(population.ask(f"pg_current_wal_lsn() - '{position}'::pg_lsn"))
    return {
        "updated": updated,
        "heap-only": hot / max(updated, 1),
        "autovacuums": vacuums,
        "table": grown["table"] / sizes["table"],
        "indexes": index_bytes(grown) / index_bytes(sizes),
        "log": written / rotations,
    }


def index_bytes(sizes: Figures) -> float:
    """Return the bytes of all indexes together."""
    return float(sum(size for name, size in sizes.items() if name != "table"))


def processor_seconds(server: Postgres) -> float:
    """Return the processor seconds of all processes of a server, including processes that have ended."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in [server.process.pid, *children_of(server.process.pid)]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(value) for value in (fields[11:15] if pid == server.process.pid else fields[11:13]))
    return total / ticks


def report(found: Figures) -> str:
    """Return the measured values as Markdown tables."""
    size = found["size"]
    tables: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = [
        (
            ("operation", "time", f"blocks, of {BASE:,}", f"blocks, of {size['families']:,}"),
            [
                (name, case["time"], *(f"{count:.0f}" for count in case["blocks"]))
                for name, case in items(found, "operations")
            ],
        ),
        (
            ("a page of the admin", "milliseconds", "for the first time", "SQL statements"),
            [
                (name, f"{case['later'] * 1e3:.0f}", f"{case['first'] * 1e3:.0f}", f"{case['statements']}")
                for name, case in items(found, "pages")
            ],
        ),
        (
            ("purge", "seconds", "deleted"),
            [(name, f"{case['seconds']:.2f}", f"{case['deleted']:,}") for name, case in items(found, "purge")],
        ),
        (("", "bytes of a family"), [(name, f"{count:.0f}") for name, count in items(found, "bytes of a family")]),
        (
            ("operation", "ms of processor, application", "ms of processor, database", "bytes of log"),
            [
                (name, f"{case['application'] * 1e3:.2f}", f"{case['database'] * 1e3:.2f}", f"{case['log']:.0f}")
                for name, case in items(found, "costs")
            ],
        ),
        (
            ("rotations", "heap-only", "autovacuums", "table, of before", "indexes, of before", "bytes of log each"),
            [
                (
                    name,
                    *(f"{case['heap-only']:.1%}", f"{case['autovacuums']}"),
                    *(f"{case['table']:.3f}", f"{case['indexes']:.3f}", f"{case['log']:.0f}"),
                )
                for name, case in items(found, "rotations")
            ],
        ),
    ]
    title = f"{size['families']:,} families; times are ratios over {BASE:,} families."
    return "\n\n".join([title, *(table(heads, rows) for heads, rows in tables)])


def items(found: Figures, measured: str) -> list[tuple[str, Any]]:
    """Return the names and values of one part of the results."""
    return list(found[measured].items())


def main() -> None:
    """Measure, print the results, and save them as JSON if the command line names a file."""
    parser = ArgumentParser(prog="python -m tests.scale.growth", description=__doc__)
    for name, value in vars(FULL).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    asked = vars(parser.parse_args())
    file = asked.pop("json")
    found = measure(Size(**asked))
    if file is not None:
        file.write_text(json.dumps(found, indent=1))
    print(report(found))


if __name__ == "__main__":
    main()
