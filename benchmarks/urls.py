"""URLs of a worker: a view without authentication, the view with each authentication class, the competitor's URLs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.utils.module_loading import import_string
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.settings import competitor


class View(APIView):
    """Returns the id of the user who sends the request."""

    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response({"id": request.user.pk})


def mount(route: str, target: str) -> Any:
    """Return the URL pattern for a URLconf or a view class."""
    return path(route, include(target) if target.endswith("urls") else import_string(target).as_view())


urlpatterns = [
    path("get/none/", View.as_view(authentication_classes=[], permission_classes=[AllowAny])),
    *(
        path(f"get/{label}/", View.as_view(authentication_classes=[import_string(dotted)]))
        for label, dotted in competitor.authentication.items()
    ),
    *(mount(route, target) for route, target in competitor.routes.items()),
]
if "django.contrib.admin" in settings.INSTALLED_APPS:
    urlpatterns.append(path("admin/", admin.site.urls))
