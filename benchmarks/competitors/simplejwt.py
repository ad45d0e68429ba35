"""djangorestframework-simplejwt in two variants: with rotation and blacklist, and with its defaults (no rotation)."""

from __future__ import annotations

from benchmarks.competitor import SECRET, Answer, Call, Competitor, Tokens

VIEWS = "rest_framework_simplejwt.views"
CLASSES = "rest_framework_simplejwt.authentication"


class SimpleJWT(Competitor):
    """simplejwt with rotation and blacklist."""

    name = "simplejwt"
    packages = ["djangorestframework-simplejwt==5.5.1"]
    apps = ["rest_framework_simplejwt", "rest_framework_simplejwt.token_blacklist"]
    settings = {
        "SIMPLE_JWT": {"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True, "SIGNING_KEY": SECRET},
    }
    routes = {
        "token/": f"{VIEWS}.TokenObtainPairView",
        "token/refresh/": f"{VIEWS}.TokenRefreshView",
        "token/blacklist/": f"{VIEWS}.TokenBlacklistView",
    }
    authentication = {
        "access": f"{CLASSES}.JWTAuthentication",
        "stateless": f"{CLASSES}.JWTStatelessUserAuthentication",
    }
    storage = ["token_blacklist"]

    def login(self, name: str, password: str) -> Call:
        return Call.json("/token/", {"username": name, "password": password})

    def tokens(self, answer: Answer, before: Tokens | None = None) -> Tokens:
        refresh = answer.data.get("refresh") or (before.refresh if before else "")
        return Tokens(answer.data["access"], refresh)

    def refresh(self, tokens: Tokens) -> Call:
        return Call.json("/token/refresh/", {"refresh": tokens.refresh})

    def logout(self, tokens: Tokens) -> Call:
        return Call.json("/token/blacklist/", {"refresh": tokens.refresh})


class WithoutRotation(SimpleJWT):
    """simplejwt with one refresh token for the whole login: no rotation, no blacklist, and a refresh writes nothing."""

    name = "simplejwt-norotation"
    apps = ["rest_framework_simplejwt"]
    settings = {"SIMPLE_JWT": {"SIGNING_KEY": SECRET}}
    routes = {path: view for path, view in SimpleJWT.routes.items() if "blacklist" not in path}
    storage = []
    rotates = False
    refuses_replay = False
    operations = frozenset({"refresh"})
