"""The codec of DPoP proofs: tables of cases for section 4.3 of RFC 9449."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.proofs import EC_KEY, ED_KEY, OTHER_KEY, P384_KEY, b64, jwk, pem, public_pem, sign
from twotoken import dpop
from twotoken.dpop import codec, thumbprint
from twotoken.exceptions import InvalidProof, NonceRequired, ProofAddress, ProofTime
from twotoken.keys import b64decode

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
ADDRESS = "https://api.example.com/notes/7/"
JWK = jwk(EC_KEY)
HEADER = {"typ": "dpop+jwt", "alg": "ES256", "jwk": JWK}
CLAIMS = {"htm": "POST", "htu": ADDRESS, "iat": SECONDS, "jti": "a-proof"}
EXAMPLE_HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJo"
    "RjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
EXAMPLE_PROOF = (
    f"{EXAMPLE_HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29t"
    "L3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV3"
    "7xRZT3Lg"
)
EXAMPLE_PROOF_OF_A_TOKEN = (
    f"{EXAMPLE_HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9y"
    "Zy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzb"
    "VFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
EXAMPLE_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
EXAMPLE_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def verify(proof: str, **expected: Any) -> dpop.Proof:
    """Verify a proof for a POST to ADDRESS at NOW, or for what ``expected`` says."""
    return dpop.verify_proof(proof, **{"method": "POST", "address": ADDRESS, "now": NOW, **expected})


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a dict without one member."""
    return {key: value for key, value in members.items() if key != name}


def test_the_examples_of_the_rfc() -> None:
    """RFC 9449's examples pass: the proofs of figures 2 and 12, a thumbprint and a token's hash."""
    made = dpop.verify_proof(
        EXAMPLE_PROOF,
        method="POST",
        address="https://server.example.com/token",
        now=datetime.fromtimestamp(1562262616, UTC),
    )
    used = dpop.verify_proof(
        EXAMPLE_PROOF_OF_A_TOKEN,
        method="GET",
        address="https://resource.example.org/protectedresource",
        now=datetime.fromtimestamp(1562262618, UTC),
        access_token=EXAMPLE_TOKEN,
    )
    assert (made.jti, used.jti) == ("-BwC3ESc6acc2lTc", "e1j3V_bKic8-LAEB")
    assert made.thumbprint == used.thumbprint == thumbprint(made.device_key) == EXAMPLE_THUMBPRINT
    assert dpop.token_hash(EXAMPLE_TOKEN) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


@pytest.mark.parametrize("key", [EC_KEY, ED_KEY], ids=["ES256", "EdDSA"])
def test_what_is_made_is_accepted(key: Any) -> None:
    """``verify_proof`` accepts what ``make_proof`` makes, with a query, an access token and a nonce."""
    proof = dpop.make_proof(
        pem(key), method="POST", address=f"{ADDRESS}?page=2#top", now=NOW, access_token="a.b.c", nonce="n"
    )
    found = verify(proof, access_token="a.b.c", is_nonce="n".__eq__)
    assert json.loads(found.key) == jwk(key)
    assert found.key == json.dumps(jwk(key), separators=(",", ":"), sort_keys=True)
    assert found.device_key == f"dpop:{found.key}"
    assert found.issued_at == SECONDS
    assert found != verify(dpop.make_proof(pem(key), method="POST", address=ADDRESS, now=NOW)), "each has its own jti"


P25519 = 2**255 - 19
ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")


@pytest.mark.parametrize("sign_bit", [0, 2**255])
@pytest.mark.parametrize("y", [0, 1, P25519 - 1, P25519, P25519 + 1, ORDER_8, P25519 - ORDER_8])
def test_keys_that_everybody_can_sign_for(y: int, sign_bit: int) -> None:
    """Ed25519 keys of small order are refused in each encoding, because one signature fits any message."""
    key = {"kty": "OKP", "crv": "Ed25519", "x": b64(((y % 2**255) | sign_bit).to_bytes(32, "little"))}
    message = ".".join(b64(json.dumps(part).encode()) for part in ({**HEADER, "alg": "EdDSA", "jwk": key}, CLAIMS))
    with pytest.raises(InvalidProof, match="jwk"):
        verify(f"{message}.{b64(bytes([1, *bytes(63)]))}")


def test_a_password_in_the_address() -> None:
    """A proof by ``make_proof`` has no user name or password from the URL, because a server may log the proof."""
    address = ADDRESS.replace("https://", "https://ann:secret@")
    proof = dpop.make_proof(pem(EC_KEY), method="POST", address=address, now=NOW)
    assert verify(proof)
    assert json.loads(b64decode(proof.split(".")[1]))["htu"] == ADDRESS


@pytest.mark.parametrize("algorithm", ["EdDSA", "Ed25519"])
def test_both_names_of_ed25519(algorithm: str) -> None:
    """The algorithm names EdDSA and Ed25519 (RFC 9864) give the same device key."""
    header = {"typ": "dpop+jwt", "alg": algorithm, "jwk": jwk(ED_KEY)}
    assert json.loads(verify(sign(header, CLAIMS, ED_KEY)).key) == jwk(ED_KEY)


def test_other_members_do_not_change_the_key() -> None:
    """Members such as ``ext``, ``kid`` and ``alg``, which other libraries add, don't change the device key."""
    more = {**JWK, "ext": True, "key_ops": ["verify"], "kid": "1", "use": "sig", "alg": "ES256"}
    made = [sign({**HEADER, "jwk": each, "kid": "2"}, {**CLAIMS, "extra": [1]}, EC_KEY) for each in (JWK, more)]
    assert verify(made[0]).device_key == verify(made[1]).device_key


@pytest.mark.parametrize("pem", [pem(P384_KEY), "x", public_pem(EC_KEY)])
def test_keys_that_make_no_proof(pem: str) -> None:
    """``make_proof`` raises ValueError for a key of another curve, a public key, and a text that is no key."""
    with pytest.raises(ValueError, match="key"):
        dpop.make_proof(pem, method="GET", address=ADDRESS, now=NOW)


BAD_HEADERS: list[tuple[str, Any]] = [
    ("typ", without(HEADER, "typ")),
    ("typ", {**HEADER, "typ": "JWT"}),
    ("typ", {**HEADER, "typ": "DPOP+JWT"}),
    ("typ", {**HEADER, "typ": "at+jwt"}),
    ("typ", {**HEADER, "typ": ["dpop+jwt"]}),
    ("alg", without(HEADER, "alg")),
    ("alg", {**HEADER, "alg": "none"}),
    ("alg", {**HEADER, "alg": "HS256"}),
    ("alg", {**HEADER, "alg": "RS256"}),
    ("alg", {**HEADER, "alg": "ES384"}),
    ("alg", {**HEADER, "alg": "es256"}),
    ("alg", {**HEADER, "alg": ["ES256"]}),
    ("jwk", {**HEADER, "alg": "EdDSA"}),
    ("jwk", {**HEADER, "alg": "Ed25519"}),
    ("jwk", {**HEADER, "jwk": jwk(ED_KEY)}),
    ("jwk", {**HEADER, "jwk": jwk(P384_KEY)}),
    ("jwk", without(HEADER, "jwk")),
    ("jwk", {**HEADER, "jwk": json.dumps(JWK)}),
    ("jwk", {**HEADER, "jwk": [JWK]}),
    ("jwk", {**HEADER, "jwk": {}}),
    ("jwk", {**HEADER, "jwk": {"kty": "oct"}}),
    ("jwk", {**HEADER, "jwk": {**JWK, "kty": "ec"}}),
    ("jwk", {**HEADER, "jwk": {**JWK, "crv": "secp256k1"}}),
    ("jwk", {**HEADER, "jwk": without(JWK, "y")}),
    ("jwk", {**HEADER, "jwk": {**JWK, "x": 5}}),
    ("jwk", {**HEADER, "jwk": {**JWK, "x": "é"}}),
    ("jwk", {**HEADER, "jwk": {**JWK, "x": f"{JWK['x']}="}}),
    ("jwk", {**HEADER, "jwk": {**JWK, "x": JWK["x"][:-2]}}),
    ("jwk", {**HEADER, "jwk": {**JWK, "y": b64(bytes(31) + b"\x01")}}),  # not on the curve
    ("jwk", {**HEADER, "jwk": {**JWK, "x": b64(bytes(32)), "y": b64(bytes(32))}}),
    ("private jwk", {**HEADER, "jwk": {**JWK, "d": b64(bytes(32))}}),
    ("private jwk", {**HEADER, "jwk": {**JWK, "d": None}}),
    ("private jwk", {**HEADER, "jwk": {"kty": "oct", "k": "AAAA"}}),
    ("private jwk", {**HEADER, "jwk": {**JWK, "oth": []}}),
    ("crit", {**HEADER, "crit": ["exp"], "exp": 1}),
    ("crit", {**HEADER, "crit": []}),
    ("crit", {**HEADER, "b64": False}),
    ("header", [HEADER]),
    ("header", b"\xff"),
    ("header", b"[" * 2000),
    ("header", b"1" * 2000),
]


@pytest.mark.parametrize(("problem", "header"), BAD_HEADERS)
def test_bad_headers(problem: str, header: Any) -> None:
    """Each invalid header is refused, even with a valid signature."""
    with pytest.raises(InvalidProof, match=f"^{problem}$"):
        verify(sign(header, CLAIMS, EC_KEY))


BAD_CLAIMS: list[tuple[type[InvalidProof], str, Any]] = [
    (ProofAddress, "htm", without(CLAIMS, "htm")),
    (ProofAddress, "htm", {**CLAIMS, "htm": "post"}),
    (ProofAddress, "htm", {**CLAIMS, "htm": "GET"}),
    (ProofAddress, "htm", {**CLAIMS, "htm": ["POST"]}),
    (ProofAddress, "htu", without(CLAIMS, "htu")),
    (ProofAddress, "htu", {**CLAIMS, "htu": [ADDRESS]}),
    (InvalidProof, "iat", without(CLAIMS, "iat")),
    (InvalidProof, "iat", {**CLAIMS, "iat": str(SECONDS)}),
    (InvalidProof, "iat", {**CLAIMS, "iat": True}),
    (ProofTime, "iat", {**CLAIMS, "iat": SECONDS - 61}),
    (ProofTime, "iat", {**CLAIMS, "iat": SECONDS + 61}),
    (ProofTime, "iat", {**CLAIMS, "iat": SECONDS * 1000}),
    (ProofTime, "iat", {**CLAIMS, "iat": 10**1000}),
    (ProofTime, "iat", {**CLAIMS, "iat": -(10**1000)}),
    (ProofTime, "iat", {**CLAIMS, "iat": float("nan")}),
    (ProofTime, "iat", {**CLAIMS, "iat": float("inf")}),
    (InvalidProof, "jti", without(CLAIMS, "jti")),
    (InvalidProof, "jti", {**CLAIMS, "jti": ""}),
    (InvalidProof, "jti", {**CLAIMS, "jti": 5}),
    (InvalidProof, "jti", {**CLAIMS, "jti": "x" * 257}),
    (InvalidProof, "jti", {**CLAIMS, "jti": "a\nb"}),
    (InvalidProof, "jti", {**CLAIMS, "jti": "é"}),
    (InvalidProof, "jti", {**CLAIMS, "jti": "\ud800"}),
    (InvalidProof, "payload", [CLAIMS]),
    (InvalidProof, "payload", b"{"),
]


@pytest.mark.parametrize(("error", "problem", "claims"), BAD_CLAIMS)
def test_bad_claims(error: type[InvalidProof], problem: str, claims: Any) -> None:
    """Each invalid claim is refused despite a valid signature."""
    with pytest.raises(InvalidProof, match=f"^{problem}$") as refused:
        verify(sign(HEADER, claims, EC_KEY))
    assert refused.type is error


@pytest.mark.parametrize("seconds", [-60, -59.5, 0, 59.5, 60])
def test_a_minute_both_ways(seconds: float) -> None:
    """``iat`` may differ by a minute in both directions, and may have a fraction (RFC 7519 section 2)."""
    assert verify(sign(HEADER, {**CLAIMS, "iat": SECONDS + seconds}, EC_KEY)).issued_at == SECONDS + seconds


GOOD = sign(HEADER, CLAIMS, EC_KEY)
HEAD, BODY, SIGNATURE = GOOD.split(".")


@pytest.mark.parametrize(
    ("problem", "proof"),
    [
        ("no single JWT", ""),
        ("no single JWT", f"{GOOD},{GOOD}"),
        ("no single JWT", f"{HEAD}.{BODY}"),
        ("no single JWT", f"{GOOD}é"),
        ("no single JWT", sign(HEADER, {**CLAIMS, "more": "x" * 4000}, EC_KEY)),
        ("signature", f"{GOOD}, "),
        ("signature", f"{HEAD}.{BODY}."),
        ("signature", f"{HEAD}.{BODY}.{b64(bytes(64))}"),
        ("signature", f"{HEAD}.{BODY}.{SIGNATURE}="),
        ("signature", f"{HEAD}.{b64(json.dumps({**CLAIMS, 'htm': 'GET'}).encode())}.{SIGNATURE}"),
        ("signature", sign(HEADER, CLAIMS, OTHER_KEY)),
        ("signature", sign({**HEADER, "alg": "EdDSA", "jwk": jwk(ED_KEY)}, CLAIMS, EC_KEY)),
    ],
)
def test_what_is_no_signed_jwt(problem: str, proof: str) -> None:
    """Two proofs, joined by a comma, are refused. A proof with a wrong, foreign or missing signature is refused too."""
    with pytest.raises(InvalidProof, match=f"^{problem}$"):
        verify(proof)


@pytest.mark.parametrize(
    ("proven", "presented", "fits"),
    [("a.b.c", "a.b.c", True), ("a.b.c", "a.b.d", False), (None, "a.b.c", False), ("a.b.c", None, True)],
)
def test_the_access_token_of_a_proof(proven: str | None, presented: str | None, fits: bool) -> None:
    """A proof that is sent with an access token must have this token's ``ath``. Without a token ``ath`` is not read."""
    proof = dpop.make_proof(pem(EC_KEY), method="POST", address=ADDRESS, now=NOW, access_token=proven)
    if fits:
        verify(proof, access_token=presented)
    else:
        with pytest.raises(InvalidProof, match="ath"):
            verify(proof, access_token=presented)


SAME = [
    ("https://api.example.com/notes/7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com/notes/7/?page=2", "https://api.example.com/notes/7/"),
    ("https://api.example.com/notes/7/#top", "https://api.example.com/notes/7/"),
    ("HTTPS://API.Example.COM/notes/7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com:443/notes/7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com/", "https://api.example.com:443"),
    ("http://localhost:80/x", "http://LOCALHOST/x"),
    ("https://api.example.com:/x", "https://api.example.com/x"),
    ("https://api.example.com", "https://api.example.com/"),
    ("https://api.example.com?x", "https://api.example.com/"),
    ("https://api.example.com/%6eotes/", "https://api.example.com/notes/"),
    ("https://api.example.com/me%40home", "https://api.example.com/me@home"),
    ("https://api.example.com/%c3%a9", "https://api.example.com/%C3%A9"),
    ("https://api.example.com/a/../notes/./7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com/../notes/7/.", "https://api.example.com/notes/7/"),
    ("https://api.example.com/notes/7/8/%2e%2e", "https://api.example.com/notes/7/"),
    ("http://[::1]:8000/x", "http://[::1]:8000/x/../x"),
]
OTHER = [
    ("http://api.example.com/notes/7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com/notes/7", "https://api.example.com/notes/7/"),
    ("https://api.example.com/Notes/7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com//notes/7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com:8443/notes/7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com:80/notes/7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com.evil.example/notes/7/", "https://api.example.com/notes/7/"),
    ("https://me@api.example.com/notes/7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com/notes/7/%2520", "https://api.example.com/notes/7/%20"),
    ("https://api.example.com/notes/7/%3Fx", "https://api.example.com/notes/7/"),
    ("https://api.example.com:x/", "https://api.example.com/"),
    ("https://api.example.com:99999/", "https://api.example.com/"),
    ("https://[::1/", "https://api.example.com/"),
    ("/notes/7/", "https://api.example.com/notes/7/"),
    ("//api.example.com/notes/7/", "https://api.example.com/notes/7/"),
    ("ftp://api.example.com/notes/7/", "https://api.example.com/notes/7/"),
    ("https:///notes/7/", "https://api.example.com/notes/7/"),
    (" https://api.example.com/notes/7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com/no\ntes/7/", "https://api.example.com/notes/7/"),
    ("https://api.example.com/é", "https://api.example.com/%C3%A9"),
    ("", "https://api.example.com/"),
]


@pytest.mark.parametrize(
    ("htu", "address", "same"), [*((*each, True) for each in SAME), *((*each, False) for each in OTHER)]
)
def test_addresses(htu: str, address: str, same: bool) -> None:
    """``htu`` is compared by RFC 3986 section 6.2: host case, default port, encoding and dot segments don't matter."""
    proof = sign(HEADER, {**CLAIMS, "htu": htu}, EC_KEY)
    if same:
        assert verify(proof, address=address).jti == "a-proof"
    else:
        with pytest.raises(ProofAddress, match="htu"):
            verify(proof, address=address)


SECRET, OLD_SECRET = b"s" * 32, b"o" * 32


@pytest.mark.parametrize(
    ("secret", "age", "fits"),
    [
        (SECRET, 0, True),
        (SECRET, 120, True),
        (OLD_SECRET, 119, True),
        (SECRET, 240, False),
        (SECRET, -120, False),
        (b"x", 0, False),
    ],
)
def test_nonces(secret: bytes, age: int, fits: bool) -> None:
    """The current and the previous nonce of each secret in the list are accepted, and nothing is stored."""
    nonce = dpop.nonce_at(secret, NOW - timedelta(seconds=age))
    assert dpop.is_current_nonce(nonce, [SECRET, OLD_SECRET], NOW) is fits


@pytest.mark.parametrize("nonce", [None, 5, "", "\ud800", "x" * 22, [dpop.nonce_at(SECRET, NOW)]])
def test_no_nonce(nonce: Any) -> None:
    """A proof without the server's nonce raises NonceRequired, so that clients can repeat the request."""
    with pytest.raises(NonceRequired):
        verify(
            sign(HEADER, {**CLAIMS, "nonce": nonce}, EC_KEY),
            is_nonce=lambda text: dpop.is_current_nonce(text, [SECRET], NOW),
        )


def test_parsed_keys_are_kept() -> None:
    """The second proof with the same header parses no key, because parsing costs as much as verifying."""
    verify(GOOD)
    before = codec._key_of.cache_info().hits
    verify(GOOD)
    assert codec._key_of.cache_info().hits == before + 1


@pytest.mark.slow
def test_without_cryptography() -> None:
    """Without the package cryptography, ``twotoken.dpop`` can be imported, and refuses every proof."""
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from datetime import UTC, datetime; from twotoken import dpop; from twotoken.exceptions import InvalidProof\n"
        "assert not dpop.SUPPORTED and 'django' not in sys.modules\n"
        "try:\n    dpop.verify_proof(sys.argv[1], method='POST', address='https://api.example.com/notes/7/',"
        " now=datetime.now(UTC))\n"
        "except InvalidProof as exc:\n    assert str(exc) == 'jwk'\nelse:\n    raise SystemExit(1)"
    )
    subprocess.run([sys.executable, "-c", code, GOOD], check=True)
