"""A worker per peer, each a process with its own settings and database, and the coordinator's end of it."""

from __future__ import annotations

import os
import traceback
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import django

from benchmarks.peer import Peer, all_peers

LIMIT = 300  # seconds that one call of a worker may take


def serve(pipe: Connection, environment: dict[str, str]) -> None:
    """Be a worker until the pipe closes. The target of a process."""
    os.environ.update(environment)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    try:
        django.setup()
        # Its imports need the settings, which are this process's own.
        worker = import_module("benchmarks.worker").Worker(all_peers()[environment["BENCHMARKS_PEER"]])
        pipe.send((True, None))
        while True:
            name, arguments = pipe.recv()
            try:
                pipe.send((True, getattr(worker, name)(*arguments)))
            except Exception:
                pipe.send((False, traceback.format_exc()))
    except EOFError:
        pass


class Remote:
    """A worker, seen from the coordinator."""

    def __init__(self, peer: Peer, database: str, name: str, *, fresh: bool = True) -> None:
        """Start the process. Not ``fresh``: on a database that another worker made."""
        self.peer, self.name, self.fresh = peer, name, fresh
        self.environment = {"BENCHMARKS_PEER": peer.name, "BENCHMARKS_DATABASE": database, "BENCHMARKS_NAME": name}
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.environment), daemon=True)
        self.process.start()
        theirs.close()
        self.receive()
        if fresh:
            self.call("create")

    def call(self, name: str, *arguments: object) -> Any:
        """Call a method of the worker and return its result."""
        self.pipe.send((name, arguments))
        return self.receive()

    def receive(self) -> Any:
        """Return the next answer. What was raised over there is raised here."""
        if not self.pipe.poll(LIMIT):
            raise TimeoutError(f"{self.name} did not answer within {LIMIT} s")
        good, result = self.pipe.recv()
        if not good:
            raise RuntimeError(f"{self.name}: {result}")
        return result

    def close(self) -> None:
        """End the process, and drop the database where it is its own."""
        if self.fresh and self.process.is_alive():
            self.call("destroy")
        self.pipe.close()
        self.process.join(10)
        self.process.kill()
