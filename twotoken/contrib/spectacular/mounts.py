"""Finds the options of an endpoint's mount in the URLconf. A mount is an ``include()`` of ``twotoken.urls``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.settings import spectacular_settings


def mount_options(path_regex: str) -> dict[str, Any]:
    """Return the options, such as ``delivery``, that the URLconf gives a route.

    Return an empty dict for a route that is not in the URLconf: drf-spectacular can also describe a separate list of
    patterns.
    """
    for urlconf in dict.fromkeys([None, spectacular_settings.SERVE_URLCONF]):
        for route, options in routes_of(get_resolver(urlconf).url_patterns):
            if route == path_regex:
                return options
    return {}


def routes_of(
    patterns: Sequence[URLPattern | URLResolver], prefix: str = "", outer: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each route with its options. A pattern's options override those of the ``include()`` around it."""
    for pattern in patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLPattern):
            yield route, {**(outer or {}), **pattern.default_args}
        else:
            yield from routes_of(pattern.url_patterns, route, {**(outer or {}), **pattern.default_kwargs})
