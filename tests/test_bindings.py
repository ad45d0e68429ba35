"""Device keys: the protocol and the thumbprint."""

from __future__ import annotations

import pytest

from twotoken.dpop import protocol, thumbprint

# The example of RFC 7638 section 3.1.
RSA = (
    '{"e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSo'
    "c_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
    "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF4"
    '4-csFCur-kEgU8awapJzKnqDKgw"}'
)


@pytest.mark.parametrize(
    ("device_key", "name"),
    [("", ""), ("dpop:{}", "DPoP"), ("dbsc:{}", "DBSC"), ("{}", ""), ("other:dpop:{}", "")],
)
def test_the_protocol(device_key: str, name: str) -> None:
    """``protocol`` returns the protocol that a device key's prefix names, or an empty string for an unknown prefix."""
    assert protocol(device_key) == name


@pytest.mark.parametrize("prefix", ["dpop:", "dbsc:"])
def test_the_thumbprint(prefix: str) -> None:
    """``thumbprint`` ignores a device key's prefix, and returns the JWK's thumbprint, as in the example of RFC 7638."""
    assert thumbprint(prefix + RSA) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
