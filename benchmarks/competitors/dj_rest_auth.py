"""dj-rest-auth: the tokens of simplejwt in cookies, with rotation and blacklist, and without a Django session."""

from __future__ import annotations

from benchmarks.competitor import SECRET, Answer, Call, Competitor, Tokens


class DjRestAuth(Competitor):
    """dj-rest-auth with its tokens in cookies."""

    name = "dj-rest-auth"
    packages = ["dj-rest-auth==7.2.0", "djangorestframework-simplejwt==5.5.1"]
    apps = ["dj_rest_auth", "rest_framework_simplejwt", "rest_framework_simplejwt.token_blacklist"]
    settings = {
        "SIMPLE_JWT": {"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True, "SIGNING_KEY": SECRET},
        "REST_AUTH": {
            "USE_JWT": True,
            "TOKEN_MODEL": None,
            "SESSION_LOGIN": False,
            "JWT_AUTH_COOKIE": "access",
            "JWT_AUTH_REFRESH_COOKIE": "refresh",
        },
    }
    routes = {"auth/": "dj_rest_auth.urls"}
    authentication = {"access": "dj_rest_auth.jwt_auth.JWTCookieAuthentication"}
    storage = ["token_blacklist"]

    def login(self, name: str, password: str) -> Call:
        return Call.json("/auth/login/", {"username": name, "password": password})

    def tokens(self, answer: Answer, before: Tokens | None = None) -> Tokens:
        return Tokens(answer.cookie("access"), answer.cookie("refresh"))

    def get(self, path: str, tokens: Tokens) -> Call:
        return Call("GET", path, headers={"Cookie": f"access={tokens.access}"})

    def refresh(self, tokens: Tokens) -> Call:
        return Call.json("/auth/token/refresh/", headers={"Cookie": f"refresh={tokens.refresh}"})

    def logout(self, tokens: Tokens) -> Call:
        cookies = f"access={tokens.access}; refresh={tokens.refresh}"
        return Call.json("/auth/logout/", headers={"Cookie": cookies})
