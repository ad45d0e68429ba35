"""A list of keys for one kind of token. With several keys, a project can replace a key. Pure: no Django."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache

from twotoken.exceptions import InvalidToken
from twotoken.keys.key import HS256, AsymmetricKey, Key, SecretKey, asymmetric_key, b64decode, b64encode, secret_key
from twotoken.keys.weak_secrets import holds

MAX_TOKEN_LENGTH = 8192  # characters; a longer token is refused before it is parsed

_NO_SIGNING = "the first key is a public key, which can not sign: put the private key first"


class KeyRing:
    """The keys of one kind of token. The first key signs new tokens. A token is valid if any of the keys signed it."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)
        self._under: dict[str, dict[str, tuple[Key, ...]]] = {}

    @property
    def signing_problem(self) -> str:
        """The reason why these keys can only verify, or an empty string if the first key can sign."""
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
        """Verify a JWS in compact form whose ``typ`` is ``kind``, and return its payload. Raises InvalidToken.

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
        """Return the encoded JWS headers that the keys write, each with the keys that write this header.

        The header of the signing key comes first.
        """
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
        """Return the keys that fit a JWS header that another library wrote, with other members or in another order.

        A header with ``crit`` (RFC 7515 section 4.1.11) is refused, because no extension is supported. A header with
        ``b64`` (RFC 7797) is refused too, because ``b64`` changes what is signed. Keys in a header (``jwk``, ``jku``,
        ``x5c``) are not read.
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
    """Return a KeyRing from texts, each a secret or a PEM. The first key signs, and must be for the first algorithm.

    All keys verify. If the first key is a public key, the ring can only verify. Raises ValueError if there is no key,
    or if a key can't be used (a weak secret, an RSA key under 2048 bits) or is for another algorithm. The message
    contains no key.
    """
    if not secrets:
        raise ValueError("at least one secret is needed")
    keys = [asymmetric_key(text) if "-----BEGIN" in text else secret_key(text) for text in secrets]
    public = [part for key in keys if isinstance(key, AsymmetricKey) for part in key.parts]
    if any(isinstance(key, SecretKey) and holds(text, public) for text, key in zip(secrets, keys, strict=True)):
        raise ValueError("a secret contains part of a public key of the same list, which everybody can read")
    for key, allowed in zip(keys, [algorithms[:1], *[algorithms] * (len(keys) - 1)], strict=True):
        if key.algorithm not in allowed:
            raise ValueError(f"a key is for {key.algorithm}, not for {' or '.join(allowed)}")
    return KeyRing(keys)


@lru_cache(maxsize=32)
def verifying_ring(pems: tuple[str, ...]) -> KeyRing:
    """Return a KeyRing that only verifies, from PEMs of any of the asymmetric algorithms.

    Raises ValueError if one of the texts is a secret or can't be used. The message contains no key.
    """
    if not all("-----BEGIN" in pem for pem in pems):
        raise ValueError("a service that only verifies has no secret, but public keys as PEM")
    return KeyRing([asymmetric_key(pem) for pem in pems])
