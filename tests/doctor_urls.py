"""The URLs of a project that has only twotoken."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("api/auth/", include("twotoken.urls"))]
