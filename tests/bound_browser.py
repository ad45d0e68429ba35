"""A browser that has Device Bound Session Credentials: it signs as Chromium 156 does, and uses no code of twotoken."""

from __future__ import annotations

import json
import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm, get_default_algorithms

from tests.http import Caller
from tests.jar import COOKIE_MOUNT
from tests.proofs import b64

DEVICE_COOKIE = "__Secure-device_token"
EC_KEY, OTHER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
ORIGIN = "http://testserver"


def algorithm_of(key: Any) -> str:
    """Return the algorithm that a browser uses with a key."""
    return "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"


def jwk_of(key: Any) -> dict[str, str]:
    """Return the public JWK of a private key."""
    scheme: Any = ECAlgorithm if algorithm_of(key) == "ES256" else RSAAlgorithm
    members = scheme.to_jwk(key.public_key(), as_dict=True)
    return {name: members[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in members}


def canonical(key: Any) -> str:
    """Return a key as text, as a bound family stores it in ``device_key``."""
    return "dbsc:" + json.dumps(jwk_of(key), separators=(",", ":"), sort_keys=True)


def sign(challenge: Any, key: Any, *, with_key: bool, **header: Any) -> str:
    """Return a DBSC proof of a challenge. Members of the header that are None are left out."""
    algorithm = algorithm_of(key)
    members = {"alg": algorithm, "typ": "dbsc+jwt", **({"jwk": jwk_of(key)} if with_key else {}), **header}
    named = {name: value for name, value in members.items() if value is not None}
    message = ".".join(b64(json.dumps(part).encode()) for part in (named, {"jti": challenge}))
    return f"{message}.{b64(get_default_algorithms()[algorithm].sign(message.encode(), key))}"


class BoundBrowser(Caller):
    """A browser that has a key and calls the cookie mount. The browser signs ``challenge`` next."""

    def __init__(self, user: Any, key: Any = EC_KEY, **defaults: Any) -> None:
        defaults = {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": ORIGIN, **defaults}
        super().__init__(user, mount=COOKIE_MOUNT, **defaults)
        self.key, self.challenge, self.session_id, self.registration = key, "", "", ""

    def sign_in(self) -> Any:
        """Log in, and register the key by signing the login's challenge. Return the answer to the registration."""
        self.registration = self.log_in()["Secure-Session-Registration"]
        match = re.fullmatch(r'\(ES256 RS256\);path="(/api/auth/device/)";challenge="([!#-~]+)"', self.registration)
        assert match, self.registration
        return self.register(match[2])

    def register(self, challenge: str, **extra: Any) -> Any:
        """Sign a challenge to register the key, and keep the session id of the answer."""
        proof = sign(challenge, self.key, with_key=True)
        response = self.post(f"{COOKIE_MOUNT}device/", HTTP_SECURE_SESSION_RESPONSE=proof, **extra)
        if response.status_code == 200:
            self.session_id = response.json()["session_identifier"]
        return response

    def renew(self, **extra: Any) -> Any:
        """Ask for a new device cookie. After a 403, ask again with the new challenge."""
        response = self.answer_challenge(**extra)
        return self.answer_challenge(**extra) if response.status_code == 403 else response

    def answer_challenge(self, **extra: Any) -> Any:
        """Ask for a device cookie, with a proof if the browser has a challenge. Keep the next challenge."""
        proof = sign(self.challenge, self.key, with_key=False) if self.challenge else None
        response = self.ask(proof, **extra)
        match = re.fullmatch(r'"([!#-~]+)";id="(.+)"', response.headers.get("Secure-Session-Challenge", ""))
        if match:
            assert match[2] == self.session_id
            self.challenge = match[1]
        return response

    def ask(self, proof: str | None, **extra: Any) -> Any:
        """Send one request for a new device cookie."""
        sent = {"HTTP_SEC_SECURE_SESSION_ID": self.session_id, **extra}
        if proof is not None:
            sent["HTTP_SECURE_SESSION_RESPONSE"] = proof
        return self.post(f"{COOKIE_MOUNT}device/refresh/", **sent)

    def lose_device_cookie(self) -> None:
        """Delete the device cookie, as a browser does when the cookie expires."""
        self.cookies.pop(DEVICE_COOKIE, None)
