"""One key that signs or verifies, made from a secret, a PEM or a JWK (RFC 7515, 7517, 7518).

Pure: no Django, no database, and ``cryptography`` only through PyJWT. Each key has one algorithm (RFC 8725 section
3.1), which follows from the key itself. So a token fits no key if its header names another algorithm.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jwt.algorithms import Algorithm, get_default_algorithms, has_crypto
from jwt.exceptions import InvalidKeyError

from twotoken.keys.weak_secrets import weakness

HS256 = "HS256"
ASYMMETRIC = ("EdDSA", "ES256", "RS256")
ALGORITHMS = (HS256, *ASYMMETRIC)

# RFC 7638 section 3.2 and RFC 8037 section 2: the members of a public key that go into its thumbprint.
_THUMBPRINT_MEMBERS = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
_NO_PEM = "an asymmetric key must be an unencrypted PEM of Ed25519, P-256 or RSA (did it lose its line breaks?)"
_NO_CRYPTO = "an asymmetric key needs the package cryptography: pip install 'twotoken[crypto]'"
_schemes: Mapping[str, Algorithm] = get_default_algorithms()


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A secret for HS256. It has no ``kid``: a thumbprint would reveal something about the secret."""

    secret: bytes = field(repr=False)
    algorithm = HS256
    kid = None

    def sign(self, message: bytes) -> str:
        """Return the signature of a message as base64url."""
        return b64encode(hmac.digest(self.secret, message, hashlib.sha256))

    def verifies(self, message: bytes, signature: str) -> bool:
        """Tell in constant time whether a signature is this key's signature of a message."""
        return hmac.compare_digest(self.sign(message), signature)


@dataclass(frozen=True, slots=True)
class AsymmetricKey:
    """A private key, or a public key that can only verify, for EdDSA (Ed25519), ES256 or RS256."""

    algorithm: str
    public: Any = field(repr=False)
    private: Any = field(repr=False)
    jwk: Mapping[str, str] = field(repr=False)

    @property
    def kid(self) -> str:
        """The name of the key in JWTs. It is the key's thumbprint (RFC 7638), so a project need not name its keys."""
        return self.jwk["kid"]

    @property
    def parts(self) -> list[bytes]:
        """The thumbprint and the numbers of the public key, as bytes. No HS256 secret may contain any of them."""
        return [b64decode(self.jwk[name]) for name in ("kid", "n", "x", "y") if name in self.jwk]

    def sign(self, message: bytes) -> str:
        """Return the signature of a message as base64url."""
        return b64encode(_schemes[self.algorithm].sign(message, self.private))

    def verifies(self, message: bytes, signature: str) -> bool:
        """Tell whether a signature is this key's signature of a message."""
        try:
            return _schemes[self.algorithm].verify(message, self.public, b64decode(signature))
        except ValueError:
            return False


Key = SecretKey | AsymmetricKey


def secret_key(text: str) -> SecretKey:
    """Return the key of an HS256 secret. Raises ValueError if the secret is weak; the message does not quote it."""
    if problem := weakness(text):
        raise ValueError(problem)
    return SecretKey(text.encode())


def asymmetric_key(pem: str) -> AsymmetricKey:
    """Return the private or public key in a PEM. Raises ValueError if the key can't be used; the message has no key."""
    for algorithm in reversed(ASYMMETRIC) if has_crypto else ():  # RS256 first: RSA keys load slowly, so load them once
        scheme = _schemes[algorithm]
        try:
            found = scheme.prepare_key(pem)
        except (InvalidKeyError, TypeError, ValueError):
            continue
        if weakness := scheme.check_key_length(found):
            raise ValueError(weakness.rstrip("."))
        private = found if hasattr(found, "public_key") else None
        public = found if private is None else private.public_key()
        members = scheme.to_jwk(public, as_dict=True)
        if members.get("crv") != "Ed448":  # another curve of EdDSA, which few libraries support
            return AsymmetricKey(algorithm, public, private, _jwk(algorithm, members))
    raise ValueError(_NO_PEM if has_crypto else _NO_CRYPTO)


def public_key(algorithm: str, jwk: Mapping[str, str]) -> AsymmetricKey:
    """Return the key that a public JWK describes. This key can only verify.

    Raises a PyJWTError or ValueError if the JWK is not a key for this algorithm, and KeyError without the package
    cryptography.
    """
    return AsymmetricKey(algorithm, _schemes[algorithm].from_jwk(dict(jwk)), None, _jwk(algorithm, jwk))


def canonical(members: Mapping[str, Any]) -> str:
    """Return the JSON of a public key from which its thumbprint is computed (RFC 7638 section 3)."""
    needed = {name: members[name] for name in _THUMBPRINT_MEMBERS[members["kty"]]}
    return json.dumps(needed, separators=(",", ":"), sort_keys=True)


def thumbprint_of(canonical_jwk: str) -> str:
    """Return the thumbprint (RFC 7638) of a public key in the form that ``canonical`` returns."""
    return b64encode(hashlib.sha256(canonical_jwk.encode()).digest())


def _jwk(algorithm: str, members: Mapping[str, Any]) -> dict[str, str]:
    text = canonical(members)
    needed: dict[str, str] = json.loads(text)
    return {**needed, "kid": thumbprint_of(text), "use": "sig", "alg": algorithm}


def b64encode(data: bytes) -> str:
    """Return bytes as base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def b64decode(text: str) -> bytes:
    """Return the bytes of a base64url string. Raises ValueError for a string that ``b64encode`` never returns.

    So each token has exactly one valid spelling.
    """
    if "+" in text or "/" in text:  # Python decodes these too, and from 3.15 on it warns
        raise ValueError("not base64url")
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64encode(data) != text:
        raise ValueError("not canonical base64url")
    return data
