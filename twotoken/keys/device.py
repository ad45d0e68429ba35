"""Make a device's key for DPoP proofs. It needs cryptography, which PyJWT has loaded already if it is installed."""

from __future__ import annotations

from jwt.algorithms import has_crypto

if has_crypto:  # pragma: no branch
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def new_key() -> str:
    """Return a new private key as PEM. Raises NameError without cryptography."""
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
