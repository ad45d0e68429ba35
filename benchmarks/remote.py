"""Lets the coordinator call the workers. Each worker is a process with one competitor, its settings and a database."""

from __future__ import annotations

import os
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

import django

from benchmarks.competitor import Competitor, all_competitors

LIMIT = 300  # seconds that one call of a worker may take


def serve(pipe: Connection, environment: dict[str, str]) -> None:
    """Run the worker until the pipe closes. This is the function that the new process runs."""
    os.environ.update(environment)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    # This module is imported only now, because its imports need the settings, which are this process's own.
    worker = import_module("benchmarks.worker").Worker(all_competitors()[environment["BENCHMARKS_COMPETITOR"]])
    with suppress(EOFError, BrokenPipeError):  # the coordinator is gone
        while True:
            name, arguments = pipe.recv()
            try:
                result = (True, getattr(worker, name)(*arguments))
            except (Exception, SystemExit):  # Django exits if it can't make a database
                result = (False, traceback.format_exc())
            pipe.send(result)


@dataclass(frozen=True)
class Database:
    """A database server, or a folder of SQLite files, in which the benchmarks create their databases."""

    kind: str
    server: str
    """URL of an existing database. It serves only to connect to the server."""
    prefix: str
    """The beginning of the names of the databases that are created, so that two checkouts can share a server."""

    def environment(self, name: str, *, exists: bool) -> dict[str, str]:
        """Return the environment variables that tell ``benchmarks.settings`` which database to create or use."""
        full = f"{self.prefix}_{name.replace('-', '_')}"
        if self.kind == "sqlite":
            full = f"{self.server.removeprefix('sqlite:///')}/{full}.sqlite3"
            return {"BENCHMARKS_DATABASE": f"sqlite:///{full}", "BENCHMARKS_NAME": full}
        url = urlsplit(self.server)._replace(path=f"/{full}").geturl() if exists else self.server
        return {"BENCHMARKS_DATABASE": url, "BENCHMARKS_NAME": full}


class Remote:
    """The coordinator's side of a worker. It starts the worker's process, and calls the worker's methods by name."""

    def __init__(
        self, competitor: Competitor, database: Database, name: str, *, fresh: bool = True, prepared: bool = False
    ) -> None:
        """Start the process. Without ``fresh`` it uses a database that another worker created.

        With ``prepared`` its connections use prepared statements, which only PostgreSQL has.
        """
        self.competitor, self.name, self.fresh = competitor, name, fresh
        self.environment = {"BENCHMARKS_COMPETITOR": competitor.name, **database.environment(name, exists=not fresh)}
        if prepared:
            self.environment["BENCHMARKS_PREPARED"] = "1"
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.environment), daemon=True)
        self.process.start()
        theirs.close()
        if fresh:
            self.pipe.send(("create", ()))

    def call(self, name: str, *arguments: object) -> Any:
        """Call a method of the worker and return its result."""
        self.pipe.send((name, arguments))
        return self.receive()

    def receive(self) -> Any:
        """Return the worker's next answer.

        Raises RuntimeError with the worker's traceback if the call failed, and TimeoutError if no answer comes.
        """
        if not self.pipe.poll(LIMIT):
            raise TimeoutError(f"{self.name} did not answer within {LIMIT} s")
        good, result = self.pipe.recv()
        if not good:
            raise RuntimeError(f"{self.name}: {result}")
        return result

    def ready(self) -> None:
        """Wait until the worker has created its database. Several workers create theirs at the same time."""
        if self.fresh:
            self.receive()

    def close(self) -> None:
        """End the process, and drop the database if this worker created it."""
        if self.fresh and self.process.is_alive():
            with suppress(EOFError, OSError):
                self.call("destroy")
        self.pipe.close()
        self.process.join(10)
        self.process.kill()
