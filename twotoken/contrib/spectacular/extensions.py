"""Our endpoints, authentication classes and tokens in an OpenAPI description, by drf-spectacular.

The extensions register themselves where they are defined: ``apps`` imports this module in projects that have
drf-spectacular installed, and nothing else does. What they say of the endpoints is not loaded before it is asked for,
as DRF's views read a project's defaults when they are imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from drf_spectacular.drainage import set_override
from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
    OpenApiViewExtension,
)
from drf_spectacular.plumbing import build_bearer_security_scheme_object, force_instance
from rest_framework.serializers import CharField

from twotoken.authentication import AccessTokenAuthentication

Schema = dict[str, Any]

BEARER = "jwtAuth"
NOT_BLANK = r"[^\s\x1c-\x1f\x85]"  # Python strips more than an ECMAScript pattern takes for space

# One scheme for all our classes and their subclasses, and no warning that they share its name.
set_override(AccessTokenAuthentication, "suppress_collision_warning", True)


def bearer_scheme() -> Schema:
    """Return how an access token is presented."""
    return dict(build_bearer_security_scheme_object("HTTP_AUTHORIZATION", "Bearer", "JWT"))


class EndpointExtension(OpenApiViewExtension):
    """What the endpoints do, by their mount."""

    target_class = "twotoken.base_views.TokenView"
    match_subclasses = True

    def view_replacement(self) -> Any:
        return import_module("twotoken.operations").replacement_of(self.target)


class BearerExtension(OpenApiAuthenticationExtension):
    """The access token in the header, whichever class looks at it."""

    target_class = "twotoken.authentication.AccessTokenAuthentication"
    match_subclasses = True
    name = BEARER

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return bearer_scheme()


class LoginSerializerExtension(OpenApiSerializerExtension):
    """What is sent is never blank, which drf-spectacular leaves out where a serializer could be an answer too."""

    target_class = "twotoken.serializers.LoginSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> Schema:
        schema: Schema = super().map_serializer(auto_schema, direction)
        serializer: Any = force_instance(self.target)
        for name, field in serializer.fields.items():
            if isinstance(field, CharField) and not field.allow_blank and not field.read_only:
                schema["properties"][name].setdefault("minLength", 1)
                if field.trim_whitespace:
                    schema["properties"][name].setdefault("pattern", NOT_BLANK)
        return schema


class TokenFieldExtension(OpenApiSerializerFieldExtension):
    """A token is a string."""

    target_class = "twotoken.serializers.TokenField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        return {"type": "string"}
