"""The codec, against what is published of attacks on JWTs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from twotoken import tokens
from twotoken.exceptions import ClaimsError, ExpiredToken, InvalidToken
from twotoken.tokens import AccessPolicy, RefreshClaims

SECRET = "s" * 32
KEYS = tokens.signing_keys((SECRET,))
POLICY = AccessPolicy(KEYS)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FAMILY = uuid4()


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(header: Any, claims: Any, key: bytes = SECRET.encode(), digest: Any = hashlib.sha256) -> str:
    """Sign whatever is given."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), digest))}"


def access(policy: AccessPolicy = POLICY, **extra: Any) -> str:
    """Return an access token of fifteen minutes."""
    start = int(NOW.timestamp())
    return tokens.encode_access(
        policy, subject="7", family_id=FAMILY, issued_at=start, expires_at=start + 900, extra=extra
    )


CLAIMS = {"sub": "7", "sid": str(FAMILY), "exp": int(NOW.timestamp()) + 900}
HEADER = {"alg": "HS256", "typ": "at+jwt"}


def test_an_access_token_comes_back() -> None:
    """Claims go in and come out, and none of them shows in a repr."""
    claims = tokens.decode_access(access(role="admin"), POLICY, NOW)
    assert claims["role"] == "admin"
    assert claims.family_id == FAMILY
    assert claims.expires_at == NOW + timedelta(minutes=15)
    assert set(claims) == {"role", "sub", "sid", "jti", "iat", "exp"}
    assert len(claims) == 6
    assert "admin" not in repr(claims)


BAD_HEADERS: list[dict[str, Any]] = [
    {"alg": "none", "typ": "at+jwt"},
    {"alg": "HS512", "typ": "at+jwt"},
    {"alg": "RS256", "typ": "at+jwt"},
    {"typ": "at+jwt"},
    {**HEADER, "typ": "rt+jwt"},
    {**HEADER, "typ": "JWT"},
    {"alg": "HS256"},
    {**HEADER, "crit": ["x"]},
    {**HEADER, "crit": []},
    {**HEADER, "b64": False},
    {**HEADER, "b64": False, "crit": ["b64"]},
    {**HEADER, "kid": 5},
]


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_bad_headers(header: dict[str, Any]) -> None:
    """CVE-2026-32597 (crit), CVE-2026-48525 (b64), ``alg`` none and confusion, the other token's ``typ``."""
    with pytest.raises(InvalidToken):
        tokens.decode_access(forge(header, CLAIMS), POLICY, NOW)


def test_a_good_forgery_is_taken() -> None:
    """What the tests above refuse is refused for its header, not for how it was made."""
    assert tokens.decode_access(forge(HEADER, CLAIMS), POLICY, NOW)["sub"] == "7"


BAD_CLAIMS: list[Any] = [
    [],
    "text",
    {},
    {**CLAIMS, "sub": 7},
    {**CLAIMS, "sid": "x"},
    {**CLAIMS, "sid": 5},
    {**CLAIMS, "exp": "9999999999"},
    {**CLAIMS, "exp": True},
    {"sub": "7", "exp": 9_999_999_999},
]


@pytest.mark.parametrize("claims", BAD_CLAIMS)
def test_bad_claims(claims: Any) -> None:
    """A signature does not make up for a wrong shape."""
    with pytest.raises(InvalidToken):
        tokens.decode_access(forge(HEADER, claims), POLICY, NOW)


@pytest.mark.parametrize("payload", [b"[" * 3000, b"\xff", b"nothing"])
def test_a_payload_that_is_no_json(payload: bytes) -> None:
    """Nested too deep, or no text at all."""
    signed = f"{b64(json.dumps(HEADER).encode())}.{b64(payload)}"
    token = f"{signed}.{b64(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))}"
    with pytest.raises(InvalidToken):
        tokens.decode_access(token, POLICY, NOW)


@pytest.mark.parametrize(
    "spoil", [lambda t: t + "=", lambda t: t + "A", lambda t: " " + t, lambda t: t + "\n", str.upper]
)
def test_a_changed_string(spoil: Any) -> None:
    """One token is one string: no padding, no white space."""
    with pytest.raises(InvalidToken):
        tokens.decode_access(spoil(access()), POLICY, NOW)


def test_expiry_and_leeway() -> None:
    """Exactly at its end it is over; the leeway comes on top."""
    token, end = access(), NOW + timedelta(minutes=15)
    tokens.decode_access(token, POLICY, end - timedelta(microseconds=1))
    with pytest.raises(ExpiredToken):
        tokens.decode_access(token, POLICY, end)
    late = AccessPolicy(KEYS, leeway=10)
    tokens.decode_access(token, late, end + timedelta(seconds=9))
    with pytest.raises(ExpiredToken):
        tokens.decode_access(token, late, end + timedelta(seconds=10))


def test_a_clock_that_is_behind() -> None:
    """A server ten seconds behind takes a fresh token."""
    tokens.decode_access(access(), POLICY, NOW - timedelta(seconds=10))


def test_issuer_and_audience() -> None:
    """Issuer to the letter (CVE-2024-53861), one audience in common."""
    acme = AccessPolicy(KEYS, "acme", ("a", "b"))
    token = access(acme)
    assert tokens.decode_access(token, acme, NOW)["aud"] == ["a", "b"]
    assert tokens.decode_access(token, AccessPolicy(KEYS, "acme", ("b", "c")), NOW)
    assert tokens.decode_access(access(AccessPolicy(KEYS, None, ("b",))), AccessPolicy(KEYS, None, ("b",)), NOW)
    for other in (AccessPolicy(KEYS, "acm"), AccessPolicy(KEYS, "acme", ("c",))):
        with pytest.raises(InvalidToken):
            tokens.decode_access(token, other, NOW)
    with pytest.raises(InvalidToken):
        tokens.decode_access(access(), AccessPolicy(KEYS, None, ("b",)), NOW)


def test_claims_that_can_t_go_in() -> None:
    """Reserved names, and more than a token that we would take again."""
    with pytest.raises(ClaimsError, match="reserved: iss, sub"):
        access(sub="1", iss="2", role="3")
    with pytest.raises(ClaimsError, match="longer"):
        access(text="x" * 9000)


def test_a_refresh_token_comes_back() -> None:
    """A pure function of the row: the same string each time."""
    row: Any = {"family_id": FAMILY, "generation": 3, "secret": b"x" * 16, "expires_at": NOW}
    token = tokens.encode_refresh(KEYS, **row)
    assert token == tokens.encode_refresh(KEYS, **row)
    claims = tokens.decode_refresh(token, KEYS)
    assert (claims.family_id, claims.generation) == (FAMILY, 3)
    assert tokens.token_id_fits(claims, b"x" * 16)
    assert not tokens.token_id_fits(claims, b"y" * 16)
    assert not tokens.token_id_fits(RefreshClaims(FAMILY, 3, "ü"), b"x" * 16)
    assert claims.token_id not in repr(claims)


@pytest.mark.parametrize("change", [{"gen": -1}, {"gen": True}, {"gen": "1"}, {"jti": None}, {"sid": "x"}])
def test_bad_refresh_claims(change: dict[str, Any]) -> None:
    """A signature does not make up for a wrong shape."""
    claims = {"sid": str(FAMILY), "gen": 1, "jti": "x", **change}
    with pytest.raises(InvalidToken):
        tokens.decode_refresh(forge({"alg": "HS256", "typ": "rt+jwt"}, claims), KEYS)


def test_any_key_of_the_list_verifies() -> None:
    """The first signs."""
    both = tokens.signing_keys(("n" * 32, SECRET))
    tokens.decode_access(access(), AccessPolicy(both), NOW)
    with pytest.raises(InvalidToken):
        tokens.decode_access(access(AccessPolicy(both)), POLICY, NOW)


@pytest.mark.parametrize(
    "secrets", [(), ("",), ("short",), ("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----",)]
)
def test_bad_secrets(secrets: tuple[str, ...]) -> None:
    """None, too short, or a public key (CVE-2022-29217)."""
    with pytest.raises(ValueError, match=r"secret|key"):
        tokens.signing_keys(secrets)
