"""A device's key and its proofs (RFC 9449). Only ``dpop=True`` loads this module: it needs cryptography."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from twotoken.dpop import make_proof


def new_key() -> str:
    """Return a new private key as PEM."""
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def proof(key: str, method: str, url: str, now: float, *, access: str, nonce: str) -> str:
    """Return the ``DPoP`` header of one request. ``access`` is the access token that it carries, or empty."""
    time = datetime.fromtimestamp(now, UTC)
    return make_proof(key, method=method, address=url, now=time, access_token=access or None, nonce=nonce or None)
