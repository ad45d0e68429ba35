"""PostgreSQL servers that tests can kill and promote: a primary, a streaming replica, and PgBouncer."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.db import OperationalError

from tests.proof.databases import Database, execute, found
from tests.server import free_port

PATIENCE = 60  # seconds for anything that a server is waited for
ACCOUNT = "postgres"  # of Debian's packages: neither program runs as root
NAME = "scale"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
}


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds. After PATIENCE seconds, fail with the message ``what``."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def program(name: str, package: str) -> str:
    """Return the path of a program. Raises RuntimeError that names the package to install."""
    path = found(name)
    if path is None:
        raise RuntimeError(f"{name} is not installed. Install Debian's {package}.")
    return path


def account() -> str | None:
    """Return the system user for the servers if this process is root: the servers refuse to run as root."""
    return ACCOUNT if os.geteuid() == 0 else None


class Server:
    """A server program with its own folder and port."""

    command: list[str]
    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.log = folder / "log"

    @property
    def url(self) -> str:
        """Return the URL of the server's database."""
        return f"postgres://postgres@127.0.0.1:{self.port}/{NAME}"

    @property
    def database(self) -> Database:
        """Return the server's database as an object for the helpers of ``tests.proof``."""
        return Database(self.url)

    def execute(self, statement: str, name: str = NAME) -> list[Any]:
        """Run an SQL statement over a new connection, and return the rows."""
        return execute(f"{self.url.rpartition('/')[0]}/{name}", statement)

    def run(self, *command: str) -> None:
        """Run another program, such as ``initdb``, in the server's folder, and wait for its end."""
        done = subprocess.run(command, cwd=self.folder, user=account(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[0]} failed: {done.stdout} {done.stderr}"

    def start(self) -> None:
        """Start the server, and wait until it accepts statements."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, user=account(), stdout=log, stderr=log)
        wait_until(self.answers, f"{self.command[0]} does not answer: see {self.log}")

    def answers(self) -> bool:
        """Tell whether the server accepts statements."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.execute("SELECT 1", "postgres")
        except OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop the server without waiting for clients to disconnect."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)


class Postgres(Server):
    """A PostgreSQL server."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.data = folder / "data"
        self.command = [program("postgres", "postgresql"), "-D", f"{self.data}", "-p", f"{self.port}"]
        self.command += ["-k", f"{folder}"]

    def create(self, **settings: str) -> None:
        """Create the server's data folder, start the server, and create its database."""
        install = program("initdb", "postgresql")
        self.run(install, "-D", f"{self.data}", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.configure(**{**SETTINGS, **settings})
        self.start()
        self.execute(f"CREATE DATABASE {NAME}", "postgres")

    def follow(self, primary: Postgres, **settings: str) -> None:
        """Start the server as a streaming replica of another server."""
        backup = program("pg_basebackup", "postgresql")
        source = ["-h", "127.0.0.1", "-p", f"{primary.port}", "-U", "postgres"]
        self.run(backup, *source, "-D", f"{self.data}", "-R", "-X", "stream", "-c", "fast", "--no-sync")
        self.configure(**settings)
        self.start()

    def configure(self, **settings: str) -> None:
        """Write settings, which take effect at the next start."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def set(self, name: str, value: str) -> None:
        """Change a setting that takes effect at once."""
        self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self.execute(f"SHOW {name}") == [(value,)], f"{name} is not {value!r}")

    def kill(self) -> None:
        """Send ``kill -9`` to all processes of the server. The operating system keeps what they wrote to files."""
        children = [self.process.pid, *children_of(self.process.pid)]
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        wait_until(lambda: not any(map(lives, children)), "a server process does not die")

    def promote(self) -> None:
        """Make the replica a primary."""
        self.execute("SELECT pg_promote()")
        wait_until(lambda: self.execute("SELECT pg_is_in_recovery()") == [(False,)], "not promoted")

    def miss_what_comes(self) -> None:
        """Make the replica receive nothing more from the primary, as if the network were cut."""
        self.set("primary_conninfo", "")
        wait_until(lambda: self.execute("SELECT 1 FROM pg_stat_wal_receiver") == [], "the replica goes on receiving")

    def stand_still(self) -> None:
        """Make the replica show only its present data, and nothing new from the primary, until ``catch_up``."""
        self.execute("SELECT pg_wal_replay_pause()")
        wait_until(lambda: self.execute("SELECT pg_get_wal_replay_pause_state()") == [("paused",)], "not paused")

    def catch_up(self, primary: Postgres) -> None:
        """Let the replica replay all that the primary has written. If its replay was paused before, pause it again."""
        ((written,),) = primary.execute("SELECT pg_current_wal_lsn()")
        ((stands_still,),) = self.execute("SELECT pg_is_wal_replay_paused()")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn"
        if stands_still:
            self.execute("SELECT pg_wal_replay_resume()")
        wait_until(lambda: self.execute(replayed) == [(True,)], "the replica does not catch up")
        if stands_still:
            self.stand_still()


class PgBouncer(Server):
    """PgBouncer. It lends a server connection for one transaction, or in session pooling until the client disconnects.

    ``prepared`` is PgBouncer's ``max_prepared_statements``, which versions before 1.21 don't know.
    """

    def __init__(
        self, folder: Path, server: Postgres, *, pool: int, mode: str = "transaction", prepared: int | None = None
    ) -> None:
        super().__init__(folder)
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = {mode}\ndefault_pool_size = {pool}\nmax_client_conn = 500\nlog_connections = 0\n"
            # The isolation level that the proof's settings ask for by it is the server's own default.
            "ignore_startup_parameters = options\n"
            + ("" if prepared is None else f"max_prepared_statements = {prepared}\n")
        )
        self.command = [program("pgbouncer", "pgbouncer"), f"{configuration}"]


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a folder that the servers' system user may write to, and delete the folder at the end."""
    made = Path(tempfile.mkdtemp(prefix="twotoken-scale-"))
    if (name := account()) is not None:
        shutil.chown(made, name)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def running(server: Server) -> Iterator[None]:
    """Stop a server at the end of the block, if it still runs."""
    try:
        yield
    finally:
        if hasattr(server, "process") and server.process.poll() is None:
            server.stop()


@contextmanager
def primary(**settings: str) -> Iterator[Postgres]:
    """Yield a new PostgreSQL server with an empty database, and stop it at the end."""
    with folder() as made:
        server = Postgres(made)
        with running(server):
            server.create(**settings)
            yield server


@contextmanager
def replica_of(server: Postgres, **settings: str) -> Iterator[Postgres]:
    """Yield a new streaming replica of a server, and stop it at the end."""
    with folder() as made:
        replica = Postgres(made)
        with running(replica):
            replica.follow(server, **settings)
            yield replica


@contextmanager
def pgbouncer(
    server: Postgres, *, pool: int, mode: str = "transaction", prepared: int | None = None
) -> Iterator[PgBouncer]:
    """Yield a new PgBouncer in front of a server, and stop it at the end."""
    with folder() as made:
        bouncer = PgBouncer(made, server, pool=pool, mode=mode, prepared=prepared)
        with running(bouncer):
            bouncer.start()
            yield bouncer


def children_of(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    """Tell whether a process exists and is not a zombie."""
    try:
        state = re.findall(r"^State:\s+(\w)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in (["Z"], ["X"])
