"""django-oauth-toolkit with rotation (its default) and reuse protection. Login is a public client's password grant."""

from __future__ import annotations

from urllib.parse import urlencode

from benchmarks.competitor import Answer, Call, Competitor, Tokens

CLIENT = "benchmarks"


class OAuthToolkit(Competitor):
    """django-oauth-toolkit as an OAuth 2 server."""

    name = "oauth-toolkit"
    packages = ["django-oauth-toolkit==3.4.1"]
    apps = ["oauth2_provider"]
    settings = {"OAUTH2_PROVIDER": {"ROTATE_REFRESH_TOKEN": True, "REFRESH_TOKEN_REUSE_PROTECTION": True}}
    rows = [
        (
            "oauth2_provider.Application",
            {"client_id": CLIENT, "client_type": "public", "authorization_grant_type": "password"},
        ),
    ]
    routes = {"o/": "oauth2_provider.urls"}
    authentication = {"access": "oauth2_provider.contrib.rest_framework.OAuth2Authentication"}
    storage = ["oauth2_provider"]

    def login(self, name: str, password: str) -> Call:
        return _form("/o/token/", grant_type="password", username=name, password=password)

    def tokens(self, answer: Answer, before: Tokens | None = None) -> Tokens:
        return Tokens(answer.data["access_token"], answer.data["refresh_token"])

    def refresh(self, tokens: Tokens) -> Call:
        return _form("/o/token/", grant_type="refresh_token", refresh_token=tokens.refresh)

    def logout(self, tokens: Tokens) -> Call:
        return _form("/o/revoke_token/", token=tokens.refresh, token_type_hint="refresh_token")


def _form(path: str, **fields: str) -> Call:
    body = urlencode({"client_id": CLIENT, **fields}).encode()
    return Call("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})
