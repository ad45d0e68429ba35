"""Checks of the project around twotoken: its URLs, users, authenticators, caches and tenants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

from django.apps import apps
from django.apps.config import AppConfig
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import connections, router
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.settings import api_settings

from twotoken.checks.rules import are_fine, values_of_project
from twotoken.checks.settings import callable_of_fine
from twotoken.conf import Delivery, conf, delivery
from twotoken.permissions import RecentLoginForSessions, recent_logins
from twotoken.proofs import accepts_proofs

Apps = Sequence[AppConfig] | None
# What keeps a cache from counting. A subclass has the fault of its class.
CACHE_FAULTS: tuple[tuple[type[BaseCache], str], ...] = (
    (DummyCache, "keeps nothing"),
    (LocMemCache, "each process has for itself"),
    (FileBasedCache, "counts requests that run at once as one"),
)
ENOUGH_ENTRIES = 10_000  # each user name that is tried takes one, so a guesser can push counts out of a small cache
# What keeps a cache from accepting each DPoP proof only once.
PROOF_FAULTS: tuple[tuple[type[BaseCache], str], ...] = (
    (DummyCache, "remembers nothing, so a proof can be used again"),
    (LocMemCache, "each process has for itself, so a proof can be used once in each"),
    (FileBasedCache, "may accept a proof twice if both requests run at once"),
)

STEP_UP_HINT = (
    "A step-up lasts until its access token expires: the next refresh returns to the time of the login. "
    "So users are asked again sooner than this says. Use a shorter time."
)


def check_mounts(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E010: each mount names a delivery that exists. W008: each cookie mount has its own namespace."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return
    usual = conf.delivery if are_fine("DELIVERY") else Delivery.COOKIE
    modes: dict[str, list[Delivery]] = {}
    for name, options in mounts(get_resolver().url_patterns):
        try:
            mode = delivery(options.get("delivery", usual))
        except ImproperlyConfigured as exc:
            yield Error(str(exc), hint="Look at the include() of twotoken.urls.", id="twotoken.E010")
        else:
            modes.setdefault(name, []).append(mode)
    for name, found in modes.items():
        if len(found) > 1 and Delivery.COOKIE in found:
            yield Warning(
                f"{len(found)} mounts of twotoken.urls have the namespace {name!r}.",
                hint="All of them use the cookie path of one. Give each its own: include(…, namespace=…).",
                id="twotoken.W008",
            )


def check_tenants(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W010: With django-tenants, tokens name their tenant.

    W011: Tenants that have their own users have their own token families.
    """
    if not apps.is_installed("django_tenants"):
        return
    with suppress(ImproperlyConfigured):
        if callable_of_fine("ISSUER") is None and callable_of_fine("AUDIENCE") is None:
            yield Warning(
                "django-tenants is installed, and neither TWOTOKEN['ISSUER'] nor AUDIENCE is a callable.",
                hint="If each tenant has its own users, an access token of one tenant works at the others, for the "
                "user with the same primary key. Set ISSUER to a callable that names the current tenant.",
                id="twotoken.W010",
            )
    user_app = cast("Any", get_user_model())._meta.app_label
    if any(_has_app(listed, user_app) and not _has_app(listed, "twotoken") for listed in _tenant_apps()):
        yield Warning(
            "Each tenant has its own users, but all tenants share the token families.",
            hint="Put 'twotoken' into TENANT_APPS, beside the app of the user model. Otherwise the families of a user "
            "are mixed up with those of the users who have the same key at other tenants.",
            id="twotoken.W011",
        )


def check_user_id(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E012: USER_ID_FIELD is a unique field of the user model.

    W003: a value of USER_ID_FIELD is never used again for another user.
    """
    if not are_fine("USER_ID_FIELD") or conf.user_id_field == "pk":
        return
    model: Any = get_user_model()
    try:
        unique = getattr(model._meta.get_field(conf.user_id_field), "unique", False)
    except FieldDoesNotExist:
        unique = False
    if not unique:
        yield Error(
            f"TWOTOKEN['USER_ID_FIELD'] is not a unique field of {model.__name__}.",
            hint="Use 'pk'.",
            id="twotoken.E012",
        )
    elif conf.user_id_field in {model.USERNAME_FIELD, model.get_email_field_name()}:
        yield Warning(
            f"TWOTOKEN['USER_ID_FIELD'] is {conf.user_id_field!r}, which may pass to another user.",
            hint="Then a token of the first user would be valid for the second. Use 'pk'.",
            id="twotoken.W003",
        )


def check_authenticators(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W001: the first of DRF's default authenticators has authenticate_header. Otherwise a refusal is a 403."""
    classes: list[type[BaseAuthentication]] = list(cast("Any", api_settings.DEFAULT_AUTHENTICATION_CLASSES))
    if not any(_is_ours(authenticator) for authenticator in classes) or _is_ours(classes[0]):
        return
    request = Request(HttpRequest())
    if classes[0]().authenticate_header(request) is None:
        yield Warning(
            f"In DEFAULT_AUTHENTICATION_CLASSES {classes[0].__name__} comes before twotoken's class and has no "
            "authenticate_header.",
            hint="So DRF answers 403, but clients refresh their token on a 401. Put twotoken's class first.",
            id="twotoken.W001",
        )


def check_permissions(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W019: a view that names no permissions needs a login."""
    if all(permission is AllowAny for permission in cast("Any", api_settings.DEFAULT_PERMISSION_CLASSES)):
        yield Warning(
            "Nothing in DEFAULT_PERMISSION_CLASSES needs a login.",
            hint="A view without permission_classes is open to everybody, with a token or without. Set "
            "REST_FRAMEWORK['DEFAULT_PERMISSION_CLASSES'] to ['rest_framework.permissions.IsAuthenticated'], and give "
            "AllowAny to the views that are public. twotoken's own views don't need it. Silence this if every view "
            "names its permissions.",
            id="twotoken.W019",
        )


def check_step_up(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W016: RecentLogin and STEP_UP_SESSIONS don't ask for a time longer than ACCESS_LIFETIME."""
    if not are_fine("ACCESS_LIFETIME", "STEP_UP_SESSIONS"):
        return
    if conf.step_up_sessions is not None and conf.step_up_sessions > conf.access_lifetime:
        yield Warning(
            "TWOTOKEN['STEP_UP_SESSIONS'] is longer than ACCESS_LIFETIME.", hint=STEP_UP_HINT, id="twotoken.W016"
        )
    for name, limit in _asked_by_views():
        if limit > conf.access_lifetime:
            yield Warning(
                f"{name} accepts a login of the last {limit}, which is longer than ACCESS_LIFETIME.",
                hint=STEP_UP_HINT,
                id="twotoken.W016",
            )


def check_time_zone(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W007: USE_TZ is on."""
    if not settings.USE_TZ:
        yield Warning(
            "USE_TZ is off.",
            hint="When daylight saving time starts or ends, lifetimes are an hour wrong. Set it to True.",
            id="twotoken.W007",
        )


def check_deployed_cache(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W006: the throttles' cache can count parallel requests, and all processes share it."""
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
    """Only for a project that sets DPOP, DPOP_ACCESS or DPOP_NONCE: others don't use this feature.

    W014: the cache accepts each DPoP proof once, and all processes share it.

    W017: behind proxies, Django sees the address that clients use. Otherwise every proof is refused.
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
            hint="If the proxy ends TLS, Django takes each request for http, and no DPoP proof fits its address. Let "
            "the proxy set X-Forwarded-Proto, and set SECURE_PROXY_SSL_HEADER. Silence this if the server in front of "
            "Django, such as gunicorn, reads the header itself.",
            id="twotoken.W017",
        )


def uses_proofs() -> bool:
    """Tell whether the project has chosen to accept DPoP proofs: it sets DPOP, DPOP_ACCESS or DPOP_NONCE."""
    chosen = {"DPOP", "DPOP_ACCESS", "DPOP_NONCE"}.intersection(values_of_project())
    return bool(chosen) and accepts_proofs()


def _faults_of_table(cache: DatabaseCache) -> Iterator[str]:
    """Yield what keeps the table of a DatabaseCache from remembering each DPoP proof."""
    if vars(cache)["_max_entries"] < ENOUGH_ENTRIES:
        yield "forgets proofs when it is full"
    known: Any = cache
    if connections[router.db_for_write(known.cache_model_class)].settings_dict["ATOMIC_REQUESTS"]:
        yield "forgets a proof when ATOMIC_REQUESTS undoes what its request has written"


def _tenant_apps() -> list[Sequence[str]]:
    """Return the apps of each type of tenant that django-tenants has."""
    project: Any = settings
    if not getattr(project, "HAS_MULTI_TYPE_TENANTS", False):
        return [project.TENANT_APPS]
    public = getattr(project, "PUBLIC_SCHEMA_NAME", "public")
    return [kind["APPS"] for name, kind in project.TENANT_TYPES.items() if name != public]


def _has_app(listed: Sequence[str], label: str) -> bool:
    """Tell whether an app is in a list, under its name or the path of its AppConfig: django-tenants accepts both."""
    config = apps.get_app_config(label)
    return config.name in listed or f"{config.__module__}.{type(config).__name__}" in listed


def _is_ours(authenticator: type) -> bool:
    return any(base.__module__.startswith("twotoken.") for base in authenticator.__mro__)


def _asked_by_views() -> Iterator[tuple[str, timedelta]]:
    """Yield the names of the project's views that have RecentLogin, and how long ago the login may be."""
    callbacks = _callbacks(get_resolver().url_patterns) if getattr(settings, "ROOT_URLCONF", None) else []
    for callback in callbacks:
        view, options = getattr(callback, "cls", None), getattr(callback, "initkwargs", {})
        permissions = options.get("permission_classes", getattr(view, "permission_classes", ()))
        for permission in recent_logins(permissions):
            if permission is not RecentLoginForSessions:  # its time is the setting's
                yield cast("Any", view).__name__, permission.max_age


def _callbacks(patterns: Sequence[URLPattern | URLResolver]) -> Iterator[Any]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _callbacks(pattern.url_patterns)
        else:
            yield pattern.callback


def mounts(patterns: Sequence[URLPattern | URLResolver], outer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the full namespace and the options of each mount."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            name = f"{outer}{pattern.namespace}:" if pattern.namespace else outer
            if pattern.app_name == "twotoken":
                yield name.rstrip(":"), pattern.default_kwargs
            yield from mounts(pattern.url_patterns, name)
