"""The tests' URLs, with mounts of ``twotoken.contrib.dbsc``."""

from __future__ import annotations

from django.urls import include, path

from tests.urls import urlpatterns as others

urlpatterns = [
    path("api/auth/", include("twotoken.contrib.dbsc.urls")),
    path("api/app/auth/", include("twotoken.contrib.dbsc.urls", namespace="app"), {"delivery": "body"}),
    *(pattern for pattern in others if str(pattern.pattern) not in {"api/auth/", "api/app/auth/"}),
]
