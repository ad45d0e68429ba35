"""A MariaDB Galera cluster for the tests. A node can lag, be cut off, paused, killed and restarted."""

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
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.core.management import call_command
from django.db import OperationalError, connections
from django.test import override_settings

from tests.proof.databases import MARIADB, execute, found
from tests.proof.settings import READ_COMMITTED, configured
from tests.server import free_port

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
NAME = "galera"  # of the cluster, and of the database
PATIENCE = 90  # seconds for anything that a node does

# What another node writes waits here: the trigger runs in the node's applier, and no variable is of less use to it.
HOLD = """
CREATE TRIGGER hold BEFORE INSERT ON held FOR EACH ROW
IF @@GLOBAL.wsrep_node_name = NEW.node THEN
    WHILE @@GLOBAL.default_week_format = 7 DO DO SLEEP(0.01); END WHILE;
END IF
"""

CONFIGURATION = """
[mariadbd]
datadir = {folder}/data
socket = {folder}/socket
pid-file = {folder}/pid
bind-address = 127.0.0.1
port = {port}
binlog_format = ROW
innodb_autoinc_lock_mode = 2
innodb_buffer_pool_size = 64M
innodb_log_file_size = 16M
slave_run_triggers_for_rbr = ENFORCE
wsrep_on = ON
wsrep_provider = {provider}
wsrep_cluster_name = {name}
wsrep_cluster_address = gcomm://{members}
wsrep_node_name = node{number}
wsrep_node_address = 127.0.0.1:{group_port}
wsrep_sst_method = rsync
wsrep_sst_receive_address = 127.0.0.1:{sst_port}
wsrep_slave_threads = 1
wsrep_provider_options = "gmcast.listen_addr=tcp://127.0.0.1:{group_port};ist.recv_addr=127.0.0.1:{ist_port};\
gcache.size=32M;gcs.fc_limit=10000"
"""


class Node:
    """One server of a Galera cluster. It keeps its ports and its folder while the server is down."""

    process: subprocess.Popen[bytes] | None = None

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.folder = folder / f"node{number}"
        self.port, self.group_port, self.ist_port, self.sst_port = (free_port() for _ in range(4))
        self.account = MARIADB.account if os.geteuid() == 0 else None

    def url(self, *, waits: bool, name: str = NAME) -> str:
        """Return the URL of the node's database. With ``waits``, reads wait for the writes of other nodes."""
        query = f"?init_command={quote('SET SESSION wsrep_sync_wait=1')}" if waits else ""
        return f"mysql://root@127.0.0.1:{self.port}/{name}{query}"

    def execute(self, statement: str) -> list[Any]:
        """Run an SQL statement over a new connection, and return the rows."""
        return execute(self.url(waits=False), statement)

    def status(self, name: str) -> str:
        """Return the value of a variable of SHOW GLOBAL STATUS."""
        ((_, value),) = execute(self.url(waits=False, name="mysql"), f"SHOW GLOBAL STATUS LIKE '{name}'")
        return str(value)

    def conflicts(self) -> int:
        """Return how many of the node's transactions were rolled back because of another node's transaction."""
        return int(self.status("wsrep_local_cert_failures")) + int(self.status("wsrep_local_bf_aborts"))

    @contextmanager
    def behind(self, other: Node) -> Iterator[None]:
        """Make the node apply no writes of other nodes until the block ends. The node still answers."""
        self.execute("SET GLOBAL default_week_format = 7")
        try:
            other.execute(f"INSERT INTO held (node) VALUES ('node{self.number}')")
            sleeping = "SELECT id FROM information_schema.processlist WHERE state = 'User sleep'"
            self.wait(lambda: bool(self.execute(sleeping)))
            yield
        finally:
            self.execute("SET GLOBAL default_week_format = 0")

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Cut the node off from the others; at the end, join it again and wait until it is synced."""
        self.execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")
        try:
            self.wait(lambda: self.status("wsrep_cluster_status") == "non-Primary")
            yield
        finally:
            self.execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")
            self.wait(self.is_synced)

    def configure(self, members: str) -> None:
        """Make the node's folders, and write its configuration file."""
        self._make(self.folder)
        self._make(self.folder / "data")
        values = {**vars(self), "members": members, "provider": PROVIDER, "name": NAME}
        (self.folder / "my.cnf").write_text(CONFIGURATION.format(**values))

    def install(self) -> None:
        """Create the system tables. Only the first node needs this: the other nodes copy its tables."""
        arguments = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-log-bin", "--wsrep-on=OFF"]
        self._run("mariadb-install-db", *arguments)

    def start(self, *arguments: str) -> None:
        """Start the server. The first node of a cluster needs the argument ``--wsrep-new-cluster``."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command("mariadbd", *arguments), cwd=self.folder, user=self.account, stdout=log, stderr=log
            )

    def restart(self, *, empty: bool = False) -> None:
        """Start the server again after a crash. Another node sends it the writes that it missed.

        Like Debian's service, first find out which writes the data folder has. With ``empty``, delete the data folder,
        so that the other node sends everything.
        """
        if empty:
            shutil.rmtree(self.folder / "data")
            self._make(self.folder / "data")
            self.start()
            return
        said = self._run("mariadbd", "--wsrep-recover")
        (position,) = re.findall(r"WSREP: Recovered position:? *(\S+)", said)
        self.start(f"--wsrep-start-position={position}")

    def kill(self) -> None:
        """Send ``kill -9`` to the server."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    @contextmanager
    def paused(self, others: list[Node]) -> Iterator[None]:
        """Pause the process, and wait until the other nodes go on without it. At the end, wait until it is synced."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            self.wait(lambda: all(node.sees(len(others)) for node in others))
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)
        self.wait(lambda: all(node.sees(len(others) + 1) for node in others) and self.is_synced())

    def stop(self) -> None:
        """Kill the server if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()  # its data are thrown away
            self.process.wait(PATIENCE)

    def is_synced(self) -> bool:
        """Tell whether the node belongs to the cluster and accepts work."""
        with suppress(OperationalError):
            execute(self.url(waits=True, name="mysql"), "SELECT 1")  # what it says of itself may be of before
            return self.status("wsrep_local_state_comment") == "Synced"
        return False

    def sees(self, size: int) -> bool:
        """Tell whether the node counts this many nodes in the cluster."""
        return self.status("wsrep_cluster_size") == str(size)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds. Raises RuntimeError if the server ends, or after PATIENCE seconds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"node{self.number}: {(self.folder / 'log').read_text()[-6000:]}")
            time.sleep(0.05)

    def _make(self, folder: Path) -> None:
        folder.mkdir()
        if self.account:
            shutil.chown(folder, self.account)

    def _command(self, program: str, *arguments: str) -> list[str]:
        path = found(program)
        assert path is not None, f"{program} is not installed: Debian's package {MARIADB.package} has it"
        return [path, f"--defaults-file={self.folder}/my.cnf", *arguments]

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            self._command(program, *arguments), cwd=self.folder, user=self.account, capture_output=True, text=True
        )
        said = done.stdout + done.stderr
        if done.returncode:
            raise RuntimeError(f"{program} failed: {said}")
        return said


@contextmanager
def cluster(size: int = 3) -> Iterator[list[Node]]:
    """Start a cluster of this many nodes, each with its own folder and port. Kill the nodes at the end."""
    if not PROVIDER.exists():
        raise RuntimeError(f"{PROVIDER} is not there: install Debian's packages mariadb-server, galera-4 and rsync.")
    folder = Path(tempfile.mkdtemp(prefix="twotoken-galera-"))
    folder.chmod(0o755)
    nodes = [Node(number, folder) for number in range(1, size + 1)]
    members = ",".join(f"127.0.0.1:{node.group_port}" for node in nodes)
    try:
        for node in nodes:
            node.configure(members)
        first = nodes[0]
        first.install()
        first.start("--wsrep-new-cluster")
        first.wait(first.is_synced)
        execute(first.url(waits=False, name="mysql"), f"CREATE DATABASE {NAME}")
        first.execute("CREATE TABLE held (id BIGINT AUTO_INCREMENT PRIMARY KEY, node TEXT)")
        first.execute(HOLD)
        for node in nodes[1:]:
            node.start()
            node.wait(node.is_synced)
        yield nodes
    finally:
        for node in nodes:
            node.stop()
        shutil.rmtree(folder)


_alias: ContextVar[str] = ContextVar("alias", default="node1")


class Router:
    """A database router that makes the ORM of this process use the node that ``at`` names, or else the first node."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read from the node that ``at`` names."""
        return _alias.get()

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Write to the node that ``at`` names."""
        return _alias.get()

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        """Treat rows of all nodes as rows of one database."""
        return True


@contextmanager
def at(node: Node, *, waits: bool = True) -> Iterator[None]:
    """Make the ORM of this thread use a node. With ``waits``, reads wait for the writes of other nodes."""
    token = _alias.set(f"node{node.number}" + ("" if waits else "-at-once"))
    try:
        yield
    finally:
        _alias.reset(token)


def wait_for_all(nodes: list[Node]) -> None:
    """Wait until each node has all writes of the others."""
    for node in nodes:
        execute(node.url(waits=True), "SELECT 1")


@contextmanager
def in_reach(nodes: list[Node], isolation: str = READ_COMMITTED) -> Iterator[None]:
    """Connect the ORM of this process to the nodes, and create the tables of twotoken."""
    aliases = {
        f"node{node.number}{suffix}": configured(node.url(waits=waits), isolation, atomic=False)
        for node in nodes
        for suffix, waits in (("", True), ("-at-once", False))
    }
    made = connections.configure_settings({"default": {}, **aliases})
    connections.settings.update({alias: made[alias] for alias in aliases})
    try:
        with override_settings(DATABASE_ROUTERS=["tests.scale.galera.Router"]):
            call_command("migrate", database="node1", verbosity=0)
            yield
    finally:
        connections.close_all()
        for alias in aliases:
            del connections.settings[alias]
            with suppress(AttributeError):
                del connections[alias]
