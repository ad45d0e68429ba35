"""The verbs on token families: start, rotate, step up, revoke, purge. Import them from here.

This package knows nothing of HTTP.

``rule`` decides, ``queries`` reads, ``logins``, ``rotation``, ``revocation`` and ``unbinding`` write, ``pairs`` makes
tokens, ``stepping_up`` makes access tokens after a fresh proof, and ``events`` records and sends signals.
"""

from __future__ import annotations

from twotoken.families.logins import FROM_SETTINGS, Lifetime, start, update_auth_hash
from twotoken.families.pairs import TokenPair
from twotoken.families.purging import purge
from twotoken.families.queries import Criteria, active, exists, family_of, get, is_active, select, user_of
from twotoken.families.revocation import (
    Batch,
    revoke,
    revoke_all,
    revoke_each,
    revoke_own,
    revoke_presented,
)
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
    "exists",
    "family_of",
    "get",
    "is_active",
    "purge",
    "revoke",
    "revoke_all",
    "revoke_each",
    "revoke_own",
    "revoke_presented",
    "rotate",
    "select",
    "start",
    "step_up",
    "unbind_each",
    "update_auth_hash",
    "user_of",
    "verify",
]
