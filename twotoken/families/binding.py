"""Bind a token family to a device just after the login."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

from django.db.models import Q
from django.utils import timezone

from twotoken.conflicts import retry_on_conflict
from twotoken.families.queries import find, rows
from twotoken.tokens import RefreshClaims

logger = logging.getLogger("twotoken")


def bind(claims: RefreshClaims, device_key: str, *, within: timedelta) -> bool:
    """Bind the family of a refresh token to a device's key, and tell whether the family is now bound to this key.

    This takes one SELECT and one UPDATE.

    Only a family that is active, is not bound, has never rotated and was started less than ``within`` ago can be bound.
    Binding a family to the same key again changes nothing. The caller must make sure that the request comes from the
    device that logged in: an attacker who binds the family to another key locks the user out. Raises InvalidToken if
    the token does not fit the family.
    """
    family = find(claims)
    now = timezone.now()
    bindable = (
        rows()
        .active(now)
        .filter(Q(device_key="") | Q(device_key=device_key), pk=family.pk, generation=0, created_at__gt=now - within)
    )
    if not retry_on_conflict(partial(bindable.update, device_key=device_key)):
        return False
    logger.info("Token family %s of user %s is bound to its device.", family.pk, family.user_id)
    return True
