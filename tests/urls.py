"""The mounts that the tests call: one for each delivery, and a route for each authentication class."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.urls import include, path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from twotoken.authentication import (
    AccessTokenAuthentication,
    RevocableAccessTokenAuthentication,
    StatelessAccessTokenAuthentication,
)
from twotoken.tokens import AccessToken
from twotoken.views import JWKSView, RevocationsView


class MeSerializer(serializers.Serializer[Any]):
    """The user who sends the request, and the claims of the access token."""

    id = serializers.CharField()
    claims = serializers.DictField()


class MeView(APIView):
    """Returns the id of the user who sends the request, and the claims of the access token."""

    serializer_class = MeSerializer

    def get(self, request: Request) -> Response:
        return Response({"id": str(request.user.pk), "claims": dict(cast("AccessToken", request.auth))})


def me(route: str, authentication_class: type[AccessTokenAuthentication]) -> Any:
    """Return a route for an authentication class."""
    return path(f"api/{route}/", MeView.as_view(authentication_classes=[authentication_class]), name=route)


urlpatterns = [
    path("api/auth/", include("twotoken.urls")),
    path("api/app/auth/", include("twotoken.urls", namespace="app"), {"delivery": "body"}),
    path("api/tool/auth/", include("twotoken.urls", namespace="tool"), {"delivery": "none"}),
    me("me", AccessTokenAuthentication),
    me("stateless", StatelessAccessTokenAuthentication),
    me("revocable", RevocableAccessTokenAuthentication),
    path(".well-known/jwks.json", JWKSView.as_view(), name="jwks"),
    path("api/revocations/", RevocationsView.as_view()),
    path("admin/", admin.site.urls),
]
