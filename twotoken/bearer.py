"""Read and verify the token of an Authorization header, and answer a refusal as RFC 6750 and RFC 9449 require.

This module imports no models. It must not import ``rest_framework.views``, not even indirectly: that module reads
DEFAULT_AUTHENTICATION_CLASSES when it is imported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from hmac import compare_digest
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
from twotoken.exceptions import InvalidProof, InvalidToken, MissingProof, TokenNotValid, Unavailable, WrongDevice
from twotoken.proofs import accepts_proofs, read_proof, spend
from twotoken.responses import RETRY_AFTER, body_of, challenge
from twotoken.tokens import AccessToken


class DPoPToken(str):
    """An access token from an Authorization header with the scheme DPoP."""

    __slots__ = ()


@sensitive_variables()
def bearer_token(request: HttpRequest | Request) -> str | None:
    """Return the token of an Authorization header. Without a header of an accepted scheme, return None.

    The accepted schemes are Bearer (RFC 6750 section 2.1) and, if DPoP is in use, DPoP (RFC 9449 section 7.1). The
    caller must also call ``check_binding``. Raises InvalidToken unless exactly one word follows the scheme.
    """
    words: list[str] = request.META.get("HTTP_AUTHORIZATION", "").split()
    is_bearer = bool(words) and words[0].lower() == "bearer"
    if not is_bearer and not by_dpop(request):
        return None
    if len(words) != 2:
        raise InvalidToken
    return words[1] if is_bearer else DPoPToken(words[1])


def by_dpop(request: HttpRequest | Request) -> bool:
    """Tell whether the Authorization header has the scheme DPoP and DPoP is in use (``accepts_proofs``)."""
    words: list[str] = request.META.get("HTTP_AUTHORIZATION", "").split(maxsplit=1)
    return bool(words) and words[0].lower() == "dpop" and accepts_proofs()


@sensitive_variables()
def check_binding(request: HttpRequest | Request, token: str, access: AccessToken) -> None:
    """Require a proof by the key of a bound access token, and the scheme Bearer for other tokens (RFC 9449 section 7).

    ``token`` is what ``bearer_token`` returned, and ``access`` has the token's claims. After this call, no other
    request can use the proof.

    Raises WrongDevice if a bound token comes as Bearer or the proof is by another key; InvalidToken if an unbound token
    comes as DPoP; InvalidProof if the proof is missing or invalid; and Unavailable if the cache does not work.
    """
    if not access.is_bound:
        if isinstance(token, DPoPToken):
            raise InvalidToken
        return
    if not isinstance(token, DPoPToken):
        raise WrongDevice
    proof = read_proof(request, token)
    if proof is None:
        raise MissingProof
    if not compare_digest(proof.thumbprint, access.thumbprint):
        raise WrongDevice
    spend(request, proof)


class ServiceUnavailable(APIException):
    """A 503 with Retry-After: something that the check of the token needs, such as the cache, is not available."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    wait = RETRY_AFTER  # DRF's exception handler sends it as Retry-After


class BearerAuthentication(BaseAuthentication, ABC):
    """Base of the authentication classes: reads and verifies a token. A subclass finds the user by the token's claims.

    Override ``get_user`` to change which user a token stands for, ``get_token`` to read the token from another place,
    and ``verify`` to change what makes a token valid. A bound token is accepted from an Authorization header only.
    """

    @sensitive_variables()
    def authenticate(self, request: Request) -> tuple[Any, AccessToken] | None:
        try:
            token = self.get_token(request)
            if token is None:
                return None
            access = self.verify(token)
            if access.is_bound or isinstance(token, DPoPToken):
                check_binding(request, token, access)
            return self.get_user(access), access
        except (TokenNotValid, InvalidProof) as exc:
            # DRF calls authenticate_header() on another instance, so the error is kept on the request.
            request._bearer_error = exc  # type: ignore[attr-defined]
            raise AuthenticationFailed(body_of(exc)) from exc
        except Unavailable as exc:
            raise ServiceUnavailable(body_of(exc)) from exc

    def authenticate_header(self, request: Request) -> str:
        error = getattr(request, "_bearer_error", None)
        offers_dpop = accepts_proofs() and (conf.dpop == "required" or "HTTP_DPOP" in request.META)
        return challenge(error, by_dpop=error is not None and by_dpop(request), offers_dpop=offers_dpop)

    def get_token(self, request: Request) -> str | None:
        """Return the token of a request, or None if it has no token; raise a TokenNotValid to refuse the request."""
        return bearer_token(request)

    def verify(self, token: str) -> AccessToken:
        """Return the claims of a token; raise a TokenNotValid to refuse the token."""
        return tokens.decode_access(token, conf.access_policy, timezone.now())

    @abstractmethod
    def get_user(self, access: AccessToken) -> Any:
        """Return the user whom verified claims stand for; raise a TokenNotValid to refuse the token."""
