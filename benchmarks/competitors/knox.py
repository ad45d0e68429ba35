"""django-rest-knox: one opaque token and no refresh. The login uses Basic authentication, as knox's docs do."""

from __future__ import annotations

from base64 import b64encode

from benchmarks.competitor import Answer, Call, Competitor, Tokens


class Knox(Competitor):
    """knox with one token in the database per login."""

    name = "knox"
    packages = ["django-rest-knox==5.1.0"]
    apps = ["knox"]
    settings = {
        "REST_FRAMEWORK": {"DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"]}
    }
    routes = {"auth/": "knox.urls"}
    authentication = {"access": "knox.auth.TokenAuthentication"}
    storage = ["knox"]
    operations = frozenset({"login", "get", "logout"})

    def login(self, name: str, password: str) -> Call:
        credentials = b64encode(f"{name}:{password}".encode()).decode()
        return Call.json("/auth/login/", headers={"Authorization": f"Basic {credentials}"})

    def tokens(self, answer: Answer, before: Tokens | None = None) -> Tokens:
        return Tokens(answer.data["token"])

    def get(self, path: str, tokens: Tokens) -> Call:
        return Call("GET", path, headers={"Authorization": f"Token {tokens.access}"})

    def logout(self, tokens: Tokens) -> Call:
        return Call.json("/auth/logout/", headers={"Authorization": f"Token {tokens.access}"})
