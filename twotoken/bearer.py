"""What an Authorization header carries: read its token, verify it, and answer a refusal by RFC 6750.

This module knows no models. It must not import ``rest_framework.views``, not even indirectly: that module reads
DEFAULT_AUTHENTICATION_CLASSES when it is imported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request

from twotoken import tokens
from twotoken.conf import conf
from twotoken.exceptions import InvalidToken, TokenNotValid, Unavailable
from twotoken.responses import RETRY_AFTER, body_of, challenge
from twotoken.tokens import AccessToken


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


class ServiceUnavailable(APIException):
    """A 503 with Retry-After: the token can't be judged now, because what is needed for it can't be fetched."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    wait = RETRY_AFTER  # DRF's exception handler makes Retry-After of it


class BearerAuthentication(BaseAuthentication, ABC):
    """Base of the authentication classes: from the header to claims. A subclass makes a user of the claims.

    Override ``get_user`` to change which user a token stands for, ``get_token`` to read the token from another place,
    and ``verify`` to change what makes it valid.
    """

    @sensitive_variables()
    def authenticate(self, request: Request) -> tuple[Any, AccessToken] | None:
        try:
            token = self.get_token(request)
            if token is None:
                return None
            access = self.verify(token)
            return self.get_user(access), access
        except TokenNotValid as exc:
            # DRF calls authenticate_header() of another instance, so the request carries the error.
            request._bearer_error = exc  # type: ignore[attr-defined]
            raise AuthenticationFailed(body_of(exc)) from exc
        except Unavailable as exc:
            raise ServiceUnavailable(body_of(exc)) from exc

    def authenticate_header(self, request: Request) -> str:
        return challenge(getattr(request, "_bearer_error", None))

    def get_token(self, request: Request) -> str | None:
        """Return the token that the request carries, or None; raise a TokenNotValid to refuse the request."""
        return bearer_token(request)

    def verify(self, token: str) -> AccessToken:
        """Return the claims of a token; raise a TokenNotValid to refuse it."""
        return tokens.decode_access(token, conf.access_policy, timezone.now())

    @abstractmethod
    def get_user(self, access: AccessToken) -> Any:
        """Return the user of verified claims; raise a TokenNotValid to refuse it."""
