"""Database servers for the tests. A running server is used; otherwise one is started, and stopped at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import dj_database_url
from django.db import OperationalError
from django.db.utils import ConnectionHandler

from tests.server import free_port

START_SECONDS = 60


def execute(url: str, statement: str) -> list[Any]:
    """Run an SQL statement over a new connection, and return the rows."""
    connection = ConnectionHandler({"default": dict(dj_database_url.parse(url))})["default"]
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def found(program: str) -> str | None:
    """Return the path of a program. Debian keeps PostgreSQL's programs and other servers out of a user's PATH."""
    folders = [os.environ["PATH"], "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    return shutil.which(program, path=os.pathsep.join(folders))


@dataclass(frozen=True)
class Kind:
    """A kind of database server: where such a server may run already, and how to start a new one."""

    vendor: str
    variable: str
    default: str
    package: str
    account: str  # of Debian's package: neither server runs as root
    programs: tuple[str, str]
    stop: signal.Signals  # waits for no client
    kill: str  # makes the statements that cut each connection to a database


POSTGRESQL = Kind(
    vendor="postgresql",
    variable="POSTGRESQL_URL",
    default="postgres://postgres@127.0.0.1:5432/test",
    package="postgresql",
    account="postgres",
    programs=("initdb", "postgres"),
    stop=signal.SIGINT,
    kill="SELECT 'SELECT pg_terminate_backend(' || pid || ')' FROM pg_stat_activity WHERE datname = '{name}'",
)
MARIADB = Kind(
    vendor="mariadb",
    variable="MARIADB_URL",
    default="mysql://root@127.0.0.1:3306/test",
    package="mariadb-server",
    account="mysql",
    programs=("mariadb-install-db", "mariadbd"),
    stop=signal.SIGTERM,
    kill="SELECT CONCAT('KILL CONNECTION ', id) FROM information_schema.processlist WHERE db = '{name}'",
)


def address(url: str) -> tuple[str, int]:
    """Return the host and the port of a database URL."""
    values = dj_database_url.parse(url)
    return values["HOST"], int(values["PORT"])


def listens(url: str) -> bool:
    """Tell whether a server listens at the host and port of a database URL."""
    try:
        socket.create_connection(address(url), timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def running(kind: Kind) -> Iterator[str]:
    """Yield the URL of a server: the one in the environment, a running one at the usual address, or a new one."""
    url = os.environ.get(kind.variable)
    if url is None and listens(kind.default):
        url = kind.default
    if url is not None:
        yield url
        return
    with of_our_own(kind) as url:
        yield url


@contextmanager
def of_our_own(kind: Kind) -> Iterator[str]:
    """Start a new server with its own folder and port, and yield its URL. Stop the server at the end."""
    install, serve = map(found, kind.programs)
    if install is None or serve is None:
        raise RuntimeError(
            f"No {kind.vendor} server answers at {kind.default}, and {' or '.join(kind.programs)} is not installed. "
            f"Install Debian's {kind.package}, or name a server in {kind.variable}."
        )
    folder = Path(tempfile.mkdtemp(prefix="twotoken-proof-"))
    data, port = folder / "data", free_port()
    commands: dict[str, tuple[list[str], list[str]]] = {
        "postgresql": (
            [install, "-D", f"{data}", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            [serve, "-D", f"{data}", "-h", "127.0.0.1", "-p", f"{port}", "-k", f"{folder}"],
        ),
        "mariadb": (
            [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"],
            [
                *(serve, "--no-defaults", f"--datadir={data}", f"--socket={folder}/socket", f"--port={port}"),
                *("--bind-address=127.0.0.1", f"--pid-file={folder}/pid"),
            ],
        ),
    }
    account = None
    if os.geteuid() == 0:
        account = kind.account
        shutil.chown(folder, account)
    prepare, command = commands[kind.vendor]
    url = kind.default.replace(str(address(kind.default)[1]), str(port))
    try:
        made = subprocess.run(prepare, cwd=folder, user=account, capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"{install} failed: {made.stdout} {made.stderr}")
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, cwd=folder, user=account, stdout=log, stderr=log)
        try:
            wait_for(url, process, folder / "log")
            yield url
        finally:
            process.send_signal(kind.stop)
            process.wait(START_SECONDS)
    finally:
        shutil.rmtree(folder)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server accepts statements. Raises RuntimeError with its log if it does not start."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            execute(maintenance(url), "SELECT 1")
        except OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not start: {log.read_text()}") from None
            time.sleep(0.1)
        else:
            return


def maintenance(url: str) -> str:
    """Return the URL of a database that every PostgreSQL or MariaDB server has."""
    name = "postgres" if url.startswith("postgres") else "mysql"
    return f"{url.rpartition('/')[0]}/{name}"


@dataclass(frozen=True)
class Database:
    """A new database on a server."""

    url: str
    kind: Kind | None = None

    def cut_connections(self) -> int:
        """Cut every connection to the database, as a restarting server does. Return how many there were."""
        assert self.kind is not None
        server, name = maintenance(self.url), self.url.rpartition("/")[2]
        statements = [statement for (statement,) in execute(server, self.kind.kill.format(name=name))]
        for statement in statements:
            try:
                execute(server, statement)
            except OperationalError:  # MariaDB's word for one that has gone meanwhile
                continue
        return len(statements)


@contextmanager
def database(vendor: str, folder: Path) -> Iterator[Database]:
    """Yield a new, empty database with a unique name; drop it at the end."""
    if vendor == "sqlite":
        yield Database(f"sqlite:///{folder}/proof.sqlite3")
        return
    kind = {"postgresql": POSTGRESQL, "mariadb": MARIADB}[vendor]
    with running(kind) as server:
        url = f"{server}_proof_{token_hex(4)}"
        ours = Database(url, kind)
        execute(maintenance(url), f"CREATE DATABASE {url.rpartition('/')[2]}")
        try:
            yield ours
        finally:
            ours.cut_connections()
            execute(maintenance(url), f"DROP DATABASE {url.rpartition('/')[2]}")
