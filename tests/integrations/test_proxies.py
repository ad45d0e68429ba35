"""Runs ``twotoken_doctor`` on nginx with gunicorn or uvicorn: on the docs' set-ups, and on set-ups with mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from tests.integrations.conftest import NAME, PASSWORD
from tests.integrations.nginx import Nginx
from tests.integrations.pages import settings_of
from tests.integrations.servers import Served, Uvicorn
from tests.settings import REST_FRAMEWORK
from tests.tls import make_certificate

PAGE = settings_of("../how-to/proxies", "NUM_PROXIES", REST_FRAMEWORK=dict(REST_FRAMEWORK))
GOOD = {
    "SECURE_PROXY_SSL_HEADER": PAGE["SECURE_PROXY_SSL_HEADER"],
    "REST_FRAMEWORK": PAGE["REST_FRAMEWORK"],
    # The tests' project publishes its keys without an issuer, and keeps its mails in memory.
    "SILENCED_SYSTEM_CHECKS": ["twotoken.W012", "mail.E001"],
}
FORCED = {**GOOD, "FORCE_SCRIPT_NAME": "/shop"}
LOCATION = "location / {"
PASS = "proxy_pass http://127.0.0.1:8000;"
KEEPS = {LOCATION: "location /shop/ {"}
STRIPS = {**KEEPS, PASS: "proxy_pass http://127.0.0.1:8000/;"}


@dataclass(frozen=True)
class SetUp:
    """A server, its Django settings, changes of the nginx configuration, and the doctor's probes that find a fault."""

    kind: type[Served]
    settings: dict[str, Any] = field(default_factory=lambda: GOOD)
    nginx: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    path: str = "/api/auth/"
    faults: tuple[str, ...] = ()
    remedy: str = ""


SHOP = "/shop/api/auth/"
ALONE = {"SILENCED_SYSTEM_CHECKS": GOOD["SILENCED_SYSTEM_CHECKS"]}
UNTRUSTED = ("address", "client address", "htu")
NO_HOST = {"proxy_set_header Host $http_host;": ""}
SET_UPS: dict[str, SetUp] = {
    "gunicorn": SetUp(Served),
    "gunicorn, prefix stripped and told": SetUp(Served, FORCED, STRIPS, path=SHOP),
    "gunicorn, prefix kept": SetUp(Served, GOOD, KEEPS, environment={"SCRIPT_NAME": "/shop"}, path=SHOP),
    "uvicorn": SetUp(Uvicorn),
    "uvicorn, prefix stripped and told": SetUp(Uvicorn, GOOD, STRIPS, ("--root-path", "/shop"), path=SHOP),
    "uvicorn, prefix kept": SetUp(Uvicorn, FORCED, KEEPS, path=SHOP),
    "gunicorn, nothing trusted": SetUp(Served, ALONE, faults=UNTRUSTED, remedy="set SECURE_PROXY_SSL_HEADER"),
    "uvicorn, nothing trusted": SetUp(Uvicorn, ALONE, faults=UNTRUSTED, remedy="set SECURE_PROXY_SSL_HEADER"),
    "gunicorn, Host lost": SetUp(
        Served, nginx=NO_HOST, faults=("address", "htu"), remedy="proxy_set_header Host $http_host"
    ),
    "uvicorn, Host lost": SetUp(
        Uvicorn, nginx=NO_HOST, faults=("address", "htu"), remedy="proxy_set_header Host $http_host"
    ),
    "gunicorn, prefix stripped": SetUp(
        Served, GOOD, STRIPS, path=SHOP, faults=("cookie", "htu"), remedy="FORCE_SCRIPT_NAME = '/shop'"
    ),
    "uvicorn, prefix stripped": SetUp(
        Uvicorn, GOOD, STRIPS, path=SHOP, faults=("cookie", "htu"), remedy="--root-path /shop"
    ),
}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TLS certificate for this machine."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def behind(
    serve: Callable[..., Served], certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[SetUp], int]]:
    """A function that starts a server behind nginx. Set-ups with equal server options share one server."""
    servers: dict[str, Served] = {}
    proxies: list[Nginx] = []

    def make(set_up: SetUp) -> int:
        key = repr((set_up.kind, set_up.settings, set_up.arguments, set_up.environment))
        if key not in servers:
            servers[key] = serve(set_up.kind, *set_up.arguments, settings=set_up.settings, **set_up.environment)
        proxy = Nginx(tmp_path_factory.mktemp("nginx"), certificate, servers[key].port, set_up.nginx)
        proxies.append(proxy)
        proxy.start()
        return proxy.port

    yield make
    for proxy in proxies:
        proxy.stop()


@pytest.mark.usefixtures("in_reach")
@pytest.mark.parametrize("name", SET_UPS)
def test_a_set_up(
    name: str,
    behind: Callable[[SetUp], int],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``twotoken_doctor`` finds no fault in the docs' set-ups. For each mistake it names the faults and the remedy."""
    set_up, out = SET_UPS[name], StringIO()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("TWOTOKEN_DOCTOR_PASSWORD", PASSWORD)
    url = f"https://localhost:{behind(set_up)}{set_up.path}"
    with override_settings(ROOT_URLCONF="tests.integrations.urls", **set_up.settings), suppress(CommandError):
        call_command("twotoken_doctor", "--json", "--user", NAME, "--url", url, stdout=out)
    found = [each for each in json.loads(out.getvalue())["findings"] if each["status"] == "wrong"]
    assert tuple(each["probe"] for each in found) == set_up.faults, found
    assert not found or set_up.remedy in found[0]["remedy"]
    if "client address" in set_up.faults:
        assert "NUM_PROXIES" in found[1]["remedy"]
