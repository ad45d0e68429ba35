"""Makes a device's key and its DPoP proofs (RFC 9449). It needs cryptography, so it is imported only for DPoP."""

from __future__ import annotations

from datetime import UTC, datetime

from twotoken.dpop import make_proof
from twotoken.keys import new_key

__all__ = ["new_key", "proof"]


def proof(key: str, method: str, url: str, now: float, *, access: str, nonce: str) -> str:
    """Return the value of the ``DPoP`` header for one request. ``access`` is the request's access token, or empty."""
    time = datetime.fromtimestamp(now, UTC)
    return make_proof(key, method=method, address=url, now=time, access_token=access or None, nonce=nonce or None)
