"""A real server process, and a real Chromium."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.server import Gunicorn

PASSWORD = "a password for the browser"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Server(Gunicorn):
    """The example in its own process, with its own database, at a port that stays the same."""

    tls: ssl.SSLContext | None = None

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.database = folder / "server.sqlite3"
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
            "DATABASE_URL": f"sqlite:///{self.database}",
            "DJANGO_SECRET_KEY": "a key that is for the browser tests only",
            "JWT_ACCESS_SECRET": "access secret of the browser tests, thirty-two bytes and more",
            "JWT_REFRESH_SECRET": "refresh secret of the browser tests, thirty-two bytes and more",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            **environment,
        }
        arguments = "-w", "1", "--threads", "16", "--keep-alive", "1", *arguments
        super().__init__("tests.browser.wsgi", *arguments, environment=environment)
        self.url = f"http://127.0.0.1:{self.port}"
        self.manage("migrate", "-v0")
        for name in ("demo", "admin"):
            self.manage("createsuperuser", "--noinput", "--username", name, "--email", f"{name}@example.com")

    def manage(self, *arguments: str) -> str:
        """Run a management command on the server's database and return what it says."""
        command = [sys.executable, "-m", "django", *arguments]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def wait(self) -> None:
        """Wait until the process has ended."""
        self.process.wait(20)

    def faults(self, *faults: dict[str, Any]) -> None:
        """Set these faults, and count calls from now on."""
        body = json.dumps(faults).encode()
        request = urllib.request.Request(f"{self.url}/faults/", body)
        urllib.request.urlopen(request, timeout=10, context=self.tls).close()

    def calls(self) -> dict[str, int]:
        """Return how often each path was called since the last call of ``faults``."""
        with urllib.request.urlopen(f"{self.url}/faults/", timeout=10, context=self.tls) as response:
            calls: dict[str, int] = json.load(response)
        return calls

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        """Run a query on the server's database."""
        connection = sqlite3.connect(self.database, timeout=20)
        try:
            return connection.execute(query, parameters).fetchall()
        finally:
            connection.close()


@pytest.fixture(scope="session")
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start servers that are stopped at the end."""
    servers: list[Server] = []

    def make(**environment: str) -> Server:
        server = Server(tmp_path_factory.mktemp("server"), **environment)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.stop()


def chromium_path() -> str:
    """Return the path of the system's Chromium: without one the tests fail."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "Install Chromium, or name it in CHROMIUM."
    return path


@contextmanager
def running_chromium(*arguments: str) -> Iterator[Browser]:
    """Run the system's Chromium. Its thread has an event loop meanwhile, in which Django's ORM refuses to work."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=[*CHROMIUM_ARGUMENTS, *arguments])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser for all tests."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser profile of its own: tabs of it share cookies and storage."""
    context = chromium.new_context()
    yield context
    context.close()
