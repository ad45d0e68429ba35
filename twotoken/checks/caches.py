"""Checks of the default cache, in which the throttles count requests and used DPoP proofs are remembered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps.config import AppConfig
from django.conf import settings
from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Warning
from django.db import connections, router
from rest_framework.settings import api_settings

from twotoken.checks.rules import are_fine, values_of_project
from twotoken.conf import conf
from twotoken.proofs import accepts_proofs

Apps = Sequence[AppConfig] | None
# Caches that can't count the requests of all processes, each with the reason. A subclass has the same fault.
CACHE_FAULTS: tuple[tuple[type[BaseCache], str], ...] = (
    (DummyCache, "keeps nothing"),
    (LocMemCache, "each process has for itself"),
    (FileBasedCache, "counts requests that run at once as one"),
)
ENOUGH_ENTRIES = 10_000  # each user name that is tried takes an entry: many names push others out of a small cache
# Caches that can't make sure that each DPoP proof is accepted only once, each with the reason.
PROOF_FAULTS: tuple[tuple[type[BaseCache], str], ...] = (
    (DummyCache, "remembers nothing, so a proof can be used again"),
    (LocMemCache, "each process has for itself, so a proof can be used once in each"),
    (FileBasedCache, "may accept a proof twice if both requests run at once"),
)


def check_deployed_cache(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W006: the default cache must count requests without losing any, and all processes must share this cache.

    The throttles of logins and refreshes count requests in it.
    """
    if not are_fine("LOGIN_THROTTLE", "REFRESH_THROTTLE") or not (conf.login_throttle or conf.refresh_throttle):
        return
    cache = caches[DEFAULT_CACHE_ALIAS]
    for kind, fault in CACHE_FAULTS:
        if isinstance(cache, kind):
            yield Warning(
                f"twotoken's throttles count in a {kind.__name__}, which {fault}.",
                hint="Use a shared cache, or throttle in front of Django and set the throttles to None.",
                id="twotoken.W006",
            )
    if isinstance(cache, DatabaseCache) and vars(cache)["_max_entries"] < ENOUGH_ENTRIES:
        yield Warning(
            "twotoken's throttles count in a DatabaseCache, which drops counts when it is full.",
            hint=f"Set its OPTIONS['MAX_ENTRIES'] to {ENOUGH_ENTRIES} or more.",
            id="twotoken.W006",
        )


def check_deployed_proofs(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W014 and W017 run only for a project that sets DPOP, DPOP_ACCESS or DPOP_NONCE, because others don't use DPoP.

    W014: the default cache must remember which DPoP proofs were used, and all processes must share this cache.

    W017: behind a proxy that ends TLS, SECURE_PROXY_SSL_HEADER must be set. Otherwise every DPoP proof is refused: the
    proof names an https URL, and Django sees an http URL.
    """
    if not are_fine("DPOP") or not uses_proofs():
        return
    cache = caches[DEFAULT_CACHE_ALIAS]
    faults = [(kind.__name__, fault) for kind, fault in PROOF_FAULTS if isinstance(cache, kind)]
    if isinstance(cache, DatabaseCache):
        faults = [("DatabaseCache", fault) for fault in _faults_of_table(cache)]
    for name, fault in faults:
        yield Warning(
            f"The DPoP proofs that were used are remembered in a {name}, which {fault}.",
            hint="Use Redis or Memcached, or a DatabaseCache whose OPTIONS['MAX_ENTRIES'] is "
            f"{ENOUGH_ENTRIES} or more, in a database without ATOMIC_REQUESTS. If no client sends proofs, set "
            "TWOTOKEN['DPOP'] to 'off'.",
            id="twotoken.W014",
        )
    is_proxied = api_settings.NUM_PROXIES or settings.USE_X_FORWARDED_HOST or settings.USE_X_FORWARDED_PORT
    if is_proxied and settings.SECURE_PROXY_SSL_HEADER is None:
        yield Warning(
            "Django is behind a proxy, and SECURE_PROXY_SSL_HEADER is not set.",
            hint="If the proxy ends TLS, Django sees every request as http. Then no DPoP proof matches the request's "
            "URL, because the proof names an https URL. Let the proxy set X-Forwarded-Proto, and set "
            "SECURE_PROXY_SSL_HEADER. Silence this if the server in front of Django, such as gunicorn, reads the "
            "header itself.",
            id="twotoken.W017",
        )


def uses_proofs() -> bool:
    """Tell whether DPoP proofs are accepted and the project sets DPOP, DPOP_ACCESS or DPOP_NONCE."""
    chosen = {"DPOP", "DPOP_ACCESS", "DPOP_NONCE"}.intersection(values_of_project())
    return bool(chosen) and accepts_proofs()


def _faults_of_table(cache: DatabaseCache) -> Iterator[str]:
    """Yield each reason why the table of a DatabaseCache may forget a used DPoP proof."""
    if vars(cache)["_max_entries"] < ENOUGH_ENTRIES:
        yield "forgets proofs when it is full"
    known: Any = cache
    if connections[router.db_for_write(known.cache_model_class)].settings_dict["ATOMIC_REQUESTS"]:
        yield "forgets a proof when ATOMIC_REQUESTS undoes what its request has written"
