"""Read token families. Every read uses the write database, because a replica may lag."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypedDict, Unpack, cast
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from twotoken import tokens
from twotoken.conf import conf
from twotoken.exceptions import (
    ExpiredToken,
    InvalidToken,
    PasswordChanged,
    ReusedToken,
    RevokedToken,
    TokenNotValid,
    UserInactive,
    WrongDevice,
)
from twotoken.families.rule import Row, Verdict, judge
from twotoken.models import RefreshToken, RefreshTokenQuerySet
from twotoken.statements import CompiledSelect
from twotoken.tokens import AccessToken, RefreshClaims

FAMILY: Final = CompiledSelect(RefreshToken, "pk", "user")
ERRORS: Final[dict[Verdict, type[TokenNotValid]]] = {
    Verdict.REUSED: ReusedToken,
    Verdict.REVOKED: RevokedToken,
    Verdict.EXPIRED: ExpiredToken,
    Verdict.USER_INACTIVE: UserInactive,
    Verdict.PASSWORD_CHANGED: PasswordChanged,
    Verdict.WRONG_DEVICE: WrongDevice,
}


class Criteria(TypedDict, total=False):
    """Which families to revoke: those that meet all given criteria. If a criterion is None, no family meets it.

    With ``before``, the login must be earlier than this time. ``address`` is the IP address of the last refresh or,
    before the first refresh, of the login.
    """

    user_id: Any
    family_id: UUID
    before: datetime
    address: str
    user_is_active: bool


def rows() -> RefreshTokenQuerySet:
    """Return all token families, from the write database."""
    return RefreshToken.objects.primary()


def get(family_id: UUID) -> RefreshToken | None:
    """Return the token family with this id, and its user, or None. One SELECT."""
    return FAMILY.get(family_id)


def find(claims: RefreshClaims) -> RefreshToken:
    """Return the family of a refresh token, with its user. One SELECT.

    Raises InvalidToken if there is no such family, or if the token's ``jti`` does not fit the family.
    """
    family = get(claims.family_id)
    if family is None or not tokens.token_id_fits(claims, bytes(family.secret)):
        raise InvalidToken
    return family


def exists(family_id: UUID) -> bool:
    """Tell whether there is a token family with this id, in any state."""
    return rows().filter(pk=family_id).exists()


def count() -> int:
    """Return how many token families there are, in any state."""
    return rows().count()


def is_active(family_id: UUID) -> bool:
    """Tell whether a token family is neither revoked nor expired. The user is not checked, and may be inactive."""
    return rows().active().filter(pk=family_id).exists()


def active(user: AbstractBaseUser) -> RefreshTokenQuerySet:
    """Return the active token families of a user, the newest login first."""
    return rows().filter(user_id=user.pk).active().order_by("-created_at", "-pk")


def select(**criteria: Unpack[Criteria]) -> RefreshTokenQuerySet:
    """Return the families that can be revoked (see ``revocable``) and meet all of these criteria."""
    lookups = {
        "user_id": "user_id",
        "family_id": "pk",
        "before": "created_at__lt",
        "address": "ip_address",
        "user_is_active": "user__is_active",
    }
    if None in criteria.values():  # otherwise a missing address would match all families without one
        return rows().none()
    return rows().revocable().filter(**{lookups[name]: value for name, value in criteria.items()})


def user_of(access: AccessToken | RefreshClaims) -> AbstractBaseUser:
    """Return the user of a token. One SELECT.

    Raises RevokedToken, ExpiredToken, UserInactive or PasswordChanged if the token's family is not active, or its user
    is inactive or has changed the password.
    """
    return family_of(access).user


def family_of(access: AccessToken | RefreshClaims) -> RefreshToken:
    """Return the active family of a token, with its user. One SELECT. Raises the same errors as ``user_of``."""
    family = get(access.family_id)
    if family is None:
        raise RevokedToken
    # The family's own key is passed as if it were proven, because no proof is required here: the authentication class
    # has checked the proof that the access token's ``cnf`` requires. If DPOP_ACCESS is False, access tokens of a bound
    # family have no ``cnf``.
    verdict = verdict_on(family, family.generation, b"", family.device_key, timezone.now())
    if verdict in ERRORS:
        raise ERRORS[verdict]
    return family


def verdict_on(family: RefreshToken, generation: int, retry_key: bytes, device_key: str, now: datetime) -> Verdict:
    """Return what the rotation rule decides about a family's refresh token. ``judge`` explains the arguments."""
    return judge(
        cast("Row", family),  # pyright gives a model's fields the types that they have on the class
        generation=generation,
        retry_key=retry_key,
        device_key=device_key,
        now=now,
        idle_limit=conf.refresh_lifetime,
        browser_grace=conf.browser_grace,
        reuse_grace=conf.reuse_grace,
        user_is_active=family.user.is_active,
        password_unchanged=_password_unchanged(family),
    )


def _password_unchanged(family: RefreshToken) -> bool:
    return constant_time_compare(family.auth_hash, family.current_auth_hash) or any(
        constant_time_compare(family.auth_hash, fallback) for fallback in family.user.get_session_auth_fallback_hash()
    )
