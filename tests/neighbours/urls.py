"""The mounts of the tests, and what the neighbours add."""

from __future__ import annotations

from django.urls import include, path

from tests.urls import urlpatterns as ours

urlpatterns = [*ours, path("_allauth/", include("allauth.headless.urls"))]
