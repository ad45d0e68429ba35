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
    """A view without a policy."""
    return HttpResponse()


def with_one(request: HttpRequest) -> HttpResponse:
    """A view with a policy of its own."""
    return HttpResponse(headers={"Content-Security-Policy": OWN})


urlpatterns = [path("", without), path("own/", with_one)]


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=example.MIDDLEWARE, SECURE_CSP=example.SECURE_CSP)
def test_the_policy() -> None:
    """All answers have it, by Django's middleware or, before Django 6.0, by the example's; a view can have its own."""
    assert example.CSP_MIDDLEWARE in example.MIDDLEWARE
    assert example.CSP_MIDDLEWARE.startswith("django.") is (django.VERSION >= (6, 0))
    policies = [Client().get(url).headers["Content-Security-Policy"] for url in ("/", "/own/")]
    assert policies == [POLICY, OWN]


def test_the_docs() -> None:
    """They show the policy of the example, and where its middleware goes."""
    page = (Path(__file__).parent.parent / "docs" / "how-to" / "csp.md").read_text()
    shown: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], shown)  # noqa: S102
    assert shown["SECURE_CSP"] == example.SECURE_CSP
    assert shown["MIDDLEWARE"] == [example.MIDDLEWARE[0], "django.middleware.csp.ContentSecurityPolicyMiddleware"]


def test_the_header() -> None:
    """A policy that a view makes itself is written as the middleware writes it."""
    assert build_policy(example.SECURE_CSP) == POLICY
