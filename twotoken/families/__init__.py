"""The verbs on token families: start, bind, rotate, step up, revoke, purge. Import them from here.

This package knows nothing of HTTP.

``rule`` decides, ``queries`` and ``revoked`` read, ``logins``, ``rotation``, ``revocation``, ``binding`` and
``unbinding`` write, ``pairs`` makes tokens, ``stepping_up`` makes access tokens after a fresh proof, and ``events``
records and sends signals.
"""

from __future__ import annotations

from twotoken.families.binding import bind
from twotoken.families.logins import FROM_SETTINGS, Lifetime, start, update_auth_hash
from twotoken.families.pairs import TokenPair
from twotoken.families.purging import purge, to_purge
from twotoken.families.queries import Criteria, active, exists, family_of, get, is_active, select, user_of
from twotoken.families.revocation import (
    Batch,
    revoke,
    revoke_all,
    revoke_each,
    revoke_own,
    revoke_presented,
)
from twotoken.families.revoked import forget_revoked, longest_access, refuse_revoked, revoked_digests
from twotoken.families.rotation import rotate, verify
from twotoken.families.stepping_up import SteppedUp, step_up
from twotoken.families.unbinding import unbind_each

__all__ = [
    "FROM_SETTINGS",
    "Batch",
    "Criteria",
    "Lifetime",
    "SteppedUp",
    "TokenPair",
    "active",
    "bind",
    "exists",
    "family_of",
    "forget_revoked",
    "get",
    "is_active",
    "longest_access",
    "purge",
    "refuse_revoked",
    "revoke",
    "revoke_all",
    "revoke_each",
    "revoke_own",
    "revoke_presented",
    "revoked_digests",
    "rotate",
    "select",
    "start",
    "step_up",
    "to_purge",
    "unbind_each",
    "update_auth_hash",
    "user_of",
    "verify",
]
