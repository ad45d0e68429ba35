"""Decode the tokens that simplejwt has signed: pure, like the codec of twotoken's own. Nothing here signs any."""

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
NO_FAMILY: Final = UUID(int=0)  # RFC 9562 section 5.9: an old access token belongs to no family

# Of this package alone. Changed, it would let each old refresh token be exchanged once more.
_NAMESPACE = UUID("5f2ad7a1-9c55-4b0f-8d3c-0e0b6c7b2f43")
# The time is judged here, for ``now`` comes in; a subject that is a number was usual before 5.5.1.
_AUDIENCE: Any = {"verify_exp": False, "verify_iat": False, "verify_sub": False, "verify_jti": False}
_OPTIONS: Any = {**_AUDIENCE, "verify_aud": False}


@dataclass(frozen=True, slots=True)
class Policy:
    """What old tokens are signed with and held to. ``leeway`` is in seconds."""

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
    """Prepare a key for its one algorithm, so that no request parses it again.

    Raises ValueError for a key that is none, and for an algorithm that PyJWT can't do here.
    """
    if not key:
        raise ValueError("the key is missing.")
    if algorithm == "none":
        raise ValueError("an algorithm that signs nothing.")
    try:
        return jwt.get_algorithm_by_name(algorithm).prepare_key(key)
    except (NotImplementedError, PyJWTError, TypeError) as exc:
        raise ValueError(str(exc)) from exc


class OldAccessToken(AccessToken):
    """The claims of an old access token, and ``sub`` and ``sid`` besides: whose it is, and the family that is none."""

    __slots__ = ("password_digest",)

    def __init__(self, claims: dict[str, Any], password_digest: object) -> None:
        super().__init__(claims)
        self.password_digest = password_digest


@dataclass(frozen=True, slots=True)
class OldRefreshToken:
    """An old refresh token that simplejwt signed. Times are in seconds since the epoch."""

    user_id: str
    jti: str = field(repr=False)
    issued_at: int
    expires_at: int
    password_digest: object = field(repr=False)

    @property
    def family_id(self) -> UUID:
        """The one family that it can start: a function of the token, so that a second one meets the first's row."""
        return uuid5(_NAMESPACE, self.jti)


def decode_access(token: str, policy: Policy, now: datetime) -> OldAccessToken:
    """Check an old access token. Raises InvalidToken or ExpiredToken."""
    claims = _decode(token, policy, ACCESS_TYPE)
    subject = _user_id(claims, policy)
    if now.timestamp() >= _time(claims, "exp") + policy.leeway:
        raise ExpiredToken
    return OldAccessToken({**claims, "sub": subject, "sid": str(NO_FAMILY)}, claims.get(policy.revoke_token_claim))


def decode_refresh(token: str, policy: Policy) -> OldRefreshToken:
    """Check an old refresh token, but for its ``exp``: a copy that comes back late is reuse. Raises InvalidToken."""
    claims = _decode(token, policy, REFRESH_TYPE)
    jti = claims.get(policy.jti_claim)
    if not isinstance(jti, str) or not jti:
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
    # Were a secret shared against all advice, our own tokens would still be told from these (RFC 8725 section 3.11).
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
