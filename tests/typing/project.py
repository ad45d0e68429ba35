"""A project that uses the whole public API. Only type checkers read this module, and they must find the stated types.

A line that is wrong on purpose has a comment that ignores its one error. A checker that no longer finds this error
reports the comment as unused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, assert_type
from uuid import UUID

import httpx
import requests
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.dispatch import Signal, receiver
from django.http import HttpRequest, HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from twotoken import families, signals
from twotoken.authentication import (
    AccessTokenAuthentication,
    RevocableAccessTokenAuthentication,
    StatelessAccessTokenAuthentication,
)
from twotoken.clients import Client
from twotoken.conf import Delivery, conf
from twotoken.contrib.httpx import FileStore, SessionEnded, TokenAuth
from twotoken.contrib.requests import TokenAuth as RequestsAuth
from twotoken.cookies import clear_refresh_cookie, set_refresh_cookie
from twotoken.exceptions import InvalidToken, TokenNotValid, TwoTokenError, UserInactive
from twotoken.families import FROM_SETTINGS, Lifetime, TokenPair
from twotoken.models import RefreshToken, RefreshTokenQuerySet, State
from twotoken.serializers import LoginSerializer
from twotoken.signals import reuse_detected
from twotoken.testing import TokenClient, expired_access_token, revoked_refresh_token, time_travel
from twotoken.tokens import AccessToken, RefreshClaims
from twotoken.views import LoginView


def access_claims(user: User) -> dict[str, Any]:
    """Return a project's own claims."""
    return {"staff": user.is_staff}


class Suspended(TokenNotValid):
    """A project's own reason to refuse a token."""

    reason = "suspended"
    message = "The account is suspended."


class SuspendingAuthentication(AccessTokenAuthentication):
    """A project's own authentication class."""

    def get_user(self, access: AccessToken) -> Any:
        if access.get("suspended"):
            raise Suspended
        return super().get_user(access)


class MeView(APIView):
    """A view of the project."""

    authentication_classes = [
        SuspendingAuthentication,
        RevocableAccessTokenAuthentication,
        StatelessAccessTokenAuthentication,
    ]

    def get(self, request: Request) -> Response:
        access = request.auth
        assert isinstance(access, AccessToken)
        assert_type(access.family_id, UUID)
        assert_type(access.expires_at, datetime)
        return Response({"sub": access["sub"]})


class RememberMeSerializer(LoginSerializer):
    """A login form with a checkbox."""

    remember_me = serializers.BooleanField(default=False)


class RememberMeLoginView(LoginView):
    """A project's own login."""

    serializer_class = RememberMeSerializer

    def authenticate(self, request: Request, data: Mapping[str, Any]) -> AbstractBaseUser | None:
        return super().authenticate(request, {name: data[name] for name in data if name != "remember_me"})

    def get_login_name(self, data: Mapping[str, Any]) -> str:
        return assert_type(super().get_login_name(data), str)

    def get_lifetime(self, user: AbstractBaseUser, data: Mapping[str, Any]) -> Lifetime:
        return timedelta(days=90) if data["remember_me"] else FROM_SETTINGS


def finish_login(request: HttpRequest, user: User) -> HttpResponse:
    """Finish a login that is not by password."""
    client = Client.from_request(request)
    assert_type(client.ip_address, str | None)
    pair = families.start(user, client, lifetime=timedelta(days=90))
    assert_type(pair, TokenPair)
    families.start(user, lifetime=None)
    families.start(user, lifetime=90)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    families.start("ann")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    response = HttpResponse()
    set_refresh_cookie(response, pair, request)
    clear_refresh_cookie(response, request)
    return response


def rotate(token: str) -> str:
    """Verify and rotate a refresh token, and use the results."""
    claims = assert_type(families.verify(token), RefreshClaims)
    pair = families.rotate(claims, Client(), "a-key-of-some-length")
    families.rotate(token, Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(pair.access, str)
    assert_type(pair.expires_in, int)
    assert_type(pair.refresh, str)
    assert_type(pair.refresh_expires_in, int)
    assert_type(pair.family_id, UUID)
    pair.refresh = ""  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    return pair.refresh


def revoke(user: User, family_id: UUID) -> None:
    """Revoke and list families, and use the results."""
    assert_type(families.revoke(family_id, "logout"), RefreshToken | None)
    assert_type(families.revoke_all(user, keep=family_id), int)
    families.revoke_all(user, "logout", family_id)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(families.revoke_presented(families.verify("")), RefreshToken | None)
    assert_type(families.active(user), RefreshTokenQuerySet)
    assert_type(RefreshToken.objects.revoke("restored"), int)
    assert_type(RefreshToken.objects.active().revoke("restored"), int)
    families.update_auth_hash(family_id, user)


def look(family: RefreshToken) -> None:
    """Use the methods of a family's row. Only mypy's plugin for Django knows the types of the row's fields."""
    assert family.user.is_active
    assert_type(family.idle_end(), datetime)
    assert_type(family.state(), State)


@receiver(reuse_detected)
def warn_user(sender: type[RefreshToken], user_id: Any, **kwargs: Any) -> None:
    """Receive a signal."""


def listen() -> None:
    """Receive every signal."""
    for signal in (signals.family_started, signals.token_rotated, signals.family_revoked, reuse_detected):
        assert_type(signal, Signal)


def test_my_route(user: User) -> None:
    """Test a route of the project."""
    client = TokenClient(user, lifetime=None)
    assert_type(client.pair, TokenPair)
    with time_travel(timedelta(minutes=16)):
        assert_type(client.refresh(), TokenPair)
    client.revoke()
    assert_type(expired_access_token(user), str)
    assert_type(revoked_refresh_token(user), str)


def scripts() -> None:
    """Call the API with TokenAuth of httpx and of requests."""
    auth = TokenAuth("https://api.example.com/auth/", username="ann", password="x", store=FileStore("session"))
    httpx.Client(auth=auth)
    httpx.AsyncClient(auth=auth)
    requests.Session().auth = RequestsAuth("https://api.example.com/auth/", credentials=lambda: None)
    assert_type(auth.access_token(), str)
    TokenAuth("https://api.example.com/auth/", patience="long")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def why(error: SessionEnded) -> str:
    """Return the reason in an error of TokenAuth."""
    return assert_type(error.reason, str)


def errors(error: TwoTokenError) -> str:
    """Return an attribute that each error has."""
    if isinstance(error, InvalidToken | UserInactive):
        return assert_type(error.reason, str)
    assert_type(error.message, str)
    return assert_type(error.code, str)


def settings() -> None:
    """Read settings, each with its type."""
    assert_type(conf.access_lifetime, timedelta)
    assert_type(conf.family_lifetime, timedelta | None)
    assert_type(conf.delivery, Delivery)
