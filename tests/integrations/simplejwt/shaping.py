"""Functions that a project could use as DRF's EXCEPTION_HANDLER."""

from __future__ import annotations

from typing import Any

from django.http import JsonResponse
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import exception_handler


def shaped(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Put every error into an envelope, as many projects do."""
    response = exception_handler(exc, context)
    if response is not None:
        response.data = {"error": response.data, "view": type(context["view"]).__name__, "kind": type(exc).__name__}
    return response


def selective(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Replace a 400 by a 422 with a list as its body. Return None for other errors."""
    return Response(["wrong fields"], status=422) if isinstance(exc, APIException) and exc.status_code == 400 else None


def plain(exc: Exception, context: dict[str, Any]) -> Any:
    """Answer with a plain Django response that has DRF's codes."""
    if not isinstance(exc, APIException):
        return None
    return JsonResponse({"codes": exc.get_codes(), "detail": "Sorry."}, status=exc.status_code)
