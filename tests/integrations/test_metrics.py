"""The docs' receivers count logins, refreshes, refusals and more, for Prometheus and for OpenTelemetry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import AppConfig
from django.dispatch import Signal
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.factories import PASSWORD
from tests.http import Caller
from tests.integrations.pages import PAGES, block, module_of
from tests.overrides import with_settings
from twotoken import exceptions, families, signals
from twotoken.models import RevokedReason

PAGE = "../how-to/metrics"
TEXT = (PAGES / f"{PAGE}.md").read_text()
SIGNALS = [signal for signal in vars(signals).values() if isinstance(signal, Signal)]
# What ``live`` does, as the counters of both packages show it.
EXPECTED = {
    ("logins", ()): 3,
    ("refreshes", ()): 2,
    ("retries", ()): 1,
    ("reuse", ()): 1,
    ("wrong_device", ()): 1,
    ("revocations", ("reuse",)): 1,
    ("revocations", ("admin",)): 1,
    ("refusals", ("401", "token_not_valid", "reused")): 1,
    ("refusals", ("401", "token_not_valid", "wrong_device")): 1,
    ("refusals", ("401", "no_active_account", "")): 2,
    ("refusals", ("429", "throttled", "")): 1,
    ("refusals", ("400", "", "")): 1,
}


@pytest.fixture
def _no_receivers_left() -> Iterator[None]:
    """Disconnect the receivers that the docs' module has connected."""
    before = {signal: list(signal.receivers) for signal in SIGNALS}
    yield
    for signal, receivers in before.items():
        signal.receivers = receivers
        signal.sender_receivers_cache.clear()


def live(script: Caller) -> None:
    """Log in, refresh, retry, reuse a token, and do all else that EXPECTED counts."""
    key = "a-key-of-some-length"
    r0 = script.log_in().json()["refresh"]
    r1 = script.refresh(r0, key).json()["refresh"]
    assert script.refresh(r0, key, REMOTE_ADDR="192.0.2.7").status_code == 200
    assert script.refresh(r1).status_code == 200
    assert script.refresh(r0).json()["reason"] == "reused"
    bound = families.start(script.user, device_key="dpop:a key")
    assert script.refresh(bound.refresh).json()["reason"] == "wrong_device"
    families.revoke(families.start(script.user).family_id)
    assert script.send("refresh/", {}).status_code == 400
    with with_settings(LOGIN_THROTTLE="2/min"):
        for _ in range(3):
            script.send("login/", {script.user.USERNAME_FIELD: "nobody", "password": PASSWORD})


@pytest.mark.django_db
@pytest.mark.usefixtures("_no_receivers_left")
def test_prometheus(script: Caller, rf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The docs' Prometheus view shows each counter with its labels, from a folder that processes can share."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    module = module_of(PAGE, "prometheus_client", "accounts.metrics")
    live(script)
    response = module.metrics(rf.get("/metrics/"))
    assert response["Content-Type"].startswith("text/plain")
    lines = re.findall(r"^twotoken_(\w+)_total(?:\{(.*)\})? (\S+)$", response.content.decode(), re.MULTILINE)
    assert lines
    found: dict[tuple[str, tuple[str, ...]], float] = {}
    for name, labels, value in lines:
        order = {"revocations": ["reason"], "refusals": ["status", "code", "reason"]}.get(name, [])
        values = dict(re.findall(r'(\w+)="(.*?)"', labels))
        assert set(values) == set(order)
        found[name, tuple(values[label] for label in order)] = float(value)
    assert found == EXPECTED


@pytest.mark.django_db
@pytest.mark.usefixtures("_no_receivers_left")
def test_opentelemetry(script: Caller) -> None:
    """A reader of OpenTelemetry's SDK gets each counter of the docs with its attributes."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
    module_of(PAGE, "get_meter", "accounts.metrics")
    live(script)
    data: Any = reader.get_metrics_data()
    found = {
        (metric.name.removeprefix("twotoken."), tuple(map(str, point.attributes.values()))): point.value
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
    }
    assert found == EXPECTED


def test_the_app_imports_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The docs' AppConfig imports ``accounts.metrics`` in ``ready``."""
    names: dict[str, Any] = {}
    exec(block(PAGE, "AccountsConfig"), names)  # noqa: S102 - our own docs
    imported: list[str] = []
    monkeypatch.setitem(names, "import_module", imported.append)
    config: AppConfig = names["AccountsConfig"]("accounts", __import__("tests.accounts", fromlist=["models"]))
    config.ready()
    assert imported == ["accounts.metrics"]


def test_the_alerts() -> None:
    """The docs' alert rules use only metrics, codes and reasons that exist, and the docs explain each rule."""
    rules = block(PAGE, "alert:", "yaml")
    described = set(re.findall(r"^\| `(twotoken_\w+)` \|", TEXT, re.MULTILINE))
    assert {f"twotoken_{name}_total" for name, _ in EXPECTED} == described
    assert set(re.findall(r"twotoken_\w+", rules)) <= described
    codes = {value.code for value in vars(exceptions).values() if hasattr(value, "code")} | {"throttled"}
    assert set(re.findall(r'code="(\w+)"', rules)) <= codes
    assert set(re.findall(r'reason="(\w+)"', rules)) <= set(RevokedReason.values)
    alerts = re.findall(r"alert: (\w+)", rules)
    assert re.findall(r"^\| `([A-Z]\w+)` \|", TEXT, re.MULTILINE) == alerts
