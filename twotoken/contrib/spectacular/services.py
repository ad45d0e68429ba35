"""The OpenAPI descriptions of the endpoints for services that verify tokens."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status
from rest_framework.exceptions import ValidationError

from twotoken.contrib.spectacular.endpoints import BUSY
from twotoken.contrib.spectacular.parts import Operation, object_of
from twotoken.contrib.spectacular.schemas import TokenSchema


class JWKSSchema(TokenSchema):
    """Describes the endpoint that lists the public keys as a JWK Set."""

    operations = {
        "GET": Operation(
            pgettext_lazy("operation", "List the public keys"),
            _("Lists the keys that verify access tokens (RFC 7517). The list is empty if a secret signs them."),
            status.HTTP_200_OK,
            (),
        )
    }

    def get_success(self) -> Any:
        # All members of a key are strings. The key type determines the others.
        text = {"type": "string"}
        key = {**object_of(dict.fromkeys(("kty", "kid", "alg", "use"), text)), "additionalProperties": text}
        return self.component("KeySet", object_of({"keys": {"type": "array", "items": key}}))


class DiscoverySchema(TokenSchema):
    """Describes the endpoint that names the issuer and the URL of the issuer's public keys."""

    operations = {
        "GET": Operation(
            pgettext_lazy("operation", "Show the issuer"),
            _("Says who issues access tokens, and where the public keys are (RFC 8414)."),
            status.HTTP_200_OK,
            (),
        )
    }

    def get_success(self) -> Any:
        address = {"type": "string", "format": "uri"}
        return self.component("ServerMetadata", object_of({"issuer": address, "jwks_uri": address}))


class RevocationsSchema(TokenSchema):
    """Describes the endpoint that lists digests of the families revoked within the lifetime of an access token."""

    operations = {
        "GET": Operation(
            pgettext_lazy("operation", "List the revoked token families"),
            _("Lists the digests of the token families that were revoked within the lifetime of an access token."),
            status.HTTP_200_OK,
            (ValidationError, *BUSY),
            parameters=(
                OpenApiParameter(
                    "since", str, description=_("The cursor of an earlier answer: lists only newer ones.")
                ),
            ),
        )
    }

    def get_success(self) -> Any:
        text, number = {"type": "string"}, {"type": "integer"}
        members = {"revoked": {"type": "array", "items": text}, "since": text, "lifetime": number}
        return self.component("Revocations", object_of(members))
