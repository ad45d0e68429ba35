"""The codec, tested against published attacks on JWTs."""

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
from twotoken.keys import key_ring
from twotoken.tokens import AccessPolicy, RefreshClaims

SECRET = "signing secret of the codec tests"
KEYS = key_ring((SECRET,))
POLICY = AccessPolicy(KEYS)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FAMILY = uuid4()


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(header: Any, claims: Any, key: bytes = SECRET.encode(), digest: Any = hashlib.sha256) -> str:
    """Sign any header and payload."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), digest))}"


def access(policy: AccessPolicy = POLICY, **extra: Any) -> str:
    """Return an access token that is valid for fifteen minutes."""
    start = int(NOW.timestamp())
    return tokens.encode_access(
        policy, subject="7", family_id=FAMILY, issued_at=start, expires_at=start + 900, extra=extra
    )


CLAIMS = {"sub": "7", "sid": str(FAMILY), "exp": int(NOW.timestamp()) + 900}
HEADER = {"alg": "HS256", "typ": "at+jwt"}


def test_an_access_token_comes_back() -> None:
    """Decoding returns the claims that were encoded. Their repr shows no claim."""
    claims = tokens.decode_access(access(role="admin"), POLICY, NOW)
    assert claims["role"] == "admin"
    assert claims.family_id == FAMILY
    assert claims.expires_at == NOW + timedelta(minutes=15)
    assert set(claims) == {"role", "sub", "sid", "jti", "iat", "exp"}
    assert len(claims) == 6
    assert "admin" not in repr(claims)


BAD_HEADERS: list[Any] = [
    {**HEADER, "alg": "None"},
    {**HEADER, "alg": "hs256"},
    {**HEADER, "alg": "ES256"},
    {**HEADER, "alg": ["HS256"]},
    {**HEADER, "alg": None},
    {**HEADER, "typ": "AT+JWT"},
    {**HEADER, "typ": ["at+jwt"]},
    {**HEADER, "crit": "exp"},
    {**HEADER, "crit": ["exp"], "exp": 1},
    {**HEADER, "kid": ["a"]},
    {**HEADER, "kid": {}},
    {},
    [],
    "HS256",
    None,
    5,
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
    {**HEADER, "kid": None},
]


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_bad_headers(header: Any) -> None:
    """A token with ``crit`` (CVE-2026-32597), ``b64`` (CVE-2026-48525), or a wrong ``alg`` or ``typ`` is refused."""
    with pytest.raises(InvalidToken):
        tokens.decode_access(forge(header, CLAIMS), POLICY, NOW)


def test_a_good_forgery_is_taken() -> None:
    """A token by ``forge`` with a valid header is accepted, so the other tests' tokens fail by their headers alone."""
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
    None,
    5,
    {**CLAIMS, "sub": None},
    {**CLAIMS, "sub": ["7"]},
    {**CLAIMS, "sid": None},
    {**CLAIMS, "sid": [str(FAMILY)]},
    {**CLAIMS, "sid": {}},
    {**CLAIMS, "sid": str(FAMILY) + "0"},
    {**CLAIMS, "sid": "\x00"},
    {**CLAIMS, "exp": None},
    {**CLAIMS, "exp": 9_999_999_999.5},
    {**CLAIMS, "exp": float("nan")},
    {**CLAIMS, "exp": float("inf")},
    {**CLAIMS, "exp": [9_999_999_999]},
    {"sub": "7", "sid": str(FAMILY)},
    {"sid": str(FAMILY), "exp": 9_999_999_999},
]


@pytest.mark.parametrize("claims", BAD_CLAIMS)
def test_bad_claims(claims: Any) -> None:
    """Claims of a wrong type are refused despite a valid signature."""
    with pytest.raises(InvalidToken):
        tokens.decode_access(forge(HEADER, claims), POLICY, NOW)


@pytest.mark.parametrize("payload", [b"[" * 3000, b'{"a":' * 900, b"\xff", b"nothing", b"9" * 5000, b"{} {}"])
def test_a_payload_that_is_no_json(payload: bytes) -> None:
    """A payload is refused if it is JSON that is nested too deep, or bytes that are not text."""
    signed = f"{b64(json.dumps(HEADER).encode())}.{b64(payload)}"
    token = f"{signed}.{b64(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))}"
    with pytest.raises(InvalidToken):
        tokens.decode_access(token, POLICY, NOW)


def test_issuer_and_audience() -> None:
    """A token is issued with the issuer and with all audiences. A single audience is a string."""
    several, one = AccessPolicy(KEYS, "acme", ("a", "b")), AccessPolicy(KEYS, None, ("b",))
    claims = tokens.decode_access(access(several), several, NOW)
    assert (claims["iss"], claims["aud"]) == ("acme", ["a", "b"])
    assert tokens.decode_access(access(one), one, NOW)["aud"] == "b"
    with pytest.raises(InvalidToken):
        tokens.decode_access(access(), one, NOW)


def test_the_issuer_of_a_refresh_token() -> None:
    """A refresh token is accepted only for its issuer. Without an issuer, the claim is neither set nor required."""
    row: Any = {"family_id": FAMILY, "generation": 3, "secret": b"x" * 16, "expires_at": NOW}
    token = tokens.encode_refresh(KEYS, **row, issuer="acme")
    assert token == tokens.encode_refresh(KEYS, **row, issuer="acme") != tokens.encode_refresh(KEYS, **row)
    assert tokens.decode_refresh(token, KEYS, "acme") == tokens.decode_refresh(token, KEYS)
    assert json.loads(base64.urlsafe_b64decode(tokens.encode_refresh(KEYS, **row).split(".")[1] + "==")).keys() == {
        "sid",
        "gen",
        "jti",
        "exp",
    }
    for issuer in ("acm", "acme2", "Acme", ""):
        with pytest.raises(InvalidToken):
            tokens.decode_refresh(token, KEYS, issuer)
    with pytest.raises(InvalidToken):
        tokens.decode_refresh(tokens.encode_refresh(KEYS, **row), KEYS, "acme")
    for claimed in (None, ["acme"], {"acme": 1}, 5):
        with pytest.raises(InvalidToken):
            tokens.decode_refresh(forge(REFRESH_HEADER, {**REFRESH_CLAIMS, "iss": claimed}), KEYS, "acme")


def test_a_refresh_token_comes_back() -> None:
    """The same values of a family always give the same refresh token, and it decodes to these values."""
    row: Any = {"family_id": FAMILY, "generation": 3, "secret": b"x" * 16, "expires_at": NOW}
    token = tokens.encode_refresh(KEYS, **row)
    assert token == tokens.encode_refresh(KEYS, **row)
    claims = tokens.decode_refresh(token, KEYS)
    assert (claims.family_id, claims.generation) == (FAMILY, 3)
    assert tokens.token_id_fits(claims, b"x" * 16)
    assert not tokens.token_id_fits(claims, b"y" * 16)
    assert not tokens.token_id_fits(RefreshClaims(FAMILY, 3, "ü"), b"x" * 16)
    assert claims.token_id not in repr(claims)


@pytest.mark.parametrize(
    "change",
    [
        {"gen": -1},
        {"gen": True},
        {"gen": "1"},
        {"gen": 1.0},
        {"gen": None},
        {"gen": [1]},
        {"jti": None},
        {"jti": 5},
        {"jti": ["x"]},
        {"sid": "x"},
        {"sid": None},
        {"sid": 5},
        {"sid": []},
    ],
)
def test_bad_refresh_claims(change: dict[str, Any]) -> None:
    """Claims of a wrong type are refused despite a valid signature."""
    claims = {"sid": str(FAMILY), "gen": 1, "jti": "x", **change}
    with pytest.raises(InvalidToken):
        tokens.decode_refresh(forge({"alg": "HS256", "typ": "rt+jwt"}, claims), KEYS)


def test_any_key_of_the_list_verifies() -> None:
    """Every key of the list verifies, and only the first key signs."""
    both = key_ring(("a newer secret of the codec tests", SECRET))
    tokens.decode_access(access(), AccessPolicy(both), NOW)
    with pytest.raises(InvalidToken):
        tokens.decode_access(access(AccessPolicy(both)), POLICY, NOW)


# Strings that are no valid tokens. Each one is passed to both decoders.

GOOD = forge(HEADER, CLAIMS)
HOSTILE = {
    "nothing": "",
    "no dots": "abc",
    "one dot": "abc.def",
    "three dots": f"{GOOD}.x",
    "only dots": "..",
    "no header": "." + GOOD.partition(".")[2],
    "no payload": "{0}..{2}".format(*GOOD.split(".")),
    "no signature": GOOD.rpartition(".")[0] + ".",
    "10 kB": "x" * 10_000,
    "10 kB of payload": forge(HEADER, {**CLAIMS, "text": "x" * 10_000}),
    "padding": GOOD + "=",
    "padding of the header": GOOD.replace(".", "=.", 1),
    "NUL at the end": GOOD + "\x00",
    "NUL within": GOOD[:10] + "\x00" + GOOD[10:],
    "a new line": GOOD + "\n",
    "a space": " " + GOOD,
    "another alphabet": GOOD.replace("-", "+").replace("_", "/") + "+",
    "not ASCII": "ü" + GOOD,
    "other digits": GOOD + "\uff11",
    "half of a character": GOOD + "\ud800",
    "a deep header": f"{b64(b'[' * 100_000)}.{b64(b'{}')}.{b64(b'x' * 32)}",
    "a deep header that is short": f"{b64(b'[' * 5_000)}.{b64(b'{}')}.{b64(b'x' * 32)}",
    "a header of half a character": f"{b64(b'{' + bytes([0xED, 0xA0, 0x80]) + b'}')}.{b64(b'{}')}.{b64(b'x' * 32)}",
    "a header of a long number": f"{b64(b'9' * 5_000)}.{b64(b'{}')}.{b64(b'x' * 32)}",
    "five parts": "a.b.c.d.e",
    "one more letter": GOOD + "A",
    "a signature of zeros": f"{GOOD.rpartition('.')[0]}.{b64(bytes(32))}",
    "a signature of one byte": f"{GOOD.rpartition('.')[0]}.{b64(bytes(1))}",
    "a signature of 33 bytes": f"{GOOD.rpartition('.')[0]}.{b64(bytes(33))}",
    "upper case": GOOD.upper(),
}


@pytest.mark.parametrize("token", HOSTILE.values(), ids=HOSTILE)
def test_hostile_strings(token: str) -> None:
    """Each hostile string is refused as invalid, and raises no other error."""
    for decode in (lambda: tokens.decode_access(token, POLICY, NOW), lambda: tokens.decode_refresh(token, KEYS)):
        with pytest.raises(InvalidToken) as caught:
            decode()
        assert caught.value.reason == "invalid"


@pytest.mark.parametrize("part", [0, 1, 2])
def test_one_bit_flipped(part: int) -> None:
    """A token is refused if any of its bits is changed, even an unused bit of a part's last character."""
    parts = GOOD.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for position, character in enumerate(parts[part]):
        for bit in range(6):
            flipped = alphabet[alphabet.index(character) ^ (1 << bit)]
            changed = parts[part][:position] + flipped + parts[part][position + 1 :]
            token = ".".join([*parts[:part], changed, *parts[part + 1 :]])
            with pytest.raises(InvalidToken):
                tokens.decode_access(token, POLICY, NOW)


@pytest.mark.parametrize(
    "key",
    [b"", b"null", SECRET.encode()[:-1], b"n" * 32, SECRET.encode() + b"\n", SECRET.encode().hex().encode()],
)
def test_another_key(key: bytes) -> None:
    """A token signed with any other key, even an empty one, is refused."""
    with pytest.raises(InvalidToken):
        tokens.decode_access(forge(HEADER, CLAIMS, key), POLICY, NOW)
    with pytest.raises(InvalidToken):
        tokens.decode_refresh(forge(REFRESH_HEADER, REFRESH_CLAIMS, key), KEYS)


def test_another_digest_under_the_same_name() -> None:
    """A signature with another hash function is refused."""
    for digest in (hashlib.sha1, hashlib.sha384, hashlib.sha512):
        with pytest.raises(InvalidToken):
            tokens.decode_access(forge(HEADER, CLAIMS, digest=digest), POLICY, NOW)


REFRESH_HEADER = {"alg": "HS256", "typ": "rt+jwt"}
REFRESH_CLAIMS = {"sid": str(FAMILY), "gen": 1, "jti": "x"}


def test_the_two_jobs_have_a_typ_each() -> None:
    """Access and refresh tokens can't replace each other, even with one secret for both (RFC 8725 section 3.11)."""
    both = {**CLAIMS, **REFRESH_CLAIMS}
    assert tokens.decode_access(forge(HEADER, both), POLICY, NOW)
    assert tokens.decode_refresh(forge(REFRESH_HEADER, both), KEYS).generation == 1
    for typ in ("rt+jwt", "JWT", "application/at+jwt", "", None):
        with pytest.raises(InvalidToken):
            tokens.decode_access(forge({**HEADER, "typ": typ}, both), POLICY, NOW)
    for typ in ("at+jwt", "JWT", "application/rt+jwt", "", None):
        with pytest.raises(InvalidToken):
            tokens.decode_refresh(forge({**HEADER, "typ": typ}, both), KEYS)


ISSUERS: list[Any] = ["acm", "acme2", "Acme", "", None, ["acme"], {"acme": 1}, 5]


@pytest.mark.parametrize("issuer", ISSUERS)
def test_another_issuer(issuer: Any) -> None:
    """A prefix of the issuer (CVE-2024-53861) or a list with the issuer is refused."""
    policy = AccessPolicy(KEYS, "acme")
    assert tokens.decode_access(forge(HEADER, {**CLAIMS, "iss": "acme"}), policy, NOW)["iss"] == "acme"
    for claims in ({**CLAIMS, "iss": issuer}, CLAIMS):
        with pytest.raises(InvalidToken):
            tokens.decode_access(forge(HEADER, claims), policy, NOW)


@pytest.mark.parametrize(
    ("audience", "fits"),
    [
        ("a", True),
        (["a"], True),
        (["x", "b"], True),
        ("ab", False),
        ("", False),
        ([], False),
        ([["a"]], False),
        (["x", 5, None], False),
        ({"a": 1}, False),
        (5, False),
        (None, False),
    ],
)
def test_audiences(audience: Any, fits: bool) -> None:
    """One common audience is enough, as a string or in a list: RFC 7519 section 4.1.3."""
    policy = AccessPolicy(KEYS, None, ("a", "b"))
    token = forge(HEADER, {**CLAIMS, "aud": audience})
    if fits:
        assert tokens.decode_access(token, policy, NOW)["aud"] == audience
    else:
        with pytest.raises(InvalidToken):
            tokens.decode_access(token, policy, NOW)


def test_without_issuer_and_audience_nobody_asks() -> None:
    """Without ISSUER and AUDIENCE a token may have any issuer and audience."""
    assert tokens.decode_access(forge(HEADER, {**CLAIMS, "iss": "x", "aud": ["y"]}), POLICY, NOW)["iss"] == "x"


@pytest.mark.parametrize("leeway", [0, 0.0, 2.5, 60])
def test_the_leeway_s_boundary(leeway: float) -> None:
    """A token is valid until ``exp`` plus the leeway, and at exactly that moment it has expired."""
    policy, end = AccessPolicy(KEYS, leeway=leeway), NOW + timedelta(seconds=900 + leeway)
    assert tokens.decode_access(access(), policy, end - timedelta(microseconds=1))
    for late in (timedelta(), timedelta(microseconds=1), timedelta(days=9)):
        with pytest.raises(ExpiredToken) as caught:
            tokens.decode_access(access(), policy, end + late)
        assert caught.value.reason == "expired"


@pytest.mark.parametrize("change", [{"iat": 9_999_999_999}, {"iat": "soon"}, {"nbf": 9_999_999_999}, {"jti": 5}])
def test_clocks_and_names_that_are_not_held_against_a_token(change: dict[str, Any]) -> None:
    """An access token is accepted whatever its ``iat``, ``nbf`` and ``jti``: clocks differ, and we set no ``nbf``."""
    assert tokens.decode_access(forge(HEADER, {**CLAIMS, **change}), POLICY, NOW)["sub"] == "7"


def test_a_token_is_as_long_as_may_be() -> None:
    """The longest token that we issue is accepted. A longer one is an error when it is issued."""
    room = (8192 - len(access(text=""))) * 3 // 4 - 2  # base64 takes four characters for three bytes
    longest = access(text="x" * room)
    assert 8188 <= len(longest) <= 8192
    assert tokens.decode_access(longest, POLICY, NOW)["text"] == "x" * room
    with pytest.raises(ClaimsError, match="8192"):
        access(text="x" * (room + 6))


def test_a_refresh_token_s_end_is_not_looked_at() -> None:
    """The codec does not check ``exp`` of a refresh token: an expired copy of an active family's old token is reuse."""
    for end in (1, 0, -5, None, "x", True):
        assert tokens.decode_refresh(forge(REFRESH_HEADER, {**REFRESH_CLAIMS, "exp": end}), KEYS).generation == 1


def test_a_token_id_that_is_half_a_character() -> None:
    """A ``jti`` with half of a surrogate pair, which JSON can contain, is refused."""
    with pytest.raises(InvalidToken):
        tokens.decode_refresh(forge(REFRESH_HEADER, {**REFRESH_CLAIMS, "jti": "\ud800"}), KEYS)


@pytest.mark.parametrize("end", [10**400, -(10**400)], ids=["late", "early"])
def test_an_end_that_no_clock_reaches(end: int) -> None:
    """An ``exp`` beyond the largest float is refused as invalid, and raises no other error."""
    token = forge(HEADER, {**CLAIMS, "exp": end})
    with pytest.raises(InvalidToken):
        tokens.decode_access(token, AccessPolicy(KEYS, leeway=0.0), NOW)


def test_the_last_end_that_a_clock_reaches() -> None:
    """``exp`` may be in the last second of the year 9999, which is the last one of ``datetime``."""
    token = forge(HEADER, {**CLAIMS, "exp": tokens.MAX_TIME})
    assert tokens.decode_access(token, POLICY, NOW).expires_at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    with pytest.raises(InvalidToken):
        tokens.decode_access(forge(HEADER, {**CLAIMS, "exp": tokens.MAX_TIME + 1}), POLICY, NOW)


def test_a_token_at_the_longest_and_one_beyond() -> None:
    """A token of 8,192 characters is accepted, one of 8,193 is refused."""
    forged = [
        forge({**HEADER, "kid": kid}, {**CLAIMS, "text": "x" * room})
        for kid in ("", "a", "ab", "abc")
        for room in range(5_900, 6_000)
    ]
    by_length = {len(token): token for token in forged}
    assert tokens.decode_access(by_length[8192], POLICY, NOW)["sub"] == "7"
    with pytest.raises(InvalidToken):
        tokens.decode_access(by_length[8193], POLICY, NOW)
