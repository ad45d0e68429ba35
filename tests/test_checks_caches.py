"""What ``manage.py check`` says about the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from tests.overrides import with_settings
from tests.test_checks import GOOD, ids
from twotoken import checks

# Django asks a MariaDB for its version when it checks the fields of models.
pytestmark = pytest.mark.django_db(databases=["default", "replica"])


@pytest.mark.parametrize(
    ("backend", "options", "said"),
    [
        ("django.core.cache.backends.dummy.DummyCache", {}, "a DummyCache, which keeps nothing"),
        ("django.core.cache.backends.locmem.LocMemCache", {}, "a LocMemCache, which each process has for itself"),
        ("tests.test_throttling.Places", {}, "a LocMemCache, which each process has for itself"),
        (
            "django.core.cache.backends.filebased.FileBasedCache",
            {},
            "a FileBasedCache, which counts requests that run at once as one",
        ),
        (
            "django.core.cache.backends.db.DatabaseCache",
            {"MAX_ENTRIES": 9_999},
            "a DatabaseCache, which drops counts when it is full",
        ),
        ("django.core.cache.backends.db.DatabaseCache", {"MAX_ENTRIES": 10_000}, ""),
        ("django.core.cache.backends.memcached.PyMemcacheCache", {}, ""),
    ],
)
def test_where_the_throttles_count(tmp_path: Path, backend: str, options: dict[str, int], said: str) -> None:
    """If a throttle is on, W006 reports a cache class that can't count for all processes, or a subclass of it."""
    cache = {"BACKEND": backend, "LOCATION": str(tmp_path), "OPTIONS": options}
    on, off = ({**GOOD, "LOGIN_THROTTLE": rate, "REFRESH_THROTTLE": None} for rate in ("1/s", None))
    with override_settings(CACHES={"default": cache}, TWOTOKEN=on):
        found = list(checks.check_deployed_cache(None))
    assert [(message.id, message.msg) for message in found] == [
        ("twotoken.W006", f"twotoken's throttles count in {said}.")
    ] * bool(said)
    with override_settings(CACHES={"default": cache}, TWOTOKEN=off):
        assert not list(checks.check_deployed_cache(None))


@pytest.mark.parametrize(
    ("backend", "options", "said"),
    [
        ("dummy.DummyCache", {}, "DummyCache, which remembers nothing, so a proof can be used again"),
        (
            "locmem.LocMemCache",
            {},
            "LocMemCache, which each process has for itself, so a proof can be used once in each",
        ),
        ("filebased.FileBasedCache", {}, "FileBasedCache, which may accept a proof twice if both requests run at once"),
        ("db.DatabaseCache", {}, "DatabaseCache, which forgets proofs when it is full"),
        ("db.DatabaseCache", {"OPTIONS": {"MAX_ENTRIES": 10_000}}, ""),
        ("redis.RedisCache", {}, ""),
    ],
)
def test_the_cache_of_proofs(backend: str, options: dict[str, Any], said: str) -> None:
    """W014 reports a cache that can forget used DPoP proofs, if DPOP or DPOP_ACCESS is set and DPOP is not ``off``."""
    cache = {"BACKEND": f"django.core.cache.backends.{backend}", "LOCATION": "/tmp/proofs", **options}  # noqa: S108
    with override_settings(CACHES={"default": cache}):
        for values, speaks in (({"DPOP": "optional"}, True), ({"DPOP_ACCESS": False}, True), ({"DPOP": "off"}, False)):
            with with_settings(**values):
                found = [message.msg for message in checks.check_deployed_proofs(None)]
                wanted = [f"The DPoP proofs that were used are remembered in a {said}."] if said and speaks else []
                assert found == wanted
        assert not list(checks.check_deployed_proofs(None))


def test_a_cache_of_proofs_that_requests_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    """W014 reports a DatabaseCache with ATOMIC_REQUESTS: a failed request would roll back the record of its proof."""
    backend = "django.core.cache.backends.db.DatabaseCache"
    cache = {"BACKEND": backend, "LOCATION": "proofs", "OPTIONS": {"MAX_ENTRIES": 10_000}}
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    with override_settings(CACHES={"default": cache}), with_settings(DPOP="optional"):
        (message,) = checks.check_deployed_proofs(None)
        assert "forgets a proof when ATOMIC_REQUESTS undoes what its request has written" in message.msg


@pytest.mark.parametrize("proxy", [{"USE_X_FORWARDED_HOST": True}, {"USE_X_FORWARDED_PORT": True}, {"NUM_PROXIES": 1}])
def test_addresses_that_fit_no_proof(proxy: dict[str, Any]) -> None:
    """W017 reports settings for a proxy without SECURE_PROXY_SSL_HEADER, because Django would take https for http."""
    values = {"REST_FRAMEWORK": proxy} if "NUM_PROXIES" in proxy else proxy
    cache = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://localhost"}}
    with with_settings(DPOP="required"), override_settings(CACHES=cache):
        assert "W017" not in ids(deploy=True)
        with override_settings(**values):
            assert "W017" in ids(deploy=True)
            with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
                assert "W017" not in ids(deploy=True)
