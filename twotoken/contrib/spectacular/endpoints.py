"""The OpenAPI descriptions of the endpoints in ``twotoken.urls``."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema_field
from rest_framework import status
from rest_framework.exceptions import NotFound, ParseError, Throttled, UnsupportedMediaType, ValidationError

from twotoken import exceptions, views
from twotoken.authentication import AccessTokenAuthentication
from twotoken.conf import Delivery
from twotoken.contrib.spectacular.parts import Operation, Schema, set_cookie
from twotoken.contrib.spectacular.schemas import TokenSchema
from twotoken.serializers import LoginSerializer, PasswordSerializer, RefreshSerializer, SessionSerializer

extend_schema_field(OpenApiTypes.DATETIME)(SessionSerializer.get_last_used_at)
# Every endpoint that uses the database can be busy.
BUSY = (exceptions.RotationConflict, exceptions.Unavailable)
BEARER_ERRORS = (
    *(exceptions.MissingToken, exceptions.InvalidToken, exceptions.ExpiredToken, exceptions.RevokedToken),
    *(exceptions.PasswordChanged, exceptions.UserInactive, exceptions.WrongDevice, exceptions.InvalidProof, *BUSY),
)
CREDENTIAL_ERRORS = (ValidationError, ParseError, exceptions.CrossOrigin, UnsupportedMediaType, Throttled, *BUSY)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": f"^(?:{views.IDEMPOTENCY_KEY.pattern})$"},
    OpenApiParameter.HEADER,
    description=_("Identifies this refresh: a retry with the same token and key gets the same answer. Keep it secret."),
)
EXAMPLE_PASSWORD = "correct horse battery staple"  # noqa: S105 - not a real one
CLEARED = set_cookie(_("Clears the cookie."), status.HTTP_204_NO_CONTENT)


class LoginSchema(TokenSchema):
    """Describes ``login/``, which takes the fields of the view's serializer."""

    proof_status: int = status.HTTP_400_BAD_REQUEST
    operations = {
        "POST": Operation(
            pgettext_lazy("operation", "Log in"),
            _("Exchanges credentials for an access token. Revokes the token family of the request's refresh cookie."),
            status.HTTP_200_OK,
            (exceptions.NoActiveAccount, exceptions.InvalidProof, *CREDENTIAL_ERRORS),
            tells_delivery=True,
            set_cookie=set_cookie(_("The refresh token."), status.HTTP_200_OK),
        )
    }

    def get_request_serializer(self) -> Any:
        return cast("views.LoginView", self.view).serializer_class

    def get_success(self) -> Any:
        return self.pair()

    def get_examples(self) -> list[OpenApiExample]:
        examples: list[OpenApiExample] = super().get_examples()
        if self.get_request_serializer() is not LoginSerializer:
            return examples
        shown = {cast("Any", get_user_model()).USERNAME_FIELD: "ann", "password": EXAMPLE_PASSWORD}
        return [*examples, OpenApiExample("credentials", shown, request_only=True)]


class ReauthenticateSchema(LoginSchema):
    """Describes ``reauthenticate/``, which takes the fields of the view's serializer."""

    proof_status = status.HTTP_401_UNAUTHORIZED
    operations = {
        "POST": Operation(
            pgettext_lazy("operation", "Confirm your identity"),
            _("Exchanges the password for an access token that says that its user has just proven their identity."),
            status.HTTP_200_OK,
            (exceptions.NoActiveAccount, *BEARER_ERRORS, *CREDENTIAL_ERRORS[: -len(BUSY)]),
        )
    }

    @cached_property
    def responses(self) -> dict[int, Any]:
        """The responses by status. A bad DPoP proof gets a 401 from the authentication class or a 400 from the view.

        The view itself reads the proof too, before the throttle counts the request as an attempt.
        """
        responses = dict(super().responses)
        errors = self.get_errors()
        refused = [
            error for error in errors if self.status_of(error) == 400 or issubclass(error, exceptions.InvalidProof)
        ]
        responses[status.HTTP_400_BAD_REQUEST] = self.error_response(refused)
        return responses

    def get_success(self) -> Any:
        return self.access()

    def get_examples(self) -> list[OpenApiExample]:
        examples: list[OpenApiExample] = TokenSchema.get_examples(self)
        if self.get_request_serializer() is not PasswordSerializer:
            return examples
        return [*examples, OpenApiExample("password", {"password": EXAMPLE_PASSWORD}, request_only=True)]


class RefreshSchema(TokenSchema):
    """Describes ``refresh/``, which takes the refresh token in a cookie or in the body.

    An ``include`` of ``twotoken.urls`` without refresh tokens is left out, because its ``refresh/`` answers 404.
    """

    proof_status: int = status.HTTP_400_BAD_REQUEST
    operations = {
        "POST": Operation(
            pgettext_lazy("operation", "Refresh"),
            _(
                "Exchanges the refresh token for the next one and a new access token. An older refresh token revokes "
                "its token family, unless the request is a retry with the same Idempotency-Key."
            ),
            status.HTTP_200_OK,
            (
                *(exceptions.InvalidIdempotencyKey, exceptions.TokenNotValid, exceptions.InvalidProof),
                *CREDENTIAL_ERRORS,
            ),
            tells_delivery=True,
            parameters=(IDEMPOTENCY_KEY,),
            set_cookie=set_cookie(
                _("The next refresh token, unless the client already has it. Cleared if the old one is refused."),
                status.HTTP_200_OK,
                status.HTTP_401_UNAUTHORIZED,
                required=False,
            ),
        )
    }

    def is_excluded(self) -> bool:
        return super().is_excluded() or self.delivery is Delivery.NONE

    def get_request_serializer(self) -> Any:
        return None if self.by_cookie else RefreshSerializer

    def get_success(self) -> Any:
        return self.pair()

    def get_auth(self) -> list[Schema]:
        auth = super().get_auth()
        return [self.require_cookie() | self.require_companion(), *filter(None, auth)] if self.by_cookie else auth


class LogoutSchema(TokenSchema):
    """Describes ``logout/``. With the cookie delivery no token is required, otherwise a refresh or access token."""

    operations = {
        "POST": Operation(
            pgettext_lazy("operation", "Log out"),
            _("Revokes the token families of the refresh token and of the access token in the request."),
            status.HTTP_204_NO_CONTENT,
            (
                *(ValidationError, ParseError, exceptions.MissingToken, exceptions.InvalidToken),
                *(exceptions.ExpiredToken, exceptions.WrongDevice, exceptions.InvalidProof),
                *(exceptions.CrossOrigin, UnsupportedMediaType, *BUSY),
            ),
            set_cookie=CLEARED,
        )
    }

    def get_errors(self) -> list[Any]:
        impossible: dict[Delivery, set[Any]] = {
            Delivery.COOKIE: {
                *(exceptions.MissingToken, exceptions.InvalidToken, exceptions.ExpiredToken),
                *(exceptions.WrongDevice, exceptions.InvalidProof),
            },
            Delivery.BODY: {exceptions.MissingToken},  # a missing token gets a 400 that lists the field
            Delivery.NONE: set(),
        }
        return [error for error in super().get_errors() if error not in impossible[self.delivery]]

    def get_request_serializer(self) -> Any:
        if self.delivery is not Delivery.BODY:
            return None
        return self.optional(RefreshSerializer)

    def get_auth(self) -> list[Schema]:
        if not self.by_cookie:
            self.view.authentication_classes = [AccessTokenAuthentication]
        auth = super().get_auth()
        if self.by_cookie:
            return [self.require_cookie(), *auth]
        return list(filter(None, auth)) if self.delivery is Delivery.NONE else auth


class LogoutAllSchema(TokenSchema):
    """Describes ``logout/all/``."""

    operations = {
        "POST": Operation(
            pgettext_lazy("operation", "Log out everywhere"),
            _("Revokes every token family of the user."),
            status.HTTP_204_NO_CONTENT,
            BEARER_ERRORS,
            set_cookie=CLEARED,
        )
    }


class SessionsSchema(TokenSchema):
    """Describes ``sessions/``, with the project's pagination."""

    operations = {
        "GET": Operation(
            pgettext_lazy("operation", "List the sessions"),
            _("Lists the user's active token families, the newest login first."),
            status.HTTP_200_OK,
            (*BEARER_ERRORS, NotFound),
            "list",
        ),
        "DELETE": Operation(
            pgettext_lazy("operation", "Revoke all other sessions"),
            _("Revokes all token families of the user except the one of the request."),
            status.HTTP_204_NO_CONTENT,
            BEARER_ERRORS,
            "destroy_others",
        ),
    }

    def get_success(self) -> Any:
        return cast("views.SessionsView", self.view).serializer_class(many=True) if self.method == "GET" else None

    def get_errors(self) -> list[Any]:
        """Return the errors, without the 404 if the list is not paginated. Only a missing page gets a 404."""
        is_paged = self._get_paginator() is not None
        return [error for error in super().get_errors() if is_paged or error is not NotFound]


class SessionSchema(TokenSchema):
    """Describes ``sessions/<id>/``."""

    operations = {
        "DELETE": Operation(
            pgettext_lazy("operation", "Revoke a session"),
            _("Revokes one of the user's own token families."),
            status.HTTP_204_NO_CONTENT,
            (*BEARER_ERRORS, NotFound),
            "destroy",
            parameters=(OpenApiParameter("family_id", OpenApiTypes.UUID, OpenApiParameter.PATH),),
            set_cookie=set_cookie(
                _("Clears the cookie if the session is that of the request."),
                status.HTTP_204_NO_CONTENT,
                required=False,
            ),
        )
    }
