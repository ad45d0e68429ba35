"""The OpenAPI descriptions of the endpoints of ``contrib.simplejwt``."""

from __future__ import annotations

from typing import Any, cast

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from drf_spectacular.openapi import AutoSchema
from rest_framework import status
from rest_framework.exceptions import ParseError, UnsupportedMediaType, ValidationError

from twotoken import exceptions
from twotoken.contrib.spectacular.endpoints import BUSY, RefreshSchema
from twotoken.contrib.spectacular.parts import Operation, Schema
from twotoken.contrib.spectacular.schemas import TokenSchema
from twotoken.serializers import RefreshSerializer


class ExchangeSchema(RefreshSchema):
    """Describes the exchange of simplejwt's refresh tokens for twotoken's.

    The exchange takes a token in the body, even with the cookie delivery. If the view has an ``old_cookie``, the
    exchange can also take the token from this cookie.
    """

    def get_request_serializer(self) -> Any:
        by_old_cookie = self.by_cookie and cast("Any", self.view).old_cookie is not None
        return self.optional(RefreshSerializer) if by_old_cookie else RefreshSerializer

    def get_auth(self) -> list[Schema]:
        return AutoSchema.get_auth(self)


class BlacklistSchema(TokenSchema):
    """Describes the logout at simplejwt's URL, which takes a refresh token of simplejwt or twotoken in the body."""

    operations = {
        "POST": Operation(
            pgettext_lazy("operation", "Log out"),
            _("Revokes the token family of the refresh token."),
            status.HTTP_200_OK,
            (ValidationError, ParseError, UnsupportedMediaType, *BUSY),
        )
    }

    def get_request_serializer(self) -> Any:
        return RefreshSerializer

    def get_success(self) -> Any:
        return {"type": "object"}


class VerifySchema(BlacklistSchema):
    """Describes the endpoint at which simplejwt's clients check a token. The endpoint takes any token in the body."""

    operations = {
        "POST": Operation(
            pgettext_lazy("operation", "Verify a token"),
            _("Tells whether a token is accepted. The token stays valid."),
            status.HTTP_200_OK,
            (ValidationError, ParseError, UnsupportedMediaType, exceptions.TokenNotValid, *BUSY),
        )
    }

    def get_request_serializer(self) -> Any:
        return cast("Any", self.view).serializer_class
