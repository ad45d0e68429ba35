"""The keys that sign and verify the two tokens, made from a secret or a PEM (RFC 7515, 7517, 7518).

Pure: no Django, no database, and ``cryptography`` only through PyJWT. A key has one algorithm (RFC 8725 section 3.1),
which follows from the key itself: a token whose header names another algorithm matches no key.
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
from twotoken.keys.weak_secrets import holds, weakness

HS256 = "HS256"
ASYMMETRIC = ("EdDSA", "ES256", "RS256")
ALGORITHMS = (HS256, *ASYMMETRIC)
MAX_TOKEN_LENGTH = 8192  # characters; a longer token is refused before it is parsed

# RFC 7638 section 3.2 and RFC 8037 section 2: the members of a public key that go into its thumbprint.
_THUMBPRINT_MEMBERS = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
_NO_PEM = "an asymmetric key must be an unencrypted PEM of Ed25519, P-256 or RSA (did it lose its line breaks?)"
_NO_CRYPTO = "an asymmetric key needs the package cryptography: pip install 'twotoken[crypto]'"
_NO_SIGNING = "the first key is a public key, which can not sign: put the private key first"
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
        """Tell in constant time whether this is the signature of a message."""
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
        """The thumbprint of the public key (RFC 7638), so a project does not have to name its keys."""
        return self.jwk["kid"]

    @property
    def parts(self) -> list[bytes]:
        """The thumbprint and the numbers of the public key, as bytes."""
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

    @property
    def signing_problem(self) -> str:
        """Why these keys can only verify, or an empty string if the first one can sign."""
        first = self.keys[0]
        return _NO_SIGNING if isinstance(first, AsymmetricKey) and first.private is None else ""

    def sign(self, payload: bytes, kind: str) -> str:
        """Return a payload as a JWS in compact form (RFC 7515 section 7.1) with ``kind`` as its ``typ``.

        Raises ValueError if the first key is a public key.
        """
        if problem := self.signing_problem:
            raise ValueError(problem)
        signed = f"{next(iter(self._headers(kind)))}.{b64encode(payload)}"
        return f"{signed}.{self.keys[0].sign(signed.encode())}"

    def verify(self, token: str, kind: str) -> bytes:
        """Return the payload of a JWS in compact form whose ``typ`` is ``kind``. Raises InvalidToken.

        Nearly every token has exactly the header that one of the keys writes. Such a header is looked up, not parsed.
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
        """Return the public keys as JWKs (RFC 7517 section 4), each once. Secrets are left out."""
        return list({key.kid: key.jwk for key in self.keys if isinstance(key, AsymmetricKey)}.values())

    def _headers(self, kind: str) -> dict[str, tuple[Key, ...]]:
        """Return the encoded headers that the keys write, each with its keys. The signing key's header comes first."""
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
        """Return the keys for a header that another library wrote, with other members or in another order.

        A header with ``crit`` (RFC 7515 section 4.1.11) is refused, because no extension is supported. So is one with
        ``b64`` (RFC 7797), which changes what is signed. Keys in a header (``jwk``, ``jku``, ``x5c``) are not read.
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
    """Prepare keys, each a secret or a PEM. The first one signs, with the first of the algorithms; all verify.

    If the first key is a public key, the ring can only verify. Raises ValueError if there is no key, or if a key can't
    be used (a weak secret, an RSA key under 2048 bits) or is for another algorithm. The message contains no key.
    """
    if not secrets:
        raise ValueError("at least one secret is needed")
    keys = [asymmetric_key(text) if "-----BEGIN" in text else _secret_key(text) for text in secrets]
    public = [part for key in keys if isinstance(key, AsymmetricKey) for part in key.parts]
    if any(isinstance(key, SecretKey) and holds(text, public) for text, key in zip(secrets, keys, strict=True)):
        raise ValueError("a secret contains part of a public key of the same list, which everybody can read")
    for key, allowed in zip(keys, [algorithms[:1], *[algorithms] * (len(keys) - 1)], strict=True):
        if key.algorithm not in allowed:
            raise ValueError(f"a key is for {key.algorithm}, not for {' or '.join(allowed)}")
    return KeyRing(keys)


@lru_cache(maxsize=32)
def verifying_ring(pems: tuple[str, ...]) -> KeyRing:
    """Prepare keys that only verify, each a PEM of any of the asymmetric algorithms.

    Raises ValueError if one is a secret or can't be used. The message contains no key.
    """
    if not all("-----BEGIN" in pem for pem in pems):
        raise ValueError("a service that only verifies has no secret, but public keys as PEM")
    return KeyRing([asymmetric_key(pem) for pem in pems])


def b64encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def b64decode(text: str) -> bytes:
    """Decode base64url. Raises ValueError for a string that ``b64encode`` never returns.

    So each token has exactly one valid spelling.
    """
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64encode(data) != text:
        raise ValueError("not canonical base64url")
    return data


def _secret_key(text: str) -> SecretKey:
    if problem := weakness(text):
        raise ValueError(problem)
    return SecretKey(text.encode())


def asymmetric_key(pem: str) -> AsymmetricKey:
    """Return the private or public key of a PEM. Raises ValueError, whose message contains no key."""
    for algorithm in reversed(ASYMMETRIC) if has_crypto else ():  # loading an RSA key is slow: once is enough
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
    """Return the key for verifying that a public JWK describes.

    Raises a PyJWTError or ValueError if it is no such key, and KeyError without cryptography.
    """
    return AsymmetricKey(algorithm, _schemes[algorithm].from_jwk(dict(jwk)), None, _jwk(algorithm, jwk))


def canonical(members: Mapping[str, Any]) -> str:
    """Return the JSON of a public key that its thumbprint is made of (RFC 7638 section 3)."""
    needed = {name: members[name] for name in _THUMBPRINT_MEMBERS[members["kty"]]}
    return json.dumps(needed, separators=(",", ":"), sort_keys=True)


def thumbprint_of(canonical_jwk: str) -> str:
    """Return the thumbprint of a public key, given as ``canonical`` returns it."""
    return b64encode(hashlib.sha256(canonical_jwk.encode()).digest())


def _jwk(algorithm: str, members: Mapping[str, Any]) -> dict[str, str]:
    text = canonical(members)
    needed: dict[str, str] = json.loads(text)
    return {**needed, "kid": thumbprint_of(text), "use": "sig", "alg": algorithm}
