"""The keys: valid values, one algorithm per key, and verification by other services."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet
from rest_framework.test import APIClient

from tests.factories import UserFactory
from tests.http import Caller
from tests.overrides import with_settings
from twotoken import tokens
from twotoken.checks import check_secrets
from twotoken.conf import conf
from twotoken.exceptions import InvalidToken
from twotoken.keys import ALGORITHMS, AsymmetricKey, SecretKey, b64decode, b64encode, key_ring
from twotoken.models import RefreshToken
from twotoken.tokens import AccessPolicy

NOW = datetime(2031, 5, 4, tzinfo=UTC)
SECRET, OTHER_SECRET = "a secret of the tests of the keys", "another secret of the tests of keys"


def pem(key: Any) -> str:
    """Return a private key as PEM, as ACCESS_SECRET contains it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()  # type: ignore[no-any-return]


def public_pem(key: Any) -> str:
    """Return the public key of a private key, as PEM."""
    return (  # type: ignore[no-any-return]
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    )


PRIVATE: dict[str, list[Any]] = {
    "EdDSA": [ed25519.Ed25519PrivateKey.generate() for _ in range(2)],
    "ES256": [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)],
    "RS256": [rsa.generate_private_key(65537, 2048) for _ in range(2)],
}
ASYMMETRIC = sorted(PRIVATE)
TEXTS: dict[str, list[str]] = {
    "HS256": [SECRET, OTHER_SECRET],
    **{name: [*map(pem, PRIVATE[name])] for name in PRIVATE},
}


PUBLIC_DER: bytes = PRIVATE["EdDSA"][0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def policy(*texts: str, algorithm: str) -> AccessPolicy:
    """Return a policy that signs with the first of these keys and verifies with all."""
    return AccessPolicy(key_ring(texts, (algorithm, *ALGORITHMS)), issuer="https://auth.example", audience=("api",))


def access(held_to: AccessPolicy) -> str:
    """Return an access token that is valid for fifteen minutes."""
    start = int(NOW.timestamp())
    return tokens.encode_access(
        held_to, subject="7", family_id=uuid4(), issued_at=start, expires_at=start + 900, extra={"role": "x"}
    )


def header_of(token: str) -> dict[str, Any]:
    """Return the header of a token."""
    return jwt.get_unverified_header(token)


def by_hand(header: dict[str, Any], payload: bytes, key: bytes) -> str:
    """Return a JWT with this header and payload, signed by HMAC-SHA256 with any key."""
    signed = f"{b64encode(json.dumps(header).encode())}.{b64encode(payload)}"
    return f"{signed}.{b64encode(hmac.digest(key, signed.encode(), hashlib.sha256))}"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_one_key_signs_it_verifies(algorithm: str) -> None:
    """A key verifies its own signature. Another key of the same algorithm does not."""
    first, second = (policy(text, algorithm=algorithm) for text in TEXTS[algorithm])
    token = access(first)
    assert tokens.decode_access(token, first, NOW)["role"] == "x"
    assert header_of(token) == {
        "alg": algorithm,
        "typ": "at+jwt",
        **({} if algorithm == "HS256" else {"kid": first.keys.keys[0].kid}),
    }
    with pytest.raises(InvalidToken):
        tokens.decode_access(token, second, NOW)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_library_agrees(algorithm: str) -> None:
    """PyJWT verifies our tokens. We verify PyJWT's tokens, also with other members in the header."""
    ours = policy(TEXTS[algorithm][0], algorithm=algorithm)
    key = SECRET if algorithm == "HS256" else PRIVATE[algorithm][0]
    verifying = SECRET if algorithm == "HS256" else public_pem(PRIVATE[algorithm][0])
    now = int(datetime.now(UTC).timestamp())
    claims = {"sub": "7", "sid": str(uuid4()), "exp": now + 900, "iss": "https://auth.example", "aud": "api"}
    made = tokens.encode_access(
        ours, subject="7", family_id=uuid4(), issued_at=now, expires_at=now + 900, extra={"n": 1}
    )
    read = jwt.decode(made, verifying, [algorithm], audience="api", issuer="https://auth.example")
    assert read == dict(tokens.decode_access(made, ours, datetime.now(UTC)))
    for headers in ({}, {"kid": ours.keys.keys[0].kid or "x"}, {"jku": "https://thief.example/keys", "z": [1]}):
        token = jwt.encode(claims, key, algorithm, {"typ": "at+jwt", **headers})
        assert dict(tokens.decode_access(token, ours, datetime.now(UTC))) == claims


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_public_key_verifies(algorithm: str) -> None:
    """A public key can verify tokens, in another service and after the signing key was replaced."""
    signer = policy(TEXTS[algorithm][0], algorithm=algorithm)
    verifier = policy(SECRET, public_pem(PRIVATE[algorithm][0]), algorithm="HS256")
    assert tokens.decode_access(access(signer), verifier, NOW)["sub"] == "7"


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_public_key_alone(script: Caller, algorithm: str) -> None:
    """With only a public key, access tokens are verified. A login raises an error and starts no family."""
    with with_settings(ACCESS_SECRET=TEXTS[algorithm], ACCESS_ALGORITHM=algorithm):
        token = script.log_in().json()["access"]
    with with_settings(ACCESS_SECRET=public_pem(PRIVATE[algorithm][0]), ACCESS_ALGORITHM=algorithm):
        for route in ("me", "stateless", "revocable"):
            assert script.get(f"/api/{route}/", HTTP_AUTHORIZATION=f"Bearer {token}").status_code == 200
        with pytest.raises(ValueError, match="a public key, which can not sign"):
            script.log_in()
    assert RefreshToken.objects.count() == 1


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_public_key_in_disguise_is_no_secret(algorithm: str) -> None:
    """If ACCESS_SECRET lists a private key and its public key without the BEGIN line, the public key is refused."""
    body = "".join(public_pem(PRIVATE[algorithm][0]).splitlines()[1:-1])
    with with_settings(ACCESS_SECRET=[TEXTS[algorithm][0], body], ACCESS_ALGORITHM=algorithm):
        (message,) = [found for found in run_checks() if found.id == "twotoken.E005"]
        assert "ACCESS_SECRET" in message.msg
        assert "looks like a key or certificate as DER" in message.msg
        assert body not in message.msg + (message.hint or "")
        with pytest.raises(ImproperlyConfigured, match="as DER"):
            _ = conf.access_policy


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_public_key_is_no_secret(algorithm: str) -> None:
    """A token that is signed by HMAC with the public key is refused (CVE-2022-29217, CVE-2017-11424)."""
    held_to = policy(TEXTS[algorithm][0], SECRET, algorithm=algorithm)
    payload = json.dumps(
        {"sub": "7", "sid": str(uuid4()), "exp": 9_999_999_999, "iss": "https://auth.example", "aud": "api"}
    ).encode()
    public = PRIVATE[algorithm][0].public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jwk = held_to.keys.public()[0]
    assert tokens.decode_access(by_hand({"alg": "HS256", "typ": "at+jwt"}, payload, SECRET.encode()), held_to, NOW)
    for key in (
        public_pem(PRIVATE[algorithm][0]).encode(),
        public_pem(PRIVATE[algorithm][0]).strip().encode(),
        TEXTS[algorithm][0].encode(),
        der,
        json.dumps(jwk).encode(),
        b64decode(jwk["kid"]),
        jwk["kid"].encode(),
        b"",
    ):
        for header in ({"alg": "HS256"}, {"alg": "HS256", "kid": jwk["kid"]}, {"alg": algorithm, "kid": jwk["kid"]}):
            with pytest.raises(InvalidToken):
                tokens.decode_access(by_hand({"typ": "at+jwt", **header}, payload, key), held_to, NOW)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_header_does_not_choose(algorithm: str) -> None:
    """A token is refused if its header has another algorithm or ``kid``, or brings a key (RFC 8725 section 3.1)."""
    held_to = policy(*TEXTS[algorithm], algorithm=algorithm)
    _, payload, signature = access(held_to).split(".")
    first, second = held_to.keys.keys
    good = {"alg": algorithm, "typ": "at+jwt", "kid": first.kid}
    thief = ed25519.Ed25519PrivateKey.generate()
    changes: list[dict[str, Any]] = [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ES256K"},
        {"alg": algorithm.lower()},
        {"alg": [algorithm]},
        {"alg": {}},
        {"kid": second.kid},
        {"kid": "../../keys"},
        {"kid": ""},
        {"kid": [first.kid]},
        {"crit": ["kid"]},
        {"b64": False},
        {"typ": "rt+jwt"},
    ]
    for change in changes:
        header = b64encode(json.dumps({**good, **change}).encode())
        with pytest.raises(InvalidToken):
            tokens.decode_access(f"{header}.{payload}.{signature}", held_to, NOW)
    brought = jwt.encode(
        json.loads(b64decode(payload)),
        thief,
        "EdDSA",
        {"typ": "at+jwt", "jwk": jwt.algorithms.OKPAlgorithm.to_jwk(thief.public_key(), as_dict=True)},
    )
    with pytest.raises(InvalidToken):
        tokens.decode_access(brought, held_to, NOW)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_signature_that_is_none(algorithm: str) -> None:
    """Invalid signatures of any length and alphabet are refused, and so is a changed claim."""
    held_to = policy(TEXTS[algorithm][0], algorithm=algorithm)
    token = access(held_to)
    header, payload, signature = token.split(".")
    claims = b64encode(b64decode(payload).replace(b'"x"', b'"admin"'))
    short = b64encode(b64decode(signature)[:-1])
    for forged in (
        f"{header}.{payload}.",
        f"{header}.{payload}.AA",
        f"{header}.{payload}.{'A' * 86}",
        f"{header}.{payload}.{short}",
        f"{token}A",
        f"{token}=",
        f"{header}.{payload}.{signature.replace('_', '/').replace('-', '+')}+",
        f"{header}.{claims}.{signature}",
    ):
        with pytest.raises(InvalidToken):
            tokens.decode_access(forged, held_to, NOW)


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ((), "at least one"),
        (("",), "shorter than 32"),
        ((SECRET[:31],), "shorter than 32"),
        ((SECRET, "brief"), "shorter than 32"),
        (("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----",), "asymmetric key"),
        (("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8h4qS2rVw+ somebody",), "a key of SSH"),
        ((SECRET, base64.b64encode(PUBLIC_DER).decode()), "a key or certificate as DER"),
        ((SECRET, PUBLIC_DER.hex()), "a key or certificate as DER"),
        (("/run/secrets/the_access_secret.pem",), "the path of a file"),
        (("s" * 32,), "fewer than 6 different characters"),
        ((TEXTS["EdDSA"][0],), "a key is for EdDSA, not for HS256"),
        ((SECRET, TEXTS["RS256"][0]), "a key is for RS256, not for HS256"),
    ],
)
def test_bad_secrets(texts: tuple[str, ...], problem: str) -> None:
    """A secret is refused if it is missing, too short or a key (CVE-2022-29217). No error contains the secret."""
    with pytest.raises(ValueError, match=problem) as caught:
        key_ring(texts)
    assert not any(text in str(caught.value) for text in texts if text)


ENCRYPTED = (
    PRIVATE["EdDSA"][0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")).decode()
)
UNFIT: dict[str, tuple[list[str], str, str]] = {
    "a secret": ([SECRET], "EdDSA", "a key is for HS256, not for EdDSA"),
    "another algorithm's": ([TEXTS["ES256"][0]], "EdDSA", "a key is for ES256, not for EdDSA"),
    "a public one first": ([public_pem(PRIVATE["EdDSA"][0])], "EdDSA", "a public key, which can not sign"),
    "another curve": ([pem(ec.generate_private_key(ec.SECP384R1()))], "ES256", "must be an unencrypted PEM of"),
    "Ed448": ([pem(ed448.Ed448PrivateKey.generate())], "EdDSA", "must be an unencrypted PEM of"),
    "a short RSA key": ([pem(rsa.generate_private_key(65537, 1024))], "RS256", "1024 bits"),  # noqa: S505
    "encrypted": ([ENCRYPTED], "EdDSA", "must be an unencrypted PEM of"),
    "line breaks lost": ([TEXTS["RS256"][0].replace("\n", "\\n")], "RS256", "did it lose its line breaks"),
    "garbage": (["-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"], "EdDSA", "must be an unencrypted"),
}


@pytest.mark.django_db(databases="__all__")  # a check of Django queries SQLite
@pytest.mark.parametrize(("texts", "algorithm", "problem"), UNFIT.values(), ids=UNFIT)
def test_keys_that_do_not_fit(texts: list[str], algorithm: str, problem: str) -> None:
    """``check`` reports why a key can't be used. No message contains the key."""
    with with_settings(ACCESS_SECRET=texts, ACCESS_ALGORITHM=algorithm):
        (message,) = [found for found in run_checks() if found.id == "twotoken.E005"]
    assert problem in message.msg
    assert "ACCESS_SECRET" in message.msg
    assert "-----" not in message.msg + (message.hint or "")
    assert "RS256" in (message.hint or "")


@pytest.mark.django_db(databases="__all__")
def test_the_refresh_token_has_a_secret() -> None:
    """REFRESH_SECRET can't be a key pair, because no other service verifies refresh tokens."""
    for texts in ([TEXTS["EdDSA"][0]], [settings.TWOTOKEN["REFRESH_SECRET"], TEXTS["EdDSA"][0]]):
        with with_settings(REFRESH_SECRET=texts):
            (message,) = [found for found in run_checks() if found.id == "twotoken.E005"]
        assert "REFRESH_SECRET" in message.msg
        assert "a key is for EdDSA, not for HS256" in message.msg


@pytest.mark.slow
def test_without_cryptography() -> None:
    """Without the package cryptography, HS256 works. A PEM raises an error that names twotoken[crypto]."""
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from twotoken.keys import key_ring\n"
        "ring = key_ring(('a secret of the tests, of thirty-two bytes or more',))\n"
        "assert ring.verify(ring.sign(b'{}', 'x'), 'x') == b'{}'\n"
        "try: key_ring((sys.argv[1],), ('EdDSA',))\n"
        "except ValueError as exc: print(exc)"
    )
    command = [sys.executable, "-c", code, TEXTS["EdDSA"][0]]
    run = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True)
    assert "pip install 'twotoken[crypto]'" in run.stdout


def test_the_length_of_a_secret_is_in_bytes() -> None:
    """The length of a secret counts in bytes, not in characters (RFC 7518 section 3.2)."""
    text = "äöüßéèêëàâçñøåæœ"
    assert key_ring((text,)).keys == (SecretKey(text.encode()),)
    with pytest.raises(ValueError, match="shorter than 32"):
        key_ring((text[:-1] + "o",))
    assert key_ring((SECRET, OTHER_SECRET)).keys == (SecretKey(SECRET.encode()), SecretKey(OTHER_SECRET.encode()))


def test_no_key_shows_in_a_repr() -> None:
    """Error reports print reprs, so no repr contains a key."""
    for algorithm in ALGORITHMS:
        held_to = policy(*TEXTS[algorithm], algorithm=algorithm)
        for key in held_to.keys.keys:
            assert len(repr(key)) < 40
        assert "KeyRing" not in repr(held_to)


# The examples of thumbprints in RFC 8037 and RFC 7638.
RFC_8037_PRIVATE = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
RFC_8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
RFC_7638_MODULUS = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
    "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
    "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
    "nqDKgw"
)
RFC_7638_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_kid_is_the_thumbprint() -> None:
    """The ``kid`` is the thumbprint of RFC 8037 and RFC 7638. A private key has the ``kid`` of its public key."""
    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(b64decode(RFC_8037_PRIVATE))
    assert key_ring((pem(edwards),), ("EdDSA",)).keys[0].kid == RFC_8037_THUMBPRINT
    modulus = int.from_bytes(b64decode(RFC_7638_MODULUS), "big")
    known = rsa.RSAPublicNumbers(65537, modulus).public_key()
    text = known.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert key_ring((SECRET, text), ("HS256", "RS256")).keys[1].kid == RFC_7638_THUMBPRINT
    assert key_ring((pem(edwards), public_pem(edwards)), ("EdDSA",)).public() == [
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": b64encode(edwards.public_key().public_bytes_raw()),
            "kid": RFC_8037_THUMBPRINT,
            "use": "sig",
            "alg": "EdDSA",
        }
    ]


def test_a_coordinate_that_starts_with_zero() -> None:
    """A JWK's coordinate keeps all its 32 bytes (RFC 7518 section 6.2.1.2). Otherwise the thumbprint would differ."""
    number = next(
        number
        for number in range(1, 5000)
        if ec.derive_private_key(number, ec.SECP256R1()).public_key().public_numbers().x < 1 << 248
    )
    (jwk,) = key_ring((pem(ec.derive_private_key(number, ec.SECP256R1())),), ("ES256",)).public()
    assert len(b64decode(jwk["x"])) == 32
    assert KeySet.import_key_set({"keys": [dict(jwk)]}).keys[0].thumbprint() == jwk["kid"]


@pytest.mark.parametrize("text", ["YQ=", "YQ==", "YR", "Y", "YQ\n", " YQ", "+/8", "Y.Q", "YQÿ"])
def test_one_token_is_one_string(text: str) -> None:
    """``b64decode`` refuses changed unused bits, padding, white space and the standard base64 alphabet."""
    assert b64decode("YQ") == b"a"
    with pytest.raises(ValueError, match=r"base64|ASCII|characters|padding"):
        b64decode(text)


# Over HTTP.


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # RFC 9864 names the curve; few libraries know that yet
@pytest.mark.django_db
def test_another_service_verifies(algorithm: str, script: Caller) -> None:
    """The library joserfc verifies our tokens with the JWK Set alone."""
    with with_settings(
        ACCESS_SECRET=[*TEXTS[algorithm], SECRET],
        ACCESS_ALGORITHM=algorithm,
        ISSUER="https://auth.example",
        AUDIENCE="api",
    ):
        token = script.log_in().json()["access"]
        answer = script.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "public, max-age=300"
    assert SECRET not in answer.content.decode()
    assert not {"d", "p", "q", "k"}.intersection(*answer.json()["keys"])
    keys = KeySet.import_key_set(answer.json())
    assert len(keys.keys) == 2
    read = joserfc_jwt.decode(token, keys, algorithms=[algorithm])
    assert read.header["kid"] == answer.json()["keys"][0]["kid"]
    joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": "https://auth.example"}, aud={"essential": True, "value": "api"}
    ).validate(read.claims)
    assert read.claims["sub"] == str(script.user.pk)
    changed = f"{token[:-6]}{'A' if token[-6] != 'A' else 'B'}{token[-5:]}"
    with pytest.raises(Exception, match="bad_signature"):
        joserfc_jwt.decode(changed, keys, algorithms=[algorithm])


def test_a_secret_is_not_published(client: APIClient) -> None:
    """With HS256 the published JWK Set is empty. An error of JWKSView is not cached."""
    answer = client.get("/.well-known/jwks.json", HTTP_AUTHORIZATION="Bearer nonsense", HTTP_ACCEPT="text/html")
    assert (answer.status_code, answer.json()) == (200, {"keys": []})
    answer = client.post("/.well-known/jwks.json")
    assert (answer.status_code, answer["Cache-Control"]) == (405, "no-store")


def test_changing_the_key_logs_nobody_out(script: Caller) -> None:
    """Each step from a secret to a key pair, and to another key pair, keeps earlier tokens valid."""
    new, newer = TEXTS["EdDSA"][0], TEXTS["ES256"][0]
    steps: list[tuple[str, list[str], int]] = [
        ("HS256", [SECRET], 0),
        ("HS256", [SECRET, new], 1),
        ("EdDSA", [new, SECRET], 1),
        ("EdDSA", [new], 1),
        ("EdDSA", [new, newer], 2),
        ("ES256", [newer, public_pem(PRIVATE["EdDSA"][0])], 2),
        ("ES256", [newer], 1),
    ]
    pair: dict[str, Any] = {}
    for algorithm, texts, published in steps:
        with with_settings(ACCESS_ALGORITHM=algorithm, ACCESS_SECRET=texts):
            assert not list(check_secrets(None))
            assert len(script.get("/.well-known/jwks.json").json()["keys"]) == published
            if pair:
                for route in ("me", "stateless", "revocable"):
                    assert (
                        script.get(f"/api/{route}/", HTTP_AUTHORIZATION=f"Bearer {pair['access']}").status_code == 200
                    )
                pair = script.refresh(pair["refresh"]).json()
            else:
                pair = script.log_in().json()
            assert header_of(pair["access"])["alg"] == algorithm
    with with_settings(ACCESS_ALGORITHM="EdDSA", ACCESS_SECRET=[new]):
        answer = script.get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {pair['access']}")
        assert (answer.status_code, answer.json()["reason"]) == (401, "invalid")


GUIDE = (Path(__file__).parent.parent / "docs/how-to/keys.md").read_text()
RECIPES = re.findall(r"```python\n((?:(?!```).)*def verify.*?)```", GUIDE, re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=["joserfc"])
def test_the_guide_s_recipes(recipe: str, live_server: Any, transactional_db: None) -> None:
    """A service built by the guide accepts our access tokens, and no expired, foreign or refresh token."""
    issuer, audience = "https://auth.example.com", "https://api.example.com"
    values: dict[str, Any] = {
        "ACCESS_ALGORITHM": "ES256",
        "ACCESS_SECRET": TEXTS["ES256"],
        "ISSUER": issuer,
        "AUDIENCE": audience,
    }
    script = Caller(UserFactory(), mount="/api/app/auth/")
    with with_settings(**values):
        pair = script.log_in().json()
        service: dict[str, Any] = {}
        exec(recipe.replace(f"{issuer}/.well-known", f"{live_server.url}/.well-known"), service)  # noqa: S102
        assert service["verify"](pair["access"])["sub"] == str(script.user.pk)
        for change in ({"AUDIENCE": "https://other.example.com"}, {"ISSUER": "https://other.example.com"}):
            with with_settings(**change):
                other = script.log_in().json()["access"]
            with pytest.raises(Exception, match=r"(?i)aud|iss"):
                service["verify"](other)
        kid = header_of(pair["access"])["kid"]
        claims = {"sub": "7", "iss": issuer, "aud": audience, "exp": int(time.time()) + 900}
        changes: list[tuple[str, int, dict[str, Any]]]
        changes = [("JWT", 900, {}), ("at+jwt", -900, {}), ("at+jwt", 900, {"cnf": {"jkt": "x"}})]
        for typ, end, more in changes:
            claims |= {"exp": int(time.time()) + end, **more}
            with pytest.raises(Exception, match=r"not an access token|a bound token|(?i:expired)"):
                service["verify"](jwt.encode(claims, PRIVATE["ES256"][0], "ES256", {"typ": typ, "kid": kid}))


def test_a_key_is_prepared_once() -> None:
    """A key is parsed only once, because parsing takes longer than verifying."""
    assert key_ring((TEXTS["RS256"][0],), ("RS256",)) is key_ring((TEXTS["RS256"][0],), ("RS256",))
    assert isinstance(key_ring((TEXTS["RS256"][0],), ("RS256",)).keys[0], AsymmetricKey)
