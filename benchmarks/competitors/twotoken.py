"""The twotoken of this checkout, in variants: tokens in the body (for the comparison), cookies, throttles, DPoP."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from importlib import import_module

from benchmarks.competitor import SECRET, Answer, Call, Competitor, Tokens

SECRETS = {"ACCESS_SECRET": f"access {SECRET}", "REFRESH_SECRET": f"refresh {SECRET}"}
CLASSES = "twotoken.authentication"
COOKIE = "__Secure-refresh_token"
COMPANION = "__Host-refresh_token-38898add93f2-sid"


def cookies(tokens: Tokens) -> str:
    """Return the two cookies that a browser sends: the refresh token, and the cookie that names the token's family."""
    payload = tokens.refresh.split(".")[1]
    return f"{COOKIE}={tokens.refresh}; {COMPANION}={json.loads(urlsafe_b64decode(payload + '=='))['sid']}"


class TwoToken(Competitor):
    """twotoken with its tokens in the body. The throttles are off, because the other packages have no throttles."""

    name = "twotoken"
    packages = ["Django>=5.2", "djangorestframework>=3.16", "PyJWT>=2.14", "ua-parser"]
    apps = ["twotoken", "django.contrib.admin", "django.contrib.messages", "django.contrib.sessions"]
    settings = {"TWOTOKEN": SECRETS | {"DELIVERY": "body", "LOGIN_THROTTLE": None, "REFRESH_THROTTLE": None}}
    routes = {"auth/": "twotoken.urls"}
    authentication = {
        "access": f"{CLASSES}.AccessTokenAuthentication",
        "stateless": f"{CLASSES}.StatelessAccessTokenAuthentication",
        "revocable": f"{CLASSES}.RevocableAccessTokenAuthentication",
    }
    storage = ["twotoken"]

    def login(self, name: str, password: str) -> Call:
        return Call.json("/auth/login/", {"username": name, "password": password})

    def tokens(self, answer: Answer, before: Tokens | None = None) -> Tokens:
        return Tokens(answer.data["access"], answer.data["refresh"])

    def refresh(self, tokens: Tokens) -> Call:
        return Call.json("/auth/refresh/", {"refresh": tokens.refresh})

    def logout(self, tokens: Tokens) -> Call:
        return Call.json("/auth/logout/", {"refresh": tokens.refresh})


class ByCookie(TwoToken):
    """twotoken with the refresh token in the cookie."""

    name = "twotoken-cookie"
    settings = {"TWOTOKEN": {**TwoToken.settings["TWOTOKEN"], "DELIVERY": "cookie"}}
    operations = frozenset({"login", "refresh", "logout"})
    storage = []

    def tokens(self, answer: Answer, before: Tokens | None = None) -> Tokens:
        return Tokens(answer.data["access"], answer.cookie(COOKIE))

    def refresh(self, tokens: Tokens) -> Call:
        return Call.json("/auth/refresh/", headers={"Cookie": cookies(tokens)})

    def logout(self, tokens: Tokens) -> Call:
        return Call.json("/auth/logout/", headers={"Cookie": cookies(tokens)})


class Throttled(TwoToken):
    """twotoken with both throttles, at rates that no run reaches. A throttle does the same work at any rate."""

    name = "twotoken-throttled"
    settings = {
        "TWOTOKEN": {
            **TwoToken.settings["TWOTOKEN"],
            "LOGIN_THROTTLE": "1000000/min",
            "REFRESH_THROTTLE": "1000000/min",
        }
    }
    operations = frozenset({"login", "refresh"})
    storage = []


HOST = "http://127.0.0.1:8000"  # the Host of the worker's requests
# A private key that everybody may know: nothing is protected by it.
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgt7C9cCwldd1phZMK
MPDS8UPrpIswb9F8120pfcfyPfChRANCAAQk2vRU7ENVArzEYEc/8C2gpemi9K2G
hlfRPpvHzO1Ku3pmCVepJNQe6aUhL01ls7WVg1rW5TjXRTkLuAPdK8Bf
-----END PRIVATE KEY-----
"""


def proof(path: str, method: str = "POST", access: str | None = None) -> dict[str, str]:
    """Return the headers of a request with a DPoP proof. The proof is made before the clock starts."""
    dpop = import_module("twotoken.dpop")  # imported only in a worker: the coordinator has no twotoken
    made = dpop.make_proof(KEY, method=method, address=HOST + path, now=datetime.now(UTC), access_token=access)
    return {"DPoP": made} if access is None else {"DPoP": made, "Authorization": f"DPoP {access}"}


class Bound(TwoToken):
    """twotoken with a DPoP proof by an ES256 key in each request. Django's default cache remembers the proofs."""

    name = "twotoken-dpop"
    packages = [*TwoToken.packages, "cryptography"]
    operations = frozenset({"login", "get", "refresh"})
    refuses_replay = False  # with a proof, the previous token is a retry
    storage = []

    def login(self, name: str, password: str) -> Call:
        path = "/auth/login/"
        return Call.json(path, {"username": name, "password": password}, proof(path))

    def get(self, path: str, tokens: Tokens) -> Call:
        return Call("GET", path, headers=proof(path, "GET", tokens.access))

    def refresh(self, tokens: Tokens) -> Call:
        path = "/auth/refresh/"
        return Call.json(path, {"refresh": tokens.refresh}, proof(path))


class TwoStatements(TwoToken):
    """A DRF view that runs only the two SQL statements of a refresh: no refresh with two statements can be faster."""

    name = "two-statements"
    routes = {"auth/refresh/": "benchmarks.statements.TwoStatements", **TwoToken.routes}
    operations = frozenset({"refresh"})
    rotates = False
    refuses_replay = False
    storage = []

    def tokens(self, answer: Answer, before: Tokens | None = None) -> Tokens:
        return before or super().tokens(answer)
