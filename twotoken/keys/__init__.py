"""Keys that sign and verify tokens and proofs, and a check for weak secrets. Pure: no Django, no database."""

from __future__ import annotations

from twotoken.keys.device import (
    new_key,
)
from twotoken.keys.key import (
    ALGORITHMS,
    HS256,
    AsymmetricKey,
    SecretKey,
    asymmetric_key,
    b64decode,
    b64encode,
    canonical,
    public_key,
)
from twotoken.keys.ring import (
    MAX_TOKEN_LENGTH,
    KeyRing,
    key_ring,
    verifying_ring,
)
from twotoken.keys.weak_secrets import (
    MAX_STEPS,
    MIN_SECRET_BYTES,
    MIN_VARIETY,
    weakness,
)

__all__ = [
    "ALGORITHMS",
    "HS256",
    "MAX_STEPS",
    "MAX_TOKEN_LENGTH",
    "MIN_SECRET_BYTES",
    "MIN_VARIETY",
    "AsymmetricKey",
    "KeyRing",
    "SecretKey",
    "asymmetric_key",
    "b64decode",
    "b64encode",
    "canonical",
    "key_ring",
    "new_key",
    "public_key",
    "verifying_ring",
    "weakness",
]
