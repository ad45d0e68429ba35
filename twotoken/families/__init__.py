"""Start, bind, rotate, step up, revoke and purge token families. Import these functions from here.

A token family is one login on one device, with the refresh tokens that replace each other. A rotation replaces the
family's refresh token; a token's ``generation`` says how many rotations came before it. A retry repeats a rotation
whose answer was lost, and gets the same refresh token again. Each refresh of a bound family needs a proof by a key that
the family's device holds.

This package does not handle HTTP. ``rule`` decides what happens to a refresh token. ``queries``, ``revoked`` and
``sampling`` read families. ``logins``, ``rotation``, ``revocation``, ``binding``, ``unbinding`` and ``purging`` write
them. ``pairs`` makes tokens, and ``stepping_up`` makes access tokens after a fresh proof of identity. ``events``
records events and sends signals. ``receivers`` revokes the families of a user who is saved as inactive.
"""

from __future__ import annotations

from twotoken.families.binding import bind
from twotoken.families.logins import FROM_SETTINGS, Lifetime, start, update_auth_hash
from twotoken.families.pairs import TokenPair
from twotoken.families.purging import purge, purgeable
from twotoken.families.queries import Criteria, active, count, exists, family_of, get, is_active, select, user_of
from twotoken.families.receivers import revoke_families_of_inactive
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
from twotoken.families.sampling import Sample, sample
from twotoken.families.schemas import schema
from twotoken.families.stepping_up import SteppedUp, step_up
from twotoken.families.unbinding import unbind_each

__all__ = [
    "FROM_SETTINGS",
    "Batch",
    "Criteria",
    "Lifetime",
    "Sample",
    "SteppedUp",
    "TokenPair",
    "active",
    "bind",
    "count",
    "exists",
    "family_of",
    "forget_revoked",
    "get",
    "is_active",
    "longest_access",
    "purge",
    "purgeable",
    "refuse_revoked",
    "revoke",
    "revoke_all",
    "revoke_each",
    "revoke_families_of_inactive",
    "revoke_own",
    "revoke_presented",
    "revoked_digests",
    "rotate",
    "sample",
    "schema",
    "select",
    "start",
    "step_up",
    "unbind_each",
    "update_auth_hash",
    "user_of",
    "verify",
]
