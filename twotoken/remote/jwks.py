"""Read a JWK Set (RFC 7517 section 5), the public keys with which tokens of another service are verified.

Pure: no Django, no network. The JWK Set comes from another machine, so it may contain anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jwt.exceptions import PyJWTError

from twotoken.keys import AsymmetricKey, KeyRing, b64decode, public_key

MAX_KEYS = 32
MIN_RSA_BITS = 2048
MAX_MEMBER_LENGTH = 1366  # characters: an RSA modulus of 8192 bits in base64url
MAX_EXPONENT_LENGTH = 6  # characters: 32 bits. OpenSSL needs seconds for a signature with a huge exponent
# Key type and curve, the algorithm, and the names that a JWK may have for it: RFC 9864 renamed EdDSA.
_KINDS = (
    ("OKP", "Ed25519", "EdDSA", ("EdDSA", "Ed25519")),
    ("EC", "P-256", "ES256", ("ES256",)),
    ("RSA", None, "RS256", ("RS256",)),
)
_MEMBERS = {"EdDSA": ("kty", "crv", "x"), "ES256": ("kty", "crv", "x", "y"), "RS256": ("kty", "e", "n")}


def read_key_set(document: bytes) -> KeyRing:
    """Return the keys of a JWK Set for ES256, EdDSA or RS256, each under the ``kid`` that the set gives it.

    An entry is skipped if its key is for another use or of another kind, such as a secret (RFC 7517 section 5). Raises
    ValueError if the document is no JWK Set, has more than MAX_KEYS entries, or has no key that can be used.
    """
    try:
        found = json.loads(document)
    except RecursionError as exc:
        raise ValueError("the answer is nested too deep") from exc
    entries = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(entries, list):
        raise ValueError("the answer is not a JWK Set")
    if len(entries) > MAX_KEYS:
        raise ValueError(f"the JWK Set has more than {MAX_KEYS} keys")
    keys = [key for entry in entries if isinstance(entry, dict) for key in _read(entry)]
    if not keys:
        raise ValueError("the JWK Set has no key for ES256, EdDSA or RS256")
    return KeyRing(keys)


def _read(entry: Mapping[str, Any]) -> list[AsymmetricKey]:
    """Return a list with the key of an entry. The list is empty if the entry has no key that may verify a token."""
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return []
    for kind, curve, algorithm, names in _KINDS:
        if entry.get("kty") == kind and entry.get("crv") == curve and entry.get("alg", algorithm) in names:
            key = _key(algorithm, {name: entry.get(name) for name in _MEMBERS[algorithm]})
            kid = entry.get("kid", key and key.kid)
            return [] if key is None or not isinstance(kid, str) else [replace(key, jwk={**key.jwk, "kid": kid})]
    return []


def _key(algorithm: str, members: Mapping[str, Any]) -> AsymmetricKey | None:
    """Return the key that these members of a JWK describe, or None if they describe no key or one of a wrong size."""
    if not all(isinstance(value, str) and len(value) <= MAX_MEMBER_LENGTH for value in members.values()):
        return None
    if len(members.get("e", "")) > MAX_EXPONENT_LENGTH:
        return None
    try:
        key = public_key(algorithm, members)
    except (KeyError, PyJWTError, ValueError):  # such as a point off the curve; KeyError without cryptography
        return None
    return None if algorithm == "RS256" and key.public.key_size < MIN_RSA_BITS else key


def named_key(token: str) -> str | None:
    """Return the ``kid`` in a token's header, or None if the header has none. The token is not verified yet."""
    try:
        header = json.loads(b64decode(token.partition(".")[0]))
    except (ValueError, RecursionError):
        return None
    kid = header.get("kid") if isinstance(header, dict) else None
    return kid if isinstance(kid, str) else None
