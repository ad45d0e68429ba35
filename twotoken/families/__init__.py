"""The verbs on token families: start, rotate, revoke, purge. Import them from here. This package knows nothing of HTTP.

``rule`` decides, ``queries`` reads, ``logins``, ``rotation`` and ``revocation`` write, ``pairs`` makes tokens, and
``events`` records and sends signals. The UPDATE of a rotation is ``twotoken.statements.write_rotation``.
"""

from __future__ import annotations

from twotoken.families.logins import FROM_SETTINGS, Lifetime, start, update_auth_hash
from twotoken.families.pairs import TokenPair
from twotoken.families.purging import purge
from twotoken.families.queries import Criteria, active, exists, get, is_active, select, user_of
from twotoken.families.revocation import (
    Batch,
    revoke,
    revoke_all,
    revoke_each,
    revoke_own,
    revoke_presented,
)
from twotoken.families.rotation import rotate, verify

__all__ = [
    "FROM_SETTINGS",
    "Batch",
    "Criteria",
    "Lifetime",
    "TokenPair",
    "active",
    "exists",
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
    "update_auth_hash",
    "user_of",
    "verify",
]
