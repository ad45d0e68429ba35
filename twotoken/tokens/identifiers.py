"""Compute the ``jti`` of a family's refresh tokens, and the digest under which RevocationsView lists a family."""

from __future__ import annotations

import hashlib
import hmac
import re

from twotoken.keys import b64encode
from twotoken.tokens.claims import RefreshClaims

FAMILY_DIGEST_BYTES = 9
CURSOR = re.compile("[0-9]{1,12}")  # the cursor of a list of revoked families: seconds since the epoch


def token_id(secret: bytes, generation: int) -> str:
    """Return the ``jti`` of a family's refresh token of this generation.

    The ``jti`` is an HMAC-SHA256 of the generation with the secret of the family's row, shortened to 128 bits. Each row
    has its own secret, so nobody can forge a token with REFRESH_SECRET alone. The database contains no usable token.
    """
    digest = hmac.digest(secret, str(generation).encode(), hashlib.sha256)
    return b64encode(digest[:16])


def token_id_fits(claims: RefreshClaims, secret: bytes) -> bool:
    """Tell in constant time whether a refresh token was made from the family's row with this secret."""
    return hmac.compare_digest(claims.token_id.encode(), token_id(secret, claims.generation).encode())


def family_digest(family_id: str) -> str:
    """Return the digest under which RevocationsView lists a family: the SHA-256 of its ``sid`` claim, as base64url.

    The digest is shortened to 72 bits, which are 12 characters without padding. With 10 million families in use and
    100,000 revoked families, the chance that any family in use has the digest of a revoked family is 1 in 4 billion.
    """
    return b64encode(hashlib.sha256(family_id.encode()).digest()[:FAMILY_DIGEST_BYTES])
