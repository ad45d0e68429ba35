"""Verify and make DPoP proofs (RFC 9449). Pure: no Django, no cache, no database.

A proof is a JWT that shows possession of a private key. It names the method, URL and time of one request.
``verify_proof`` verifies the proof for the expected request, and returns a ``Proof`` or raises InvalidProof. The caller
must check whether the proof was used before. ``cryptography`` is used only through PyJWT. Without it every proof is
refused.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from jwt.algorithms import has_crypto
from jwt.exceptions import PyJWTError

from twotoken.dpop.addresses import normal
from twotoken.dpop.bindings import DPOP, thumbprint
from twotoken.exceptions import InvalidProof, NonceRequired, ProofAddress, ProofTime
from twotoken.keys import AsymmetricKey, asymmetric_key, b64decode, b64encode, canonical, public_key

TYPE = "dpop+jwt"
# The algorithms that a proof may name, each with the key type and the curve of its keys. RFC 9864 renamed EdDSA with
# the curve Ed25519 to Ed25519.
ALGORITHMS = {"ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519"), "Ed25519": ("OKP", "Ed25519")}
WINDOW = 60  # seconds by which ``iat`` may differ from the server's clock. The texts of ProofTime say "a minute"
MAX_PROOF_LENGTH = 4096  # characters; a longer proof is refused before it is parsed
MAX_JTI_LENGTH = 256

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})  # RFC 7518 sections 6.2.2, 6.3.2 and 6.4
_COORDINATE_LENGTH = 32  # bytes, of P-256 and of Ed25519
_P25519 = 2**255 - 19  # RFC 8032 section 5.1
_Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _P25519 - 1, _Y8, _P25519 - _Y8})  # y of the points of Ed25519 with an order up to 8


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified DPoP proof.

    ``key`` is the proof's public key in the form that ``canonical`` returns, and ``thumbprint`` is the thumbprint of
    this key (RFC 7638). The caller must accept each ``jti`` only once. ``issued_at`` is in seconds since the epoch.
    """

    key: str
    thumbprint: str
    jti: str
    issued_at: float

    @property
    def device_key(self) -> str:
        """The proof's public key in the form that ``RefreshToken.device_key`` stores."""
        return DPOP + self.key


@dataclass(frozen=True, slots=True)
class _ParsedKey:
    """The public key in the header of a DPoP proof, ready to verify signatures."""

    verifier: AsymmetricKey
    canonical: str
    thumbprint: str


def verify_proof(
    header: str,
    *,
    method: str,
    address: str,
    now: datetime,
    leeway: float = WINDOW,
    access_token: str | None = None,
    is_nonce: Callable[[str], bool] | None = None,
) -> Proof:
    """Verify the value of a ``DPoP`` header (RFC 9449 section 4.3), and return it as a Proof.

    ``address`` is the absolute URL of the request. ``iat`` may differ from ``now`` by up to ``leeway`` seconds. If
    ``access_token`` is given, the proof must be for this token. If ``is_nonce`` is given, the proof must have a nonce
    for which ``is_nonce`` returns True.

    Raises InvalidProof with the name of the problem, or its subclasses NonceRequired, ProofAddress and ProofTime.
    """
    if len(header) > MAX_PROOF_LENGTH or not header.isascii() or header.count(".") != 2:
        raise InvalidProof("no single JWT")
    signed, _, signature = header.rpartition(".")
    protected, _, payload = signed.partition(".")
    key = _key_of(protected)
    if not key.verifier.verifies(signed.encode(), signature):
        raise InvalidProof("signature")
    claims = _object(payload, "payload")
    _check_request(claims, method, address)
    issued_at = _check_time(claims, now, leeway)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_LENGTH or not (jti.isascii() and jti.isprintable()):
        raise InvalidProof("jti")
    if access_token is not None and claims.get("ath") != token_hash(access_token):
        raise InvalidProof("ath")
    nonce = claims.get("nonce")
    if is_nonce is not None and not (isinstance(nonce, str) and is_nonce(nonce)):
        raise NonceRequired("nonce")
    return Proof(key.canonical, key.thumbprint, jti, issued_at)


def make_proof(
    private_key: str,
    *,
    method: str,
    address: str,
    now: datetime,
    access_token: str | None = None,
    nonce: str | None = None,
) -> str:
    """Return a client's DPoP proof for one request, signed with a private key, which is a PEM (P-256 or Ed25519).

    ``access_token`` is the token that the request carries, and ``nonce`` is the latest ``DPoP-Nonce`` of the server.
    Raises ValueError if the key can't be used.
    """
    key = _private_key(private_key)
    members = {name: value for name, value in key.jwk.items() if name in {"crv", "kty", "x", "y"}}
    header = {"typ": TYPE, "alg": key.algorithm, "jwk": members}
    parts = urlsplit(address)
    claims = {
        "jti": secrets.token_urlsafe(16),
        "htm": method,
        # The address has no name and password, because servers log the address of a proof that they refuse.
        "htu": parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl(),
        "iat": int(now.timestamp()),
    }
    if access_token is not None:
        claims["ath"] = token_hash(access_token)
    if nonce is not None:
        claims["nonce"] = nonce
    signed = ".".join(b64encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return f"{signed}.{key.sign(signed.encode())}"


def device_key_of(private_key: str) -> str:
    """Return the device key that belongs to a private key as PEM. Raises ValueError if the key can't be used."""
    return DPOP + canonical(_private_key(private_key).jwk)


def token_hash(access_token: str) -> str:
    """Return the ``ath`` claim of a proof for an access token: the token's digest (RFC 9449 section 4.2)."""
    digest = hashlib.sha256(access_token.encode(errors="surrogatepass")).digest()
    return urlsafe_b64encode(digest)[:43].decode()


@lru_cache(maxsize=1024)
def _key_of(protected: str) -> _ParsedKey:
    """Check the protected header of a DPoP proof, and return the public key in it.

    A client sends the same header with each proof, so the result is cached: parsing a key takes as long as verifying a
    signature.
    """
    header = _object(protected, "header")
    if header.get("typ") != TYPE:
        raise InvalidProof("typ")
    # RFC 7515 section 4.1.11: no extension is supported. ``b64`` (RFC 7797) would change what is signed.
    if "crit" in header or "b64" in header:
        raise InvalidProof("crit")
    algorithm, jwk = header.get("alg"), header.get("jwk")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidProof("alg")
    if not isinstance(jwk, dict):
        raise InvalidProof("jwk")
    # A client that publishes its private key proves nothing with it.
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise InvalidProof("private jwk")
    members = _public_members(jwk, *ALGORITHMS[algorithm])
    text = canonical(members)
    try:
        verifier = public_key("ES256" if members["kty"] == "EC" else "EdDSA", members)
    except (KeyError, PyJWTError, ValueError) as exc:  # such as a point off the curve; KeyError without cryptography
        raise InvalidProof("jwk") from exc
    return _ParsedKey(verifier, text, thumbprint(DPOP + text))


def _public_members(jwk: dict[str, Any], kind: str, curve: str) -> dict[str, str]:
    """Return the members of a JWK that define its key. Raises InvalidProof if the key is of another type or curve."""
    names = ("x", "y") if kind == "EC" else ("x",)
    members = {"kty": jwk.get("kty"), "crv": jwk.get("crv"), **{name: jwk.get(name) for name in names}}
    try:
        sizes = {len(b64decode(members[name] or "")) for name in names}
    except (AttributeError, TypeError, ValueError) as exc:
        raise InvalidProof("jwk") from exc
    if (members["kty"], members["crv"]) != (kind, curve) or sizes != {_COORDINATE_LENGTH}:
        raise InvalidProof("jwk")
    # For a key of small order everybody can make a signature. So it is refused, like one whose private part is public.
    if kind == "OKP" and int.from_bytes(b64decode(members["x"] or ""), "little") % 2**255 % _P25519 in _SMALL_ORDER:
        raise InvalidProof("jwk")
    return members  # type: ignore[return-value]  # all are strings now


@lru_cache(maxsize=32)
def _private_key(pem: str) -> AsymmetricKey:
    key = asymmetric_key(pem)
    if key.private is None or key.algorithm not in ALGORITHMS:
        raise ValueError("a proof needs a private key of P-256 or Ed25519")
    return key


def _object(segment: str, problem: str) -> dict[str, Any]:
    try:
        found = json.loads(b64decode(segment).decode())
    except (ValueError, RecursionError) as exc:
        raise InvalidProof(problem) from exc
    if not isinstance(found, dict):
        raise InvalidProof(problem)
    return found


def _check_request(claims: dict[str, Any], method: str, address: str) -> None:
    if claims.get("htm") != method:
        raise ProofAddress("htm", claims.get("htm"))
    named = claims.get("htu")
    if named != address and (not isinstance(named, str) or normal(named) != normal(address)):
        raise ProofAddress("htu", named)


def _check_time(claims: dict[str, Any], now: datetime, leeway: float) -> float:
    issued_at = claims.get("iat")
    if not isinstance(issued_at, int | float) or isinstance(issued_at, bool):
        raise InvalidProof("iat")
    # The times are compared, not subtracted: an integer of a thousand digits has no float. NaN fails both comparisons.
    seconds = now.timestamp()
    if not seconds - leeway <= issued_at <= seconds + leeway:
        raise ProofTime("iat")
    return float(issued_at)


SUPPORTED = has_crypto
