"""The verbs: start a token family, rotate it, revoke it. What decides stands here; HTTP does not.

Those that end families come from ``revocation``.

The rule of rotation is in ``rotation``. Everything around it is made so that no race can get past it: a
rotation is one conditional UPDATE, nothing runs in a transaction of ours, and a revocation is written before anything
that could fail is tried.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final, cast
from uuid import UUID, uuid4

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ObjectDoesNotExist
from django.db import OperationalError, router
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_variables

from twotoken import signals, tokens
from twotoken.clients import Client
from twotoken.conf import conf
from twotoken.conflicts import may_try_again, settled
from twotoken.events import record, record_device
from twotoken.exceptions import (
    ExpiredToken,
    InvalidToken,
    PasswordChanged,
    ReusedToken,
    RevokedToken,
    RotationConflict,
    TokenNotValid,
    UserInactive,
)
from twotoken.models import EventKind, RefreshToken, RefreshTokenQuerySet, RevokedReason, new_secret
from twotoken.pairs import TokenPair, mint_access, pair_of
from twotoken.revocation import Batch, end_family, exhaust, purge, revoke, revoke_all, revoke_each, select, send
from twotoken.rotation import Row, Verdict, judge, rotation
from twotoken.statements import FamilyInsert, Lookup, RotationUpdate
from twotoken.tokens import AccessToken, RefreshClaims

__all__ = [
    "FROM_SETTINGS",
    "Batch",
    "Lifetime",
    "TokenPair",
    "active",
    "end",
    "end_own",
    "exhaust",
    "exists",
    "is_active",
    "may_log_in",
    "purge",
    "revoke",
    "revoke_all",
    "revoke_each",
    "rotate",
    "select",
    "start",
    "update_auth_hash",
    "user_of",
    "verify",
]

ROTATION_ATTEMPTS = 4  # the first, and three more after another request was faster

FAMILY: Final = Lookup(RefreshToken, "pk", "user")
ROTATION: Final = RotationUpdate()
START: Final = FamilyInsert()

logger = logging.getLogger("twotoken")


class _FromSettings(Enum):
    FROM_SETTINGS = auto()


FROM_SETTINGS: Final = _FromSettings.FROM_SETTINGS
Lifetime = timedelta | None | _FromSettings


def may_log_in(user: AbstractBaseUser) -> bool:
    """Tell whether a user who has proven who it is may log in: one who is there, is active, and has the same password.

    Where users are read from a replica, this one is read again where is written, and brought up to date: a replica that
    lags would let in who was deactivated a moment ago, or came with the password of a moment ago. Otherwise this costs
    no query.
    """
    alias = router.db_for_write(user.__class__, instance=user)
    # A save, as that of a better hash, makes it look as if the user had been read where is written.
    if not {user._state.db, router.db_for_read(user.__class__)} <= {None, alias}:
        proven = user.get_session_auth_hash()
        try:
            user.refresh_from_db(using=alias)
        except ObjectDoesNotExist:
            return False
        if not constant_time_compare(proven, user.get_session_auth_hash()):
            return False
    return user.is_active


@sensitive_variables()
def start(
    user: AbstractBaseUser,
    client: Client | None = None,
    *,
    lifetime: Lifetime = FROM_SETTINGS,
    family_id: UUID | None = None,
) -> TokenPair:
    """Start a token family for a user who has proven who it is, and return its first pair. One INSERT.

    ``lifetime`` is the absolute one of this login in place of FAMILY_LIFETIME (None: without end); the idle limit
    REFRESH_LIFETIME holds besides. With MAX_FAMILIES_PER_USER the user's oldest families beyond it are ended.
    ``family_id`` is for a proof that must start one family only: a function of it, such as a UUID of version 5.
    Raises UserInactive, and IntegrityError where there is a family of that id. Django's
    ``user_logged_in`` is for the caller to send, as not every login is its first.
    """
    if not may_log_in(user):
        raise UserInactive
    client = client or Client()
    lifetime = conf.family_lifetime if lifetime is FROM_SETTINGS else lifetime
    now = timezone.now()
    family = RefreshToken(
        id=family_id or uuid4(),
        user_id=user.pk,
        secret=new_secret(),
        auth_hash=user.get_session_auth_hash(),
        created_at=now,
        refreshed_at=now,
        expires_at=None if lifetime is None else now + lifetime,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )
    pair = pair_of(family, *mint_access(family, user, now), now)
    settled(lambda: START.write(family))
    logger.info("Token family %s of user %s started from %s.", family.pk, user.pk, client.ip_address)
    send(signals.family_started, family.pk, family.user_id, ip_address=client.ip_address, user_agent=client.user_agent)
    if conf.max_families_per_user is not None:
        _end_oldest(user, conf.max_families_per_user)
    return pair


@sensitive_variables()
def verify(token: str) -> RefreshClaims:
    """Check the signature of a refresh token, without a look at the database. Raises InvalidToken."""
    return tokens.decode_refresh(token, conf.refresh_keys)


@sensitive_variables()
def rotate(claims: RefreshClaims, client: Client, idempotency_key: str = "") -> TokenPair:
    """Exchange a refresh token: one SELECT and one UPDATE, or one SELECT for a retry.

    Raises a TokenNotValid with its reason (and has revoked the family where the rule says so), or RotationConflict
    when other requests were faster each time.
    """
    retry_key = hashlib.sha256(idempotency_key.encode()).digest() if idempotency_key else b""
    for _ in range(ROTATION_ATTEMPTS):
        try:
            pair = _try_to_rotate(claims, client, retry_key)
        except OperationalError as exc:
            if not may_try_again(exc):
                raise
        else:
            if pair is not None:
                return pair
    raise RotationConflict


@sensitive_variables()
def end(claims: RefreshClaims, reason: str = RevokedReason.LOGOUT) -> RefreshToken | None:
    """Revoke the family of a refresh token, expired or rotated out or not, as a logout does.

    Returns the family, with its user, if this call ended it; None if there was nothing to end.
    """
    with suppress(InvalidToken):
        family = _find(claims)
        if family.revoked_at is None and end_family(family, reason):
            return family
    return None


def exists(family_id: UUID) -> bool:
    """Tell whether there is such a token family, ended or not."""
    return _rows().filter(pk=family_id).exists()


def is_active(family_id: UUID) -> bool:
    """Tell whether a token family may still refresh, but for what its user's state says."""
    return _rows().active().filter(pk=family_id).exists()


def active(user: AbstractBaseUser) -> RefreshTokenQuerySet:
    """Return the live token families of a user, the newest login first."""
    return _rows().filter(user_id=user.pk).active().order_by("-created_at", "-pk")


def end_own(user: AbstractBaseUser, family_id: UUID, reason: str = RevokedReason.LOGOUT) -> bool:
    """Revoke a family on its own user's behalf; tell whether it is the user's. One that has ended stays as it is."""
    family = _rows().filter(pk=family_id, user_id=user.pk).first()
    if family is not None and family.revoked_at is None:
        end_family(family, reason)
    return family is not None


def update_auth_hash(family_id: UUID, user: AbstractBaseUser) -> None:
    """Keep a family whose own user has just changed the password: ``update_session_auth_hash`` for token families.

    Call it in the transaction that saves the password, or a refresh between the two ends the family.
    """
    settled(
        lambda: (
            _rows()
            .filter(pk=family_id, user_id=user.pk, revoked_at=None)
            .update(auth_hash=user.get_session_auth_hash())
        )
    )


def user_of(access: AccessToken) -> AbstractBaseUser:
    """Return the user of an access token whose token family is live and whose password is unchanged. One SELECT.

    Raises RevokedToken, ExpiredToken, UserInactive or PasswordChanged.
    """
    family = FAMILY.get(access.family_id)
    if family is None:
        raise RevokedToken
    verdict = _judge(family, family.generation, b"", timezone.now())
    if verdict in REFUSALS:
        raise REFUSALS[verdict]
    return family.user


REFUSALS: Final[dict[Verdict, type[TokenNotValid]]] = {
    Verdict.REUSED: ReusedToken,
    Verdict.REVOKED: RevokedToken,
    Verdict.EXPIRED: ExpiredToken,
    Verdict.USER_INACTIVE: UserInactive,
    Verdict.PASSWORD_CHANGED: PasswordChanged,
}


def _try_to_rotate(claims: RefreshClaims, client: Client, retry_key: bytes) -> TokenPair | None:
    """Judge and answer once. None: another request changed the family meanwhile."""
    family = _find(claims)
    user = family.user
    now = timezone.now()
    verdict = _judge(family, claims.generation, retry_key, now)
    if verdict in REFUSALS:
        _end_refused(family, claims, client, verdict)
        raise REFUSALS[verdict]
    # Minted before the write: where the project's claims fail, the presented token stays good.
    access = mint_access(family, user, now)
    if verdict is Verdict.REPEAT:
        return pair_of(family, *access, now)
    # The clock is read again at the write, for minting may have been slow.
    now = timezone.now()
    rotated = rotation(
        generation=claims.generation,
        retry_key=retry_key,
        now=now,
        is_browser=client.is_browser,
        browser_grace=conf.browser_grace,
        reuse_grace=conf.reuse_grace,
    )
    family.generation, family.refreshed_at = rotated.generation, now
    pair = pair_of(family, *access, now)
    values = {**rotated._asdict(), "ip_address": client.ip_address, "user_agent": client.user_agent}
    if not ROTATION.write(family.pk, claims.generation, values):
        return None
    record_device(family, client)
    send(
        signals.token_rotated,
        family.pk,
        family.user_id,
        generation=family.generation,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )
    return pair


def _end_refused(family: RefreshToken, claims: RefreshClaims, client: Client, verdict: Verdict) -> None:
    if verdict is Verdict.USER_INACTIVE:
        end_family(family, RevokedReason.USER_INACTIVE)
    elif verdict is Verdict.PASSWORD_CHANGED:
        end_family(family, RevokedReason.PASSWORD_CHANGED)
    elif verdict is Verdict.REUSED and end_family(family, RevokedReason.REUSE):
        logger.warning(
            "Refresh token reuse in token family %s of user %s from %s: generation %s came back at generation %s.",
            family.pk,
            family.user_id,
            client.ip_address,
            claims.generation,
            family.generation,
        )
        record(
            EventKind.REUSE,
            [family.pk],
            generations_behind=max(family.generation - claims.generation, 0),
            ip_address=client.ip_address,
            user_agent=client.user_agent,
        )
        if conf.revoke_on_reuse == "user":
            revoke_all(family.user, RevokedReason.REUSE)
        send(
            signals.reuse_detected,
            family.pk,
            family.user_id,
            generation=claims.generation,
            current_generation=family.generation,
            ip_address=client.ip_address,
            user_agent=client.user_agent,
        )


def _judge(family: RefreshToken, generation: int, retry_key: bytes, now: datetime) -> Verdict:
    return judge(
        cast("Row", family),  # pyright takes a model's fields for what they are on the class
        generation=generation,
        retry_key=retry_key,
        now=now,
        idle_limit=conf.refresh_lifetime,
        user_is_active=family.user.is_active,
        password_unchanged=_password_unchanged(family),
    )


def _password_unchanged(family: RefreshToken) -> bool:
    user = family.user
    return constant_time_compare(family.auth_hash, user.get_session_auth_hash()) or any(
        constant_time_compare(family.auth_hash, fallback) for fallback in user.get_session_auth_fallback_hash()
    )


def _rows() -> RefreshTokenQuerySet:
    return RefreshToken.objects.primary()


def _find(claims: RefreshClaims) -> RefreshToken:
    family = FAMILY.get(claims.family_id)
    if family is None or not tokens.token_id_fits(claims, bytes(family.secret)):
        raise InvalidToken
    return family


def _end_oldest(user: AbstractBaseUser, limit: int) -> None:
    # Read after the INSERT: of two logins that race, each sees both or ends nothing that the other would keep.
    beyond = list(active(user).values_list("pk", flat=True)[limit:])
    if beyond:
        exhaust(revoke_each(_rows().filter(pk__in=beyond), RevokedReason.LIMIT))
