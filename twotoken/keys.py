"""The keys of the two tokens: a secret or a PEM comes in, what signs and verifies comes out (RFC 7515, 7517, 7518).

Pure: no Django, no database, and of ``cryptography`` only what PyJWT brings. A key has one algorithm (RFC 8725 section
3.1), told by the key itself: what a token's header says can only be that, or it finds no key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jwt.algorithms import Algorithm, get_default_algorithms, has_crypto
from jwt.exceptions import InvalidKeyError

from twotoken.exceptions import InvalidToken
from twotoken.weak_secrets import holds, weakness

HS256 = "HS256"
ASYMMETRIC = ("EdDSA", "ES256", "RS256")
ALGORITHMS = (HS256, *ASYMMETRIC)
MAX_TOKEN_LENGTH = 8192  # characters; a longer one is refused before anything of it is parsed

# RFC 7638 section 3.2 and RFC 8037 section 2: the members of a public key that its thumbprint is made of.
_THUMBPRINT_MEMBERS = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
_NO_PEM = "an asymmetric key is no unencrypted PEM of Ed25519, P-256 or RSA (are its line breaks there?)"
_NO_CRYPTO = "an asymmetric key needs the package cryptography: pip install 'twotoken[crypto]'"
_schemes: Mapping[str, Algorithm] = get_default_algorithms()


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A secret for HS256. It has no ``kid``: a thumbprint would tell of the secret."""

    secret: bytes = field(repr=False)
    algorithm = HS256
    kid = None

    def sign(self, message: bytes) -> str:
        """Return the signature of a message as base64url."""
        return b64encode(hmac.digest(self.secret, message, hashlib.sha256))

    def verifies(self, message: bytes, signature: str) -> bool:
        """Tell in constant time whether this is the signature of a message."""
        return hmac.compare_digest(self.sign(message), signature)


@dataclass(frozen=True, slots=True)
class AsymmetricKey:
    """A private key, or a public one that only verifies, for EdDSA (Ed25519), ES256 or RS256."""

    algorithm: str
    public: Any = field(repr=False)
    private: Any = field(repr=False)
    jwk: Mapping[str, str] = field(repr=False)

    @property
    def kid(self) -> str:
        """The thumbprint of the public key (RFC 7638), so that it need not be named."""
        return self.jwk["kid"]

    @property
    def parts(self) -> list[bytes]:
        """The numbers of the public key, and its thumbprint."""
        return [b64decode(self.jwk[name]) for name in ("kid", "n", "x", "y") if name in self.jwk]

    def sign(self, message: bytes) -> str:
        """Return the signature of a message as base64url."""
        return b64encode(_schemes[self.algorithm].sign(message, self.private))

    def verifies(self, message: bytes, signature: str) -> bool:
        """Tell whether this is a signature of a message."""
        try:
            return _schemes[self.algorithm].verify(message, self.public, b64decode(signature))
        except ValueError:
            return False


Key = SecretKey | AsymmetricKey


class KeyRing:
    """Keys in order: the first signs, all verify."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)
        self._under: dict[str, dict[str, tuple[Key, ...]]] = {}

    def sign(self, payload: bytes, kind: str) -> str:
        """Return a payload as a JWS in compact form (RFC 7515 section 7.1), with that ``typ``."""
        signed = f"{next(iter(self._headers(kind)))}.{b64encode(payload)}"
        return f"{signed}.{self.keys[0].sign(signed.encode())}"

    def verify(self, token: str, kind: str) -> bytes:
        """Return the payload of a JWS in compact form of that ``typ``. Raises InvalidToken.

        Nearly all tokens bear a header that one of the keys writes, to the letter: such a one is looked up, not parsed.
        """
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii() or token.count(".") != 2:
            raise InvalidToken
        header, payload, signature = token.split(".")
        keys = self._headers(kind).get(header)
        try:
            signed = f"{header}.{payload}".encode()
            for key in self._fitting(header, kind) if keys is None else keys:
                if key.verifies(signed, signature):
                    return b64decode(payload)
        except (ValueError, RecursionError) as exc:
            raise InvalidToken from exc
        raise InvalidToken

    def public(self) -> list[Mapping[str, str]]:
        """Return the public keys as JWKs (RFC 7517 section 4), each once; of a secret there is none."""
        return list({key.kid: key.jwk for key in self.keys if isinstance(key, AsymmetricKey)}.values())

    def _headers(self, kind: str) -> dict[str, tuple[Key, ...]]:
        """Return the headers that the keys write, encoded, with the keys of each; the signing key's comes first."""
        found = self._under.get(kind)
        if found is None:
            found = {}
            for key in self.keys:
                header = {"alg": key.algorithm, "typ": kind} | ({} if key.kid is None else {"kid": key.kid})
                encoded = b64encode(json.dumps(header, separators=(",", ":"), sort_keys=True).encode())
                found[encoded] = (*found.get(encoded, ()), key)
            self._under[kind] = found
        return found

    def _fitting(self, encoded: str, kind: str) -> list[Key]:
        """Return the keys for a header that another library wrote: other members, or another order of them.

        What must be understood (``crit``, RFC 7515 section 4.1.11) is not; ``b64`` (RFC 7797) would change what is
        signed. A header can't bring a key (``jwk``, ``jku``, ``x5c``): those are not read.
        """
        header = json.loads(b64decode(encoded))
        if not isinstance(header, dict) or header.get("typ") != kind or "crit" in header or "b64" in header:
            raise InvalidToken
        kid = header.get("kid")
        if "kid" in header and not isinstance(kid, str):
            raise InvalidToken
        named = [key for key in self.keys if key.algorithm == header.get("alg")]
        return [key for key in named if kid is None or key.kid in (None, kid)]


@lru_cache(maxsize=32)
def key_ring(secrets: tuple[str, ...], algorithms: tuple[str, ...] = (HS256,)) -> KeyRing:
    """Prepare keys, each a secret or a PEM: the first signs, with the first of the algorithms; all verify.

    Raises ValueError, whose message holds no key: for an empty tuple, for a key that can't be used (a weak secret, an
    RSA key under 2048 bits) or has another algorithm, and for a first one that can't sign.
    """
    if not secrets:
        raise ValueError("at least one secret is needed")
    keys = [_asymmetric_key(text) if "-----BEGIN" in text else _secret_key(text) for text in secrets]
    public = [part for key in keys if isinstance(key, AsymmetricKey) for part in key.parts]
    if any(isinstance(key, SecretKey) and holds(text, public) for text, key in zip(secrets, keys, strict=True)):
        raise ValueError("a secret has a part of a public key of the same list in it, which all can read")
    for key, allowed in zip(keys, [algorithms[:1], *[algorithms] * (len(keys) - 1)], strict=True):
        if key.algorithm not in allowed:
            raise ValueError(f"a key is for {key.algorithm}, not for {' or '.join(allowed)}")
    if isinstance(keys[0], AsymmetricKey) and keys[0].private is None:
        raise ValueError("the first key is a public one, which can not sign")
    return KeyRing(keys)


def b64encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def b64decode(text: str) -> bytes:
    """Undo ``b64encode``; raise ValueError for a string that it would not have made: one token is one string."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64encode(data) != text:
        raise ValueError("not base64url in its one form")
    return data


def _secret_key(text: str) -> SecretKey:
    if problem := weakness(text):
        raise ValueError(problem)
    return SecretKey(text.encode())


def _asymmetric_key(pem: str) -> AsymmetricKey:
    for algorithm in ASYMMETRIC if has_crypto else ():
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
        if members.get("crv") != "Ed448":  # one of EdDSA, but few libraries know it
            return AsymmetricKey(algorithm, public, private, _jwk(algorithm, members))
    raise ValueError(_NO_PEM if has_crypto else _NO_CRYPTO)


def _jwk(algorithm: str, members: Mapping[str, Any]) -> dict[str, str]:
    needed = {name: members[name] for name in _THUMBPRINT_MEMBERS[members["kty"]]}
    thumbprint = hashlib.sha256(json.dumps(needed, separators=(",", ":"), sort_keys=True).encode()).digest()
    return {**needed, "kid": b64encode(thumbprint), "use": "sig", "alg": algorithm}
