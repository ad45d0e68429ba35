"""Rotate a token family correctly even if several requests rotate it at the same time.

A rotation is one conditional UPDATE (``statements.write_rotation``), which needs no transaction. If the rotation rule
says that the family must be revoked, the revocation is written before any other step that could fail.
"""

from __future__ import annotations

import hashlib
import logging
import time

from django.db import OperationalError
from django.dispatch import Signal
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from twotoken import signals, tokens
from twotoken.clients import Client
from twotoken.conf import conf
from twotoken.conflicts import PATIENCE, may_try_again
from twotoken.exceptions import RotationConflict
from twotoken.families.events import record, record_device, record_retry, record_wrong_device, send
from twotoken.families.pairs import TokenPair, make_pair, mint_access
from twotoken.families.queries import ERRORS, find, verdict_on
from twotoken.families.revocation import revoke_all, revoke_family
from twotoken.families.rule import Verdict
from twotoken.models import EventKind, RefreshToken, RevokedReason
from twotoken.statements import Rotation, write_rotation
from twotoken.tokens import RefreshClaims

ROTATION_ATTEMPTS = 4  # the first, and three more after another request was faster

logger = logging.getLogger("twotoken")


@sensitive_variables()
def verify(token: str) -> RefreshClaims:
    """Check the signature of a refresh token, and its issuer if ISSUER is a callable. No query. Raises InvalidToken."""
    return tokens.decode_refresh(token, conf.refresh_keys, conf.tenant_issuer)


@sensitive_variables()
def rotate(claims: RefreshClaims, client: Client, idempotency_key: str = "", *, device_key: str = "") -> TokenPair:
    """Exchange a refresh token for a new pair: one SELECT and one UPDATE, or one SELECT for a retry.

    ``device_key`` is the key that the request has proven to hold, in the form that ``start`` takes. If the family is
    bound to another key, the call raises WrongDevice, and the family stays active.

    If the rotation rule refuses the token, the call revokes the family where the rule says so, and raises a
    TokenNotValid with the reason. Raises RotationConflict if at each attempt another request changed the family first.
    """
    retry_key = hashlib.sha256(idempotency_key.encode()).digest() if idempotency_key else b""
    deadline = time.monotonic() + PATIENCE
    for _ in range(ROTATION_ATTEMPTS):
        try:
            pair = _try_to_rotate(claims, client, retry_key, device_key)
        except OperationalError as exc:
            if not may_try_again(exc) or time.monotonic() > deadline:
                raise
        else:
            if pair is not None:
                return pair
    raise RotationConflict


def _try_to_rotate(claims: RefreshClaims, client: Client, retry_key: bytes, device_key: str) -> TokenPair | None:
    """Try once to rotate the family, and return the pair, or None if another request changed the family meanwhile."""
    family = find(claims)
    now = timezone.now()
    verdict = verdict_on(family, claims.generation, retry_key, device_key, now)
    if verdict in ERRORS:
        _follow_refusal(family, claims, client, verdict)
        raise ERRORS[verdict]
    # The access token is made before the write: if the project's claims fail, the client's refresh token stays valid.
    access = mint_access(family, family.user, now)
    if verdict is Verdict.RETRY:
        pair = make_pair(family, access, now, generation=family.generation, refreshed_at=family.refreshed_at)
        _tell_retried(family, claims, client)
        return pair
    now = timezone.now()  # read again, because minting may have been slow
    pair = make_pair(family, access, now, generation=claims.generation + 1, refreshed_at=now)
    written = Rotation(
        generation=claims.generation + 1,
        refreshed_at=now,
        retry_key=retry_key,
        auth_hash=family.current_auth_hash,  # by today's SECRET_KEY, so that SECRET_KEY_FALLBACKS can be emptied
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )
    if not write_rotation(family, claims.generation, written):
        return None
    record_device(family, client)
    send(
        signals.token_rotated,
        family.pk,
        family.user_id,
        generation=written.generation,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )
    return pair


def _send_presented(signal: Signal, family: RefreshToken, claims: RefreshClaims, client: Client) -> None:
    """Send a signal about a refresh token that did not rotate its family, with the request's address and user agent."""
    send(
        signal,
        family.pk,
        family.user_id,
        generation=claims.generation,
        current_generation=family.generation,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )


def _tell_retried(family: RefreshToken, claims: RefreshClaims, client: Client) -> None:
    """Record a retry if its IP address or user agent differs from the rotation's: a thief may have copied the token."""
    if (client.ip_address, client.user_agent) == (family.ip_address, family.user_agent):
        return
    logger.warning(
        "A refresh of token family %s of user %s was retried from another device or address: %s.",
        family.pk,
        family.user_id,
        client.ip_address,
    )
    record_retry(family, client)
    _send_presented(signals.token_retried, family, claims, client)


def _follow_refusal(family: RefreshToken, claims: RefreshClaims, client: Client, verdict: Verdict) -> None:
    """Do what the rotation rule's verdict requires, such as a revocation, before the client gets the refusal."""
    if verdict is Verdict.USER_INACTIVE:
        revoke_family(family, RevokedReason.USER_INACTIVE)
    elif verdict is Verdict.PASSWORD_CHANGED:
        revoke_family(family, RevokedReason.PASSWORD_CHANGED)
    elif verdict is Verdict.REUSED and revoke_family(family, RevokedReason.REUSE):
        _tell_reused(family, claims, client)
    elif verdict is Verdict.WRONG_DEVICE:
        _tell_wrong_device(family, claims, client)


def _tell_wrong_device(family: RefreshToken, claims: RefreshClaims, client: Client) -> None:
    """Record a refresh without a proof by the device's key. The family stays active: its device can still refresh."""
    logger.warning(
        "A refresh of token family %s of user %s from %s did not prove the key of its device.",
        family.pk,
        family.user_id,
        client.ip_address,
    )
    record_wrong_device(family, client)
    _send_presented(signals.wrong_device_refused, family, claims, client)


def _tell_reused(family: RefreshToken, claims: RefreshClaims, client: Client) -> None:
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
    _send_presented(signals.reuse_detected, family, claims, client)
