"""A middleware that does what django-cors-headers does with its settings. Integration tests use the real package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase


class Cors:
    """Answers preflight requests, and adds the headers of CORS to other answers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_preflight = request.method == "OPTIONS"
        response = HttpResponse() if is_preflight else self.get_response(request)
        project: Any = settings  # Django has no such setting
        cors: dict[str, Any] = project.TEST_CORS
        if is_preflight:
            response["Access-Control-Allow-Headers"] = ", ".join(cors["headers"])
            response["Access-Control-Allow-Methods"] = ", ".join(cors["methods"])
        elif cors["only_preflight"]:
            return response
        response["Access-Control-Allow-Origin"] = cors["origin"]
        response["Access-Control-Expose-Headers"] = ", ".join(cors["exposed"])
        if cors["credentials"]:
            response["Access-Control-Allow-Credentials"] = "true"
        return response
