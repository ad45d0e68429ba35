"""Read the token of an Authorization header."""

from __future__ import annotations

from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request

from twotoken.exceptions import InvalidToken


@sensitive_variables()
def bearer_token(request: HttpRequest | Request) -> str | None:
    """Return the token of a Bearer Authorization header (RFC 6750 section 2.1), or None without such a header.

    Raises InvalidToken if not exactly one word follows "Bearer".
    """
    words: list[str] = request.META.get("HTTP_AUTHORIZATION", "").split()
    if not words or words[0].lower() != "bearer":
        return None
    if len(words) != 2:
        raise InvalidToken
    return words[1]
