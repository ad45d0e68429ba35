"""The claims of the two tokens: what a verified token says, and which claims a project may add. Pure: no Django."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from twotoken.exceptions import ClaimsError, InvalidToken

RESERVED_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "cnf", "auth_time", "amr"})


@dataclass(frozen=True, slots=True)
class RefreshClaims:
    """The claims of a verified refresh token.

    ``token_id`` is the claim ``jti``. If it fits the family's row (``token_id_fits``), the token was made from that
    row.
    """

    family_id: UUID
    generation: int
    token_id: str = field(repr=False)
    thumbprint: str = ""  # of the key to which the family was bound when the token was made


class AccessToken(Mapping[str, Any]):
    """The claims of a verified access token, as a mapping.

    ``request.auth`` is an AccessToken: ``request.auth["role"]`` is the claim ``role``.
    """

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
        """The id of the token family, from the ``sid`` claim."""
        return self._family_id or UUID(self._claims["sid"])

    @property
    def is_bound(self) -> bool:
        """Whether the token is bound to a key (RFC 7800), and must not be accepted without a proof by this key."""
        return "cnf" in self._claims

    @property
    def thumbprint(self) -> str:
        """The thumbprint of the key that the token is bound to, from ``cnf`` (RFC 9449 section 6.1).

        The thumbprint is empty if the token is not bound, or is bound by other means than DPoP.
        """
        return thumbprint_of(self._claims)

    @property
    def issuer(self) -> str | None:
        """The ``iss`` claim, or None."""
        return self._claims.get("iss")

    @property
    def expires_at(self) -> datetime:
        """When the token expires, in UTC."""
        return datetime.fromtimestamp(self._claims["exp"], UTC)


def check_claims(extra: object, *, client_id: str | None = None) -> None:
    """Raise ClaimsError if one of the project's claims has a reserved name or a value that JSON can't hold unchanged.

    The error gives the claim's name and type, but not its value, which may be personal data. ``client_id`` is the value
    of the setting CLIENT_ID. If it is not None, the name ``client_id`` is reserved too. If it is None, a project may
    set this claim for each login.
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
    """Raise ClaimsError if ``auth_time`` is not an int, or if ``amr`` is not a list of strings. Both may be None."""
    if auth_time is not None and type(auth_time) is not int:
        raise ClaimsError("auth_time must be a whole number of seconds.")
    if amr is not None and not (isinstance(amr, list | tuple) and all(isinstance(each, str) and each for each in amr)):
        raise ClaimsError("amr must be a list of strings.")


def thumbprint_of(claims: Mapping[str, Any]) -> str:
    """Return the ``jkt`` of the claim ``cnf`` (RFC 9449 section 6.1), or an empty string without a valid ``jkt``."""
    confirmation = claims.get("cnf")
    found = confirmation.get("jkt") if isinstance(confirmation, dict) else None
    return found if isinstance(found, str) and found.isascii() else ""


def family_id_of(claims: Mapping[str, Any]) -> UUID:
    """Return the id of the token family, from the claim ``sid``. Raises InvalidToken if the claim is not a UUID."""
    try:
        return UUID(claims["sid"])
    except (KeyError, ValueError, AttributeError, TypeError) as exc:
        raise InvalidToken from exc


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
