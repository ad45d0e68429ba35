"""What is said of each endpoint in an OpenAPI description."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from drf_spectacular.drainage import isolate_view_method
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema_field
from rest_framework import status
from rest_framework.exceptions import NotFound, ParseError, Throttled, UnsupportedMediaType, ValidationError
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from twotoken.conf import Delivery
from twotoken.exceptions import (
    CrossOrigin,
    ExpiredToken,
    InvalidIdempotencyKey,
    InvalidToken,
    MissingToken,
    NoActiveAccount,
    PasswordChanged,
    RevokedToken,
    RotationConflict,
    TokenNotValid,
    Unavailable,
    UserInactive,
)
from twotoken.openapi import COOKIE, Operation, Refusal, TokenSchema, cookie_scheme, header, object_of
from twotoken.schema import BEARER, Schema, bearer_scheme
from twotoken.serializers import LoginSerializer, RefreshSerializer, SessionSerializer
from twotoken.views import (
    IDEMPOTENCY_KEY,
    JWKSView,
    LoginView,
    LogoutAllView,
    LogoutView,
    RefreshView,
    SessionsView,
    SessionView,
)

extend_schema_field(OpenApiTypes.DATETIME)(SessionSerializer.get_last_used_at)
BUSY = (RotationConflict, Unavailable)  # wherever the database is asked
BEARER_REFUSALS = (MissingToken, InvalidToken, ExpiredToken, RevokedToken, PasswordChanged, UserInactive, *BUSY)


KEY_MEMBERS = ("kty", "kid", "alg", "use")


class LoginSchema(TokenSchema):
    """login/: what the serializer takes, against what the delivery gives."""

    tells_delivery = True
    operations = {
        "POST": Operation(
            pgettext_lazy("operation", "Log in"),
            _("Exchanges credentials for an access token. Ends the token family of a refresh cookie that comes along."),
            status.HTTP_200_OK,
            (ValidationError, ParseError, NoActiveAccount, CrossOrigin, UnsupportedMediaType, Throttled, *BUSY),
        )
    }

    def get_success(self) -> Any:
        return self.pair()

    def get_cookie_headers(self) -> list[OpenApiParameter]:
        return [header("Set-Cookie", str, _("The refresh token."), status.HTTP_200_OK)]

    def get_examples(self) -> list[OpenApiExample]:
        examples: list[OpenApiExample] = super().get_examples()
        if cast("LoginView", self.view).serializer_class is not LoginSerializer:
            return examples
        shown = {cast("Any", get_user_model()).USERNAME_FIELD: "ann", "password": "correct horse battery staple"}
        return [*examples, OpenApiExample("credentials", shown, request_only=True)]


class RefreshSchema(TokenSchema):
    """refresh/: the refresh token from where the mount has it. With the delivery ``none`` it is a 404, and left out."""

    tells_delivery = True
    operations = {
        "POST": Operation(
            pgettext_lazy("operation", "Refresh"),
            _(
                "Exchanges the refresh token for the next one and a new access token. One that was exchanged before "
                "ends its token family, unless it is a retry by the same Idempotency-Key."
            ),
            status.HTTP_200_OK,
            (
                ValidationError,
                ParseError,
                InvalidIdempotencyKey,
                TokenNotValid,
                CrossOrigin,
                UnsupportedMediaType,
                Throttled,
                *BUSY,
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
        return [self.require(COOKIE, cookie_scheme()), *filter(None, auth)] if self.by_cookie else auth

    def get_override_parameters(self) -> list[Any]:
        key = OpenApiParameter(
            "Idempotency-Key",
            {"type": "string", "pattern": f"^(?:{IDEMPOTENCY_KEY.pattern})$"},
            OpenApiParameter.HEADER,
            description=_("Names this refresh: the same token with the same key gets the same answer again. A secret."),
        )
        return [*super().get_override_parameters(), key]

    def get_cookie_headers(self) -> list[OpenApiParameter]:
        text = _("The next refresh token, unless the client holds it already. Cleared where the old one is refused.")
        codes = (status.HTTP_200_OK, status.HTTP_401_UNAUTHORIZED)
        return [header("Set-Cookie", str, text, *codes, required=False)]


class ClearingSchema(TokenSchema):
    """What ends the asking family and so clears its cookie."""

    def get_request_serializer(self) -> Any:
        return None

    def get_cookie_headers(self) -> list[OpenApiParameter]:
        return [header("Set-Cookie", str, _("Clears the cookie."), status.HTTP_204_NO_CONTENT)]


class LogoutSchema(ClearingSchema):
    """logout/: by cookie nothing is required; elsewhere the refresh token or an access token."""

    operations = {
        "POST": Operation(
            pgettext_lazy("operation", "Log out"),
            _("Ends the token families of the refresh token and of the access token that come along."),
            status.HTTP_204_NO_CONTENT,
            (
                ValidationError,
                ParseError,
                MissingToken,
                InvalidToken,
                ExpiredToken,
                CrossOrigin,
                UnsupportedMediaType,
                *BUSY,
            ),
        )
    }

    def get_refusals(self) -> list[Refusal]:
        impossible: dict[Delivery, set[Refusal]] = {
            Delivery.COOKIE: {MissingToken, InvalidToken, ExpiredToken},
            Delivery.BODY: {MissingToken},  # the body's 400 says what is missing
            Delivery.NONE: set(),
        }
        return [refusal for refusal in super().get_refusals() if refusal not in impossible[self.delivery]]

    def get_request_serializer(self) -> Any:
        return RefreshSerializer if self.delivery is Delivery.BODY else None

    def _get_request_body(self, direction: Any = "request") -> Any:
        body = super()._get_request_body(direction)
        return {name: value for name, value in body.items() if name != "required"} if body else body

    def get_auth(self) -> list[Schema]:
        bearer = self.require(BEARER, bearer_scheme())
        schemes = {
            Delivery.COOKIE: [self.require(COOKIE, cookie_scheme()), *super().get_auth()],
            Delivery.BODY: [bearer, *super().get_auth()],
            Delivery.NONE: [bearer],
        }
        return schemes[self.delivery]


class LogoutAllSchema(ClearingSchema):
    """logout/all/."""

    operations = {
        "POST": Operation(
            pgettext_lazy("operation", "Log out everywhere"),
            _("Ends every token family of the user."),
            status.HTTP_204_NO_CONTENT,
            BEARER_REFUSALS,
        )
    }


class SessionsSchema(TokenSchema):
    """sessions/: by the project's pagination."""

    operations = {
        "GET": Operation(
            pgettext_lazy("operation", "List the sessions"),
            _("Lists the user's live token families, the newest login first."),
            status.HTTP_200_OK,
            (*BEARER_REFUSALS, NotFound),
            "list",
        ),
        "DELETE": Operation(
            pgettext_lazy("operation", "End all other sessions"),
            _("Ends all of the user's token families but the asking one."),
            status.HTTP_204_NO_CONTENT,
            BEARER_REFUSALS,
            "destroy_others",
        ),
    }

    def get_success(self) -> Any:
        return cast("SessionsView", self.view).serializer_class(many=True) if self.method == "GET" else None

    def get_refusals(self) -> list[Any]:
        """A page that is not there is all that can't be found."""
        is_paged = self._get_paginator() is not None
        return [refusal for refusal in super().get_refusals() if is_paged or refusal is not NotFound]


class SessionSchema(ClearingSchema):
    """sessions/<id>/."""

    operations = {
        "DELETE": Operation(
            pgettext_lazy("operation", "End a session"),
            _("Ends one of the user's own token families."),
            status.HTTP_204_NO_CONTENT,
            (*BEARER_REFUSALS, NotFound),
            "destroy",
        )
    }

    def get_override_parameters(self) -> list[Any]:
        family_id = OpenApiParameter("family_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
        return [*super().get_override_parameters(), family_id]

    def get_cookie_headers(self) -> list[OpenApiParameter]:
        text = _("Clears the cookie where the asking session was ended.")
        return [header("Set-Cookie", str, text, status.HTTP_204_NO_CONTENT, required=False)]


class JWKSSchema(TokenSchema):
    """The public keys."""

    operations = {
        "GET": Operation(
            pgettext_lazy("operation", "List the public keys"),
            _("Lists the keys that access tokens can be verified with (RFC 7517). None where a secret signs them."),
            status.HTTP_200_OK,
            (),
        )
    }

    def get_request_serializer(self) -> Any:
        return None

    def get_success(self) -> Any:
        # All of a key's members are text; which there are depends on its type.
        key = {
            **object_of({name: {"type": "string"} for name in KEY_MEMBERS}),
            "additionalProperties": {"type": "string"},
        }
        return self.component("KeySet", object_of({"keys": {"type": "array", "items": key}}))


SCHEMAS: dict[type[APIView], type[TokenSchema]] = {
    LoginView: LoginSchema,
    RefreshView: RefreshSchema,
    LogoutView: LogoutSchema,
    LogoutAllView: LogoutAllSchema,
    SessionsView: SessionsSchema,
    SessionView: SessionSchema,
    JWKSView: JWKSSchema,
}


def replacement_of(view: type[APIView]) -> type[APIView]:
    """Return a view in whose place drf-spectacular describes it: what we say, under what the project says of it."""
    ours = next((schema for known, schema in SCHEMAS.items() if issubclass(view, known)), TokenSchema)
    paged_by = getattr(view, "pagination_class", api_settings.DEFAULT_PAGINATION_CLASS)
    described_by = layered(type(view.schema), ours)()
    attributes = {"__module__": view.__module__, "schema": described_by, "pagination_class": paged_by}
    replacement = type(view.__name__, (view,), attributes)
    for name in ours.operations:
        # Where @extend_schema decorates a method, its schema would take the place of the view's.
        decorated = getattr(getattr(view, name.lower()), "kwargs", {}).get("schema")
        if decorated is not None:
            isolated: Any = isolate_view_method(replacement, name.lower())
            isolated.kwargs["schema"] = layered(decorated, ours)
    return replacement


def layered(schema: type[Any], ours: type[TokenSchema]) -> type[TokenSchema]:
    """Return a schema that asks the project's first, ours next, and drf-spectacular's own last."""
    if not issubclass(schema, AutoSchema) or issubclass(ours, schema):
        return ours
    bases: tuple[Any, ...] = (schema, ours)
    return type(schema.__name__, bases, {})
