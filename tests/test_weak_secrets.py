"""Texts that are too weak to be a secret, and texts that are not."""

from __future__ import annotations

import base64
import binascii
import json
import math
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.test_keys import PRIVATE
from twotoken.keys import MAX_STEPS, MIN_VARIETY, key_ring, weakness

KEYS: dict[str, Any] = {
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "X25519": x25519.X25519PrivateKey.generate(),
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "RSA": PRIVATE["RS256"][0],
}
SIGNING = {name: key for name, key in KEYS.items() if name != "X25519"}


def certificate(key: Any) -> x509.Certificate:
    """Return a self-signed certificate of a key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "auth.example.com")])
    start = datetime(2031, 5, 4, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, start, start + timedelta(days=9))
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def der_of_each() -> dict[str, bytes]:
    """Return every kind of key and certificate as DER."""
    found: dict[str, bytes] = {}
    for name, key in KEYS.items():
        found[f"public {name}"] = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for kind, encryption in (("private", NoEncryption()), ("encrypted", BestAvailableEncryption(b"secret"))):
            found[f"{kind} {name}"] = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, encryption)
    traditional = (Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    for name in ("P-256", "RSA"):
        found[f"traditional {name}"] = KEYS[name].private_bytes(*traditional)
    found["PKCS1"] = KEYS["RSA"].public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    signed = {name: certificate(key) for name, key in SIGNING.items()}
    found |= {f"certificate {name}": cert.public_bytes(Encoding.DER) for name, cert in signed.items()}
    found["PKCS7"] = pkcs7.serialize_certificates([*signed.values()], Encoding.DER)
    found["PKCS12"] = pkcs12.serialize_key_and_certificates(
        b"x", KEYS["RSA"], signed["RSA"], None, BestAvailableEncryption(b"secret")
    )
    # A curve's private key alone is the shortest of all.
    found["SEC1"] = bytes.fromhex("30250201010420") + secrets.token_bytes(32)
    return found


DER = der_of_each()


def pem_of(data: bytes) -> str:
    """Return DER as PEM, with a label that says nothing."""
    return f"-----BEGIN KEY-----\n{base64.encodebytes(data).decode()}-----END KEY-----\n"


@pytest.mark.parametrize("data", DER.values(), ids=DER)
def test_a_key_as_der(data: bytes) -> None:
    """A key is found in any base64 alphabet, with or without padding, line breaks and BEGIN line."""
    text = base64.b64encode(data).decode()
    lines = pem_of(data).splitlines()
    for disguised in (
        text,
        text.rstrip("="),
        f" {text}\n",
        base64.encodebytes(data).decode(),
        base64.urlsafe_b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode().rstrip("="),
        data.hex(),
        data.hex().upper(),
        "\n".join(lines[1:]),
        "\\n".join(lines[1:]),
        "\r\n".join(lines[1:-1]),
    ):
        assert weakness(disguised) == (
            "a secret looks like a key or certificate as DER: a key for ACCESS_SECRET has to be PEM, with its BEGIN "
            "and END lines"
        )
    for disguised in (
        f'"{text}"',
        f"{text},",
        f"\ufeff{text}",
        f"base64:{text}",
        f"the key is {text}",
        repr(text.encode()),
        f"0x{data.hex()}",
        data.hex(":"),
        pem_of(data).replace("-----", "\N{EM DASH}"),
    ):
        assert "as DER" in str(weakness(disguised))
    for wrapped in (base64.b64encode(pem_of(data).encode()).decode(), pem_of(data).encode().hex()):
        assert "a PEM in base64 or hex" in str(weakness(wrapped))
    assert "as DER" in str(weakness(base64.b64encode("\n".join(lines[1:]).encode()).decode()))


def test_bytes_that_only_begin_like_a_key() -> None:
    """Bytes that begin like a key but have a wrong length or kind are not refused."""
    spki = DER["public Ed25519"]
    for data in (spki[:-1], spki + b"\x00", b"\x31" + spki[1:], b"\x30\x2a\x0c" + spki[3:], b"\x30\x2a" + b"\x04\x28"):
        assert weakness(data.ljust(40, b"\x91").hex()) is None
    assert weakness((b"\x30\x2a\x02\x28" + secrets.token_bytes(40)).hex()) is None  # one child
    assert weakness((b"\x30\x88" + secrets.token_bytes(40)).hex()) is None
    assert weakness((b"\x30\x80" + secrets.token_bytes(40)).hex()) is None
    assert weakness((b"\x30\x2a" + b"\x02\x27" + secrets.token_bytes(39) + b"\x02").hex()) is None  # cut off


def ssh_of_each() -> dict[str, str]:
    """Return keys as OpenSSH writes them."""
    found = {
        name: key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        for name, key in SIGNING.items()
    }
    private = KEYS["Ed25519"].private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    found["private"] = "".join(private.splitlines()[1:-1])
    return {
        **found,
        **{f"{name}, bare": text.split()[1] for name, text in found.items() if " " in text},
        "with options": f'from="192.0.2.1" {found["RSA"]} me@example.com',
        "in base64": base64.b64encode(found["Ed25519"].encode()).decode(),
        "hex": base64.b64decode(found["P-256"].split()[1]).hex(),
    }


SSH = ssh_of_each()


@pytest.mark.parametrize("text", SSH.values(), ids=SSH)
def test_a_key_of_ssh(text: str) -> None:
    """An OpenSSH key is found in a line of text and in base64."""
    assert "looks like a key of SSH" in str(weakness(text))


@pytest.mark.parametrize("name", SIGNING)
def test_a_jwk(name: str) -> None:
    """A JWK is found alone, in a set, and in base64."""
    scheme: Any = {"Ed25519": OKPAlgorithm, "P-256": ECAlgorithm, "RSA": RSAAlgorithm}[name]
    jwk = json.dumps(scheme.to_jwk(SIGNING[name].public_key(), as_dict=True))
    for text in (jwk, f'{{"keys": [{jwk}]}}', jwk.replace('"', "'"), base64.urlsafe_b64encode(jwk.encode()).decode()):
        assert "looks like a JWK" in str(weakness(text))


@pytest.mark.parametrize(
    "text",
    [
        "-----END PUBLIC KEY-----, of which the rest is lost",
        "BEGIN RSA PUBLIC KEY MFkwEwYHKoZIzj0CAQYI END RSA PUBLIC KEY",
        "---BEGIN CERTIFICATE---MFkwEwYHKoZIzj0CAQYI",
        '---- BEGIN SSH2 PUBLIC KEY ----\nComment: "me"\nAAAA\n---- END SSH2 PUBLIC KEY ----',
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
        "AGE-SECRET-KEY-1QQPQYQQ9XQQ9XQQ9XQQ9XQQ9XQQ9XQQ9XQQ9XQQ9XQQ9XQ",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    ],
)
def test_other_formats(text: str) -> None:
    """Keys in other formats are found by the words in them."""
    assert "looks like a key in another format" in str(weakness(text))


@pytest.mark.parametrize(
    "text",
    [
        "/run/secrets/access.pem",
        "/srv/my-site/secrets/of.the.access.tokens",
        "keys/access_token_key_of_the_production_site.PEM",
        "./secrets/the-access-secret-of-this-site",
        "../secrets/the-access-secret-of-this-site",
        "~/secrets/the-access-secret-of-this-site",
        "~www/secrets/the-access-secret-of-this-site",
        "file:///run/secrets/theaccesssecret",
        "C:\\secrets\\the-access-secret-of-this-site",
        "\\\\server\\secrets\\the-access-secret",
        "/run/secrets/access.pem\n",
        '"/run/secrets/access.pem"',
    ],
)
def test_a_path(text: str) -> None:
    """A path is refused even if the file does not exist, because ``check`` may run elsewhere."""
    assert weakness(text) == "a secret looks like the path of a file: give the content of the file, not its name"


def test_an_existing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of an existing file is refused, whatever it looks like."""
    name = secrets.token_hex(32)
    assert weakness(name) is None
    (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert "path of a file" in str(weakness(name))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a" * 32, "has fewer than 6 different characters"),
        ("abcde" * 9, "has fewer than 6 different characters"),
        ("correct horse." * 3, "repeats itself"),
        ("0123456789abcdef" * 4, "repeats itself"),
        ("ZkX9-qW3_rT7yUiOpLmN" * 2, "repeats itself"),
        ("changeme" * 4 + "chan", "repeats itself"),
        ("abcdefghijklmnopqrstuvwxyz012345", "is a sequence of neighbouring characters"),
        ("zyxwvutsrqponmlkjihgfedcba9876543210", "is a sequence of neighbouring characters"),
        ("aaaaaabbbbbbccccccddddddeeeeeeffffff", "is a sequence of neighbouring characters"),
    ],
)
def test_texts_without_variety(text: str, problem: str) -> None:
    """A long text with little variety is refused."""
    assert weakness(text) == f"a secret {problem}: a secret has to be random"


@pytest.mark.parametrize(
    "text",
    [
        "access secret for the tests, of thirty-two bytes or more",
        "correct horse battery staple, twice over",
        "a PEM key or a JWK is no secret of ours",
        "Pa55/word+with/slashes and the like=",
        "/" + base64.b64encode(bytes(range(50, 97))).decode().rstrip("="),
        "ssh-ed25519 is how the key is called",
        '{"a": "JSON text that names no key type"}',
        base64.b64encode(b"a passphrase that somebody has encoded").decode(),
        "äöüßéèêëàâçñøåæœ",
        "a passphrase\non two lines, for whoever likes that",
        "x\x00 and 6cebb3fca70752c4323aa95612548a784007caff9186",
    ],
)
def test_other_texts(text: str) -> None:
    """A passphrase is accepted."""
    assert weakness(text) is None


@pytest.mark.slow
def test_random_secrets_pass() -> None:
    """Random secrets pass: 32 bytes or more as hex, base64 or base64url, and 16 bytes as hex."""
    for size in (32, 33, 48, 64):
        for _ in range(100):
            data = secrets.token_bytes(size)
            for text in (
                data.hex(),
                data.hex().upper(),
                base64.b64encode(data).decode(),
                base64.b64encode(data).decode().rstrip("="),
                base64.urlsafe_b64encode(data).decode(),
                base64.urlsafe_b64encode(data).decode().rstrip("="),
                data[:16].hex(),
            ):
                assert weakness(text) is None


@pytest.mark.parametrize(
    ("symbols", "length", "neighbours"), [(16, 64, 44), (16, 32, 44), (64, 43, 186), (64, 44, 186)]
)
def test_how_probable_it_is_that_a_random_secret_is_refused(symbols: int, length: int, neighbours: int) -> None:
    """A random secret is refused with a probability below 10⁻¹².

    ``neighbours`` is the share of symbol pairs that are equal or consecutive.
    """
    few = math.comb(symbols, MIN_VARIETY - 1) * ((MIN_VARIETY - 1) / symbols) ** length
    repeated = sum(symbols ** -(length - period) for period in range(1, length // 2 + 1))
    step = neighbours / symbols**2
    steps = sum(
        math.comb(length - 1, count) * step**count * (1 - step) ** (length - 1 - count)
        for count in range(math.floor(MAX_STEPS * length) + 1, length)
    )
    assert few + repeated + steps < 1e-12
    assert min(map(len, DER.values())) > 32


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNING)
def test_a_part_of_a_public_key_of_the_list(name: str) -> None:
    """A secret that is part of a public key in the same list is refused, because everybody can read the key."""
    key = SIGNING[name]
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    algorithm = {"Ed25519": "EdDSA", "P-256": "ES256", "RSA": "RS256"}[name]
    jwk = key_ring((pem,), (algorithm,)).public()[0]
    point = key.public_key().public_numbers() if name == "P-256" else None
    for text in [jwk[part] for part in ("kid", "n", "x", "y") if part in jwk] + (
        [binascii.hexlify(b"\x04" + point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")).decode()]
        if point
        else []
    ):
        for disguised in (text, f'"{text}"'):
            with pytest.raises(ValueError, match="contains part of a public key of the same list") as caught:
                key_ring((pem, disguised), (algorithm, "HS256"))
            assert text not in str(caught.value)
    assert key_ring((pem, secrets.token_urlsafe(32)), (algorithm, "HS256"))
