"""System checks. An id is never reused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from difflib import get_close_matches
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
from django.db import DatabaseError, connections, router, transaction
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.settings import api_settings

from twotoken import tokens
from twotoken.conf import HOST, SECURE, SETTING_NAMES, Delivery, callable_of, conf, delivery
from twotoken.exceptions import ClaimsError
from twotoken.keys import ALGORITHMS
from twotoken.weak_secrets import MIN_SECRET_BYTES

Apps = Sequence[AppConfig] | None

RATE = re.compile(r"[1-9]\d*/(s|sec|second|m|min|minute|h|hour|d|day)")
COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
COOKIE_PATH = re.compile(r"/[!-:<-~]*")
LONGEST_GRACE = timedelta(minutes=1)
LONGEST = timedelta(days=36_525)  # a hundred years: beyond it the calendar ends
LONGEST_REPR = 100  # of a wrong value
# What keeps a cache from counting. A subclass has the fault of its class.
CACHE_FAULTS: tuple[tuple[type[BaseCache], str], ...] = (
    (DummyCache, "keeps nothing"),
    (LocMemCache, "each process has for itself"),
    (FileBasedCache, "counts requests that run at once as one"),
)
ENOUGH_ENTRIES = 10_000  # each try of another name is one, so a guesser can push counts out of a small cache
KEYS_HINT = (
    f"A secret for HS256 has {MIN_SECRET_BYTES} bytes or more: 'manage.py generate_token_secrets' makes two. "
    "ACCESS_ALGORITHM 'EdDSA', 'ES256' or 'RS256' wants an unencrypted private key as PEM."
)
SECRETS_HINT = "Run 'manage.py generate_token_secrets' and put its two lines into the environment."


def _is_duration(value: object) -> bool:
    return isinstance(value, timedelta) and timedelta(seconds=1) <= value <= LONGEST


def _is_grace(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return 0 <= value < timedelta.max.total_seconds()
    return isinstance(value, timedelta) and value >= timedelta()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_audience(value: object) -> bool:
    return (
        value is None
        or _is_text(value)
        or callable(value)
        or (isinstance(value, list | tuple) and bool(value) and all(map(_is_text, value)))
    )


def _is_rate(value: object) -> bool:
    return value is None or (isinstance(value, str) and RATE.fullmatch(value) is not None)


# What each value must be, in words and as a function. The secrets have their own checks.
RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "ACCESS_ALGORITHM": ("'HS256', 'EdDSA', 'ES256' or 'RS256'", lambda value: value in ALGORITHMS),
    "ACCESS_LIFETIME": ("a timedelta from a second to a hundred years", _is_duration),
    "REFRESH_LIFETIME": ("a timedelta from a second to a hundred years", _is_duration),
    "FAMILY_LIFETIME": (
        "a timedelta from a second to a hundred years, or None",
        lambda value: value is None or _is_duration(value),
    ),
    "DELIVERY": ("'cookie', 'body' or 'none'", lambda value: value in list(Delivery)),
    "COOKIE_NAME": (
        "a cookie name of ASCII letters, digits and the signs that RFC 6265 allows, or None",
        lambda value: value is None or (isinstance(value, str) and COOKIE_NAME.fullmatch(value) is not None),
    ),
    "COOKIE_PATH": (
        "a path that starts with a slash, percent-encoded as in a URL, or None",
        lambda value: value is None or (isinstance(value, str) and COOKIE_PATH.fullmatch(value) is not None),
    ),
    "COOKIE_DOMAIN": ("a domain, or None", lambda value: value is None or _is_text(value)),
    "COOKIE_SAMESITE": ("'Strict', 'Lax' or 'None'", lambda value: value in ("Strict", "Lax", "None")),
    "COOKIE_SECURE": ("True or False", lambda value: isinstance(value, bool)),
    "BROWSER_GRACE": ("a number of seconds or a timedelta, not negative", _is_grace),
    "REUSE_GRACE": ("a number of seconds or a timedelta, not negative", _is_grace),
    "REVOKE_ON_REUSE": ("'family' or 'user'", lambda value: value in ("family", "user")),
    "MAX_FAMILIES_PER_USER": (
        "a whole number of 1 or more, or None",
        lambda value: value is None or (type(value) is int and value >= 1),
    ),
    "ACCESS_CLAIMS": ("a dotted path, or None", lambda value: value is None or _is_text(value)),
    "ISSUER": (
        "a string, a callable or its dotted path, or None",
        lambda value: value is None or _is_text(value) or callable(value),
    ),
    "AUDIENCE": ("a string, a list of strings, a callable or its dotted path, or None", _is_audience),
    "LEEWAY": ("a number of seconds or a timedelta, not negative", _is_grace),
    "USER_ID_FIELD": ("the name of a field", _is_text),
    "LOGIN_THROTTLE": ("a rate such as '10/min', or None", _is_rate),
    "REFRESH_THROTTLE": ("a rate such as '60/min', or None", _is_rate),
    "RECORD_CLIENT": ("True or False", lambda value: isinstance(value, bool)),
    "RETENTION": (
        "a timedelta of up to a hundred years",
        lambda value: isinstance(value, timedelta) and timedelta() <= value <= LONGEST,
    ),
}


def check_shape(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E001: TWOTOKEN is a dict. E002: every key is known. E003: every value has the right type and range."""
    value = getattr(settings, "TWOTOKEN", {})
    if not isinstance(value, dict):
        yield Error(
            "TWOTOKEN must be a dict.", hint="See the page on settings in the documentation.", id="twotoken.E001"
        )
        return
    for key in value:
        if key not in SETTING_NAMES:
            known = f"The keys are {', '.join(sorted(SETTING_NAMES))}."
            close = get_close_matches(str(key).upper(), SETTING_NAMES, n=1)
            hint = f"Did you mean {close[0]!r}? {known}" if close else known
            yield Error(f"TWOTOKEN has no key {key!r}.", hint=hint, id="twotoken.E002")
    yield from (
        Error(
            f"TWOTOKEN[{key!r}] is wrong: {repr(value[key])[:LONGEST_REPR]}.",
            hint=f"It must be {RULES[key][0]}.",
            id="twotoken.E003",
        )
        for key in _wrong(value)
    )


def check_secrets(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E004: both secrets are set. E005: each one fits its algorithm. E006: all secrets are different."""
    if not _is_dict():
        return
    found: dict[str, tuple[str, ...]] = {}
    for key, keys in (("ACCESS_SECRET", "access_keys"), ("REFRESH_SECRET", "refresh_keys")):
        try:
            found[key] = getattr(conf, key.lower())
        except ImproperlyConfigured as exc:
            yield Error(str(exc), hint="Put its output into the environment, not into the code.", id="twotoken.E004")
            continue
        if not _fine("ACCESS_ALGORITHM"):
            continue
        try:
            getattr(conf, keys)
        except ImproperlyConfigured as exc:
            yield Error(str(exc), hint=KEYS_HINT, id="twotoken.E005")
    access, refresh = (set(found.get(key, ())) for key in ("ACCESS_SECRET", "REFRESH_SECRET"))
    if access & refresh or settings.SECRET_KEY in access | refresh:
        yield Error(
            "ACCESS_SECRET, REFRESH_SECRET and SECRET_KEY must be different.", hint=SECRETS_HINT, id="twotoken.E006"
        )


def check_lifetimes(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E007: the access token lives shorter than the refresh token."""
    if _fine("ACCESS_LIFETIME", "REFRESH_LIFETIME") and conf.access_lifetime > conf.refresh_lifetime:
        yield Error(
            "TWOTOKEN['ACCESS_LIFETIME'] is longer than REFRESH_LIFETIME.",
            hint="An access token can't be revoked, so let it live for minutes only.",
            id="twotoken.E007",
        )


def check_cookie(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E008: SameSite None needs Secure. E009: the prefix of the cookie's name fits its attributes (RFC 6265bis)."""
    if not _fine("COOKIE_NAME", "COOKIE_PATH", "COOKIE_DOMAIN", "COOKIE_SAMESITE", "COOKIE_SECURE"):
        return
    if conf.cookie_samesite == "None" and not conf.cookie_secure:
        yield Error(
            "TWOTOKEN['COOKIE_SAMESITE'] is 'None' without COOKIE_SECURE.",
            hint="Browsers drop such a cookie. Set COOKIE_SECURE to True.",
            id="twotoken.E008",
        )
    name = conf.cookie_name.lower()  # browsers take a prefix in any case
    is_host = name.startswith(HOST.lower())
    if (is_host and (not conf.cookie_secure or conf.cookie_path != "/" or conf.cookie_domain)) or (
        name.startswith(SECURE.lower()) and not conf.cookie_secure
    ):
        yield Error(
            f"Browsers drop a cookie named {conf.cookie_name!r} with these attributes.",
            hint="__Secure- needs COOKIE_SECURE. __Host- needs COOKIE_SECURE, COOKIE_PATH '/' and no COOKIE_DOMAIN. "
            "With COOKIE_NAME None the prefix always fits.",
            id="twotoken.E009",
        )


def check_mounts(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E010: each mount names a delivery that exists. W008: each cookie mount has its own namespace."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return
    usual = conf.delivery if _fine("DELIVERY") else Delivery.COOKIE
    modes: dict[str, list[Delivery]] = {}
    for name, options in _mounts(get_resolver().url_patterns):
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


def check_claims(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E011: ACCESS_CLAIMS is the dotted path of a callable."""
    path = _values().get("ACCESS_CLAIMS")
    if path is None or not _fine("ACCESS_CLAIMS"):
        return
    try:
        found = import_string(path)
    except ImportError as exc:
        yield Error(f"TWOTOKEN['ACCESS_CLAIMS']: {exc}", hint="Give a dotted path.", id="twotoken.E011")
    else:
        if not callable(found):
            yield Error(
                "TWOTOKEN['ACCESS_CLAIMS'] is not callable.",
                hint="It is called with the user and the token family.",
                id="twotoken.E011",
            )


def check_issuer(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E013: If ISSUER or AUDIENCE is a dotted path, it leads to a callable."""
    for key in ("ISSUER", "AUDIENCE"):
        try:
            _callable_of(key)
        except ImproperlyConfigured as exc:
            yield Error(
                str(exc),
                hint="Give the dotted path of a callable. If it is a name and no path, write it as a URL: https://…",
                id="twotoken.E013",
            )


def check_tenants(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W010: With django-tenants, tokens name their tenant.

    W011: Tenants that have their own users have their own token families.
    """
    if not apps.is_installed("django_tenants"):
        return
    with suppress(ImproperlyConfigured):
        if _callable_of("ISSUER") is None and _callable_of("AUDIENCE") is None:
            yield Warning(
                "django-tenants is installed, and neither TWOTOKEN['ISSUER'] nor AUDIENCE is a callable.",
                hint="If each tenant has its own users, an access token of one tenant is good at the others, for the "
                "user with the same key. Set ISSUER to a callable that names the current tenant.",
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
    """E012: USER_ID_FIELD is a unique field of the user model. W003: its values never pass to another user."""
    if not _fine("USER_ID_FIELD") or conf.user_id_field == "pk":
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
    """W001: the first of DRF's default authenticators has a challenge, or clients get a 403 instead of a 401."""
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


def check_graces(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W002: graces and the leeway are short."""
    for key in ("BROWSER_GRACE", "REUSE_GRACE", "LEEWAY"):
        if _fine(key) and getattr(conf, key.lower()) > LONGEST_GRACE:
            yield Warning(
                f"TWOTOKEN[{key!r}] is longer than a minute.",
                hint="During that time a stolen token is accepted like a late request. Use seconds.",
                id="twotoken.W002",
            )


def check_time_zone(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W007: USE_TZ is on."""
    if not settings.USE_TZ:
        yield Warning(
            "USE_TZ is off.",
            hint="When daylight saving time starts or ends, lifetimes are an hour wrong. Set it to True.",
            id="twotoken.W007",
        )


def check_deployed_cookie(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W004: browsers send the cookie over https only. W005: only one host gets the cookie."""
    if _fine("COOKIE_SECURE") and not conf.cookie_secure:
        yield Warning(
            "TWOTOKEN['COOKIE_SECURE'] is off.",
            hint="The network can read the refresh token. Serve the site over https and set it to True.",
            id="twotoken.W004",
        )
    if _fine("COOKIE_DOMAIN") and conf.cookie_domain:
        yield Warning(
            "TWOTOKEN['COOKIE_DOMAIN'] sends the refresh token to every subdomain, and each of them can replace it.",
            hint="Leave it None unless another host has to refresh, and trust every host below that domain.",
            id="twotoken.W005",
        )


def check_deployed_cache(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W006: the cache of the throttles can count, and all processes share it."""
    if not _fine("LOGIN_THROTTLE", "REFRESH_THROTTLE") or not (conf.login_throttle or conf.refresh_throttle):
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


def check_cluster(app_configs: Apps, databases: Sequence[str] | None = None, **kwargs: Any) -> Iterator[CheckMessage]:
    """W009: in a Galera cluster, reads wait for the writes of other nodes."""
    alias = router.db_for_write(apps.get_model("twotoken", "RefreshToken"))
    if alias not in (databases or ()):
        return
    connection = connections[alias]
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SHOW VARIABLES WHERE variable_name IN ('wsrep_on', 'wsrep_sync_wait')")
            values = dict(cursor.fetchall())
        if values.get("wsrep_on") == "ON" and not int(values["wsrep_sync_wait"]) & 1:
            yield Warning(
                f"The database {alias!r} is a node of Galera, and its sessions don't wait for writes of other nodes. "
                "A new login may be refused, and a revoked family may go on.",
                hint="Set OPTIONS['init_command'] to 'SET SESSION wsrep_sync_wait = 1'.",
                id="twotoken.W009",
            )


def check_claims_of_latest(
    app_configs: Apps, databases: Sequence[str] | None = None, **kwargs: Any
) -> Iterator[CheckMessage]:
    """W015: ACCESS_CLAIMS works for the latest login, or for the first user of a project that has no login yet."""
    alias = router.db_for_write(apps.get_model("twotoken", "RefreshToken"))
    if alias not in (databases or ()) or list(check_claims(None)) or conf.access_claims is None:
        return
    problem = ""
    # Whatever the callable writes is undone. Before the first migrate there is no table.
    with suppress(DatabaseError), transaction.atomic(using=alias):
        family = _latest_family()
        try:
            if family is not None:
                tokens.check_claims(conf.access_claims(family.user, family))
        except ClaimsError as exc:
            problem = str(exc)
        except Exception as exc:  # the project's own. Its text may hold personal data
            problem = f"It raised {type(exc).__name__}."
        transaction.set_rollback(True, using=alias)
    if problem:
        yield Warning(
            f"TWOTOKEN['ACCESS_CLAIMS'] failed when it was tried. {problem}",
            hint="Until it works, logins and refreshes are answered with a 500. It was called with a user and a token "
            "family, as it is at a login.",
            id="twotoken.W015",
        )


CHECKS = (
    check_shape,
    check_secrets,
    check_lifetimes,
    check_cookie,
    check_mounts,
    check_claims,
    check_issuer,
    check_tenants,
    check_user_id,
    check_authenticators,
    check_graces,
    check_time_zone,
)
DEPLOY_CHECKS = (check_deployed_cookie, check_deployed_cache)
DATABASE_CHECKS = (check_cluster, check_claims_of_latest)


def _values() -> dict[str, Any]:
    value = getattr(settings, "TWOTOKEN", {})
    return value if isinstance(value, dict) else {}


def _is_dict() -> bool:
    return isinstance(getattr(settings, "TWOTOKEN", {}), dict)


def _wrong(values: dict[str, Any]) -> list[str]:
    return [key for key, (_words, fits) in RULES.items() if key in values and not fits(values[key])]


def _fine(*keys: str) -> bool:
    """Tell whether these settings can be read. E001 and E003 report what is wrong with one."""
    return _is_dict() and not set(keys).intersection(_wrong(_values()))


def _callable_of(key: str) -> Callable[[], object] | None:
    """Return the callable that a setting is or names, else None. E003 reports a value of another type."""
    return callable_of(key) if _fine(key) else None


def _tenant_apps() -> list[Sequence[str]]:
    """Return the apps of each type of tenant that django-tenants has."""
    project: Any = settings
    if not getattr(project, "HAS_MULTI_TYPE_TENANTS", False):
        return [project.TENANT_APPS]
    public = getattr(project, "PUBLIC_SCHEMA_NAME", "public")
    return [kind["APPS"] for name, kind in project.TENANT_TYPES.items() if name != public]


def _has_app(listed: Sequence[str], label: str) -> bool:
    """Tell whether a list of apps has one, by its name or its class, as django-tenants reads it."""
    config = apps.get_app_config(label)
    return config.name in listed or f"{config.__module__}.{type(config).__name__}" in listed


def _latest_family() -> Any:
    """Return the family of the latest login with its user; without logins, one as the first user's would be."""
    model: Any = apps.get_model("twotoken", "RefreshToken")
    family = model.objects.primary().select_related("user").order_by("-created_at").first()
    if family is None:
        users: Any = get_user_model()
        user = users._default_manager.using(router.db_for_write(users)).order_by("pk").first()
        family = None if user is None else model(user=user)
    return family


def _is_ours(authenticator: type) -> bool:
    return any(base.__module__.startswith("twotoken.") for base in authenticator.__mro__)


def _mounts(patterns: Sequence[URLPattern | URLResolver], outer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the full namespace and the options of each mount."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            name = f"{outer}{pattern.namespace}:" if pattern.namespace else outer
            if pattern.app_name == "twotoken":
                yield name.rstrip(":"), pattern.default_kwargs
            yield from _mounts(pattern.url_patterns, name)
