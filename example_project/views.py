"""The demo page, the page of the front end in ``frontend/``, Swagger UI, and the API routes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from django.contrib.staticfiles import finders
from django.http import Http404, HttpRequest, HttpResponse
from django.views.generic import TemplateView, View
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from example_project.csp import build_policy
from example_project.settings import SECURE_CSP, VICTIM
from twotoken.authentication import RevocableAccessTokenAuthentication
from twotoken.conf import conf
from twotoken.models import RefreshToken
from twotoken.permissions import RecentLogin
from twotoken.tokens import AccessToken

# Swagger UI needs more than SECURE_CSP allows: it has inline styles, and images in its stylesheet.
DOCS_POLICY = {**SECURE_CSP, "style-src": ["'self'", "'unsafe-inline'"], "img-src": ["'self'", "data:"]}

BOOKS = [
    {"title": "The Left Hand of Darkness", "author": "Ursula K. Le Guin"},
    {"title": "Kindred", "author": "Octavia E. Butler"},
    {"title": "Solaris", "author": "Stanisław Lem"},
]


class IndexView(TemplateView):
    """The demo page."""

    template_name = "example_project/index.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        seconds = int(conf.access_lifetime.total_seconds())
        return super().get_context_data(seconds=seconds, victim=VICTIM, **kwargs)


class FrontEndView(View):
    """The page of the front end in ``frontend/``. Vite builds this page into the folder of static files."""

    def get(self, request: HttpRequest) -> HttpResponse:
        path = finders.find("example_project/frontend/index.html")
        if path is None:
            raise Http404("Build the front end first: cd example_project/frontend && npm install && npm run build")
        return HttpResponse(Path(path).read_bytes())


class DocsView(SpectacularSwaggerSplitView):
    """Shows the API's routes with Swagger UI, without an inline script."""

    def finalize_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(*args, **kwargs)
        response["Content-Security-Policy"] = build_policy(DOCS_POLICY)
        return response


class MeSerializer(serializers.Serializer[Any]):
    """The user of the request."""

    id = serializers.IntegerField()
    username = serializers.CharField()
    staff = serializers.BooleanField()
    expires_at = serializers.DateTimeField()


class FamilySerializer(serializers.Serializer[Any]):
    """A token family."""

    id = serializers.UUIDField()
    username = serializers.CharField()
    generation = serializers.IntegerField()
    idle_end = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)


class MeView(APIView):
    """Returns the user of the request, and claims of the access token."""

    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        access = cast("AccessToken", request.auth)
        return Response(
            {
                "id": request.user.pk,
                "username": request.user.get_username(),
                "staff": access["staff"],
                "expires_at": access.expires_at,
            }
        )


class BookSerializer(serializers.Serializer[Any]):
    """A book."""

    title = serializers.CharField()
    author = serializers.CharField()


class BooksView(APIView):
    """Returns books, to users who are logged in."""

    @extend_schema(responses=BookSerializer(many=True))
    def get(self, request: Request) -> Response:
        return Response(BOOKS)


class EmailSerializer(serializers.Serializer[Any]):
    """An e-mail address."""

    email = serializers.EmailField()


class EmailView(APIView):
    """Changes the user's e-mail address.

    The login or the step-up must be at most ten seconds old, so that a visitor of the demo soon has to step up.
    """

    permission_classes = [IsAuthenticated, RecentLogin.within(timedelta(seconds=10))]

    @extend_schema(request=EmailSerializer, responses=EmailSerializer)
    def put(self, request: Request) -> Response:
        serializer = EmailSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user: Any = request.user
        user.email = serializer.validated_data["email"]
        user.save(update_fields=["email"])
        return Response(serializer.data)


class FamilyView(APIView):
    """Returns the row of the session's token family. It stays a single row after any number of refreshes."""

    authentication_classes = [RevocableAccessTokenAuthentication]

    @extend_schema(responses=FamilySerializer)
    def get(self, request: Request) -> Response:
        family = get_object_or_404(RefreshToken, pk=cast("AccessToken", request.auth).family_id)
        return Response(
            {
                "id": family.pk,
                "username": request.user.get_username(),
                "generation": family.generation,
                "idle_end": family.idle_end(),
                "expires_at": family.expires_at,
            }
        )
