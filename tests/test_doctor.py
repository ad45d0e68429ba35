"""``manage.py twotoken_doctor``: broken set-ups, each of which it names with its remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings
from django.utils import timezone

from tests.factories import PASSWORD
from tests.proxy import Proxy, behind
from tests.tls import make_certificate
from twotoken import families
from twotoken.management.commands import twotoken_doctor
from twotoken.models import RefreshToken

pytestmark = pytest.mark.django_db(databases=["default", "replica"])

urlpatterns: list[Any] = []
PAGE = "https://localhost:5173"
CORS: dict[str, Any] = {
    "origin": PAGE,
    "credentials": True,
    "headers": ["Authorization", "Content-Type", "Idempotency-Key"],
    "methods": ["POST", "DELETE"],
    "exposed": ["Retry-After"],
    "only_preflight": False,
}
ONE_DATABASE = {name: value for name, value in settings.DATABASES.items() if name == "default"}
HEALTHY: dict[str, Any] = {
    "ROOT_URLCONF": "tests.doctor_urls",
    "ALLOWED_HOSTS": ["localhost", "127.0.0.1", "api.example.com"],
    "MIDDLEWARE": ["tests.cors.Cors", *settings.MIDDLEWARE],
    "TEST_CORS": CORS,
    "CSRF_TRUSTED_ORIGINS": [PAGE],
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
}


@dataclass
class Broken:
    """A set-up with a fault: what differs from the healthy one, the probe that finds it, and words of its remedy."""

    probe: str
    remedy: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    twotoken: Mapping[str, Any] = field(default_factory=dict)
    cors: Mapping[str, Any] = field(default_factory=dict)
    proxy: Proxy = field(default_factory=Proxy)
    url: str = "https://localhost:{port}/api/auth/"
    page: str = PAGE
    clock: timedelta = timedelta()
    http: bool = True

    @property
    def all_settings(self) -> dict[str, Any]:
        """The settings of this set-up."""
        changed = {"TEST_CORS": {**CORS, **self.cors}, "TWOTOKEN": {**settings.TWOTOKEN, **self.twotoken}}
        return {**HEALTHY, **changed, **self.settings}


class ReadsReplica:
    """Sends reads of families to the replica."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read families from the replica."""
        return "replica" if model is RefreshToken else "default"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Write to the default database."""
        return "default"


def count_families(user: Any, family: Any) -> dict[str, Any]:
    """Return claims that read the families of a user as a project may do it by mistake."""
    return {"sessions": RefreshToken.objects.filter(user_id=user.pk).count()}


def cache(kind: str) -> dict[str, Any]:
    """Return the setting of a cache."""
    return {"CACHES": {"default": {"BACKEND": f"django.core.cache.backends.{kind}"}}}


SHOP = "https://localhost:{port}/shop/api/auth/"
API = "https://api.example.com/api/auth/"
APP = {"CSRF_TRUSTED_ORIGINS": ["https://app.example.com", "https://app.example.net"]}
BROKEN = {
    "http and a Secure cookie": Broken(
        "cookie", "Use https.", url="http://api.example.com/api/auth/", page="http://api.example.com", http=False
    ),
    "a page on localhost and the API on 127.0.0.1": Broken(
        "cookie",
        f"open the page at {PAGE.replace('localhost', '127.0.0.1')}",
        url="https://localhost:{port}/api/auth/".replace("localhost", "127.0.0.1"),
    ),
    "a prefix that the proxy strips": Broken(
        "cookie", "FORCE_SCRIPT_NAME = '/shop'", url=SHOP, proxy=Proxy(strips="/shop")
    ),
    "a path that the proxy strips": Broken("reach", "pass on the path /api/auth/", proxy=Proxy(strips="/api")),
    "a scheme that is not trusted": Broken(
        "address", "set SECURE_PROXY_SSL_HEADER = ", settings={"SECURE_PROXY_SSL_HEADER": None}
    ),
    "a scheme that the proxy does not send": Broken("address", "X-Forwarded-Proto", proxy=Proxy(sends_scheme=False)),
    "a redirect to https for ever": Broken(
        "reach",
        "X-Forwarded-Proto",
        proxy=Proxy(sends_scheme=False),
        settings={
            "SECURE_SSL_REDIRECT": True,
            "MIDDLEWARE": ["django.middleware.security.SecurityMiddleware", *HEALTHY["MIDDLEWARE"]],
        },
    ),
    "a Host that the proxy loses": Broken("address", "proxy_set_header Host", proxy=Proxy(keeps_host=False)),
    "a Host that Django does not know": Broken(
        "reach", "ALLOWED_HOSTS", settings={"ALLOWED_HOSTS": ["localhost"]}, proxy=Proxy(keeps_host=False)
    ),
    "an origin that is not trusted": Broken("origin", "CSRF_TRUSTED_ORIGINS", settings={"CSRF_TRUSTED_ORIGINS": []}),
    "CORS without the origin": Broken("cors", "CORS_ALLOWED_ORIGINS", cors={"origin": "https://other.example.com"}),
    "CORS for every origin": Broken("cors", "CORS_ALLOW_ALL_ORIGINS to False", cors={"origin": "*"}),
    "CORS without credentials": Broken("cors", "CORS_ALLOW_CREDENTIALS", cors={"credentials": False}),
    "CORS without Idempotency-Key": Broken(
        "cors",
        "CORS_ALLOW_HEADERS to [*corsheaders.defaults.default_headers, 'idempotency-key']",
        cors={"headers": ["Authorization", "Content-Type"]},
    ),
    "CORS without DPoP": Broken(
        "cors",
        "'dpop'",
        twotoken={"DPOP": "optional"},
        settings={"SILENCED_SYSTEM_CHECKS": ["twotoken.W014"]},
        cors={"exposed": ["Retry-After", "DPoP-Nonce", "WWW-Authenticate", "Date"]},
    ),
    "CORS without Retry-After": Broken("cors", "CORS_EXPOSE_HEADERS", cors={"exposed": []}),
    "CORS without DELETE": Broken("cors", "CORS_ALLOW_METHODS", cors={"methods": ["POST"]}),
    "CORS below another middleware": Broken("cors", "CorsMiddleware first", cors={"only_preflight": True}),
    "a front end of another site": Broken(
        "cookie",
        "TWOTOKEN['COOKIE_SAMESITE'] to 'None'",
        url=API,
        page="https://app.example.net",
        http=False,
        settings=APP,
        cors={"origin": "https://app.example.net"},
    ),
    "a Domain of another host": Broken(
        "cookie",
        "COOKIE_DOMAIN",
        twotoken={"COOKIE_DOMAIN": "example.org"},
        settings={"SILENCED_SYSTEM_CHECKS": ["twotoken.W005"]},
    ),
    "a cache of each process": Broken(
        "twotoken.W006",
        "Use a shared cache",
        twotoken={"LOGIN_THROTTLE": "10/min"},
        settings=cache("locmem.LocMemCache"),
    ),
    "a cache that keeps nothing": Broken("cache", "Redis", settings=cache("dummy.DummyCache")),
    "a database whose clock is wrong": Broken("clock", "NTP", clock=timedelta(minutes=3)),
    "code that reads a replica": Broken(
        "replica",
        "RefreshToken.objects.primary()",
        twotoken={"ACCESS_CLAIMS": "tests.test_doctor.count_families"},
        settings={"DATABASE_ROUTERS": ["tests.test_doctor.ReadsReplica"]},
    ),
    "URLs that are not mounted": Broken(
        "mounts", "include('twotoken.urls')", settings={"ROOT_URLCONF": "tests.test_doctor"}
    ),
    "no secret": Broken("twotoken.E004", "generate_token_secrets", twotoken={"ACCESS_SECRET": None}),
    "a proxy without a server behind it": Broken(
        "reach", "the server behind the proxy", proxy=Proxy(status="502 Bad Gateway")
    ),
    "another server": Broken("reach", "correct --url", proxy=Proxy(status="200 OK")),
    "a redirect elsewhere": Broken(
        "reach",
        "Use the address that it redirects to",
        proxy=Proxy(status="301 Moved Permanently", headers=(("Location", "https://example.com/"),)),
    ),
}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@contextmanager
def served(broken: Broken, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make a set-up, and yield its URL."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with ExitStack() as stack:
        stack.enter_context(override_settings(**broken.all_settings))
        port = 0
        if broken.http:
            secured = certificate if broken.url.startswith("https") else None
            port = stack.enter_context(behind(broken.proxy, secured))
        if broken.clock:
            stack.enter_context(time_machine.travel(timezone.now() + broken.clock))
        yield broken.url.format(port=port)


def examine(*arguments: str) -> tuple[bool, list[dict[str, str]]]:
    """Run the command. Return whether all is well, and the findings."""
    out = StringIO()
    try:
        call_command("twotoken_doctor", "--json", *arguments, stdout=out)
    except CommandError as exc:
        assert str(exc).endswith("wrong.")  # noqa: PT017 - without an error all is well
    report = json.loads(out.getvalue())
    return report["ok"], report["findings"]


def faults(found: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Return the probes that found a fault, and their remedies."""
    return [(each["probe"], each["remedy"]) for each in found if each["status"] == "wrong"]


def test_a_healthy_set_up(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor finds no fault in a set-up behind a proxy, with a front end of another origin."""
    with served(Broken("", ""), certificate, monkeypatch) as url:
        is_well, found = examine("--url", url, "--front-end", PAGE)
    assert is_well
    assert faults(found) == []
    assert [each["probe"] for each in found] == [
        *("checks", "cache", "tables", "clock", "families", "mounts", "login", "replica"),
        *("reach", "server clock", "address", "cookie", "origin", "cors", "client address"),
    ]
    assert not RefreshToken.objects.exists()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_set_up(name: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor names the one fault of each set-up, and the setting that mends it."""
    broken = BROKEN[name]
    with served(broken, certificate, monkeypatch) as url:
        http = [] if broken.http else ["--no-http"]
        is_well, found = examine("--url", url, "--front-end", broken.page, *http)
    assert not is_well
    ((probe, remedy),) = faults(found)
    assert probe == broken.probe
    assert broken.remedy in remedy
