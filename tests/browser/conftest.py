"""Fixtures of the browser tests: a server in its own process, and Chromium."""

from __future__ import annotations

import base64
import hashlib
import http.client
import ipaddress
import json
import os
import shutil
import sqlite3
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.sync_api import Browser, BrowserContext, Playwright, expect, sync_playwright

from tests.server import Gunicorn

PASSWORD = "a password for the browser"
# One process prepares the database for its first request, because Django takes a second to start.
PREPARE = """
import os
import django; django.setup()
from django.core.management import call_command
from django.db import connections
call_command("migrate", verbosity=0)
for name in ("demo", "admin"):
    call_command("createsuperuser", interactive=False, username=name, email=f"{name}@example.com", verbosity=0)
from django.contrib.auth.models import User
User.objects.create_user("ann", password=os.environ["VICTIM_PASSWORD"])
connections.close_all()
"""
expect.set_options(timeout=15_000)  # milliseconds; the machine may be busy with other tests
REFUSED = "the server responded with a status of 401"  # Chromium calls each an error
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def settings_for(database: Path) -> dict[str, str]:
    """Return the environment of a server that uses this database."""
    return {
        "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
        "DATABASE_URL": f"sqlite:///{database}",
        "DJANGO_SECRET_KEY": "a key that is for the browser tests only",
        "JWT_ACCESS_SECRET": "access secret of the browser tests, thirty-two bytes and more",
        "JWT_REFRESH_SECRET": "refresh secret of the browser tests, thirty-two bytes and more",
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        "VICTIM_PASSWORD": PASSWORD,
    }


@cache
def prepared_database() -> bytes:
    """Return a database with the tables and the users ``demo``, ``admin`` and ``ann``. Servers copy it."""
    with TemporaryDirectory() as folder:
        database = Path(folder, "prepared.sqlite3")
        subprocess.run([sys.executable, "-c", PREPARE], env={**os.environ, **settings_for(database)}, check=True)
        return database.read_bytes()


class Server(Gunicorn):
    """The example project in its own process, with its own database and a port that stays the same."""

    tls: ssl.SSLContext | None = None

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.database = folder / "server.sqlite3"
        environment = {**settings_for(self.database), **environment}
        arguments = "-w", "1", "--threads", "16", "--keep-alive", "1", *arguments
        super().__init__("tests.browser.wsgi", *arguments, environment=environment)
        self.url = f"http://127.0.0.1:{self.port}"
        self.database.write_bytes(prepared_database())

    def manage(self, *arguments: str) -> str:
        """Run a management command on the server's database, and return what it prints."""
        command = [sys.executable, "-m", "django", *arguments]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def wait(self) -> None:
        """Wait until the process has ended."""
        self.process.wait(20)

    def faults(self, *faults: dict[str, Any]) -> None:
        """Set these faults in the server, and reset the counts of calls."""
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
        with closing(sqlite3.connect(self.database, timeout=20)) as connection, connection:
            return connection.execute(query, parameters).fetchall()

    def clear(self) -> None:
        """Delete all token families, set the users' e-mail addresses back, and end all faults.

        It uses SQL, because a management command would take a second.
        """
        self.rows("DELETE FROM twotoken_familyevent")
        self.rows("DELETE FROM twotoken_refreshtoken")
        self.rows("UPDATE auth_user SET email = username || '@example.com'")
        self.faults()


class Certificate(NamedTuple):
    """A self-signed certificate for this machine. Chromium trusts it because of ``digest``, the digest of its key."""

    certificate: Path
    key: Path
    digest: str


class SecureServer(Server):
    """The example project, served over TLS."""

    def __init__(self, folder: Path, certificate: Certificate, **environment: str) -> None:
        files = "--certfile", str(certificate.certificate), "--keyfile", str(certificate.key)
        super().__init__(folder, *files, **environment)
        self.tls = ssl.create_default_context(cafile=str(certificate.certificate))
        self.url = f"https://localhost:{self.port}"

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPSConnection("localhost", self.port, timeout=30, context=self.tls)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of all tests that need TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.serial_number(x509.random_serial_number())
    made = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    public = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    folder = tmp_path_factory.mktemp("tls")
    found = Certificate(
        folder / "certificate.pem",
        folder / "key.pem",
        base64.b64encode(hashlib.sha256(key.public_key().public_bytes(*public)).digest()).decode(),
    )
    found.certificate.write_bytes(made.public_bytes(pem))
    found.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return found


@pytest.fixture(scope="session")
def server_with(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Return a function that finds or starts a server with an environment, and clears it: tests share servers."""
    servers: dict[frozenset[tuple[str, str]], Server] = {}

    def find(**environment: str) -> Server:
        key = frozenset(environment.items())
        if key not in servers:
            server = servers[key] = Server(tmp_path_factory.mktemp("server"), **environment)
            server.start()
        servers[key].clear()
        return servers[key]

    yield find
    for server in servers.values():
        server.stop()


def chromium_path() -> str:
    """Return the path of the system's Chromium, or fail the test if there is no Chromium."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "Install Chromium, or name it in CHROMIUM."
    return path


@contextmanager
def running_chromium(*arguments: str) -> Iterator[Browser]:
    """Run the system's Chromium. Meanwhile this thread has an event loop, so Django's ORM refuses to work here."""
    with sync_playwright() as playwright, launched(playwright, *arguments) as browser:
        yield browser


@contextmanager
def launched(playwright: Playwright, *arguments: str) -> Iterator[Browser]:
    """Run the system's Chromium with a running Playwright, because a thread can have only one Playwright."""
    browser = playwright.chromium.launch(executable_path=chromium_path(), args=[*CHROMIUM_ARGUMENTS, *arguments])
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    """The Playwright that runs all browsers of a test run."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(driver: Playwright) -> Iterator[Browser]:
    """One Chromium for all tests."""
    with launched(driver) as browser:
        yield browser


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A new browser profile. Its tabs share cookies and storage."""
    context = chromium.new_context()
    yield context
    context.close()


@pytest.fixture
def complaints(context: BrowserContext) -> Iterator[list[str]]:
    """Collect Chromium's error messages, also about the Content-Security-Policy. At the end the list must be empty."""
    found: list[str] = []
    context.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: found.append(str(error.error)))
    yield found
    assert [text for text in found if REFUSED not in text] == []
