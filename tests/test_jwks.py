"""Which keys of a JWK Set are used: those for verifying tokens, of an accepted size."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.test_keys import ASYMMETRIC, PRIVATE, TEXTS, public_pem
from twotoken.keys import b64encode, key_ring
from twotoken.remote.jwks import MAX_KEYS, named_key, read_key_set

JWKS: dict[str, dict[str, Any]] = {name: dict(key_ring((TEXTS[name][0],), (name,)).public()[0]) for name in ASYMMETRIC}
ES256, EDDSA, RS256 = JWKS["ES256"], JWKS["EdDSA"], JWKS["RS256"]
SHORT = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505
LONG_EXPONENT = {**RS256, "e": b64encode(b"\xff" * 100)}


def members(*names: str, jwk: dict[str, Any]) -> dict[str, Any]:
    """Return only these members of a key's JWK."""
    return {name: jwk[name] for name in names}


def read(*entries: Any) -> list[tuple[str, str | None]]:
    """Return the algorithm and the kid of each key that is read from a JWK Set with these entries."""
    return [(key.algorithm, key.kid) for key in read_key_set(json.dumps({"keys": entries}).encode()).keys]


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_what_another_service_publishes(algorithm: str) -> None:
    """The keys that a service publishes verify its tokens, and can't sign."""
    signing = key_ring((TEXTS[algorithm][0],), (algorithm,))
    verifying = read_key_set(json.dumps({"keys": signing.public()}).encode())
    assert verifying.verify(signing.sign(b"{}", "at+jwt"), "at+jwt") == b"{}"
    assert verifying.signing_problem


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (members("kty", "crv", "x", "y", jwk=ES256), ("ES256", ES256["kid"])),
        ({**ES256, "kid": "2026-11"}, ("ES256", "2026-11")),
        ({**ES256, "key_ops": ["verify"]}, ("ES256", ES256["kid"])),
        ({**EDDSA, "alg": "Ed25519"}, ("EdDSA", EDDSA["kid"])),
        ({**RS256, "x5c": ["MIIB"], "d": "AQAB"}, ("RS256", RS256["kid"])),
    ],
)
def test_an_entry_that_is_used(entry: dict[str, Any], expected: tuple[str, str]) -> None:
    """A key is stored under its own ``kid``, or else under its thumbprint; private members are ignored."""
    assert read(entry) == [expected]


UNUSED: dict[str, Any] = {
    "for encryption": {**ES256, "use": "enc"},
    "for signing": {**ES256, "key_ops": ["sign"]},
    "operations that are no list": {**ES256, "key_ops": "verify"},
    "for another algorithm": {**RS256, "alg": "RS512"},
    "an algorithm that is no text": {**RS256, "alg": ["RS256"]},
    "a secret": {"kty": "oct", "k": b64encode(b"s" * 32), "alg": "HS256"},
    "another curve": json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key())),
    "Ed448": json.loads(OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key())),
    "a short RSA key": json.loads(RSAAlgorithm.to_jwk(SHORT)),
    "an RSA key of 8,200 bits": {**RS256, "n": b64encode(b"\xff" * 1025)},
    "a huge exponent": LONG_EXPONENT,
    "an even exponent": {**RS256, "e": "Ag"},
    "a point off the curve": {**ES256, "y": ES256["x"]},
    "a short coordinate": {**ES256, "x": "AAAA"},
    "no coordinate": members("kty", "crv", "x", jwk=ES256),
    "a coordinate that is a number": {**EDDSA, "x": 7},
    "no base64": {**EDDSA, "x": "ä"},
    "a kid that is no text": {**ES256, "kid": ["x"]},
    "a kind that is no text": {**ES256, "kty": {}},
    "no object": "a key",
    "nothing": {},
}


@pytest.mark.parametrize("entry", UNUSED.values(), ids=UNUSED)
def test_an_entry_that_is_skipped(entry: Any) -> None:
    """An unusable entry is skipped (RFC 7517 section 5). A JWK Set without a usable entry is an error."""
    assert read(entry, ES256) == [("ES256", ES256["kid"])]
    with pytest.raises(ValueError, match="no key for ES256, EdDSA or RS256"):
        read(entry)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "Expecting value"),
        (b"{\xff", "decode"),
        (b"[" * 100_000, "nested too deep"),
        (b"[]", "not a JWK Set"),
        (b'{"keys": {}}', "not a JWK Set"),
        (json.dumps({"keys": [ES256] * (MAX_KEYS + 1)}).encode(), "more than 32 keys"),
    ],
)
def test_a_document_that_is_no_key_set(document: bytes, said: str) -> None:
    """A document that is no JWK Set is an error, which says what is wrong."""
    with pytest.raises(ValueError, match=said):
        read_key_set(document)


@pytest.mark.parametrize(
    ("header", "kid"),
    [(b'{"kid": "x"}', "x"), (b'{"kid": 7}', None), (b"{}", None), (b"[]", None), (b"\xff", None), (b"[" * 9000, None)],
)
def test_the_key_that_a_token_names(header: bytes, kid: str | None) -> None:
    """``named_key`` returns the ``kid`` of a token's header if it is text, and otherwise None."""
    assert named_key(f"{b64encode(header)}.e30.x") == kid
    assert named_key("no base64 at all") is None


def test_two_keys_of_one_name() -> None:
    """Two keys with the same ``kid`` are both read."""
    second = key_ring((public_pem(PRIVATE["ES256"][1]),), ("ES256",)).public()[0]
    assert read({**ES256, "kid": "same"}, {**second, "kid": "same"}) == [("ES256", "same")] * 2
