"""Checks of JWKSView and DiscoveryView, which publish what other services need to verify access tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse

from twotoken.checks.rules import are_fine, is_service_url
from twotoken.checks.settings import callable_of_fine
from twotoken.conf import conf

Apps = Sequence[AppConfig] | None
# The views are found by name, because this package must not import them.
KEYS_VIEW, DISCOVERY_VIEW = "twotoken.views.services.JWKSView", "twotoken.views.services.DiscoveryView"


def check_discovery(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E014: if DiscoveryView is mounted, ISSUER must be an https URL without a query (RFC 8414 section 2).

    An http URL is accepted for localhost.

    E015: if DiscoveryView is mounted, JWKSView must be mounted too. Its URL name must be DiscoveryView's jwks_url_name,
    which is 'jwks' by default.
    """
    for view, options in _mounted(DISCOVERY_VIEW):
        if are_fine("ISSUER") and not _is_computed("ISSUER") and not _is_issuer_url(conf.issuer):
            yield Error(
                "DiscoveryView is mounted, and TWOTOKEN['ISSUER'] is not an https URL without a query.",
                hint="Services find the keys under the issuer's address: https://auth.example.com",
                id="twotoken.E014",
            )
        name = options.get("jwks_url_name", view.jwks_url_name)
        try:
            reverse(name)
        except NoReverseMatch:
            yield Error(
                f"DiscoveryView is mounted, and no URL has the name {name!r}.",
                hint="Add this URL: path('.well-known/jwks.json', JWKSView.as_view(), name='jwks').",
                id="twotoken.E015",
            )


def check_published_keys(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W012: if JWKSView is mounted, ISSUER and AUDIENCE must be set.

    With both settings, each access token names its issuer and the services that it is for.
    """
    missing = [
        key
        for key in ("ISSUER", "AUDIENCE")
        if are_fine(key) and not _is_computed(key) and not getattr(conf, key.lower())
    ]
    if missing and any(_mounted(KEYS_VIEW)):
        yield Warning(
            f"JWKSView is mounted, and TWOTOKEN[{missing[0]!r}] is not set.",
            hint="Other services can't tell whether an access token is meant for them. Set ISSUER and AUDIENCE.",
            id="twotoken.W012",
        )


def _is_computed(key: str) -> bool:
    """Tell whether a setting is a callable. If so, its value may depend on the request, and no check can know it."""
    try:
        return callable_of_fine(key) is not None
    except ImproperlyConfigured:  # E013 reports it
        return True


def _is_issuer_url(issuer: str | None) -> bool:
    return is_service_url(issuer) and "?" not in str(issuer)


def _mounted(name: str) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Yield the class and the options of each mounted view whose class, or one of its base classes, has this name."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return
    for pattern in _patterns(get_resolver().url_patterns):
        view = getattr(pattern.callback, "cls", None)
        if name in {f"{base.__module__}.{base.__name__}" for base in getattr(view, "__mro__", ())}:
            yield view, getattr(pattern.callback, "initkwargs", {})


def _patterns(found: Sequence[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for pattern in found:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns)
        else:
            yield pattern
