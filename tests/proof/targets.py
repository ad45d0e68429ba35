"""Targets of the fuzzer. Each target takes bytes, and raises an AssertionError if twotoken handles them wrongly."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.test import override_settings

from tests.jar import COMPANION, COOKIE, cookies
from tests.proofs import EC_KEY, jwk, sign
from twotoken import dpop, tokens
from twotoken.bearer import bearer_token
from twotoken.contrib.dbsc.codec import InvalidDeviceProof, parse_proof, registered_key
from twotoken.cookies import cookie_values, token_from_cookie
from twotoken.exceptions import (
    CrossOrigin,
    ExpiredToken,
    InvalidIdempotencyKey,
    InvalidProof,
    InvalidToken,
    MissingToken,
)
from twotoken.keys import key_ring
from twotoken.views import check_origin, idempotency_key

SECRET = settings.TWOTOKEN["REFRESH_SECRET"].encode()
KEYS = key_ring((SECRET.decode(),))
POLICY = tokens.AccessPolicy(KEYS, issuer="us", audience=("api",))
NOW = datetime(2031, 5, 4, tzinfo=UTC)
FAMILY = UUID(int=7)
REFRESH = tokens.encode_refresh(KEYS, family_id=FAMILY, generation=3, secret=b"x" * 16, expires_at=NOW)
START = int(NOW.timestamp())
ACCESS = tokens.encode_access(
    POLICY, subject="7", family_id=FAMILY, issued_at=START, expires_at=START + 900, extra={"role": "x"}
)
COOKIE_HEADERS = [
    cookies(REFRESH).encode(),
    f"{COOKIE}=a; x=y; {cookies(REFRESH)}; {COOKIE}=b".encode(),
    f"\xa0{cookies(REFRESH)}; {COOKIE} = {REFRESH}".encode("latin-1"),
    f'={COOKIE};;{COOKIE}="a"'.encode(),
]
ADDRESS = "https://api.example/notes/"
PROOF_HEADER: dict[str, Any] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(EC_KEY)}
PROOF_CLAIMS: dict[str, Any] = {"htm": "POST", "htu": ADDRESS, "iat": START, "jti": "a-proof"}
PROOFS = [sign(PROOF_HEADER, {**PROOF_CLAIMS, "jti": jti}, EC_KEY) for jti in ("a-proof", "b-proof")]
DEVICE_HEADER: dict[str, Any] = {"typ": "dbsc+jwt", "alg": "ES256", "jwk": jwk(EC_KEY)}
DEVICE_PROOFS = [sign(DEVICE_HEADER, {"jti": challenge}, EC_KEY) for challenge in ("a-challenge", "another")]
VISIBLE = {chr(code) for code in range(0x21, 0x7F)} - {'"'}
TRUSTED = ["https://app.example", "https://*.example.org"]


def request(**meta: str) -> HttpRequest:
    """Return a POST to our own host with these entries of META."""
    made = HttpRequest()
    made.method = "POST"
    made.META = {"SERVER_NAME": "testserver", "SERVER_PORT": "80", "HTTP_HOST": "testserver", **meta}
    return made


def b64(data: bytes) -> bytes:
    """Encode bytes as a JWT does: base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=")


def decoded(token: str) -> bool:
    """Decode a text as a refresh token and as an access token. Tell whether one of the two was accepted."""
    taken = False
    try:
        claims = tokens.decode_refresh(token, KEYS)
    except InvalidToken:
        pass
    else:
        taken = True
        assert type(claims.generation) is int
        assert claims.generation >= 0
        assert claims.token_id.isascii()
        assert not tokens.token_id_fits(claims, b"y" * 16)
    try:
        access = tokens.decode_access(token, POLICY, NOW)
    except (InvalidToken, ExpiredToken):
        return taken
    assert not taken
    assert isinstance(access["sub"], str)
    assert access["iss"] == "us"
    assert access.expires_at > NOW
    assert isinstance(access.family_id, UUID)
    return True


def token(data: bytes) -> None:
    """Decode the data as a token. Only the two tokens that we signed are accepted; all other data are refused."""
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    assert decoded(text) == (text in {REFRESH, ACCESS})


def signed_token(data: bytes) -> None:
    """Sign the data, a header and a payload on two lines, with our key. An accepted token has valid claims."""
    header, _, payload = data.partition(b"\n")
    text = b64(header) + b"." + b64(payload)
    decoded((text + b"." + b64(hmac.digest(SECRET, text, hashlib.sha256))).decode())


def foreign_token(data: bytes) -> None:
    """Sign the data, a header and a payload on two lines, with a foreign key. The token is never accepted."""
    header, _, payload = data.partition(b"\n")
    text = b64(header) + b"." + b64(payload)
    assert not decoded((text + b"." + b64(hmac.digest(b"k" * 32, text, hashlib.sha256))).decode())


def cookie(data: bytes) -> None:
    """Read the data as a Cookie header. Only our token is accepted, if the companion cookie names its family."""
    found = request(HTTP_COOKIE=data.decode("latin-1"))
    values = cookie_values(found, COOKIE)
    assert len(values) == len(set(values))
    assert all(values)
    try:
        claims = token_from_cookie(found)
    except MissingToken:
        assert not values
    except InvalidToken:
        assert values
    else:
        assert REFRESH in values
        assert (claims.family_id, cookie_values(found, COMPANION)) == (FAMILY, [str(FAMILY)])


def key(data: bytes) -> None:
    """Read the data as an Idempotency-Key. 8 to 255 visible characters are accepted, bare or quoted."""
    header = data.decode("latin-1")
    bare = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    good = 8 <= len(bare) <= 255 and set(bare) <= VISIBLE
    try:
        # The annotation says Request, of which it reads META alone.
        found = idempotency_key(request(HTTP_IDEMPOTENCY_KEY=header))  # type: ignore[arg-type]
    except InvalidIdempotencyKey:
        assert not good
    else:
        assert good
        assert found == bare


def bearer(data: bytes) -> None:
    """Read the data as an Authorization header. Only one word after Bearer or DPoP is a token."""
    header = data.decode("latin-1")
    words = header.split()
    try:
        found = bearer_token(request(HTTP_AUTHORIZATION=header))
    except InvalidToken:
        assert words[0].lower() in {"bearer", "dpop"}
        assert len(words) != 2
    else:
        assert (found is None) == (not words or words[0].lower() not in {"bearer", "dpop"})
        assert found is None or found == words[1]


def proof(data: bytes) -> None:
    """Read the data as a DPoP header. Only the two proofs that we signed for this request are accepted."""
    try:
        found = dpop.verify_proof(data.decode("latin-1"), method="POST", address=ADDRESS, now=NOW)
    except InvalidProof:
        return
    assert data.decode("latin-1") in PROOFS
    assert found.key == json.dumps(jwk(EC_KEY), separators=(",", ":"), sort_keys=True)


def signed_proof(data: bytes) -> None:
    """Sign the data, header and claims on two lines, as a DPoP proof. If it is accepted, it fits the request."""
    header, _, claims = data.partition(b"\n")
    try:
        found = dpop.verify_proof(sign(header, claims, EC_KEY), method="POST", address=ADDRESS, now=NOW)
    except InvalidProof:
        return
    members = json.loads(claims)
    assert (members["htm"], members["jti"]) == ("POST", found.jti)
    assert abs(members["iat"] - START) <= dpop.WINDOW
    assert urlsplit(members["htu"]).scheme.lower() == "https"
    assert json.loads(header)["jwk"]["x"] == jwk(EC_KEY)["x"]


def device_proof(data: bytes) -> None:
    """Read the data as a Secure-Session-Response header. Only the two proofs that we signed register a key."""
    header = data.decode("latin-1")
    try:
        found = registered_key(parse_proof(header))
    except InvalidDeviceProof:
        return
    assert header.strip(' "') in DEVICE_PROOFS
    assert found == "dbsc:" + json.dumps(jwk(EC_KEY), separators=(",", ":"), sort_keys=True)


def signed_device_proof(data: bytes) -> None:
    """Sign the data, header and claims on two lines, as a registration. An accepted one registers the signing key."""
    header, _, claims = data.partition(b"\n")
    try:
        found = parse_proof(sign(header, claims, EC_KEY))
        key = registered_key(found)
    except InvalidDeviceProof:
        return
    assert (json.loads(header)["typ"], json.loads(claims)["jti"]) == ("dbsc+jwt", found.challenge)
    assert json.loads(key.removeprefix("dbsc:")) == jwk(EC_KEY)


def origin(data: bytes) -> None:
    """Read the data as Sec-Fetch-Site and Origin on two lines. Only our origin, trusted origins and scripts pass."""
    site, _, sent = data.decode("latin-1").partition("\n")
    with override_settings(CSRF_TRUSTED_ORIGINS=TRUSTED, ALLOWED_HOSTS=["testserver"]):
        try:
            check_origin(request(HTTP_SEC_FETCH_SITE=site, HTTP_ORIGIN=sent))
        except CrossOrigin:
            return
    if site in {"same-origin", "none"} or (not site and sent in {"", "http://testserver"}):
        return
    parts = urlsplit(sent)
    assert parts.scheme == "https"
    assert parts.netloc == "app.example" or f".{parts.netloc}".lower().endswith(".example.org")


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "token": (token, [REFRESH.encode(), ACCESS.encode(), b"a.b.c", b"..", "ü\ud800".encode("utf-8", "surrogatepass")]),
    "signed_token": (
        signed_token,
        [
            b'{"alg":"HS256","typ":"rt+jwt"}\n{"sid":"00000000-0000-0000-0000-000000000007","gen":3,"jti":"x"}',
            b'{"alg":"HS256","typ":"at+jwt"}\n{"sid":"00000000-0000-0000-0000-000000000007","sub":"7","exp":9999999999,'
            b'"iss":"us","aud":["api"]}',
            b'{"alg":"HS256","typ":"rt+jwt","crit":["b64"],"b64":false}\n{}',
            b'{"alg":"none","kid":"x"}\n[]',
        ],
    ),
    "foreign_token": (foreign_token, [b'{"alg":"HS256","typ":"rt+jwt"}\n{"gen":3}', b'{"alg":"none"}\n{}']),
    "cookie": (cookie, COOKIE_HEADERS),
    "key": (key, [b'"a-key-of-some-length"', b"a-key-of-some-length", b'"12345678', b"1234567"]),
    "bearer": (bearer, [b"Bearer a.b.c", b"bearer", b"Basic eDp5", b"Bearer a b"]),
    "proof": (proof, [each.encode() for each in PROOFS]),
    "signed_proof": (
        signed_proof,
        [
            b"\n".join(json.dumps(part).encode() for part in (header, {**PROOF_CLAIMS, "htu": address}))
            for header in (PROOF_HEADER, {**PROOF_HEADER, "crit": ["b64"]}, {**PROOF_HEADER, "alg": "EdDSA"})
            for address in (ADDRESS, "https://API.example:443/a/../notes/?x#y", "https://[::1/")
        ],
    ),
    "device_proof": (device_proof, [each.encode() for each in (*DEVICE_PROOFS, f'"{DEVICE_PROOFS[0]}"')]),
    "signed_device_proof": (
        signed_device_proof,
        [
            json.dumps({**DEVICE_HEADER, **change}).encode() + b'\n{"jti":"a-challenge"}'
            for change in ({}, {"alg": "RS256"}, {"jwk": {"kty": "RSA", "e": "AQAB", "n": "AQ"}}, {"crit": ["b64"]})
        ],
    ),
    "origin": (
        origin,
        [
            b"cross-site\nhttps://app.example",
            b"\nhttp://testserver",
            b"same-site\nhttps://a.example.org",
            b"same-origin\nnull",
            b"\nhttp://[",
        ],
    ),
}
