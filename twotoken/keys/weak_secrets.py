"""Find texts that must not be an HS256 secret: encoded keys, paths of files, texts that are short or easy to guess.

Whoever knows the secret can sign tokens. So a public key, which anybody may know, must not be a secret (CVE-2022-29217,
CVE-2017-11424). The module ``ring`` recognizes a PEM by its BEGIN line. This module finds keys in other forms, such as
a PEM without its BEGIN line.

A random secret of 32 bytes, as hex, base64 or base64url, is refused with a probability below 10⁻¹². This module asks
the file system only whether a file with the text as its path exists. No file is read.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Iterable
from itertools import pairwise

MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2: a key at least as long as the hash
MIN_VARIETY = 6  # different characters. 64 random hex digits have fewer with a probability of 10⁻²⁹, 32 with 10⁻¹³
MAX_STEPS = 0.75  # the largest share of neighbouring characters that may be equal or consecutive, as in "aaa" and "abc"
MAX_PATH = 4096  # characters

_USE_PEM = "a key for ACCESS_SECRET has to be PEM, with its BEGIN and END lines"
_USE_RANDOM = "a secret has to be random"
_USE_CONTENT = "give the content of the file, not its name"

# In DER, private and public keys, certificates and bundles of them are each one ASN.1 SEQUENCE.
_SEQUENCE = 0x30
_FIRST_TAGS = {0x02, 0x06, 0x30}  # INTEGER: version, modulus; OID: type of a bundle; SEQUENCE: algorithm, certificate
_TAGS = {*_FIRST_TAGS, 0x03, 0x04, 0x05, 0x31, 0xA0, 0xA1, 0xA2, 0xA3}
_MIN_DER = 39  # bytes of the shortest key, an EC private key without its curve. A random secret of 32 bytes is shorter
_PEM_LINE = re.compile(r"-----(BEGIN|END) [^-\n]*-----")
_ARMOR = re.compile(
    r"-{4,5} ?(BEGIN|END) |(BEGIN|END) ([A-Z]+ )*(KEY|CERTIFICATE)\b|"
    r"PuTTY-User-Key-File|AGE-SECRET-KEY-1|\bage1[a-z0-9]{50}"
)
_JWK = re.compile(r"""["']kty["']\s*:""")
_SSH = re.compile(r"(ssh-|ecdsa-sha2-|sk-ssh-|sk-ecdsa-)[\w@.-]+[ \t]+AAAA")
_SSH_BLOB = re.compile(rb"openssh-key-v1\0|\0\0\0[\x07-\x40](ssh-|ecdsa-sha2-|sk-ssh-|sk-ecdsa-)")
_HEX = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2})+)")
_BASE64 = re.compile(r"([A-Za-z0-9+/]+|[A-Za-z0-9_-]+)=*")
_RUN = re.compile(r"[A-Za-z0-9+/_-]{43,}=*")  # 32 bytes or more as hex or base64

_KEY_FILE = re.compile(
    r"[\w./\\@:~-]+\.(pem|key|pub|crt|cer|der|p8|p12|pfx|ppk|jwks?|json|asc|gpg|txt|env)", re.IGNORECASE
)
_PATH_START = re.compile(r"(\.{1,2}/|~[\w-]*/|file:|[A-Za-z]:[\\/]|\\\\)[\w./\\@:~-]+")
_ABSOLUTE = re.compile(r"(/[\w.@-]+){2,}")
_NOT_BASE64 = re.compile(r"[._@-]")  # and "/": base64 has "/" but none of these, base64url has "-" and "_" but no "/"


def weakness(text: str) -> str | None:
    """Return why a text must not be a secret, without quoting the text. If it may be a secret, return None."""
    if found := _disguise(text):
        return f"a secret looks like {found}: {_USE_PEM}"
    if _is_path(text.strip(" \t\r\n\"'")):
        return f"a secret looks like the path of a file: {_USE_CONTENT}"
    if len(text.encode()) < MIN_SECRET_BYTES:
        return f"a secret is shorter than {MIN_SECRET_BYTES} bytes"
    if found := _monotony(text):
        return f"a secret {found}: {_USE_RANDOM}"
    return None


def holds(text: str, parts: Iterable[bytes]) -> bool:
    """Tell whether a text is hex or base64 of bytes that contain one of ``parts``."""
    parts = list(parts)
    return any(part in data for data in _decoded(text) for part in parts)


def _disguise(text: str, *, wrapped: bool = False) -> str | None:
    """Return what kind of key a text is, or None. ``wrapped`` says that the text was decoded from base64 or hex."""
    if wrapped and "-----BEGIN" in text:
        return "a PEM in base64 or hex"
    if _JWK.search(text):
        return "a JWK"
    if _SSH.search(text):
        return "a key of SSH"
    for data in _decoded(text):
        if _is_der(data):
            return "a key or certificate as DER"
        if _SSH_BLOB.match(data):
            return "a key of SSH"
        if not wrapped and data.isascii() and (found := _disguise(data.decode(), wrapped=True)):
            return found
    return "a key in another format" if _ARMOR.search(text) else None


def _bare(text: str) -> str:
    """Return a text without PEM's BEGIN and END lines and without white space, real or written as "\\n"."""
    return "".join(_PEM_LINE.sub("", text.replace("\\r", "").replace("\\n", "\n")).split())


def _decoded(text: str) -> list[bytes]:
    """Decode a text and each long run of characters in it, if they are hex or base64, and return the bytes.

    A run may stand between quotes, or after a prefix such as "base64:". Hex may have colons, as openssl prints it. A
    run that is both hex and base64 is decoded in both ways.
    """
    bare = _bare(text)
    found = []
    for run in {bare, bare.replace(":", ""), *_RUN.findall(bare), *_RUN.findall(text)}:
        if match := _HEX.fullmatch(run):
            found.append(bytes.fromhex(match[1]))
        if _BASE64.fullmatch(run):
            body = run.rstrip("=")
            body = body[: len(body) - (len(body) % 4 == 1)] + "=" * (-len(body) % 4)
            found.append(b64decode(body) if "+" in body or "/" in body else urlsafe_b64decode(body))
    return found


def _is_der(data: bytes) -> bool:
    """Tell whether bytes are exactly one ASN.1 SEQUENCE of the elements that keys and certificates consist of."""
    if len(data) < _MIN_DER or data[0] != _SEQUENCE:
        return False
    start, end = _value(data, 0)
    children = []
    while start < end == len(data):
        children.append(data[start])
        start = _value(data, start)[1]
    return start == end == len(data) and len(children) > 1 and children[0] in _FIRST_TAGS and _TAGS.issuperset(children)


def _value(data: bytes, start: int) -> tuple[int, int]:
    """Return the indexes at which the value of an ASN.1 element begins and ends (X.690 section 8.1.3)."""
    begin = start + 2
    length = data[start + 1] if begin <= len(data) else 0
    if length > 0x80:
        begin += length & 0x7F
        length = int.from_bytes(data[start + 2 : begin], "big")
    return begin, begin + length


def _is_path(text: str) -> bool:
    if len(text) > MAX_PATH or "\n" in text:
        return False
    is_absolute = _ABSOLUTE.fullmatch(text) and _NOT_BASE64.search(text)
    return bool(_KEY_FILE.fullmatch(text) or _PATH_START.fullmatch(text) or is_absolute) or os.path.exists(text)


def _monotony(text: str) -> str | None:
    if len(set(text)) < MIN_VARIETY:
        return f"has fewer than {MIN_VARIETY} different characters"
    if any(text[period:] == text[:-period] for period in range(1, len(text) // 2 + 1)):
        return "repeats itself"
    steps = sum(abs(ord(one) - ord(other)) <= 1 for one, other in pairwise(text))
    return "is a sequence of neighbouring characters" if steps > MAX_STEPS * len(text) else None
