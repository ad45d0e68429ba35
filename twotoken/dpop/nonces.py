"""The server's nonces for DPoP proofs (RFC 9449 section 8). Pure: the secrets and the time are arguments."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime

from twotoken.keys import b64encode

NONCE_LIFETIME = 120  # seconds for which a nonce is the current one. It is accepted while it is the previous one too

_NONCE_CONTEXT = b"twotoken: nonces of DPoP"


def nonce_at(secret: bytes, now: datetime, *, back: int = 0) -> str:
    """Return the nonce that is current at ``now``, or the nonce that was current ``back`` times NONCE_LIFETIME earlier.

    A nonce is an HMAC of the time, so nothing is stored, and all processes with the same secret have the same nonce.
    """
    period = int(now.timestamp()) // NONCE_LIFETIME - back
    return b64encode(hmac.digest(hmac.digest(secret, _NONCE_CONTEXT, "sha256"), str(period).encode(), "sha256")[:16])


def is_current_nonce(nonce: str, keys: Sequence[bytes], now: datetime) -> bool:
    """Tell whether a nonce is the current or the previous nonce, made with any of these secrets."""
    made = [nonce_at(secret, now, back=back).encode() for secret in keys for back in (0, 1)]
    return any(hmac.compare_digest(nonce.encode(errors="surrogatepass"), each) for each in made)
