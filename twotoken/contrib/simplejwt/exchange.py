"""Exchanging an old refresh token, once.

The old token is generation 0 of the family that it starts; the first one of ours is generation 1. Whatever comes
after the start is then judged by the rule of rotation, as ever: a retry by its key, a second tab by the grace, and any
other return of the old token as reuse, which ends the family. The family's key is a function of the old token, so no
table of our own is needed and none has to be cleared away.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from functools import partial
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


@sensitive_variables()
def verify(token: str) -> OldRefreshToken:
    """Check the signature of an old refresh token, without a look at the database. Raises InvalidToken."""
    return decode_refresh(token, conf.policy)


@sensitive_variables()
def claims_of(token: str, client: Client) -> RefreshClaims:
    """Return what an old refresh token is to its family, for ``families.rotate``. Starts the family if need be.

    Raises a TokenNotValid with its reason.
    """
    old = verify(token)
    family = find(old.family_id)
    if family is None:
        _start(old, client)
        family = find(old.family_id)
    if family is None:  # its user was deleted in this very moment
        raise UserInactive
    if family.generation == 0:  # not exchanged yet: the first try may have died before it, or before the next line
        check_time(old)
        blacklist.add(old)
    return _claims(family)


@sensitive_variables()
def revoke(token: str, client: Client) -> RefreshToken | None:
    """End what an old refresh token is good for, as a logout does: its family, or that there could ever be one.

    Returns the family, with its user, if this call ended it. Raises a TokenNotValid where there is nothing to end.
    """
    old = verify(token)
    family = find(old.family_id)
    if family is None:
        check_unused(old)
        blacklist.add(old)
        # simplejwt may keep no blacklist, so there is a family, which has ended already.
        user = find_user(old.user_id)
        ended = {"user": user, "revoked_at": timezone.now(), "revoked_reason": RevokedReason.LOGOUT}
        details = {**ended, "ip_address": client.ip_address, "user_agent": client.user_agent}
        rows = RefreshToken.objects.primary()
        family, made = retry_on_conflict(partial(rows.get_or_create, pk=old.family_id, defaults=details))
        if made:
            return family
    return families.revoke_presented(_claims(family))


def check_time(old: OldRefreshToken) -> None:
    """Raise ExpiredToken for an old token that is too old to be exchanged.

    A family may be purged when it ended RETENTION ago, so an old token of that age may have had one. It is refused,
    or it could be exchanged again; a check asks for a RETENTION that outlasts the move.
    """
    ends = old.expires_at + conf.leeway.total_seconds(), old.issued_at + core.retention.total_seconds()
    if conf.is_over or timezone.now().timestamp() >= min(ends):
        raise ExpiredToken


def check_unused(old: OldRefreshToken) -> None:
    """Raise ExpiredToken or RevokedToken unless an old token that has no family yet may start one."""
    check_time(old)
    # In this order: another request may have started the family meanwhile, and has blacklisted the token after that.
    if blacklist.contains(old.jti) and find(old.family_id) is None:
        raise RevokedToken


def find(family_id: UUID) -> RefreshToken | None:
    """Return the family of an old refresh token, with its user."""
    return families.get(family_id)


def _claims(family: RefreshToken) -> RefreshClaims:
    return RefreshClaims(family.pk, 0, token_id(bytes(family.secret), 0))


def _start(old: OldRefreshToken, client: Client) -> None:
    check_unused(old)
    user = active_user(old.user_id, old.password_digest)
    alias = router.db_for_write(RefreshToken)
    # A failed INSERT would undo what a caller's transaction did before.
    apart = transaction.atomic(using=alias) if connections[alias].in_atomic_block else nullcontext()
    try:
        with apart:
            families.start(user, client, lifetime=_lifetime(old), family_id=old.family_id)
    except IntegrityError:
        return  # another request was faster: the rule of rotation decides between them


def _lifetime(old: OldRefreshToken) -> timedelta | None:
    """Return how long the family may live: FAMILY_LIFETIME since the old token was issued, or as long as that lives.

    When the login was nobody knows: simplejwt's rotation forgets it.
    """
    if core.family_lifetime is None:
        return None
    now = timezone.now().timestamp()
    issued_at = min(old.issued_at, now)  # its clock may have been ahead
    return timedelta(seconds=max(issued_at + core.family_lifetime.total_seconds(), old.expires_at) - now)
