"""Make a private key for a device, to sign DPoP proofs."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def new_key() -> str:
    """Return a new private key for ES256, as PEM. Raises ImportError without the package cryptography."""
    curves: Any = import_module("cryptography.hazmat.primitives.asymmetric.ec")
    forms: Any = import_module("cryptography.hazmat.primitives.serialization")
    key = curves.generate_private_key(curves.SECP256R1())
    pem: bytes = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    return pem.decode()
