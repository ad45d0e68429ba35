"""A middleware for Django 5.2 that sends a Content-Security-Policy. It reads SECURE_CSP, a setting of Django 6.0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase


def build_policy(directives: Mapping[str, Iterable[str]]) -> str:
    """Return the value of the header Content-Security-Policy."""
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items())


class ContentSecurityPolicyMiddleware:
    """Sends ``SECURE_CSP`` with each response that has no policy of its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.setdefault("Content-Security-Policy", build_policy(settings.SECURE_CSP))
        return response
