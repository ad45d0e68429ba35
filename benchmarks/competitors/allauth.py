"""django-allauth headless with its JWT strategy. Like the other competitors it uses HS256 and has no rate limits.

django-allauth needs Django's sessions and a middleware of its own.
"""

from __future__ import annotations

from benchmarks.competitor import Answer, Call, Competitor, Tokens

BASE = "/_allauth/app/v1"


class Allauth(Competitor):
    """The headless API for apps, with the JWT strategy, which rotates refresh tokens by default."""

    name = "allauth"
    packages = ["django-allauth[headless]==65.21.1"]
    apps = ["django.contrib.sessions", "django.contrib.messages", "allauth", "allauth.account", "allauth.headless"]
    middleware = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ]
    settings = {
        "AUTHENTICATION_BACKENDS": ["allauth.account.auth_backends.AuthenticationBackend"],
        "HEADLESS_ONLY": True,
        "HEADLESS_TOKEN_STRATEGY": "allauth.headless.tokens.strategies.jwt.JWTTokenStrategy",
        "HEADLESS_JWT_ALGORITHM": "HS256",
        "HEADLESS_JWT_ROTATE_REFRESH_TOKEN": True,
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_RATE_LIMITS": False,
    }
    routes = {"_allauth/": "allauth.headless.urls", "accounts/": "allauth.urls"}
    authentication = {"access": "allauth.headless.contrib.rest_framework.authentication.JWTTokenAuthentication"}
    storage = ["sessions", "account"]
    logged_out = 401  # as documented: the session has ended

    def login(self, name: str, password: str) -> Call:
        return Call.json(f"{BASE}/auth/login", {"username": name, "password": password})

    def tokens(self, answer: Answer, before: Tokens | None = None) -> Tokens:
        given = answer.data["meta"] if before is None else answer.data["data"]
        return Tokens(given["access_token"], given["refresh_token"])

    def refresh(self, tokens: Tokens) -> Call:
        return Call.json(f"{BASE}/tokens/refresh", {"refresh_token": tokens.refresh})

    def logout(self, tokens: Tokens) -> Call:
        return Call("DELETE", f"{BASE}/auth/session", headers={"Authorization": f"Bearer {tokens.access}"})
