"""A short replacement for the parts of django-cors-headers that a front end of another origin needs."""

from __future__ import annotations

import os
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

ORIGIN = os.environ.get("TEST_FRONT_END", "")
HEADERS = {
    "Access-Control-Allow-Origin": ORIGIN,
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Allow-Headers": "authorization, content-type, dpop, idempotency-key",
    "Access-Control-Expose-Headers": "DPoP-Nonce, Retry-After, WWW-Authenticate",
}


class CorsMiddleware:
    """Allows requests from one front end."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        response = HttpResponse(status=204) if is_preflight else self.get_response(request)
        if ORIGIN and request.headers.get("Origin") == ORIGIN:
            for name, value in HEADERS.items():
                response[name] = value
        return response
