"""Keys and DPoP proofs: valid proofs as a client makes them, and forged ones with any header and claims."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from django.utils import timezone

from twotoken import dpop
from twotoken.dpop import DPOP, thumbprint

Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def pem(key: Any) -> str:
    """Return a private key as PEM."""
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    made: bytes = key.private_bytes(serialization.Encoding.PEM, *form)
    return made.decode()


def public_pem(key: Private) -> str:
    """Return the public key of a private key as PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def jwk(key: Private) -> dict[str, str]:
    """Return the public JWK of a private key."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    numbers = key.public_key().public_numbers()
    size = (key.curve.key_size + 7) // 8
    coordinates = {name: b64(getattr(numbers, name).to_bytes(size, "big")) for name in ("x", "y")}
    return {"kty": "EC", "crv": {256: "P-256", 384: "P-384"}[key.curve.key_size], **coordinates}


def sign(header: object, claims: object, key: Private) -> str:
    """Return a JWS of any header and claims. Bytes are used unchanged, everything else as JSON."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    message = ".".join(map(b64, parts))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return f"{message}.{b64(key.sign(message.encode()))}"
    numbers = decode_dss_signature(key.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
    size = (key.curve.key_size + 7) // 8
    return f"{message}.{b64(b''.join(number.to_bytes(size, 'big') for number in numbers))}"


EC_KEY, OTHER_KEY, P384_KEY = (
    ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP256R1(), ec.SECP384R1())
)
ED_KEY = ed25519.Ed25519PrivateKey.generate()


class Device:
    """A device with a private key. It makes the headers of requests to the test server."""

    def __init__(self, key: Private = EC_KEY, host: str = "http://testserver") -> None:
        self.pem, self.host = pem(key), host
        self.device_key = DPOP + json.dumps(jwk(key), separators=(",", ":"), sort_keys=True)
        self.thumbprint = thumbprint(self.device_key)
        self.nonce: str | None = None

    def proof(self, path: str, method: str = "POST", access: str | None = None, now: datetime | None = None) -> str:
        """Return a fresh proof for a path of the host."""
        return dpop.make_proof(
            self.pem,
            method=method,
            address=self.host + path,
            now=now or timezone.now(),
            access_token=access,
            nonce=self.nonce,
        )

    def headers(self, path: str, method: str = "POST", access: str | None = None) -> dict[str, Any]:
        """Return the headers of a request, for Django's test client."""
        headers = {"HTTP_DPOP": self.proof(path, method, access)}
        return headers if access is None else {**headers, "HTTP_AUTHORIZATION": f"DPoP {access}"}
