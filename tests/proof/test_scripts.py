"""Scripts that share a session are killed at random, on a bad network. They log in once, and stay logged in."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from django.db import connections

from tests.factories import PASSWORD, UserFactory
from tests.proof.conftest import FULL, Tried
from tests.proof.databases import database
from tests.proof.servers import BODY, Service, in_reach
from twotoken.contrib.requests import FileStore, TokenAuth
from twotoken.models import RefreshToken
from twotoken.testing import LossyProxy

SCRIPTS = 8
THREADS = 13  # of each: 104 together
SECONDS = 90 if FULL else 5
SERVERS = 4 if FULL else 2
ACCESS_SECONDS = 6
KILL_SECONDS = (0.3, 1.5)  # between two kills
REFUSED_ONE_IN = 8
MANNERS = ["usual", "hasty", "bound"] if FULL else ["hasty", "bound"]
KINDS = ["httpx", "requests", "async"]
Answered = tuple[int, list[tuple[str, str]], bytes]


class BadNetwork(LossyProxy):
    """A proxy that loses every fifth answer, and refuses some access tokens, but refuses no request twice.

    It lets one refresh pass at a time, so no refresh arrives late. A refresh that arrives when its client has dropped
    the key would look like a theft, which is not the subject of this test.
    """

    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.in_turn = Lock()
        self.tokens: set[str] = set()
        self.refused: set[str] = set()

    def forward(self, request: BaseHTTPRequestHandler, body: bytes) -> Answered:
        if request.path.endswith("/refresh/"):
            with self.in_turn:
                return super().forward(request, body)
        if self.refuses(request.headers.get("X-Request"), request.headers.get("Authorization", "")):
            return 401, [("Content-Type", "application/json")], b"{}"
        return super().forward(request, body)

    def refuses(self, request: str | None, token: str) -> bool:
        """Tell whether to refuse a script's request. A request that was refused once is not refused again."""
        if request is None or request in self.refused:
            return False
        if random.randrange(REFUSED_ONE_IN) == 0:
            self.tokens.add(token)
        if token not in self.tokens:
            return False
        self.refused.add(request)
        return True


class Scripts:
    """Processes of ``tests.proof.script`` that share a session file."""

    def __init__(self, kinds: list[str], url: str, user: Any, folder: Path) -> None:
        self.kinds, self.url, self.folder = kinds, url, folder
        self.credentials = json.dumps({user.USERNAME_FIELD: user.get_username(), "password": PASSWORD})
        self.store = folder / "session"
        self.errors = folder / "errors"
        self.processes: list[subprocess.Popen[str]] = []
        self.killed = 0

    def start(self, number: int) -> subprocess.Popen[str]:
        """Start one process."""
        kind = self.kinds[number % len(self.kinds)]
        command = [sys.executable, "-m", "tests.proof.script", kind, self.url, str(self.store), f"{THREADS}"]
        with self.errors.open("a") as errors:
            process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdin is not None
        process.stdin.write(self.credentials + "\n")
        process.stdin.flush()
        return process

    def start_all(self) -> None:
        """Start all processes at once, and wait until the first one has a good answer."""
        self.processes = [self.start(number) for number in range(SCRIPTS)]
        assert self.processes[0].stdout is not None
        assert self.processes[0].stdout.readline() == "ready\n", self.errors.read_text()

    def kill_some(self) -> None:
        """For some seconds, kill one process after the other with ``kill -9``, and start it again."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(random.uniform(*KILL_SECONDS))
            number = random.randrange(SCRIPTS)
            self.processes[number].kill()
            self.processes[number].communicate()
            self.killed += 1
            self.processes[number] = self.start(number)

    def finish(self) -> None:
        """Tell all processes to stop, and wait for them."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None  # or communicate() would want it
        outputs = [process.communicate(timeout=120)[0] for process in self.processes]
        assert [output.endswith("done\n") for output in outputs] == [True] * SCRIPTS, self.errors.read_text()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Service]:
    """Serve twotoken on PostgreSQL, with access tokens that live for seconds."""
    with (
        django_db_blocker.unblock(),
        database("postgresql", tmp_path_factory.mktemp("database")) as made,
        in_reach(made),
    ):
        folder = tmp_path_factory.mktemp("service")
        server = Service(made, folder, atomic=False, processes=SERVERS, PROOF_ACCESS_SECONDS=str(ACCESS_SECONDS))
        server.start()
        yield server
        server.stop()
        assert server.errors() == ""


@pytest.mark.parametrize("manner", MANNERS)
def test_scripts_that_are_killed(
    service: Service, tmp_path: Path, manner: str, tried: Tried, django_db_blocker: Any
) -> None:
    """Eight processes with a hundred threads are killed at random. They log in once, and only a logout ends the family.

    ``manner`` says whether each refresh rotates (hasty), or the family is bound to a key (bound), or neither.
    A login whose answer is lost is repeated.
    """
    with django_db_blocker.unblock():
        user: Any = UserFactory()
        with BadNetwork(f"http://127.0.0.1:{service.port}") as network:
            scripts = Scripts([f"{manner}-{kind}" for kind in KINDS], network.url, user, tmp_path)
            scripts.start_all()
            scripts.kill_some()
            scripts.finish()
            held_to(network.url, scripts.store)
        assert scripts.errors.read_text() == ""
        logins, lost = network.requests[f"{BODY}login/"], network.lost[f"{BODY}login/"]
        assert logins == 1 + lost  # a login whose answer is lost has to be repeated
        families: list[Any] = list(RefreshToken.objects.filter(user=user).order_by("-generation"))
        assert len(families) == logins
        assert all(bool(family.device_key) == (manner == "bound") for family in families)
        assert [family.revoked_reason for family in families] == ["logout", *[""] * lost]
        connections.close_all()
    rotations, refreshes = families[0].generation, network.requests[f"{BODY}refresh/"]
    assert rotations > 0
    tried(f"refreshes of {manner} scripts in {SCRIPTS} processes", refreshes)
    tried("answers to them that were lost", network.lost[f"{BODY}refresh/"])
    tried("rotations of them", rotations)
    tried("requests of scripts", network.requests["/api/stateless/"])
    tried("their tokens that were refused early", len(network.tokens))
    tried("scripts killed", scripts.killed)


def held_to(url: str, path: Path) -> None:
    """Assert that the session file has a refresh token that still works, and then log out."""
    store = FileStore(path)
    auth = TokenAuth(f"{url}{BODY}", store=store)
    store.save(replace(store.load(), access=""))
    assert auth.access_token()
    auth.logout()
