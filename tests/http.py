"""A client of twotoken's endpoints that sends plain requests through Django's handler."""

from __future__ import annotations

from typing import Any

from rest_framework.test import APIClient

from tests.factories import PASSWORD
from tests.jar import COOKIE, COOKIE_MOUNT, cookies


class Caller(APIClient):
    """An API client at one mount that logs in as one user."""

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
        """Refresh with this token, in the body or in a cookie. Without a token, refresh with the cookie jar."""
        if key is not None:
            extra["HTTP_IDEMPOTENCY_KEY"] = key
        if token is None:
            return self.send("refresh/", **extra)
        if self.mount == COOKIE_MOUNT:
            return self.send("refresh/", HTTP_COOKIE=cookies(token), **extra)
        return self.send("refresh/", {"refresh": token}, **extra)

    @property
    def cookie(self) -> str:
        """The refresh token in the cookie jar."""
        return self.cookies[COOKIE].value
