"""drf-spectacular's extensions for twotoken's endpoints, authentication classes and serializers.

An extension registers itself when its class is defined. ``twotoken.apps`` imports this module in a project that has
drf-spectacular in INSTALLED_APPS.
"""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _
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
from twotoken.conf import conf
from twotoken.proofs import accepts_proofs

# The module step_up is imported only when it is used, because it imports DRF's views. These read the project's defaults
# when they are imported.
STEP_UP = "twotoken.contrib.spectacular.step_up"
NOT_BLANK = r"[^\s\x1c-\x1f\x85]"  # DRF strips more characters than ``\s`` of an ECMAScript pattern matches

# twotoken's classes and their subclasses share one scheme on purpose. drf-spectacular would warn of a name collision.
set_override(AccessTokenAuthentication, "suppress_collision_warning", True)


class EndpointExtension(OpenApiViewExtension):
    """Gives each endpoint of twotoken its description."""

    target_class = "twotoken.views.TokenView"
    match_subclasses = True

    def view_replacement(self) -> Any:
        # The module replacements is imported only now, because it imports DRF's views: see STEP_UP.
        return import_string("twotoken.contrib.spectacular.replacements.replacement_of")(self.target)


class BearerExtension(OpenApiAuthenticationExtension):
    """Describes the access token in the Authorization header, for all authentication classes of twotoken.

    A bound access token is sent with the scheme DPoP, and with a proof in the header ``DPoP``.
    """

    target_class = "twotoken.bearer.BearerAuthentication"
    match_subclasses = True
    name = ["jwtAuth", "dpopAuth"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name[: len(self.get_security_definition(auto_schema))]]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        bearer = dict(build_bearer_security_scheme_object("HTTP_AUTHORIZATION", "Bearer", "JWT"))
        if not (accepts_proofs() and conf.dpop_access):
            return [bearer]
        text = _("A bound access token (RFC 9449). The header DPoP has a proof for the request by the device's key.")
        return [bearer, {"type": "http", "scheme": "dpop", "description": text}]


class RecentLoginExtension(OpenApiViewExtension):
    """Describes the 401 of a project's views that have the permission RecentLogin.

    If the project has an extension of its own for a view, drf-spectacular uses the project's extension instead.
    """

    target_class = "rest_framework.views.APIView"
    match_subclasses = True
    priority = -1

    @classmethod
    def _matches(cls, target: Any) -> bool:
        return super()._matches(target) and import_string(f"{STEP_UP}.has_recent_login")(target)

    def view_replacement(self) -> Any:
        return import_string(f"{STEP_UP}.replacement_of")(self.target)


class PasswordSerializerExtension(OpenApiSerializerExtension):
    """Describes in the schema that a serializer refuses blank values.

    drf-spectacular itself leaves this out if requests and responses share one component.
    """

    target_class = "twotoken.serializers.PasswordSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        # Not super(), which would describe the fields of the target class, without those of a subclass.
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        serializer: Any = force_instance(self.target)
        for name, field in serializer.fields.items():
            if isinstance(field, CharField) and not field.allow_blank and not field.read_only:
                schema["properties"][name].setdefault("minLength", 1)
                if field.trim_whitespace:
                    schema["properties"][name].setdefault("pattern", NOT_BLANK)
        return schema


class TokenFieldExtension(OpenApiSerializerFieldExtension):
    """Describes a token as a string."""

    target_class = "twotoken.serializers.TokenField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "string"}
