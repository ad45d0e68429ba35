"""How the OpenAPI description of an endpoint is made for drf-spectacular: by its mount's delivery, with refusals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent, get_doc
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import status
from rest_framework.exceptions import (
    APIException,
    NotFound,
    ParseError,
    Throttled,
    UnsupportedMediaType,
    ValidationError,
)

from twotoken.authentication import AccessTokenAuthentication
from twotoken.base_views import CredentialView, TokenView
from twotoken.conf import Delivery, conf
from twotoken.exceptions import CrossOrigin, TokenNotValid, TwoTokenError
from twotoken.responses import STATUS_CODES
from twotoken.schema import Schema
from twotoken.serializers import LoginSerializer

Refusal = type[TwoTokenError] | type[APIException]

PREFIX = "TwoToken"  # of our components: a project has a Login and an Error of its own
COOKIE = "refreshCookie"
FRAMEWORK: tuple[type[APIException], ...] = (NotFound, ParseError, Throttled, UnsupportedMediaType)
DELIVERED = {
    Delivery.COOKIE: _("The refresh token travels in a cookie that no script can read."),
    Delivery.BODY: _("The refresh token travels in the body."),
    Delivery.NONE: _("There is no refresh token."),
}
SECONDS: Schema = {"type": "integer", "minimum": 0, "description": _("In seconds.")}
TOKEN: Schema = {"type": "string"}
SHOWN_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl"  # noqa: S105 - nobody's


@dataclass(frozen=True)
class Operation:
    """What is known of a method of an endpoint before its mount is. ``action`` ends its operationId."""

    summary: Any
    description: Any
    status: int
    refusals: tuple[Refusal, ...]
    action: str = ""


class TokenSchema(AutoSchema):
    """Describes an endpoint as its mount delivers, under whatever the project says of it."""

    operations: ClassVar[Mapping[str, Operation]] = {}
    tells_delivery = False
    mode: Delivery

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> Schema | None:
        self.delivery = cast("TokenView", self.view).get_delivery(mount_options(path_regex))
        return super().get_operation(path, path_regex, path_prefix, method, registry)

    def map_parsers(self) -> list[str]:
        """Return the types of a body: forms too, where the delivery is the body."""
        forms = cast("TokenView", self.view).form_parser_classes if self.delivery is Delivery.BODY else ()
        return list(dict.fromkeys([*super().map_parsers(), *(str(parser.media_type) for parser in forms)]))

    @property
    def operation(self) -> Operation | None:
        """What is known; None for a method that is the project's own."""
        return self.operations.get(self.method)

    @property
    def by_cookie(self) -> bool:
        """Whether the mount delivers by cookie."""
        return self.delivery is Delivery.COOKIE

    def get_operation_id(self) -> str:
        """Return one that tells mounts apart, by the variables of their paths too."""
        if self.operation is None:
            return super().get_operation_id()
        path = re.sub(self.path_prefix, "", self.path, flags=re.IGNORECASE).replace("{family_id}", "")
        return "_".join([*re.findall(r"\w+", path), *filter(None, [self.operation.action])])

    def get_summary(self) -> str | None:
        return super().get_summary() if self.operation is None else str(self.operation.summary)

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular's own
        """Return what a subclass's docstring says, or else ours for clients: our docstrings are for developers."""
        said: str = super().get_description()
        ours = next(view for view in type(self.view).__mro__ if view.__module__.startswith("twotoken."))
        if self.operation is None or said not in {"", get_doc(ours)}:
            return said
        delivered = [str(DELIVERED[self.delivery])] if self.tells_delivery else []
        return " ".join([str(self.operation.description), *delivered])

    def get_response_serializers(self) -> Any:
        if self.operation is None:
            return super().get_response_serializers()
        refusals = self.get_refusals()
        by_status = {code: [each for each in refusals if status_of(each) == code] for code in map(status_of, refusals)}
        refused = {code: self.refusal_of(by_status[code]) for code in sorted(by_status)}
        return {self.operation.status: self.get_success(), **refused}

    def get_success(self) -> Any:
        """Return what the answer holds to a request that is not refused."""
        return None

    def get_refusals(self) -> list[Refusal]:
        """Return the errors that this mount can answer with."""
        known = self.operation.refusals if self.operation else ()
        impossible: set[Refusal] = set()
        if not (self.by_cookie and isinstance(self.view, CredentialView)):
            impossible.add(CrossOrigin)
        if self.get_request_serializer() is None:
            impossible |= {ValidationError, ParseError, UnsupportedMediaType}
        return [refusal for refusal in known if refusal not in impossible]

    def get_override_parameters(self) -> list[Any]:
        parameters: list[Any] = super().get_override_parameters()
        if self.operation is None:
            return parameters
        codes = {self.operation.status, *map(status_of, self.get_refusals())}
        headers = [*REFUSAL_HEADERS, *(self.get_cookie_headers() if self.by_cookie else [])]
        return [*parameters, *(header for header in headers if codes.intersection(cast("list[int]", header.response)))]

    def get_cookie_headers(self) -> list[OpenApiParameter]:
        """Return the headers that set or clear the refresh cookie."""
        return []

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        name = super().get_serializer_name(serializer, direction)
        return f"{PREFIX}{name}" if type(serializer).__module__ == LoginSerializer.__module__ else name

    def pair(self) -> OpenApiResponse:
        """Return what login and refresh answer with."""
        fields = {"access": TOKEN, "expires_in": SECONDS}
        shown: Schema = {"access": SHOWN_TOKEN, "expires_in": int(conf.access_lifetime.total_seconds())}
        if self.delivery is Delivery.BODY:
            fields |= {"refresh": TOKEN, "refresh_expires_in": SECONDS}
            shown |= {"refresh": SHOWN_TOKEN, "refresh_expires_in": int(conf.refresh_lifetime.total_seconds())}
        schema = self.component("Pair" if self.delivery is Delivery.BODY else "Access", object_of(fields))
        return OpenApiResponse(schema, _("The tokens."), [OpenApiExample("tokens", shown)])

    def refusal_of(self, refusals: Sequence[Refusal]) -> OpenApiResponse:
        """Return what the answer holds to a request that is refused, of errors that share a status."""
        schemas = [self.component("FieldErrors", FIELD_ERRORS)] if ValidationError in refusals else []
        coded = [refusal for refusal in refusals if refusal is not ValidationError]
        schemas.append(self.error(coded))
        described = " ".join(dict.fromkeys(map(describe, refusals)))
        examples = [example for refusal in coded for example in examples_of(refusal)]
        return OpenApiResponse(schemas[0] if len(schemas) == 1 else {"oneOf": schemas}, described, examples)

    def error(self, refusals: Sequence[Refusal]) -> Schema:
        """Return the body of an error.

        The enumerations are components of their own, narrowed where they are used: drf-spectacular names one after
        its property, and a project has a ``code`` or a ``reason`` of its own.
        """
        fields: Schema = {
            "detail": {"type": "string", "description": _("For people; branch on the code.")},
            "code": self.component("ErrorCode", {"type": "string", "enum": all_codes()}),
        }
        with_reason = any(issubclass(refusal, TokenNotValid) for refusal in refusals)
        if with_reason:
            reasons = sorted({kind.reason for kind in kinds_of(TokenNotValid) if not is_abstract(kind)})
            fields["reason"] = self.component("Reason", {"type": "string", "enum": reasons})
        schema = self.component("NotValid" if with_reason else "Error", object_of(fields))
        codes = sorted({code_of(kind) for refusal in refusals for kind in kinds_of(refusal)})
        return {"allOf": [schema, {"type": "object", "properties": {"code": {"enum": codes}}}]}

    def component(self, name: str, schema: Schema) -> Schema:
        """Register a schema of ours where it is missing, and return the reference to it."""
        component = ResolvedComponent(f"{PREFIX}{name}", ResolvedComponent.SCHEMA, schema, TokenSchema)
        self.registry.register_on_missing(component)
        return dict(component.ref)

    def require(self, name: str, definition: Schema) -> Schema:
        """Register a security scheme where it is missing, and return the requirement."""
        component = ResolvedComponent(name, ResolvedComponent.SECURITY_SCHEMA, definition, AccessTokenAuthentication)
        self.registry.register_on_missing(component)
        return {name: []}


def cookie_scheme() -> Schema:
    """Return how a refresh token is presented by cookie."""
    text = _("The refresh token. A browser sends it by itself; no script can read or set it.")
    return {"type": "apiKey", "in": "cookie", "name": conf.cookie_name, "description": text}


def header(name: str, schema: Any, text: Any, *codes: int, required: bool = True) -> OpenApiParameter:
    """Return a header of the answers with these statuses."""
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, required=required, description=text, response=list(codes)
    )


REFUSAL_HEADERS = [
    header("WWW-Authenticate", str, _("How to authenticate (RFC 6750)."), status.HTTP_401_UNAUTHORIZED),
    header(
        "Retry-After",
        {"type": "integer", "minimum": 1},
        _("In seconds."),
        status.HTTP_429_TOO_MANY_REQUESTS,
        status.HTTP_503_SERVICE_UNAVAILABLE,
    ),
]
FIELD_ERRORS: Schema = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": "string"}},
    "description": _("A list of errors for each field."),
}


def object_of(fields: Schema) -> Schema:
    """Return an object that has all of these."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def status_of(refusal: Refusal) -> int:
    """Return the status of the answer."""
    return STATUS_CODES[refusal.code] if issubclass(refusal, TwoTokenError) else refusal.status_code


def code_of(refusal: Refusal) -> str:
    """Return the code in the answer's body."""
    return refusal.code if issubclass(refusal, TwoTokenError) else refusal.default_code


def message_of(refusal: Refusal) -> str:
    """Return the detail in the answer's body, such as it may be."""
    if issubclass(refusal, TwoTokenError):
        return gettext(refusal.message)
    return str(refusal.default_detail).format(media_type="text/plain")


def describe(refusal: Refusal) -> str:
    """Return what an error means."""
    if refusal is ValidationError:
        return str(FIELD_ERRORS["description"])
    refused = gettext("The token was refused; the reason says why.")
    return refused if issubclass(refusal, TokenNotValid) else message_of(refusal)


def kinds_of(refusal: Refusal) -> list[Any]:
    """Return an error with all that derive from it, a project's own among them."""
    return [refusal, *(kind for child in refusal.__subclasses__() for kind in kinds_of(child))]


def is_abstract(kind: Any) -> bool:
    """Tell whether an error has no words of its own, as TokenNotValid: others derive from it, no answer shows it."""
    return issubclass(kind, TokenNotValid) and not (hasattr(kind, "reason") and hasattr(kind, "message"))


def all_codes() -> list[str]:
    """Return every code that an answer of ours may have."""
    known = [
        kind for kind in kinds_of(TwoTokenError) if any(vars(each).get("code") in STATUS_CODES for each in kind.__mro__)
    ]
    return sorted({code_of(kind) for kind in (*known, *FRAMEWORK)})


def examples_of(refusal: Refusal) -> list[OpenApiExample]:
    """Return a body for each way in which it can look."""
    kinds: list[Any] = kinds_of(refusal) if issubclass(refusal, TwoTokenError) else [refusal]
    bodies: dict[str, dict[str, str]] = {}
    for kind in kinds:
        if not is_abstract(kind):
            body = {"detail": message_of(kind), "code": code_of(kind)}
            if issubclass(kind, TokenNotValid):
                body["reason"] = kind.reason
            bodies.setdefault(body.get("reason", body["code"]), body)
    return [OpenApiExample(name, body) for name, body in bodies.items()]


def mount_options(path_regex: str) -> dict[str, Any]:
    """Return what the mount of an endpoint adds to its keyword arguments, by the whole of its route.

    A part of a project that is described by itself has other routes, and the usual delivery.
    """
    for urlconf in dict.fromkeys([None, spectacular_settings.SERVE_URLCONF]):
        found = _options(path_regex, get_resolver(urlconf).url_patterns)
        if found is not None:
            return found
    return {}


def _options(path_regex: str, patterns: Sequence[URLPattern | URLResolver], outer: str = "") -> dict[str, Any] | None:
    for pattern in patterns:
        route = outer + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            if route == path_regex:
                return dict(pattern.default_args)
        elif path_regex.startswith(route):
            found = _options(path_regex, pattern.url_patterns, route)
            if found is not None:
                return {**pattern.default_kwargs, **found}
    return None
