"""Exchanges a refresh token that simplejwt issued (an old token) for twotoken's tokens. Each old token works once.

The old token starts a family, twotoken's row for one login. A refresh token's generation counts the rotations before
it: the old token counts as generation 0, and twotoken's first refresh token is generation 1. If the old token is sent
again, twotoken's usual rule decides. A request with the same Idempotency-Key is a retry. A request from a second tab is
accepted within the grace, a short time after the exchange. Any other request is reuse, which revokes the family. The
family's primary key is computed from the old token, so the move needs no table of its own.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

from django.db import IntegrityError, connections, router, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from twotoken import families
from twotoken.clients import Client
from twotoken.conf import conf as core
from twotoken.conflicts import retry_on_conflict
from twotoken.contrib.simplejwt import blacklist
from twotoken.contrib.simplejwt.conf import conf
from twotoken.contrib.simplejwt.tokens import OldRefreshToken, decode_refresh
from twotoken.contrib.simplejwt.users import active_user, find_user
from twotoken.exceptions import ExpiredToken, RevokedToken, UserInactive
from twotoken.models import RefreshToken, RevokedReason
from twotoken.tokens import RefreshClaims, token_id

# The ``auth_time`` of a moved family is in 1970: an old token does not tell when the login was, and proves no identity.
NO_PROOF: Final = 0


@sensitive_variables()
def verify(token: str) -> OldRefreshToken:
    """Check a refresh token of simplejwt, except its ``exp``, and return its claims. No query. Raises InvalidToken."""
    return decode_refresh(token, conf.policy)


@sensitive_variables()
def claims_of(token: str, client: Client) -> RefreshClaims:
    """Return the claims with which ``families.rotate`` exchanges a refresh token of simplejwt.

    Starts the token's family if the family does not exist yet. Raises a TokenNotValid if the token is refused.
    """
    old = verify(token)
    family = find(old.family_id)
    if family is None:
        _start(old, client)
        family = find(old.family_id)
    if family is None:  # the user was deleted meanwhile
        raise UserInactive
    if family.generation == 0:  # not exchanged yet: an earlier try may have failed before blacklisting or rotating
        check_time(old)
        blacklist.add(old)
    return _claims(family)


@sensitive_variables()
def revoke(token: str, client: Client) -> RefreshToken | None:
    """Revoke the family of a refresh token of simplejwt, as a logout does.

    If the token has no family yet, insert a revoked family, so that the token can't start an active one. Returns the
    family, with its user, if this call revoked or inserted it, otherwise None. Raises a TokenNotValid if the token is
    not valid, or if it has no family and can't start one.
    """
    old = verify(token)
    family = find(old.family_id)
    if family is None:
        check_unused(old)
        blacklist.add(old)
        # simplejwt's blacklist may not exist, so a revoked family is inserted too.
        user = find_user(old.user_id)
        revoked = {"user": user, "revoked_at": timezone.now(), "revoked_reason": RevokedReason.LOGOUT}
        details = {**revoked, "ip_address": client.ip_address, "user_agent": client.user_agent}
        rows = RefreshToken.objects.primary()
        family, made = retry_on_conflict(partial(rows.get_or_create, pk=old.family_id, defaults=details))
        if made:
            return family
    return families.revoke_presented(_claims(family))


def check_time(old: OldRefreshToken) -> None:
    """Raise ExpiredToken if UNTIL is past, or if a token of simplejwt has expired or is older than RETENTION.

    A family is deleted RETENTION after it was revoked or expired. So a token older than RETENTION may have been
    exchanged before, for a family that is deleted now. Check E006 requires a RETENTION that lasts until UNTIL.
    """
    ends = old.expires_at + conf.leeway.total_seconds(), old.issued_at + core.retention.total_seconds()
    if conf.is_over or timezone.now().timestamp() >= min(ends):
        raise ExpiredToken


def check_unused(old: OldRefreshToken) -> None:
    """Check that a token of simplejwt without a family may start one. Raises ExpiredToken or RevokedToken."""
    check_time(old)
    # Another request may be exchanging this token: since our caller looked for the family, it may have started the
    # family and then blacklisted the token. So look for the family again, after reading the blacklist.
    if blacklist.contains(old.jti) and find(old.family_id) is None:
        raise RevokedToken


def find(family_id: UUID) -> RefreshToken | None:
    """Return the family with this id, with its user. None if the family does not exist."""
    return families.get(family_id)


def _claims(family: RefreshToken) -> RefreshClaims:
    return RefreshClaims(family.pk, 0, token_id(bytes(family.secret), 0))


def _start(old: OldRefreshToken, client: Client) -> None:
    check_unused(old)
    user = active_user(old.user_id, old.password_digest)
    alias = router.db_for_write(RefreshToken)
    # Without a savepoint, a failed INSERT would break the caller's transaction.
    apart = transaction.atomic(using=alias) if connections[alias].in_atomic_block else nullcontext()
    try:
        with apart:
            families.start(
                user, client, lifetime=_lifetime(old), family_id=old.family_id, context={"auth_time": NO_PROOF}
            )
    except IntegrityError:
        return  # another request was faster: the rotation rule decides between them


def _lifetime(old: OldRefreshToken) -> timedelta | None:
    """Return how long the family of an old token lives from now on. None if FAMILY_LIFETIME is None.

    The family expires FAMILY_LIFETIME after the token's ``iat``, or at its ``exp`` if ``exp`` is later. The time of the
    login is unknown, because simplejwt's rotation does not keep it.
    """
    if core.family_lifetime is None:
        return None
    now = timezone.now().timestamp()
    issued_at = min(old.issued_at, now)  # simplejwt's clock may have been ahead
    return timedelta(seconds=max(issued_at + core.family_lifetime.total_seconds(), old.expires_at) - now)
