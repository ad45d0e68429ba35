"""The served project, its clients, and helpers for its database."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar

import jwt
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from tests.factories import PASSWORD, UserFactory
from tests.jar import COOKIE as REFRESH_COOKIE
from tests.proof.databases import Database
from tests.proof.settings import READ_COMMITTED, configured
from tests.proofs import Device
from tests.server import Gunicorn
from twotoken import families
from twotoken.models import RefreshToken

T = TypeVar("T")

ALIAS = "proof"
PROCESSES, THREADS, CONNECTIONS = 8, 4, 64
BODY, COOKIE = "/api/app/auth/", "/api/auth/"


class Router:
    """A database router that makes the ORM of this process use the service's database."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read from the service's database."""
        return ALIAS

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Write to the service's database."""
        return ALIAS


@contextmanager
def within_reach(url: str, isolation: str = READ_COMMITTED) -> Iterator[None]:
    """Make the ORM of this process use a database, in all threads."""
    values = configured(url, isolation, atomic=False)
    connections.settings[ALIAS] = connections.configure_settings({"default": values})["default"]
    try:
        with override_settings(DATABASE_ROUTERS=["tests.proof.servers.Router"]):
            yield
    finally:
        connections.close_all()
        del connections.settings[ALIAS], connections[ALIAS]


@contextmanager
def in_reach(database: Database, isolation: str = READ_COMMITTED) -> Iterator[None]:
    """Make the ORM of this process use a database, and create the tables in it."""
    with within_reach(database.url, isolation):
        call_command("migrate", database=ALIAS, verbosity=0)
        yield


@dataclass(frozen=True)
class Answer:
    """The answer to a request. ``token`` is the refresh token in the body or the cookie; empty if there is no token."""

    status: int
    body: Any
    token: str = ""

    @property
    def reason(self) -> str:
        """The reason why a token was refused."""
        return str(self.body["reason"])


class Connection:
    """A client's HTTP connection, which is kept alive."""

    def __init__(self, port: int, statuses: Counter[int]) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.statuses = statuses

    def post(self, path: str, data: Any = None, **headers: str) -> Answer:
        """POST JSON, and count the answer by its status."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.http.request("POST", path, json.dumps(data), {"Content-Type": "application/json", **headers})
        response = self.http.getresponse()
        status, body = response.status, json.loads(response.read() or b"null")
        self.statuses[status] += 1
        cookies: SimpleCookie = SimpleCookie()
        for header in response.headers.get_all("Set-Cookie", []):
            cookies.load(header)
        token = cookies[REFRESH_COOKIE].value if REFRESH_COOKIE in cookies else (body or {}).get("refresh", "")
        return Answer(status, body, token)

    def get(self, path: str, access: str) -> Answer:
        """GET with an access token."""
        self.http.request("GET", path, headers={"Authorization": f"Bearer {access}"})
        response = self.http.getresponse()
        self.statuses[response.status] += 1
        return Answer(response.status, json.loads(response.read()))

    def refresh(self, token: str, key: str = "", device: Device | None = None) -> Answer:
        """Refresh as a script does, with a new proof if there is a device."""
        headers = {"Idempotency_Key": key} if key else {}
        if device is not None:
            headers["DPoP"] = device.proof(f"{BODY}refresh/")
        return self.post(f"{BODY}refresh/", {"refresh": token}, **headers)

    def log_out(self, token: str) -> Answer:
        """Log out as a script does."""
        return self.post(f"{BODY}logout/", {"refresh": token})


class Service(Gunicorn):
    """A server of the tests' project on a database, by default with eight processes of four threads each."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        isolation: str = READ_COMMITTED,
        atomic: bool,
        processes: int = PROCESSES,
        threads: int = THREADS,
        **variables: str,
    ) -> None:
        self.database = database
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.proof.settings",
            "DATABASE_URL": database.url,
            "PROOF_ISOLATION": isolation,
            "TMPDIR": str(folder),
            **({"PROOF_ATOMIC_REQUESTS": "1"} if atomic else {}),
            **variables,
        }
        self.access_log = folder / "access.log"
        arguments = [
            *("-w", str(processes), "-k", "gthread", "--threads", str(threads), "--preload", "--keep-alive", "75"),
            *("--graceful-timeout", "1"),
            *("--access-logfile", str(self.access_log), "--log-level", "error"),
            *("--access-logformat", "%(p)s %({Idempotency-Key}i)s"),
        ]
        super().__init__("tests.wsgi", *arguments, environment=environment, log=folder / "error.log")

    def kill(self) -> None:
        """Send ``kill -9`` to all processes of the server at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def processes(self) -> int:
        """Return how many processes of the server have answered requests."""
        return len({line.split()[0] for line in self.access_log.read_text().splitlines()})

    def answered(self, key: str) -> int:
        """Return how many requests with this Idempotency-Key are finished, even if the client had hung up."""
        return [line.split()[1] for line in self.access_log.read_text().splitlines()].count(key)

    def errors(self) -> str:
        """Return the server's error log."""
        return self.log.read_text()


class Crowd:
    """Many connections, with a thread for each. It counts every answer by its status."""

    def __init__(self, port: int, size: int = CONNECTIONS) -> None:
        self.statuses: Counter[int] = Counter()
        self.connections = [Connection(port, self.statuses) for _ in range(size)]
        self.pool = ThreadPoolExecutor(size)

    def at_once(self, call: Callable[[Connection, int], T], size: int | None = None) -> list[T]:
        """Call a function with each connection (or the first few) and its number, all at the same moment."""
        size = size or len(self.connections)
        start = Barrier(size)

        def run(number: int) -> T:
            start.wait(60)
            try:
                return call(self.connections[number], number)
            finally:
                connections.close_all()

        return list(self.pool.map(run, range(size)))

    def close(self) -> None:
        """Close the connections."""
        self.pool.shutdown()
        for connection in self.connections:
            connection.http.close()


def new_user() -> Any:
    """Create a user of the service."""
    return UserFactory()


def live_a_session(client: Connection, user: Any) -> int:
    """Log in, use the tokens, and log out. Return the number of refreshes."""
    steps = 5
    pair = client.post(f"{BODY}login/", {"username": user.get_username(), "password": PASSWORD})
    for step in range(steps):
        pair = client.refresh(pair.token, f"key-of-step-{step}")
        assert client.get("/api/revocable/", pair.body["access"]).status == 200
    assert client.log_out(pair.token).status == 204
    assert client.refresh(pair.token).reason == "revoked"
    return steps


def start_family(user: Any = None, *, is_browser: bool = False, device: Device | None = None) -> str:
    """Start a family, which may be bound to a device. Return its first refresh token."""
    device_key = "" if device is None else device.device_key
    return families.start(user or new_user(), is_browser=is_browser, device_key=device_key).refresh


def claims_of(token: str) -> Any:
    """Return the claims of a refresh token, without verifying it."""
    return jwt.decode(token, options={"verify_signature": False})


def row(token: str) -> RefreshToken:
    """Return the row of a refresh token's family."""
    return RefreshToken.objects.get(pk=claims_of(token)["sid"])
