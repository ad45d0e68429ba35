"""Reads what a browser signs for Device Bound Session Credentials, and makes what the server signs. No Django.

The browser signs a **proof**: a JWT with a challenge of the server as its ``jti``. The server signs **challenges** and
**device tokens** with the refresh secret, and does not store them. A device token is the value of the device cookie.
The ``typ`` of each JWS names its purpose, so the server accepts a JWS for this purpose only.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, NamedTuple
from uuid import UUID

from jwt.exceptions import PyJWTError

from twotoken.dpop import DBSC
from twotoken.exceptions import InvalidToken
from twotoken.keys import AsymmetricKey, KeyRing, b64decode, canonical, public_key

TYPE = "dbsc+jwt"
# The algorithms of the W3C draft, except "none", each with its key type.
ALGORITHMS = {"ES256": "EC", "RS256": "RSA"}
MAX_PROOF_LENGTH = 8192  # characters; a longer proof is refused before it is parsed
RSA_BITS = (2048, 4096)  # the smallest and the largest key; verifying with a larger one is slow

# The values of ``typ`` in what the server signs.
REGISTRATION = "dbsc-registration+jwt"
REFRESH = "dbsc-refresh+jwt"
DEVICE = "dbsc-device+jwt"

_COORDINATE_LENGTH = 32  # bytes, of P-256
_EXPONENT = "AQAB"  # 65537, the exponent of every RSA key that a browser makes


class InvalidDeviceProof(Exception):
    """A proof was refused. The message, which is for the log, names the problem."""


class Proof(NamedTuple):
    """A proof that was parsed but not verified."""

    signed: str
    signature: str
    algorithm: str
    jwk: Any  # only a registration has a key
    challenge: str


def parse_proof(header: str) -> Proof:
    """Return the parts of a ``Secure-Session-Response`` header, a JWT as a quoted string. Raises InvalidDeviceProof.

    Chromium sends the JWT with or without the quotes, depending on its version.
    """
    text = header.strip(" ").removeprefix('"').removesuffix('"')
    if len(text) > MAX_PROOF_LENGTH or not text.isascii() or text.count(".") != 2:
        raise InvalidDeviceProof("no JWT")
    signed, _, signature = text.rpartition(".")
    protected, payload = map(_object, signed.split("."))
    # RFC 7515 section 4.1.11: no extension is supported. ``b64`` (RFC 7797) would change what is signed.
    if protected.get("typ") != TYPE or "crit" in protected or "b64" in protected:
        raise InvalidDeviceProof("typ")
    algorithm, challenge = protected.get("alg"), payload.get("jti")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidDeviceProof("alg")
    if not isinstance(challenge, str):
        raise InvalidDeviceProof("jti")
    return Proof(signed, signature, algorithm, protected.get("jwk"), challenge)


def registered_key(proof: Proof) -> str:
    """Verify a registration's proof with the key that the proof contains. Return this key as a ``device_key``.

    Raises InvalidDeviceProof.
    """
    text, key = _key(proof.algorithm, proof.jwk)
    _check_signature(proof, key)
    return DBSC + text


def check_proof(proof: Proof, device_key: str) -> None:
    """Verify the proof of a refresh with ``device_key``, the registered key. Raises InvalidDeviceProof."""
    _, key = _key(proof.algorithm, json.loads(device_key.removeprefix(DBSC)))
    _check_signature(proof, key)


def make_challenge(keys: KeyRing, kind: str, family_id: UUID, seconds: int) -> str:
    """Return a new challenge for a family. ``kind`` is REGISTRATION or REFRESH, ``seconds`` is the present time.

    Each challenge is different, because a browser may reuse the signature of a challenge that it has signed before.
    """
    return _seal(keys, kind, [family_id.hex, seconds, secrets.token_urlsafe(9)])


def challenge_time(keys: KeyRing, kind: str, family_id: UUID, challenge: str) -> int | None:
    """Return when a challenge was made, in seconds. None if the server did not make it for this family and kind."""
    found = _open(keys, kind, challenge)
    return found[1] if found and found[0] == family_id.hex else None


def make_device_token(keys: KeyRing, family_id: UUID, device_key: str, expires_at: int) -> str:
    """Return a device cookie's value, which shows until ``expires_at`` that the browser has proven ``device_key``.

    Each value is different, because Chromium treats a cookie that did not change as a failed refresh.
    """
    return _seal(keys, DEVICE, [family_id.hex, expires_at, device_key, secrets.token_urlsafe(9)])


def proven_key(keys: KeyRing, family_id: UUID, token: str, seconds: int) -> str:
    """Return the ``device_key`` in a device token. Empty if the token is invalid, expired or for another family."""
    found = _open(keys, DEVICE, token)
    return str(found[2]) if found and found[0] == family_id.hex and seconds < found[1] else ""


def _seal(keys: KeyRing, kind: str, content: list[object]) -> str:
    return keys.sign(json.dumps(content, separators=(",", ":")).encode(), kind)


def _open(keys: KeyRing, kind: str, token: str) -> Any:
    """Return the content of a token that the server signed for the purpose ``kind``. None for any other token."""
    try:
        return json.loads(keys.verify(token, kind))
    except InvalidToken:
        return None


def _object(segment: str) -> dict[str, Any]:
    try:
        found = json.loads(b64decode(segment).decode())
    except (ValueError, RecursionError) as exc:
        raise InvalidDeviceProof("no JSON") from exc
    if not isinstance(found, dict):
        raise InvalidDeviceProof("no JSON")
    return found


def _key(algorithm: str, jwk: Any) -> tuple[str, AsymmetricKey]:
    """Return the canonical JWK (RFC 7638), and the key. Raises InvalidDeviceProof if the JWK is not usable."""
    if not isinstance(jwk, dict) or jwk.get("kty") != ALGORITHMS[algorithm]:
        raise InvalidDeviceProof("jwk")
    try:
        text = canonical(jwk)
        sizes = [len(b64decode(jwk[name])) for name in ("x", "y", "n") if name in json.loads(text)]
        key = public_key(algorithm, json.loads(text))
    except (PyJWTError, AttributeError, KeyError, TypeError, ValueError) as exc:  # such as a point not on the curve
        raise InvalidDeviceProof("jwk") from exc
    if algorithm == "ES256":
        is_usable = jwk["crv"] == "P-256" and sizes == [_COORDINATE_LENGTH] * 2
    else:
        smallest, largest = RSA_BITS
        is_usable = jwk["e"] == _EXPONENT and smallest <= key.public.key_size <= largest
    if not is_usable:
        raise InvalidDeviceProof("jwk")
    return text, key


def _check_signature(proof: Proof, key: AsymmetricKey) -> None:
    if not key.verifies(proof.signed.encode(), proof.signature):
        raise InvalidDeviceProof("signature")
