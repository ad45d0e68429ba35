"""Describes an endpoint for drf-spectacular, by the delivery of its mount and with every error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, cast

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, resolve
from django.utils.translation import gettext_lazy as _
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent, get_doc
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import status
from rest_framework.exceptions import ParseError, UnsupportedMediaType, ValidationError

from twotoken.base_views import CredentialView, TokenView
from twotoken.conf import Delivery, conf
from twotoken.contrib.spectacular.errors import (
    DRF_ERRORS,
    FIELD_ERRORS,
    ErrorClass,
    describe,
    examples_of,
    status_of,
    values_of,
)
from twotoken.cookies import companion_name, cookie_path
from twotoken.exceptions import CrossOrigin, InsufficientUserAuthentication, InvalidProof, TokenNotValid, TwoTokenError
from twotoken.permissions import recent_logins
from twotoken.proofs import NONCE_HEADER, accepts_proofs
from twotoken.serializers import LoginSerializer

Schema = dict[str, Any]

PREFIX = "TwoToken"  # separates twotoken's components from a project's own Login and Error
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


def header(name: str, schema: Any, text: Any, *codes: int, required: bool = True) -> OpenApiParameter:
    """Return a header of the answers with these statuses."""
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, required=required, description=text, response=list(codes)
    )


def set_cookie(text: Any, *codes: int, required: bool = True) -> OpenApiParameter:
    """Return the header that sets or clears the refresh cookie."""
    return header("Set-Cookie", str, text, *codes, required=required)


CHALLENGE = header("WWW-Authenticate", str, _("How to authenticate (RFC 6750)."), status.HTTP_401_UNAUTHORIZED)
ERROR_HEADERS = (
    CHALLENGE,
    header(
        "Retry-After",
        {"type": "integer", "minimum": 1},
        _("In seconds."),
        status.HTTP_429_TOO_MANY_REQUESTS,
        status.HTTP_503_SERVICE_UNAVAILABLE,
    ),
)


# The component of an error's body, and the field that it has beside ``detail`` and ``code``.
MARKS: tuple[tuple[str, str], ...] = (("Error", ""), ("NotValid", "reason"), ("StepUp", "max_age"))


def marks_of(error: ErrorClass) -> tuple[str, str]:
    """Return which of MARKS an error has."""
    return (
        MARKS[1] if issubclass(error, TokenNotValid) else MARKS[2 * issubclass(error, InsufficientUserAuthentication)]
    )


PROOF = OpenApiParameter(
    "DPoP",
    str,
    OpenApiParameter.HEADER,
    description=_("A proof for this request by the device's key (RFC 9449). A login with a proof binds its tokens."),
)
NONCE = header(
    NONCE_HEADER,
    str,
    _("The nonce for the next DPoP proof."),
    status.HTTP_200_OK,
    status.HTTP_400_BAD_REQUEST,
    status.HTTP_401_UNAUTHORIZED,
    required=False,
)


@dataclass(frozen=True)
class Operation:
    """The parts of an operation's description that are the same at every mount.

    ``action`` is the suffix of the operationId. ``set_cookie`` is the Set-Cookie header at mounts with the cookie
    delivery.
    """

    summary: Any
    description: Any
    status: int
    errors: tuple[ErrorClass, ...]
    action: str = ""
    tells_delivery: bool = False
    parameters: tuple[OpenApiParameter, ...] = ()
    set_cookie: OpenApiParameter | None = None


class ErrorSchema(AutoSchema):
    """Describes our errors."""

    def error_response(self, errors: Sequence[ErrorClass]) -> OpenApiResponse:
        """Return the response for errors that share a status."""
        schemas = [self.component("FieldErrors", FIELD_ERRORS)] if ValidationError in errors else []
        coded = [error for error in errors if error is not ValidationError]
        for marks in MARKS:
            alike = [error for error in coded if marks_of(error) == marks]
            schemas += [self.error_body(alike)] if alike else []
        description = " ".join(dict.fromkeys(map(describe, errors)))
        examples = [example for error in coded for example in examples_of(error)]
        return OpenApiResponse(schemas[0] if len(schemas) == 1 else {"oneOf": schemas}, description, examples)

    def error_body(self, errors: Sequence[ErrorClass]) -> Schema:
        """Return the body of errors that have the same fields.

        The enumerations ``code`` and ``reason`` are components with all their values. Each use narrows ``code`` to the
        codes of its errors. drf-spectacular would name inline enumerations after their property, and these names would
        clash with a project's own ``code`` or ``reason``.
        """
        fields: Schema = {
            "detail": {"type": "string", "description": _("Text for people. Programs use the code.")},
            "code": self.component(
                "ErrorCode", {"type": "string", "enum": values_of("code", TwoTokenError, *DRF_ERRORS)}
            ),
        }
        name, mark = marks_of(errors[0])
        if mark == "reason":
            fields[mark] = self.component("Reason", {"type": "string", "enum": values_of(mark, TokenNotValid)})
        if mark == "max_age":
            fields[mark] = {"type": "integer", "minimum": 1, "description": _("How old a login may be, in seconds.")}
        schema = self.component(name, object_of(fields))
        return {"allOf": [schema, {"type": "object", "properties": {"code": {"enum": values_of("code", *errors)}}}]}

    def component(self, name: str, schema: Schema) -> Schema:
        """Register a schema, unless it is registered already, and return a reference to it."""
        component = ResolvedComponent(f"{PREFIX}{name}", ResolvedComponent.SCHEMA, schema, ErrorSchema)
        self.registry.register_on_missing(component)
        return dict(component.ref)


class TokenSchema(ErrorSchema):
    """Describes an endpoint by its mount. The project's own description of the endpoint overrides it."""

    operations: ClassVar[Mapping[str, Operation]] = {}
    delivery: Delivery
    # Of a refused DPoP proof: 401 beside an access token, and 400 where the proof stands alone.
    proof_status: int = status.HTTP_401_UNAUTHORIZED

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> Schema | None:
        self.delivery = cast("TokenView", self.view).get_delivery(mount_options(path_regex))
        return super().get_operation(path, path_regex, path_prefix, method, registry)

    def map_parsers(self) -> list[str]:
        """Return the media types of a request body: with the body delivery also forms."""
        forms = cast("TokenView", self.view).form_parser_classes if self.delivery is Delivery.BODY else ()
        return list(dict.fromkeys([*super().map_parsers(), *(str(parser.media_type) for parser in forms)]))

    @property
    def operation(self) -> Operation | None:
        """twotoken's description of this endpoint's method. None for a method that the project added to the view."""
        return self.operations.get(self.method)

    @property
    def by_cookie(self) -> bool:
        """Whether the mount delivers by cookie."""
        return self.delivery is Delivery.COOKIE

    def get_operation_id(self) -> str:
        """Return an id made of the whole path, variables included, so that each mount has its own."""
        if self.operation is None:
            return super().get_operation_id()
        path = re.sub(self.path_prefix, "", self.path, flags=re.IGNORECASE).replace("{family_id}", "")
        return "_".join([*re.findall(r"\w+", path), *filter(None, [self.operation.action])])

    def get_summary(self) -> str | None:
        return super().get_summary() if self.operation is None else str(self.operation.summary)

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular's own
        """Return a subclass's docstring, or else our text for clients: twotoken's docstrings are for developers."""
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
        """Return the status of the answer. That of a refused DPoP proof depends on the endpoint."""
        return self.proof_status if issubclass(error, InvalidProof) else status_of(error) or 0

    def optional(self, serializer: Any) -> dict[str, Schema]:
        """Return the schema of an optional request body, by media type."""
        # Return references, not the serializer: if a serializer has a required field, drf-spectacular requires a body.
        ref = self.resolve_serializer(serializer, "request").ref
        return {media_type: dict(ref) for media_type in self.map_parsers()}

    def get_success(self) -> Any:
        """Return the body of the successful response."""
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

        Each header lists statuses; drf-spectacular adds it to the responses that have one of them.
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
        """Return the successful response of login and refresh."""
        if self.delivery is not Delivery.BODY:
            return self.access()
        lifetime = int(conf.refresh_lifetime.total_seconds())
        refresh = {"refresh": TOKEN, "refresh_expires_in": SECONDS}
        return self.tokens("Pair", refresh, {"refresh": EXAMPLE_TOKEN, "refresh_expires_in": lifetime})

    def access(self) -> OpenApiResponse:
        """Return the successful response that has an access token only."""
        return self.tokens("Access", {}, {})

    def tokens(self, name: str, fields: Schema, example: Schema) -> OpenApiResponse:
        """Return the successful response that has an access token and more fields."""
        lifetime = int(conf.access_lifetime.total_seconds())
        body = object_of({"access": TOKEN, "expires_in": SECONDS, **fields})
        if accepts_proofs():
            body["properties"]["token_type"] = self.component("TokenType", TOKEN_TYPE)
        schema = self.component(name, body)
        shown = OpenApiExample("tokens", {"access": EXAMPLE_TOKEN, "expires_in": lifetime, **example})
        return OpenApiResponse(schema, _("The tokens."), [shown])

    def require_cookie(self) -> Schema:
        """Register the security scheme of the refresh cookie, and return the requirement for an operation."""
        text = _("The refresh token. A browser sends it by itself; no script can read or set it.")
        return self.cookie_scheme(COOKIE, conf.cookie_name, text)

    def require_companion(self) -> Schema:
        """Register the security scheme of this mount's companion cookie, and return the requirement for an operation.

        Return an empty dict if the mount has no companion, or if its name is unknown. The name depends on the mount's
        path. It is unknown for a path that has variables or is not in the URLconf.
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
        """Register a cookie as a security scheme, and return the requirement for an operation."""
        scheme = {"type": "apiKey", "in": "cookie", "name": name, "description": text}
        component = ResolvedComponent(key, ResolvedComponent.SECURITY_SCHEMA, scheme, TokenSchema)
        self.registry.register_on_missing(component)
        return {key: []}


def asks_for_login(view: Any) -> bool:
    """Tell whether a view has RecentLogin among its permissions, and the settings don't switch it off."""
    return any(permission().get_max_age() is not None for permission in recent_logins(view.permission_classes))


def object_of(fields: Schema) -> Schema:
    """Return the schema of an object with these fields, all of them required."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def mount_options(path_regex: str) -> dict[str, Any]:
    """Return the options that the URLconf gives a route.

    A route that is not in the URLconf has none: drf-spectacular can also describe a separate list of patterns.
    """
    for urlconf in dict.fromkeys([None, spectacular_settings.SERVE_URLCONF]):
        for route, options in routes_of(get_resolver(urlconf).url_patterns):
            if route == path_regex:
                return options
    return {}


def routes_of(
    patterns: Sequence[URLPattern | URLResolver], prefix: str = "", outer: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each route with its options. Inner options override outer ones."""
    for pattern in patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLPattern):
            yield route, {**(outer or {}), **pattern.default_args}
        else:
            yield from routes_of(pattern.url_patterns, route, {**(outer or {}), **pattern.default_kwargs})
