"""The errors of twotoken for OpenAPI: their status, codes, reasons, and examples of their bodies."""

from __future__ import annotations

from itertools import chain
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample
from rest_framework.exceptions import (
    APIException,
    NotFound,
    ParseError,
    Throttled,
    UnsupportedMediaType,
    ValidationError,
)

from twotoken import responses
from twotoken.exceptions import TokenNotValid, TwoTokenError

ErrorClass = type[TwoTokenError] | type[APIException]

DRF_ERRORS = (NotFound, ParseError, Throttled, UnsupportedMediaType)
FIELD_ERRORS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": "string"}},
    "description": _("A list of errors for each field."),
}


def status_of(error: ErrorClass) -> int | None:
    """Return the HTTP status of an error's answer. None for an internal error, which is never in an answer."""
    return responses.status_of(error) if issubclass(error, TwoTokenError) else error.status_code


def body_of(error: ErrorClass) -> dict[str, str]:
    """Return an example of the body of an error's answer."""
    if issubclass(error, TwoTokenError):
        return responses.body_of(error.__new__(error))  # a project's __init__ may require arguments
    return {"detail": str(error.default_detail).format(media_type="text/plain"), "code": error.default_code}


def kinds_of(error: Any) -> list[ErrorClass]:
    """Return the error classes that an answer may have: ``error`` and its subclasses, including those of a project."""
    if not issubclass(error, TwoTokenError):
        return [error]
    # A base class such as TokenNotValid lacks a reason or a message, and no view answers with it.
    attributes = ("message", "reason") if issubclass(error, TokenNotValid) else ("message",)
    is_shown = status_of(error) is not None and all(hasattr(error, name) for name in attributes)
    return [*([error] if is_shown else []), *chain.from_iterable(map(kinds_of, error.__subclasses__()))]


def values_of(key: str, *errors: ErrorClass) -> list[str]:
    """Return all values that a key, such as ``code``, can have in the bodies of these errors."""
    return sorted({body_of(kind)[key] for error in errors for kind in kinds_of(error)})


def examples_of(error: ErrorClass) -> list[OpenApiExample]:
    """Return an example for each reason, or for each code if the error has no reasons."""
    bodies: dict[str, dict[str, str]] = {}
    for body in map(body_of, kinds_of(error)):
        bodies.setdefault(body.get("reason", body["code"]), body)
    return [OpenApiExample(name, body) for name, body in bodies.items()]


def describe(error: ErrorClass) -> str:
    """Return the text that describes an error in the OpenAPI document."""
    if error is ValidationError:
        return str(FIELD_ERRORS["description"])
    if issubclass(error, TokenNotValid):
        return gettext("The token was refused; the reason says why.")
    return body_of(error)["detail"]
