"""Read the body of a request. A hostile body is answered with a 400, never a 500. Answers are always JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.utils import json


@contextmanager
def parse_errors() -> Iterator[None]:
    """Turn every error that a hostile body causes in Django or Python into a ParseError, a 400."""
    try:
        yield
    # LookupError: a part of a form may name an encoding that does not exist.
    except (ValueError, LookupError, RecursionError, SuspiciousOperation) as exc:
        raise ParseError from exc


def read_body(stream: Any) -> Any:
    """Return the whole body. Raises RequestDataTooBig if the body exceeds DATA_UPLOAD_MAX_MEMORY_SIZE."""
    return stream.body if isinstance(stream, HttpRequest) else stream.read()


def as_utf8(parser_context: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a parser context with the encoding UTF-8: a client may name an encoding that is not for text (base64)."""
    return {**(parser_context or {}), "encoding": "utf-8"}


class TokenJSONParser(JSONParser):
    """Parses JSON up to DATA_UPLOAD_MAX_MEMORY_SIZE. JSON that is nested too deep is a parse error, a 400."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        with parse_errors():
            return json.loads(read_body(stream))


class TokenFormParser(FormParser):
    """Parses an urlencoded form within Django's DATA_UPLOAD limits."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        with parse_errors():
            return super().parse(BytesIO(read_body(stream)), media_type, as_utf8(parser_context))


class TokenMultiPartParser(MultiPartParser):
    """Parses a multipart form within Django's DATA_UPLOAD limits.

    The whole body counts towards the limit, files included, so no file is large enough to be written to disk.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        with parse_errors():
            return super().parse(BytesIO(read_body(stream)), media_type, as_utf8(parser_context))


class AlwaysJSON(DefaultContentNegotiation):
    """Makes every answer JSON, whatever the header Accept, ``?format=`` or the project's defaults ask for."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type
