"""The parts of OpenAPI descriptions that several endpoints share: headers, operations, and the bodies of errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import status
from rest_framework.exceptions import ValidationError

from twotoken.contrib.spectacular.errors import (
    DRF_ERRORS,
    FIELD_ERRORS,
    ErrorClass,
    describe,
    examples_of,
    values_of,
)
from twotoken.exceptions import InsufficientUserAuthentication, TokenNotValid, TwoTokenError
from twotoken.proofs import NONCE_HEADER

Schema = dict[str, Any]

PREFIX = "TwoToken"  # separates twotoken's components from a project's own Login and Error


def header(name: str, schema: Any, text: Any, *codes: int, required: bool = True) -> OpenApiParameter:
    """Return the description of a response header. ``codes`` are the statuses of the responses with this header."""
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, required=required, description=text, response=list(codes)
    )


def set_cookie(text: Any, *codes: int, required: bool = True) -> OpenApiParameter:
    """Return the description of the Set-Cookie header that sets or clears the refresh cookie."""
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


# The three kinds of error bodies: the name of the component, and its field beside ``detail`` and ``code``, if any.
MARKS: tuple[tuple[str, str], ...] = (("Error", ""), ("NotValid", "reason"), ("StepUp", "max_age"))


def marks_of(error: ErrorClass) -> tuple[str, str]:
    """Return the entry of MARKS for an error: the component of its body, and the body's additional field, if any."""
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
    """The parts of an operation's description that are equal at all mounts.

    ``action`` is the suffix of the operationId. ``set_cookie`` is the Set-Cookie header, which is described only at
    mounts with the cookie delivery.
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
    """A schema class that can describe twotoken's errors."""

    def error_response(self, errors: Sequence[ErrorClass]) -> OpenApiResponse:
        """Return the description of the response for errors that have one status in common."""
        schemas = [self.component("FieldErrors", FIELD_ERRORS)] if ValidationError in errors else []
        coded = [error for error in errors if error is not ValidationError]
        for marks in MARKS:
            alike = [error for error in coded if marks_of(error) == marks]
            schemas += [self.error_body(alike)] if alike else []
        description = " ".join(dict.fromkeys(map(describe, errors)))
        examples = [example for error in coded for example in examples_of(error)]
        return OpenApiResponse(schemas[0] if len(schemas) == 1 else {"oneOf": schemas}, description, examples)

    def error_body(self, errors: Sequence[ErrorClass]) -> Schema:
        """Return one body schema for several errors, which have the same fields.

        The enumerations ``code`` and ``reason`` are components with all possible values. Each response narrows ``code``
        to the codes of its errors. Inline enumerations would not do: drf-spectacular would name them after their
        property, and these names would clash with a project's own ``code`` or ``reason``.
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


def object_of(fields: Schema) -> Schema:
    """Return the schema of an object with these fields, all of them required."""
    return {"type": "object", "properties": fields, "required": list(fields)}
