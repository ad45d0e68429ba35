"""For each token on stdin, prints the primary key of the user that simplejwt finds in another service, or "refused"."""

from __future__ import annotations

import json
import sys

import django

from tests.integrations.pages import module_of

django.setup()
module_of("../how-to/from-simplejwt", "class NewAccessToken", "service.tokens")

from rest_framework.test import APIRequestFactory  # noqa: E402 - Django comes first
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication  # noqa: E402
from rest_framework_simplejwt.exceptions import InvalidToken  # noqa: E402


def verdict(token: str) -> str:
    """Return the primary key of the user that simplejwt finds in a token, or "refused"."""
    request = APIRequestFactory().get("/", HTTP_AUTHORIZATION=f"Bearer {token}")
    try:
        found = JWTStatelessUserAuthentication().authenticate(request)
    except InvalidToken:
        return "refused"
    assert found is not None
    return str(found[0].pk)


if __name__ == "__main__":
    print(json.dumps([verdict(token) for token in json.load(sys.stdin)]))
