"""Decides the status, the body and the headers ``WWW-Authenticate`` and ``Retry-After`` of an error's answer."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext
from rest_framework import status

from twotoken.conf import conf
from twotoken.dpop import ALGORITHMS
from twotoken.exceptions import (
    CrossOrigin,
    InsufficientUserAuthentication,
    InvalidIdempotencyKey,
    InvalidProof,
    MissingToken,
    NoActiveAccount,
    NonceRequired,
    RotationConflict,
    TokenNotValid,
    TwoTokenError,
    Unavailable,
    WrongDevice,
)

REALM = 'Bearer realm="api"'
DPOP = f'DPoP algs="{" ".join(ALGORITHMS)}"'
RETRY_AFTER = 1  # seconds, on a 503
STATUS_CODES = {
    TokenNotValid.code: status.HTTP_401_UNAUTHORIZED,
    NoActiveAccount.code: status.HTTP_401_UNAUTHORIZED,
    InsufficientUserAuthentication.code: status.HTTP_401_UNAUTHORIZED,
    InvalidIdempotencyKey.code: status.HTTP_400_BAD_REQUEST,
    InvalidProof.code: status.HTTP_400_BAD_REQUEST,
    NonceRequired.code: status.HTTP_400_BAD_REQUEST,
    CrossOrigin.code: status.HTTP_403_FORBIDDEN,
    RotationConflict.code: status.HTTP_503_SERVICE_UNAVAILABLE,
    Unavailable.code: status.HTTP_503_SERVICE_UNAVAILABLE,
}


def status_of(error: type[TwoTokenError]) -> int | None:
    """Return the HTTP status of an error, or None for an internal error, such as ClaimsError.

    A project's subclass has the status of its base class.
    """
    codes = (vars(ancestor).get("code") for ancestor in error.__mro__)
    return next((STATUS_CODES[code] for code in codes if code in STATUS_CODES), None)


def body_of(error: TwoTokenError) -> dict[str, Any]:
    """Return the JSON body of an error.

    If a token was refused, the body has a ``reason``. If a new proof of identity is required, the body has a
    ``max_age``. With DEBUG, the ``detail`` of a cross-origin refusal also names the origin and the setting
    CSRF_TRUSTED_ORIGINS.
    """
    body = {"detail": gettext(error.message), "code": error.code}
    if settings.DEBUG and isinstance(error, CrossOrigin):
        body["detail"] += f" {error}"
    if isinstance(error, TokenNotValid):
        return {**body, "reason": error.reason}
    if isinstance(error, InsufficientUserAuthentication):
        return {**body, "max_age": error.max_age}
    return body


def challenge(error: TwoTokenError | None = None, *, by_dpop: bool = False, offers_dpop: bool = False) -> str:
    """Return a ``WWW-Authenticate`` value (RFC 6750 section 3, RFC 9449 section 7.1, RFC 9470 section 3).

    Without an error, or if the request has no token, the value names no error. ``by_dpop`` says that the request's
    Authorization header had the scheme DPoP. ``offers_dpop`` adds a challenge for DPoP to the challenge for Bearer.
    """
    if isinstance(error, InsufficientUserAuthentication):
        scheme = f"{DPOP}," if by_dpop else "Bearer"
        return f'{scheme} error="{error.code}", max_age="{error.max_age}"'
    if isinstance(error, InvalidProof):
        return f'{DPOP}, error="{error.code}", error_description="{error.message}"'
    detail = ""
    if isinstance(error, TokenNotValid) and not isinstance(error, MissingToken):
        detail = f', error="invalid_token", error_description="{error.message}"'
    if by_dpop:
        return f"{DPOP}{detail}"
    offers_dpop = offers_dpop or (isinstance(error, WrongDevice) and conf.dpop != "off")
    return f"{REALM}{detail}, {DPOP}" if offers_dpop else f"{REALM}{detail}"


def headers_of(error: TwoTokenError) -> dict[str, str]:
    """Return the headers of an error's answer: ``WWW-Authenticate`` for a 401, ``Retry-After`` for a 503."""
    code = status_of(type(error))
    if code == status.HTTP_401_UNAUTHORIZED:
        return {"WWW-Authenticate": challenge(error)}
    return {"Retry-After": str(RETRY_AFTER)} if code == status.HTTP_503_SERVICE_UNAVAILABLE else {}
