"""DPoP proofs (RFC 9449), their nonces, and the keys that token families are bound to. Pure: no Django, no cache."""

from __future__ import annotations

from twotoken.dpop.bindings import (
    DBSC,
    DPOP,
    PREFIXES,
    PROTOCOLS,
    protocol,
    thumbprint,
)
from twotoken.dpop.codec import (
    ALGORITHMS,
    SUPPORTED,
    WINDOW,
    Proof,
    device_key_of,
    make_proof,
    token_hash,
    verify_proof,
)
from twotoken.dpop.nonces import (
    is_current_nonce,
    nonce_at,
)

__all__ = [
    "ALGORITHMS",
    "DBSC",
    "DPOP",
    "PREFIXES",
    "PROTOCOLS",
    "SUPPORTED",
    "WINDOW",
    "Proof",
    "device_key_of",
    "is_current_nonce",
    "make_proof",
    "nonce_at",
    "protocol",
    "thumbprint",
    "token_hash",
    "verify_proof",
]
