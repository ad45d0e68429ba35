"""The coordinator of the benchmarks, in their own environment. It measures, prints the results, and writes them."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import sys
import time
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from zlib import crc32

from benchmarks.competitor import all_competitors
from benchmarks.measures import BRIEF, FULL, MEASURES, QUICK, Run, check
from benchmarks.remote import Database
from benchmarks.report import page, plot, summary, terminal

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "explanation"
FOLDER = ROOT / ".benchmarks"
SERVERS = {
    "postgresql": os.environ.get("POSTGRESQL_URL", "postgres://postgres@127.0.0.1:5432/postgres"),
    "mariadb": os.environ.get("MARIADB_URL", "mysql://root@127.0.0.1:3306/mysql"),
    "sqlite": f"sqlite:///{FOLDER}",
}
OPENING, CLOSING = "<!-- benchmarks: written by python -m benchmarks --write -->", "<!-- /benchmarks -->"
PACKAGES = (
    "Django",
    "djangorestframework",
    "PyJWT",
    "djangorestframework-simplejwt",
    "django-rest-knox",
    "dj-rest-auth",
    "django-allauth",
    "django-oauth-toolkit",
    "psycopg",
    "mysqlclient",
    "gunicorn",
)


def arguments() -> Namespace:
    """Return the parsed arguments of the command line."""
    parser = ArgumentParser(
        prog="python -m benchmarks", description="Measure twotoken and its competitors side by side."
    )
    parser.add_argument("--database", choices=SERVERS, default="sqlite")
    parser.add_argument(
        "--only",
        type=lambda names: names.split(","),
        help=f"{','.join(MEASURES)}; if not given, all on PostgreSQL, and {','.join(BRIEF)} on the others",
    )
    parser.add_argument(
        "--competitors", type=lambda names: names.split(","), help="only these; twotoken and floor always"
    )
    parser.add_argument("--rows", type=int, help=f"rows of the purge, {FULL.rows} if not given")
    parser.add_argument("--rounds", type=int, help=f"rounds of each measure, {FULL.rounds} if not given")
    parser.add_argument("--quick", action="store_true", help="try that everything works; the figures mean nothing")
    parser.add_argument(
        "--write", action="store_true", help="write docs/explanation/benchmarks.md, its plot, and the README's table"
    )
    parser.add_argument("--profile", type=Path, help="write profiles of twotoken's operations into this folder instead")
    return parser.parse_args()


def about(run: Run, results: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """Return facts about a run for readers of its results, such as its command.

    If this run measured only a part, also return the commands of the earlier runs.
    """
    command = f"{datetime.now(UTC).date().isoformat()} `{' '.join(['python -m benchmarks', *sys.argv[1:]])}`"
    before = [] if whole else results.get("about", {}).get("commands", [])
    names = ((package.name.replace("_", "-"), package.version) for package in distributions())
    versions = [(name, number) for name, number in names if name in PACKAGES]
    return {
        "commands": [*before, command],
        "database": run.remotes["twotoken"].call("server"),
        "processors": len(os.sched_getaffinity(0)),
        "size": vars(run.size),
        "versions": {"Python": platform.python_version(), **dict(sorted(versions))},
    }


def write(found: dict[str, Any]) -> None:
    """Write the docs' page on benchmarks, its plot, and the README's table, which shows the first database."""
    (DOCS / "benchmarks.md").write_text(page(found))
    (DOCS / "benchmarks.svg").write_text(plot(found))
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(OPENING)
    after = rest.split(CLOSING)[1]
    readme.write_text(f"{before}{OPENING}\n\n{summary(next(iter(found.values())))}\n\n{CLOSING}{after}")


def main() -> None:
    """Run the command line. Exit if another run is in progress in this checkout, because it uses the same databases."""
    asked = arguments()
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("The benchmarks run in this checkout already.")
        measure(asked)


def measure(asked: Namespace) -> None:
    """Run the measures that the command line asks for, and print and save the results."""
    competitors = all_competitors()
    if asked.competitors:
        competitors = {
            name: competitor
            for name, competitor in competitors.items()
            if name in {"twotoken", "floor", *asked.competitors}
        }
    size = QUICK if asked.quick else replace(FULL, rows=asked.rows or FULL.rows, rounds=asked.rounds or FULL.rounds)
    prefix = f"twotoken_benchmarks_{crc32(str(ROOT).encode()):08x}"
    run = Run(Database(asked.database, SERVERS[asked.database], prefix), competitors, size)
    file = FOLDER / f"{'quick-' if asked.quick else ''}{asked.database}.json"
    is_part = asked.only is not None and file.exists() and not asked.quick
    results: dict[str, Any] = json.loads(file.read_text()) if is_part else {}
    with run.workers():
        for name, seen in check(run).items():
            print(f"{name}: {', '.join(seen)}", flush=True)
        if asked.profile:
            write_profiles(run, asked.profile)
            return
        results["about"] = about(run, results, whole=asked.only is None)
        for name in asked.only or (MEASURES if asked.database == "postgresql" else BRIEF):
            began = time.monotonic()
            results[name] = MEASURES[name](run)
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
            file.write_text(json.dumps(results, indent=1))
    print(terminal(results))
    if asked.write:
        write({kind: json.loads(path.read_text()) for kind in SERVERS if (path := FOLDER / f"{kind}.json").exists()})
    print("passed")


def write_profiles(run: Run, folder: Path) -> None:
    """Write a profile of each of twotoken's operations into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    remote = run.remotes["twotoken"]
    for operation in ["login", "refresh", "logout", *(f"get {label}" for label in remote.competitor.authentication)]:
        (folder / f"{operation.replace(' ', '-')}.txt").write_text(remote.call("profile", operation, 500))


if __name__ == "__main__":
    main()
