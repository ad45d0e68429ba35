"""The schema class that describes an endpoint for drf-spectacular, with the delivery of its mount and all errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, cast

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils.translation import gettext_lazy as _
from drf_spectacular.plumbing import ResolvedComponent, get_doc
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import status
from rest_framework.exceptions import ParseError, UnsupportedMediaType, ValidationError

from twotoken.conf import Delivery, conf
from twotoken.contrib.spectacular.errors import ErrorClass, status_of
from twotoken.contrib.spectacular.mounts import mount_options
from twotoken.contrib.spectacular.parts import (
    ERROR_HEADERS,
    NONCE,
    PREFIX,
    PROOF,
    ErrorSchema,
    Operation,
    Schema,
    object_of,
)
from twotoken.cookies import companion_name, cookie_path
from twotoken.exceptions import CrossOrigin, InsufficientUserAuthentication, InvalidProof
from twotoken.permissions import recent_logins
from twotoken.proofs import accepts_proofs
from twotoken.serializers import LoginSerializer
from twotoken.views import CredentialView, TokenView

COOKIE = "refreshCookie"
DELIVERED = {
    Delivery.COOKIE: _("The refresh token travels in a cookie that no script can read."),
    Delivery.BODY: _("The refresh token travels in the body."),
    Delivery.NONE: _("There is no refresh token."),
}
SECONDS: Schema = {"type": "integer", "minimum": 0, "description": _("In seconds.")}
TOKEN: Schema = {"type": "string"}
TOKEN_TYPE: Schema = {
    "type": "string",
    "enum": ["DPoP", "Bearer"],
    "description": _("How the access token is sent. Absent if no DPoP proof bound the tokens to a key."),
}
EXAMPLE_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl"  # noqa: S105 - not a real token


class TokenSchema(ErrorSchema):
    """Describes an endpoint with the options of its mount, such as ``delivery``.

    The project's own description of the endpoint overrides this one.
    """

    operations: ClassVar[Mapping[str, Operation]] = {}
    delivery: Delivery
    # The status of a refused DPoP proof: 401 if the endpoint takes an access token, otherwise 400.
    proof_status: int = status.HTTP_401_UNAUTHORIZED

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> Schema | None:
        self.delivery = cast("TokenView", self.view).get_delivery(mount_options(path_regex))
        return super().get_operation(path, path_regex, path_prefix, method, registry)

    def map_parsers(self) -> list[str]:
        """Return the media types of a request body. With the delivery ``body``, these include forms."""
        forms = cast("TokenView", self.view).form_parser_classes if self.delivery is Delivery.BODY else ()
        return list(dict.fromkeys([*super().map_parsers(), *(str(parser.media_type) for parser in forms)]))

    @property
    def operation(self) -> Operation | None:
        """twotoken's description of this endpoint's method. None for a method that the project added to the view."""
        return self.operations.get(self.method)

    @property
    def by_cookie(self) -> bool:
        """Whether the mount delivers the refresh token in a cookie."""
        return self.delivery is Delivery.COOKIE

    def get_operation_id(self) -> str:
        """Return an operationId made of the whole path, variables included, so that the ids of two mounts differ."""
        if self.operation is None:
            return super().get_operation_id()
        path = re.sub(self.path_prefix, "", self.path, flags=re.IGNORECASE).replace("{family_id}", "")
        return "_".join([*re.findall(r"\w+", path), *filter(None, [self.operation.action])])

    def get_summary(self) -> str | None:
        return super().get_summary() if self.operation is None else str(self.operation.summary)

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular's own
        """Return the docstring of a project's view. For a view of twotoken, return a text for clients of the API."""
        docstring: str = super().get_description()
        ours = next(view for view in type(self.view).__mro__ if view.__module__.startswith("twotoken."))
        if self.operation is None or docstring not in {"", get_doc(ours)}:
            return docstring
        delivered = f" {DELIVERED[self.delivery]}" if self.operation.tells_delivery else ""
        return f"{self.operation.description}{delivered}"

    def get_request_serializer(self) -> Any:
        return super().get_request_serializer() if self.operation is None else None

    def get_response_serializers(self) -> Any:
        return super().get_response_serializers() if self.operation is None else self.responses

    @cached_property
    def responses(self) -> dict[int, Any]:
        """The responses by status. Cached, because drf-spectacular reads them about twelve times for each operation."""
        operation = self.operations[self.method]
        errors = self.get_errors()
        responses = {operation.status: self.get_success()}
        for code in sorted(set(map(self.status_of, errors))):
            responses[code] = self.error_response([error for error in errors if self.status_of(error) == code])
        return responses

    def status_of(self, error: ErrorClass) -> int:
        """Return the status of an error's answer. The status for a refused DPoP proof depends on the endpoint."""
        return self.proof_status if issubclass(error, InvalidProof) else status_of(error) or 0

    def optional(self, serializer: Any) -> dict[str, Schema]:
        """Return the schema of an optional request body, by media type."""
        # Return references, not the serializer: if a serializer has a required field, drf-spectacular requires a body.
        ref = self.resolve_serializer(serializer, "request").ref
        return {media_type: dict(ref) for media_type in self.map_parsers()}

    def get_success(self) -> Any:
        """Return the description of the successful response. None if the response has no body."""
        return None

    def get_errors(self) -> list[ErrorClass]:
        """Return the errors that this mount can answer with."""
        impossible: set[ErrorClass] = set()
        if not (self.by_cookie and isinstance(self.view, CredentialView)):
            impossible.add(CrossOrigin)
        if self.get_request_serializer() is None:
            impossible |= {ValidationError, ParseError, UnsupportedMediaType}
        if not accepts_proofs():
            impossible.add(InvalidProof)
        asked = [InsufficientUserAuthentication] if asks_for_login(self.view) else []
        return [
            error for error in [*(self.operation.errors if self.operation else ()), *asked] if error not in impossible
        ]

    def get_override_parameters(self) -> list[Any]:
        """Return the request's parameters and the response headers.

        Each response header names statuses. drf-spectacular adds the header to the responses with these statuses.
        """
        parameters: list[Any] = super().get_override_parameters()
        if self.operation is None:
            return parameters
        set_cookie = [self.operation.set_cookie] if self.by_cookie and self.operation.set_cookie else []
        proof = [PROOF, *([NONCE] if conf.dpop_nonce else [])] if InvalidProof in self.get_errors() else []
        return [*parameters, *ERROR_HEADERS, *set_cookie, *self.operation.parameters, *proof]

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        name = super().get_serializer_name(serializer, direction)
        return f"{PREFIX}{name}" if type(serializer).__module__ == LoginSerializer.__module__ else name

    def pair(self) -> OpenApiResponse:
        """Return the description of the successful response of login and refresh."""
        if self.delivery is not Delivery.BODY:
            return self.access()
        lifetime = int(conf.refresh_lifetime.total_seconds())
        refresh = {"refresh": TOKEN, "refresh_expires_in": SECONDS}
        return self.tokens("Pair", refresh, {"refresh": EXAMPLE_TOKEN, "refresh_expires_in": lifetime})

    def access(self) -> OpenApiResponse:
        """Return the description of a successful response that has an access token and no refresh token."""
        return self.tokens("Access", {}, {})

    def tokens(self, name: str, fields: Schema, example: Schema) -> OpenApiResponse:
        """Return the description of a successful response that has an access token, and the additional ``fields``."""
        lifetime = int(conf.access_lifetime.total_seconds())
        body = object_of({"access": TOKEN, "expires_in": SECONDS, **fields})
        if accepts_proofs():
            body["properties"]["token_type"] = self.component("TokenType", TOKEN_TYPE)
        schema = self.component(name, body)
        shown = OpenApiExample("tokens", {"access": EXAMPLE_TOKEN, "expires_in": lifetime, **example})
        return OpenApiResponse(schema, _("The tokens."), [shown])

    def require_cookie(self) -> Schema:
        """Register the security scheme of the refresh cookie, and return the security requirement that names it."""
        text = _("The refresh token. A browser sends it by itself; no script can read or set it.")
        return self.cookie_scheme(COOKIE, conf.cookie_name, text)

    def require_companion(self) -> Schema:
        """Register the security scheme of this mount's companion cookie, and return the requirement that names it.

        The companion cookie says which refresh cookie is this browser's own. Return an empty dict if the mount has no
        companion cookie, or if the cookie's name is unknown. The name depends on the mount's path. It is unknown if the
        path has variables or is not in the URLconf.
        """
        request = HttpRequest()
        try:
            match = request.resolver_match = resolve(self.path)
            name = companion_name(cookie_path(request))
        except (Resolver404, ImproperlyConfigured):
            return {}
        if name is None or "{" in self.path:
            return {}
        text = _("Says which refresh cookie is this browser's own. A browser sends it by itself.")
        return self.cookie_scheme("_".join([COOKIE, "sid", *filter(None, match.namespaces)]), name, text)

    def cookie_scheme(self, key: str, name: str, text: Any) -> Schema:
        """Register a cookie as a security scheme, and return the security requirement that names it."""
        scheme = {"type": "apiKey", "in": "cookie", "name": name, "description": text}
        component = ResolvedComponent(key, ResolvedComponent.SECURITY_SCHEMA, scheme, TokenSchema)
        self.registry.register_on_missing(component)
        return {key: []}


def asks_for_login(view: Any) -> bool:
    """Tell whether a view has RecentLogin among its permissions, and no setting switches this permission off."""
    return any(permission().get_max_age() is not None for permission in recent_logins(view.permission_classes))
