"""Checks of the project's URLs: each ``include`` of ``twotoken.urls``, and the views that need a recent login."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, cast

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, URLResolver, get_resolver

from twotoken.checks.rules import are_fine
from twotoken.conf import Delivery, conf, delivery
from twotoken.permissions import RecentLoginForSessions, recent_logins

Apps = Sequence[AppConfig] | None

STEP_UP_HINT = (
    "A step-up lasts until its access token expires: after the next refresh, the time of the login counts again. "
    "So users are asked again sooner than this limit says. Use a shorter limit."
)


def check_mounts(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E010: if an include() of twotoken.urls has the option delivery, it must be 'cookie', 'body' or 'none'.

    W008: each include() of twotoken.urls that delivers the refresh token in a cookie must have its own namespace.
    """
    if not getattr(settings, "ROOT_URLCONF", None):
        return
    usual = conf.delivery if are_fine("DELIVERY") else Delivery.COOKIE
    modes: dict[str, list[Delivery]] = {}
    for name, options in mounts(get_resolver().url_patterns):
        try:
            mode = delivery(options.get("delivery", usual))
        except ImproperlyConfigured as exc:
            yield Error(str(exc), hint="Correct the delivery in the include() of twotoken.urls.", id="twotoken.E010")
        else:
            modes.setdefault(name, []).append(mode)
    for name, found in modes.items():
        if len(found) > 1 and Delivery.COOKIE in found:
            yield Warning(
                f"twotoken.urls is included {len(found)} times with the namespace {name!r}.",
                hint="All of these use the cookie path of one of them. Give each its own: include(…, namespace=…).",
                id="twotoken.W008",
            )


def check_step_up(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W016: STEP_UP_SESSIONS, and the max_age of RecentLogin at each view, must not be longer than ACCESS_LIFETIME."""
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


def mounts(patterns: Sequence[URLPattern | URLResolver], outer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the full namespace and the options of each mount. A mount is an ``include`` of ``twotoken.urls``."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            name = f"{outer}{pattern.namespace}:" if pattern.namespace else outer
            if pattern.app_name == "twotoken":
                yield name.rstrip(":"), pattern.default_kwargs
            yield from mounts(pattern.url_patterns, name)


def _asked_by_views() -> Iterator[tuple[str, timedelta]]:
    """Yield the name of each view with the permission RecentLogin, and the ``max_age`` of that permission."""
    callbacks = _callbacks(get_resolver().url_patterns) if getattr(settings, "ROOT_URLCONF", None) else []
    for callback in callbacks:
        view, options = getattr(callback, "cls", None), getattr(callback, "initkwargs", {})
        permissions = options.get("permission_classes", getattr(view, "permission_classes", ()))
        for permission in recent_logins(permissions):
            if permission is not RecentLoginForSessions:  # its max_age is STEP_UP_SESSIONS, which was checked already
                yield cast("Any", view).__name__, permission.max_age


def _callbacks(patterns: Sequence[URLPattern | URLResolver]) -> Iterator[Any]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _callbacks(pattern.url_patterns)
        else:
            yield pattern.callback
