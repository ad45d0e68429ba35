"""Encode and decode the two JWTs (RFC 7519, RFC 9068, RFC 8725): a pure codec, no Django, no database.

Keys, policy and time come in; a string, claims or an exception come out. Neither token is accepted in place of the
other: each has its own secret and its own ``typ`` header (RFC 8725 section 3.11).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from twotoken.exceptions import ClaimsError, ExpiredToken, InvalidToken
from twotoken.keys import MAX_TOKEN_LENGTH, KeyRing, b64encode

ACCESS_TYPE = "at+jwt"
REFRESH_TYPE = "rt+jwt"
FAMILY_DIGEST_BYTES = 9
MAX_TIME = 253_402_300_799  # seconds since the epoch: the maximum of ``datetime``
CURSOR = re.compile("[0-9]{1,12}")  # of a list of revoked families: seconds since the epoch
RESERVED_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "cnf", "auth_time", "amr"})
_to_json = json.JSONEncoder(separators=(",", ":")).encode  # ``json.dumps`` would make an encoder for each token
_from_json = json.JSONDecoder().decode  # ``json.loads`` would also guess an encoding, but a JWT is UTF-8
SHORTEST_LIFE = timedelta(seconds=1)  # of an access token: ``expires_in`` counts whole seconds


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The keys and the rules for signing and checking access tokens. ``leeway`` is in seconds."""

    keys: KeyRing = field(repr=False)
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    leeway: float = 0
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class RefreshClaims:
    """The claims of a verified refresh token: its family, its generation, and the ``jti`` that binds it to the row."""

    family_id: UUID
    generation: int
    token_id: str = field(repr=False)
    thumbprint: str = ""  # of the key that the family was bound to when the token was made


class AccessToken(Mapping[str, Any]):
    """The claims of a verified access token. ``request.auth`` is one: ``request.auth["role"]``."""

    __slots__ = ("_claims", "_family_id")

    def __init__(self, claims: dict[str, Any], family_id: UUID | None = None) -> None:
        self._claims = claims
        self._family_id = family_id

    def __getitem__(self, name: str) -> Any:
        return self._claims[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)

    def __repr__(self) -> str:
        return f"<AccessToken of family {self._claims['sid']}>"

    @property
    def family_id(self) -> UUID:
        """The token family, from the ``sid`` claim."""
        return self._family_id or UUID(self._claims["sid"])

    @property
    def is_bound(self) -> bool:
        """Whether the token is bound to a key (RFC 7800). Then it must not be accepted without a proof."""
        return "cnf" in self._claims

    @property
    def thumbprint(self) -> str:
        """The thumbprint of the key that the token is bound to, from ``cnf`` (RFC 9449 section 6.1).

        Empty if the token is not bound, or bound by other means than DPoP.
        """
        return _thumbprint(self._claims)

    @property
    def issuer(self) -> str | None:
        """The ``iss`` claim, or None."""
        return self._claims.get("iss")

    @property
    def expires_at(self) -> datetime:
        """When the token expires, in UTC."""
        return datetime.fromtimestamp(self._claims["exp"], UTC)


def family_digest(family_id: str) -> str:
    """Return the digest under which RevocationsView lists a family: the SHA-256 of its ``sid`` claim, as base64url.

    Shortened to 72 bits: 12 characters without padding. Among 10 million families in use and 100,000 revoked ones, the
    chance that any family in use has the digest of a revoked one is 1 in 4 billion.
    """
    return b64encode(hashlib.sha256(family_id.encode()).digest()[:FAMILY_DIGEST_BYTES])


def token_id(secret: bytes, generation: int) -> str:
    """Return the ``jti`` of a generation: HMAC-SHA256 under the row's secret, shortened to 128 bits.

    It binds a token to its row: nobody can forge a token with the refresh secret alone, and the database holds no token
    that could be used.
    """
    digest = hmac.digest(secret, str(generation).encode(), hashlib.sha256)
    return b64encode(digest[:16])


def token_id_fits(claims: RefreshClaims, secret: bytes) -> bool:
    """Tell in constant time whether a presented token was made from this row."""
    return hmac.compare_digest(claims.token_id.encode(), token_id(secret, claims.generation).encode())


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
    """Return the refresh JWT. It depends only on the row and the issuer, so a retry gets the same string.

    ``thumbprint`` is that of the public key which the family is bound to (RFC 9449 section 6.1), or empty.
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
    """Check signature, ``typ`` and shape of a refresh token, but not ``exp``: the row decides whether it has expired.

    If ``issuer`` is given, the token's ``iss`` must equal it. Raises InvalidToken.
    """
    claims = _decode(token, keys, REFRESH_TYPE)
    if issuer is not None and claims.get("iss") != issuer:
        raise InvalidToken
    generation, identifier = claims.get("gen"), claims.get("jti")
    if type(generation) is not int or generation < 0 or not isinstance(identifier, str) or not identifier.isascii():
        raise InvalidToken
    return RefreshClaims(_family_id(claims), generation, identifier, _thumbprint(claims))


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
    """Return an access JWT (RFC 9068 section 2.2). Times are in seconds since the epoch.

    ``auth_time`` says when the user proved their identity, and ``amr`` by which methods, as a list of strings
    (RFC 9068 section 2.2.1, RFC 8176). ``thumbprint`` is that of the public key which the token is bound to
    (RFC 9449 section 6.1), or empty.

    Raises ClaimsError if a claim of ``extra`` has a reserved name or is not JSON, if ``auth_time`` or ``amr`` has
    another type, or if the token would be longer than ``decode_access`` accepts.
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


def check_claims(extra: object, *, client_id: str | None = None) -> None:
    """Raise ClaimsError if a claim of the project has a reserved name or a value that JSON can't hold unchanged.

    The error gives the claim's name and type, but not its value, which may be personal data. ``client_id`` is
    a reserved name only where the setting CLIENT_ID gives the claim: otherwise a project may set it for each login.
    """
    if not isinstance(extra, dict):
        raise ClaimsError("ACCESS_CLAIMS must return a dict.")
    if taken := sorted((RESERVED_CLAIMS if client_id is None else {*RESERVED_CLAIMS, "client_id"}).intersection(extra)):
        raise ClaimsError(f"These claim names are reserved: {', '.join(taken)}.")
    for name, value in extra.items():
        if not isinstance(name, str):
            raise ClaimsError(f"The name of a claim is of type {type(name).__name__}. In JSON, names are text.")
        try:
            problem = _not_json(value)
        except RecursionError:
            problem = "is nested too deep"
        if problem is not None:
            raise ClaimsError(f"The claim {name!r} {problem}.")


def check_auth_event(auth_time: object, amr: object) -> None:
    """Raise ClaimsError unless ``auth_time`` is a whole number and ``amr`` a list of strings, or None."""
    if auth_time is not None and type(auth_time) is not int:
        raise ClaimsError("auth_time must be a whole number of seconds.")
    if amr is not None and not (isinstance(amr, list | tuple) and all(isinstance(each, str) and each for each in amr)):
        raise ClaimsError("amr must be a list of strings.")


def decode_access(token: str, policy: AccessPolicy, now: datetime) -> AccessToken:
    """Check signature, ``typ``, shape, issuer, audience and expiry of an access token.

    ``iat`` is not compared with the clock: a server whose clock is some seconds behind must not refuse a fresh token.
    Raises InvalidToken or ExpiredToken.
    """
    claims = _decode(token, policy.keys, ACCESS_TYPE)
    expires_at = claims.get("exp")
    if type(expires_at) is not int or expires_at > MAX_TIME or not isinstance(claims.get("sub"), str):
        raise InvalidToken
    family_id = _family_id(claims)
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


def _not_json(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return None
    if isinstance(value, int):
        try:
            int.__repr__(value)
        except ValueError:  # CVE-2020-10735
            return "has an integer with too many digits, which JSON can't hold"
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else "has a float that is not finite, which JSON can't hold"
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                return f"has a key of type {type(name).__name__}, which JSON can't hold"
        value = [*value.values()]
    if isinstance(value, list | tuple):
        return next(filter(None, map(_not_json, value)), None)
    return f"has a value of type {type(value).__name__}, which JSON can't hold"


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


def _thumbprint(claims: Mapping[str, Any]) -> str:
    confirmation = claims.get("cnf")
    found = confirmation.get("jkt") if isinstance(confirmation, dict) else None
    return found if isinstance(found, str) and found.isascii() else ""


def _family_id(claims: Mapping[str, Any]) -> UUID:
    try:
        return UUID(claims["sid"])
    except (KeyError, ValueError, AttributeError, TypeError) as exc:
        raise InvalidToken from exc
