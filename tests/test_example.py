"""The example's Content-Security-Policy, with and without Django's own middleware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from example_project import settings as example
from example_project.csp import build_policy

POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
OWN = "default-src 'none'"


def without(request: HttpRequest) -> HttpResponse:
    """A view that sets no Content-Security-Policy."""
    return HttpResponse()


def with_one(request: HttpRequest) -> HttpResponse:
    """A view that sets its own Content-Security-Policy."""
    return HttpResponse(headers={"Content-Security-Policy": OWN})


urlpatterns = [path("", without), path("own/", with_one)]


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=example.MIDDLEWARE, SECURE_CSP=example.SECURE_CSP)
def test_the_policy() -> None:
    """A middleware adds the policy to each answer without one: Django's, or before Django 6.0 the example's."""
    assert example.CSP_MIDDLEWARE in example.MIDDLEWARE
    assert example.CSP_MIDDLEWARE.startswith("django.") is (django.VERSION >= (6, 0))
    policies = [Client().get(url).headers["Content-Security-Policy"] for url in ("/", "/own/")]
    assert policies == [POLICY, OWN]


def test_the_docs() -> None:
    """The docs' page about CSP shows the example's policy, and the place of the middleware."""
    page = (Path(__file__).parent.parent / "docs" / "how-to" / "csp.md").read_text()
    shown: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], shown)  # noqa: S102
    assert shown["SECURE_CSP"] == example.SECURE_CSP
    assert shown["MIDDLEWARE"] == [example.MIDDLEWARE[0], "django.middleware.csp.ContentSecurityPolicyMiddleware"]


def test_the_header() -> None:
    """``build_policy`` makes the same header text from SECURE_CSP as the middleware does."""
    assert build_policy(example.SECURE_CSP) == POLICY
