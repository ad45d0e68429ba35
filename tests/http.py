"""A caller of the service: plain HTTP through Django's handler, as little help as possible."""

from __future__ import annotations

import base64
import json
from typing import Any

from rest_framework.test import APIClient

from tests.factories import PASSWORD

COOKIE_MOUNT = "/api/auth/"
COOKIE = "__Secure-refresh_token"
COMPANION = "__Host-refresh_token-8eb1863cefef-sid"  # of this mount


def family_of(token: str) -> str:
    """Return the ``sid`` of a token, unverified; nothing if it has none."""
    try:
        return str(json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sid"])
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        return ""


def cookies(token: str) -> str:
    """Return the Cookie header of a browser that got this refresh token at COOKIE_MOUNT, with its companion."""
    return f"{COOKIE}={token}; {COMPANION}={family_of(token)}"


class Caller(APIClient):
    """An API client at one mount, who knows one user's password."""

    def __init__(self, user: Any, *, mount: str, **defaults: Any) -> None:
        super().__init__(**defaults)
        self.user, self.mount = user, mount

    def send(self, path: str, data: Any = None, **extra: Any) -> Any:
        """POST JSON to an endpoint of the mount."""
        return self.post(self.mount + path, data, format="json", **extra)

    def log_in(self, **extra: Any) -> Any:
        """Log in with the user's name and password."""
        return self.send("login/", {self.user.USERNAME_FIELD: self.user.get_username(), "password": PASSWORD}, **extra)

    def refresh(self, token: str | None = None, key: str | None = None, **extra: Any) -> Any:
        """Refresh: by the given token (in the body, or as the one cookie), or by what the jar holds."""
        if key is not None:
            extra["HTTP_IDEMPOTENCY_KEY"] = key
        if token is None:
            return self.send("refresh/", **extra)
        if self.mount == COOKIE_MOUNT:
            return self.send("refresh/", HTTP_COOKIE=cookies(token), **extra)
        return self.send("refresh/", {"refresh": token}, **extra)

    @property
    def cookie(self) -> str:
        """The refresh token in the jar."""
        return self.cookies[COOKIE].value
