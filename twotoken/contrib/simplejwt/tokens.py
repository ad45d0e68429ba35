"""Decodes the tokens that simplejwt signed. Like ``twotoken.tokens``, it makes no query. It signs no tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID, uuid5

import jwt
from jwt.exceptions import PyJWTError

from twotoken.exceptions import ExpiredToken, InvalidToken
from twotoken.keys import MAX_TOKEN_LENGTH
from twotoken.tokens import MAX_TIME, AccessToken

ACCESS_TYPE = "access"
REFRESH_TYPE = "refresh"
HEADER_TYPE = "JWT"
MAX_JTI_LENGTH = 255  # the length of simplejwt's column
NO_FAMILY: Final = UUID(int=0)  # RFC 9562 section 5.9: an old access token belongs to no family

# Unique to this package. If it changed, each old refresh token could be exchanged again.
_NAMESPACE = UUID("5f2ad7a1-9c55-4b0f-8d3c-0e0b6c7b2f43")
# This module checks the times itself, against ``now``. Before simplejwt 5.5.1 the subject usually was a number, which
# PyJWT would refuse.
_AUDIENCE: Any = {"verify_exp": False, "verify_iat": False, "verify_sub": False, "verify_jti": False}
_OPTIONS: Any = {**_AUDIENCE, "verify_aud": False}


@dataclass(frozen=True, slots=True)
class Policy:
    """The key and the rules for checking simplejwt's tokens. ``leeway`` is in seconds."""

    key: Any = field(repr=False)
    algorithm: str
    issuer: str | None
    audience: Any
    leeway: float
    user_id_claim: str
    token_type_claim: str
    jti_claim: str
    revoke_token_claim: str


@lru_cache(maxsize=8)
def prepared_key(algorithm: str, key: str) -> Any:
    """Return a key as PyJWT uses it for this algorithm. The result is cached, so that no request parses the key again.

    Raises ValueError if the key is missing, invalid or private, or if PyJWT does not know the algorithm or needs
    cryptography for it.
    """
    if not key:
        raise ValueError("the key is missing.")
    if algorithm == "none":
        raise ValueError("the algorithm 'none' signs nothing.")
    try:
        prepared = jwt.get_algorithm_by_name(algorithm).prepare_key(key)
    except (NotImplementedError, PyJWTError, TypeError) as exc:
        raise ValueError(str(exc)) from exc
    if hasattr(prepared, "public_key"):
        raise ValueError("this is a private key, give the public key.")
    return prepared


class OldAccessToken(AccessToken):
    """The claims of simplejwt's access token, with ``sub`` (the user) and ``sid`` (the nil UUID: no family) added."""

    __slots__ = ("password_digest",)

    def __init__(self, claims: dict[str, Any], password_digest: object) -> None:
        super().__init__(claims)
        self.password_digest = password_digest


@dataclass(frozen=True, slots=True)
class OldRefreshToken:
    """A refresh token that simplejwt signed. Times are in seconds since the epoch."""

    user_id: str
    jti: str = field(repr=False)
    issued_at: int
    expires_at: int
    password_digest: object = field(repr=False)

    @property
    def family_id(self) -> UUID:
        """The id of the one family that the token can start. The same token always gives the same id.

        The id depends on the user too, so that two users' tokens with the same ``jti`` have different families.
        """
        return uuid5(_NAMESPACE, f"{self.jti} {self.user_id}")


def decode_access(token: str, policy: Policy, now: datetime) -> OldAccessToken:
    """Check an access token of simplejwt, and return its claims. Raises InvalidToken or ExpiredToken."""
    claims = _decode(token, policy, ACCESS_TYPE)
    subject = _user_id(claims, policy)
    if now.timestamp() >= _time(claims, "exp") + policy.leeway:
        raise ExpiredToken
    return OldAccessToken({**claims, "sub": subject, "sid": str(NO_FAMILY)}, claims.get(policy.revoke_token_claim))


def decode_refresh(token: str, policy: Policy) -> OldRefreshToken:
    """Check a refresh token of simplejwt, except its ``exp``, and return its claims. Raises InvalidToken.

    If a token that was exchanged is sent again, it must count as reuse, even after its ``exp``.
    """
    claims = _decode(token, policy, REFRESH_TYPE)
    jti = claims.get(policy.jti_claim)
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_LENGTH or not (jti.isascii() and jti.isprintable()):
        raise InvalidToken
    return OldRefreshToken(
        _user_id(claims, policy),
        jti,
        _time(claims, "iat"),
        _time(claims, "exp"),
        claims.get(policy.revoke_token_claim),
    )


def _decode(token: str, policy: Policy, kind: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN_LENGTH:
        raise InvalidToken
    try:
        decoded = jwt.decode_complete(
            token,
            policy.key,
            algorithms=[policy.algorithm],
            audience=policy.audience,
            issuer=policy.issuer,
            leeway=policy.leeway,
            options=_AUDIENCE if policy.audience is not None else _OPTIONS,
        )
    except (PyJWTError, ValueError, RecursionError) as exc:
        raise InvalidToken from exc
    claims: dict[str, Any] = decoded["payload"]
    # twotoken's own tokens are refused here, even if a project signs both kinds with one secret, against RFC 8725
    # section 3.11.
    if decoded["header"].get("typ") != HEADER_TYPE or claims.get(policy.token_type_claim) != kind:
        raise InvalidToken
    return claims


def _user_id(claims: Mapping[str, Any], policy: Policy) -> str:
    value = claims.get(policy.user_id_claim)
    if type(value) not in (str, int):
        raise InvalidToken
    return str(value)


def _time(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= MAX_TIME:
        raise InvalidToken
    return value
