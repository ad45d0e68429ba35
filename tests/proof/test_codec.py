"""Compares twotoken's reader of signed strings with PyJWT's: both accept the same strings, with known exceptions."""

from __future__ import annotations

import json
import os
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proof.conftest import Tried
from tests.test_keys import SECRET, pem, public_pem
from twotoken.exceptions import InvalidToken
from twotoken.keys import MAX_TOKEN_LENGTH, AsymmetricKey, b64encode, key_ring

KIND = "at+jwt"
EDWARDS, CURVE = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
RING = key_ring((pem(EDWARDS), SECRET, pem(CURVE)), ("EdDSA", "HS256", "ES256"))
KIDS = [key.kid for key in RING.keys if isinstance(key, AsymmetricKey)]
VERIFYING = {"EdDSA": public_pem(EDWARDS), "HS256": SECRET, "ES256": public_pem(CURVE)}
NAMES = {"EdDSA": KIDS[0], "ES256": KIDS[1]}

ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.text(max_size=3), max_size=2))
RIGHT = st.just("that of the key")
HEADERS = st.fixed_dictionaries(
    {
        "alg": st.one_of(*[RIGHT] * 6, st.sampled_from(["EdDSA", "HS256", "ES256", "none", "RS256", "HS512"]), ODD),
        "typ": st.one_of(*[st.just(KIND)] * 6, st.sampled_from(["JWT", "AT+JWT", "rt+jwt"]), ODD),
    },
    optional={
        "kid": st.one_of(st.sampled_from(KIDS), ODD),
        "crit": st.one_of(st.just([]), st.just(["exp"]), ODD),
        "b64": st.one_of(st.just(False), ODD),
        "jku": ODD,
        "jwk": ODD,
        "zip": ODD,
    },
)
PAYLOADS = st.one_of(st.binary(max_size=40), st.just(b'{"sub":"7"}'))


def theirs(token: str) -> bytes | None:
    """Return the payload as PyJWT decodes it, with the key that the header names and that key's algorithm."""
    try:
        header = jwt.get_unverified_header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if header.get("typ") != KIND or algorithm not in VERIFYING:
            return None
        if kid is not None and algorithm in NAMES and kid != NAMES[algorithm]:
            return None
        payload: bytes = jwt.PyJWS().decode_complete(token, VERIFYING[algorithm], [algorithm])["payload"]
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return payload


def ours(token: str) -> bytes | None:
    """Return the payload as twotoken's codec decodes it, or None if it refuses the string."""
    try:
        return RING.verify(token, KIND)
    except InvalidToken:
        return None


@settings(
    max_examples=20_000 if os.environ.get("PROOF") == "full" else 1_500,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    header=HEADERS,
    payload=PAYLOADS,
    key=st.integers(0, 2),
    spaces=st.booleans(),
    cut=st.one_of(*[st.just((0, 0, ""))] * 3, st.tuples(st.integers(0, 200), st.integers(0, 3), st.text(max_size=2))),
)
def test_what_ours_takes_theirs_takes(
    header: dict[str, Any], payload: bytes, key: int, spaces: bool, cut: tuple[int, int, str], tried: Tried
) -> None:
    """What twotoken accepts, PyJWT accepts too. twotoken also refuses ``crit``, ``b64``, odd base64 and long texts."""
    if header["alg"] == "that of the key":
        header = {**header, "alg": RING.keys[key].algorithm}
    written = json.dumps(header, separators=None if spaces else (",", ":"), sort_keys=not spaces).encode()
    signed = f"{b64encode(written)}.{b64encode(payload)}"
    token = f"{signed}.{RING.keys[key].sign(signed.encode())}"
    start, length, put = cut
    token = token[:start] + put + token[start + length :]
    mine = ours(token)
    if mine is not None:
        assert theirs(token) == mine
    elif theirs(token) is not None:
        assert "crit" in header or "b64" in header or _spelt_otherwise(token) or len(token) > MAX_TOKEN_LENGTH
    tried("signed strings read by us and by PyJWT")


def _spelt_otherwise(token: str) -> bool:
    """Tell whether a part of the token is not the usual base64url of its bytes. PyJWT accepts some other spellings."""
    return any(b64encode(jwt.utils.base64url_decode(part)) != part for part in token.split("."))


def test_the_strategy_reaches_both_ends(tried: Tried) -> None:
    """Both readers accept some signed strings and refuse others, so the comparison is not empty."""
    good = [RING.sign(b"{}", KIND)]
    for key in RING.keys:
        for names in ({}, {"kid": key.kid or "any"}, {"jku": "x", "typ": KIND}):
            header = b64encode(json.dumps({"typ": KIND, "alg": key.algorithm, **names}).encode())
            signed = f"{header}.{b64encode(b'{}')}"
            good.append(f"{signed}.{key.sign(signed.encode())}")
    assert all(ours(token) == theirs(token) == b"{}" for token in good)
    signed = f"{b64encode(json.dumps({'typ': KIND, 'alg': 'HS256', 'kid': None}).encode())}.{b64encode(b'{}')}"
    assert ours(f"{signed}.{RING.keys[1].sign(signed.encode())}") is None
    assert ours(good[0][:-1]) is theirs(good[0][:-1]) is None
    tried("signed strings that both take", len(good))
