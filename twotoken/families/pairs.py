"""Make a token pair: a new access token, and a token family's current refresh token."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser

from twotoken import tokens
from twotoken.conf import conf
from twotoken.dpop import DPOP, thumbprint
from twotoken.models import RefreshToken


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The tokens that a login or a refresh returns. Durations are in seconds.

    ``generation`` says how many rotations came before the refresh token. If DPoP binds the family, ``token_type`` is
    the scheme with which the client sends the access token: "DPoP", or "Bearer" if DPOP_ACCESS is False. If DPoP does
    not bind the family, ``token_type`` is empty.
    """

    access: str = field(repr=False)
    expires_in: int
    refresh: str = field(repr=False)
    refresh_expires_in: int
    family_id: UUID
    generation: int
    token_type: str = ""


class AuthEvent(NamedTuple):
    """When a user proved their identity, in seconds since the epoch, and by which methods (RFC 8176)."""

    auth_time: Any
    amr: Any


def login_event(family: RefreshToken) -> AuthEvent:
    """Return when and how the user proved their identity for a family's login.

    If the family's context has an ``auth_time`` before the login, this time is returned. For example, with a single
    sign-on the user may have typed the password last week. An old token that is exchanged is also no new proof.
    """
    login = int(family.created_at.timestamp())
    proven = family.context.get("auth_time", login)
    return AuthEvent(min(proven, login) if type(proven) is int else proven, family.context.get("amr"))


def mint_access(
    family: RefreshToken, user: AbstractBaseUser, now: datetime, event: AuthEvent | None = None
) -> tuple[str, int]:
    """Return a new access token and its lifetime in seconds. The token never outlives the family's absolute lifetime.

    ``event`` is the new proof of identity of a step-up. Without ``event``, the token has the ``auth_time`` and ``amr``
    of the login.

    Raises ClaimsError if the project's claims can't go into a token.
    """
    issued_at = int(now.timestamp())
    expires_at = issued_at + int(conf.access_lifetime.total_seconds())
    if family.expires_at is not None:
        expires_at = min(expires_at, int(family.expires_at.timestamp()))
    claims = conf.access_claims
    extra = {} if claims is None else claims(user, family)
    auth_time, amr = event or login_event(family)
    token = tokens.encode_access(
        conf.access_policy,
        subject=str(getattr(user, conf.user_id_field)),
        family_id=family.pk,
        issued_at=issued_at,
        expires_at=expires_at,
        extra=extra,
        auth_time=auth_time,
        amr=amr,
        thumbprint=thumbprint(family.device_key) if token_type_of(family) == "DPoP" else "",
    )
    return token, expires_at - issued_at


def make_pair(
    family: RefreshToken, access: tuple[str, int], now: datetime, *, generation: int, refreshed_at: datetime
) -> TokenPair:
    """Return a token pair: the given access token, and the family's refresh token of this generation.

    ``access`` is what ``mint_access`` returned: the token and its lifetime in seconds. ``refreshed_at`` is the time of
    the login or rotation that started this generation. The idle limit REFRESH_LIFETIME counts from this time.
    """
    end = family.idle_end(refreshed_at)
    refresh = tokens.encode_refresh(
        conf.refresh_keys,
        family_id=family.pk,
        generation=generation,
        secret=bytes(family.secret),
        expires_at=end,
        issuer=conf.tenant_issuer,
        thumbprint=thumbprint(family.device_key) if family.device_key else "",
    )
    remaining = int(end.timestamp()) - int(now.timestamp())
    return TokenPair(*access, refresh, remaining, family.pk, generation, token_type_of(family))


def token_type_of(family: RefreshToken) -> str:
    """Return the scheme with which a family's access token is sent, or an empty string if DPoP does not bind it."""
    if not family.device_key.startswith(DPOP):
        return ""
    return "DPoP" if conf.dpop_access else "Bearer"
