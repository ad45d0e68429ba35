"""System checks that find simplejwt's classes, views and cookies which a project still uses during its move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

from twotoken.checks import are_fine
from twotoken.conf import conf as core

PACKAGE: Final = "rest_framework_simplejwt"
CONTRIB: Final = "twotoken.contrib.simplejwt"


def check_old_cookie(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterator[CheckMessage]:
    """E007: the cookie from which an ExchangeView reads the old token must not have the refresh cookie's name."""
    for place, view, options in _views() if are_fine("COOKIE_NAME", "COOKIE_PATH") else ():
        if options.get("old_cookie", getattr(view, "old_cookie", None)) == core.cookie_name:
            yield Error(
                f"{place} reads the old token from a cookie that has the name of twotoken's own refresh cookie.",
                hint="One answer can't both set and clear a cookie. Set TWOTOKEN['COOKIE_NAME'] to another name.",
                id="twotoken_simplejwt.E007",
            )


def check_old_authenticators(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterator[CheckMessage]:
    """W003: simplejwt's authentication classes must not be used any more.

    W005: until the move is over, the classes in ``twotoken.contrib.simplejwt`` must be used, not twotoken's own.
    """
    for place, authenticator in _authenticators():
        if _is_of(authenticator, PACKAGE):
            yield Warning(
                f"{place} uses {_path(authenticator)}, which refuses twotoken's access tokens.",
                hint=f"Use {CONTRIB}.authentication.AccessTokenAuthentication, or StatelessAccessTokenAuthentication "
                "in place of JWTStatelessUserAuthentication.",
                id="twotoken_simplejwt.W003",
            )
        elif _is_of(authenticator, "twotoken.authentication") and not _is_of(authenticator, CONTRIB):
            yield Warning(
                f"{place} uses {_path(authenticator)}, which refuses simplejwt's access tokens.",
                hint=f"Until the move is over, use the class of the same name in {CONTRIB}.authentication.",
                id="twotoken_simplejwt.W005",
            )


def check_old_views(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterator[CheckMessage]:
    """W004: no view of simplejwt must be mounted any more."""
    for place, view, _ in _views():
        if _is_of(view, PACKAGE):
            yield Warning(
                f"{place} uses {_path(view)}, which issues or accepts simplejwt's tokens.",
                hint=f"Use the view of the same name in {CONTRIB}.views, or include twotoken.urls.",
                id="twotoken_simplejwt.W004",
            )


def _authenticators() -> Iterator[tuple[str, Any]]:
    """Yield the authentication classes in use, each with the setting or the route that uses it."""
    # Read the raw setting: DRF would import the classes, which fails if simplejwt is uninstalled.
    defaults = (getattr(settings, "REST_FRAMEWORK", None) or {}).get("DEFAULT_AUTHENTICATION_CLASSES", ())
    for authenticator in defaults:
        yield "DEFAULT_AUTHENTICATION_CLASSES", authenticator
    known = set(map(_path, defaults))
    for place, view, options in _views():
        if _is_of(view, "twotoken"):  # twotoken's own views have the right classes
            continue
        owner = next((base for base in view.__mro__ if "authentication_classes" in vars(base)), None)
        # If the view inherits the attribute from DRF, it uses the defaults, which were yielded above.
        inherited = () if owner is None or _is_of(owner, "rest_framework") else owner.authentication_classes
        for authenticator in options.get("authentication_classes", inherited):
            if _path(authenticator) not in known:
                yield place, authenticator


def _views() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield each mounted view class, with its route and the options of ``as_view()``."""
    if getattr(settings, "ROOT_URLCONF", None):
        yield from _mounted(get_resolver().url_patterns, "/")


def _mounted(patterns: Sequence[URLPattern | URLResolver], outer: str) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for pattern in patterns:
        place = f"{outer}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _mounted(pattern.url_patterns, place)
        else:
            view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
            if view is not None:
                yield place, view, getattr(pattern.callback, "view_initkwargs", {})


def _path(named: Any) -> str:
    return named if isinstance(named, str) else f"{named.__module__}.{named.__qualname__}"


def _is_of(named: Any, module: str) -> bool:
    """Tell whether a class, or a base of it, is defined in a module or package.

    ``named`` is the class or its dotted path, ``module`` the dotted path of the module or package.
    """
    if isinstance(named, str):
        try:
            named = import_string(named)
        except ImportError:  # simplejwt was uninstalled
            return f"{named}.".startswith(f"{module}.")
    return any(f"{base.__module__}.".startswith(f"{module}.") for base in named.__mro__)
