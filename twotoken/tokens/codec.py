"""Encode and decode access and refresh tokens, two JWTs (RFC 7519, 8725, 9068). Pure: no Django, no database.

The functions take keys, policy and time as arguments. No token is accepted as a token of the other kind: each kind has
its own secret and its own ``typ`` header (RFC 8725 section 3.11).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from twotoken.exceptions import ClaimsError, ExpiredToken, InvalidToken
from twotoken.keys import MAX_TOKEN_LENGTH, KeyRing
from twotoken.tokens.claims import (
    AccessToken,
    RefreshClaims,
    check_auth_event,
    check_claims,
    family_id_of,
    thumbprint_of,
)
from twotoken.tokens.identifiers import token_id

ACCESS_TYPE = "at+jwt"
REFRESH_TYPE = "rt+jwt"
MAX_TIME = 253_402_300_799  # seconds since the epoch: the maximum of ``datetime``
SHORTEST_LIFE = timedelta(seconds=1)  # the least lifetime of an access token: ``expires_in`` counts whole seconds
_to_json = json.JSONEncoder(separators=(",", ":")).encode  # ``json.dumps`` would make an encoder for each token
_from_json = json.JSONDecoder().decode  # ``json.loads`` would guess the encoding first, and a JWT is UTF-8


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The keys and the rules for signing and checking access tokens. ``leeway`` is in seconds."""

    keys: KeyRing = field(repr=False)
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    leeway: float = 0
    client_id: str | None = None


def encode_refresh(
    keys: KeyRing,
    *,
    family_id: UUID,
    generation: int,
    secret: bytes,
    expires_at: datetime,
    issuer: str | None = None,
    thumbprint: str = "",
) -> str:
    """Return a refresh token, made only from the family's row and the issuer. So a retry gets the same string.

    ``thumbprint`` is the thumbprint of the public key to which the family is bound (RFC 9449 section 6.1), or empty.
    """
    claims: dict[str, Any] = {
        "sid": str(family_id),
        "gen": generation,
        "jti": token_id(secret, generation),
        "exp": int(expires_at.timestamp()),
    }
    if issuer is not None:
        claims["iss"] = issuer
    if thumbprint:
        claims["cnf"] = {"jkt": thumbprint}
    return _encode(claims, keys, REFRESH_TYPE)


def decode_refresh(token: str, keys: KeyRing, issuer: str | None = None) -> RefreshClaims:
    """Check signature, ``typ`` and shape of a refresh token, and return its claims.

    ``exp`` is not checked, because the family's row decides about expiry. If ``issuer`` is given, the token's ``iss``
    must equal ``issuer``. Raises InvalidToken.
    """
    claims = _decode(token, keys, REFRESH_TYPE)
    if issuer is not None and claims.get("iss") != issuer:
        raise InvalidToken
    generation, identifier = claims.get("gen"), claims.get("jti")
    if type(generation) is not int or generation < 0 or not isinstance(identifier, str) or not identifier.isascii():
        raise InvalidToken
    return RefreshClaims(family_id_of(claims), generation, identifier, thumbprint_of(claims))


def encode_access(
    policy: AccessPolicy,
    *,
    subject: str,
    family_id: UUID,
    issued_at: int,
    expires_at: int,
    extra: Mapping[str, Any],
    auth_time: int | None = None,
    amr: object = None,
    thumbprint: str = "",
) -> str:
    """Return an access token (RFC 9068 section 2.2). Times are in seconds since the epoch.

    ``auth_time`` says when the user proved their identity, and ``amr`` by which methods, as a list of strings
    (RFC 9068 section 2.2.1, RFC 8176). ``thumbprint`` is the thumbprint of the public key to which the token is bound
    (RFC 9449 section 6.1), or empty.

    Raises ClaimsError if a claim of ``extra`` has a reserved name or is not JSON, if ``auth_time`` or ``amr`` has a
    wrong type, or if the token would be longer than ``decode_access`` accepts.
    """
    check_claims(extra, client_id=policy.client_id)
    check_auth_event(auth_time, amr)
    claims: dict[str, Any] = {
        **extra,
        "sub": subject,
        "sid": str(family_id),
        "jti": secrets.token_urlsafe(16),
        "iat": issued_at,
        "exp": expires_at,
    }
    if auth_time is not None:
        claims["auth_time"] = auth_time
    if amr:
        claims["amr"] = amr
    if thumbprint:
        claims["cnf"] = {"jkt": thumbprint}
    if policy.issuer is not None:
        claims["iss"] = policy.issuer
    if policy.client_id is not None:
        claims["client_id"] = policy.client_id
    if policy.audience:
        claims["aud"] = policy.audience[0] if len(policy.audience) == 1 else list(policy.audience)
    token = _encode(claims, policy.keys, ACCESS_TYPE)
    if len(token) > MAX_TOKEN_LENGTH:
        raise ClaimsError(f"The access token would be longer than {MAX_TOKEN_LENGTH} characters.")
    return token


def decode_access(token: str, policy: AccessPolicy, now: datetime) -> AccessToken:
    """Check signature, ``typ``, shape, issuer, audience and expiry of an access token, and return its claims.

    ``iat`` is not compared with the clock: a server whose clock is some seconds behind must not refuse a fresh token.
    Raises InvalidToken or ExpiredToken.
    """
    claims = _decode(token, policy.keys, ACCESS_TYPE)
    expires_at = claims.get("exp")
    if type(expires_at) is not int or not 0 <= expires_at <= MAX_TIME or not isinstance(claims.get("sub"), str):
        raise InvalidToken
    family_id = family_id_of(claims)
    if policy.issuer is not None and claims.get("iss") != policy.issuer:
        raise InvalidToken
    if policy.audience:
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if not any(name in policy.audience for name in named):
            raise InvalidToken
    if now.timestamp() >= expires_at + policy.leeway:
        raise ExpiredToken
    return AccessToken(claims, family_id)


def _encode(claims: Mapping[str, Any], keys: KeyRing, kind: str) -> str:
    return keys.sign(_to_json(claims).encode(), kind)


def _decode(token: str, keys: KeyRing, kind: str) -> dict[str, Any]:
    payload = keys.verify(token, kind)
    try:
        claims = _from_json(payload.decode())
    except (ValueError, RecursionError) as exc:
        raise InvalidToken from exc
    if not isinstance(claims, dict):
        raise InvalidToken
    return claims
