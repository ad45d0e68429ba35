"""The device keys that token families are bound to, as text. No Django, no ``cryptography``.

A device key consists of the prefix of a protocol and a public key. The public key is written as the required members of
its JWK, as JSON, sorted and without spaces (RFC 7638 section 3). ``RefreshToken.device_key`` stores the device key; for
a family that is not bound, this field is empty.
"""

from __future__ import annotations

import hashlib
from typing import Final

from twotoken.keys import b64encode

DPOP: Final = "dpop:"  # RFC 9449
DBSC: Final = "dbsc:"  # Device Bound Session Credentials, a W3C draft
PROTOCOLS: Final = {DPOP: "DPoP", DBSC: "DBSC"}
PREFIXES: Final = tuple(PROTOCOLS)


def protocol(device_key: str) -> str:
    """Return the name of the protocol whose prefix a device key has, or an empty string if it has no such prefix."""
    return next((name for prefix, name in PROTOCOLS.items() if device_key.startswith(prefix)), "")


def thumbprint(device_key: str) -> str:
    """Return the JWK SHA-256 thumbprint (RFC 7638) of a device key, as base64url."""
    return b64encode(hashlib.sha256(device_key.partition(":")[2].encode()).digest())
