"""The errors of a client. All are subclasses of TokenAuthError, and say what the program can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TokenAuthError(Exception):
    """The root of the errors that TokenAuth raises, if the program's request was not sent, or got a 401."""

    def __str__(self) -> str:
        return str(self.args[0])


class SessionEnded(TokenAuthError):
    """There is no session, and there are no credentials to log in again.

    ``reason`` is a reason of the server, such as ``expired``, ``revoked`` or ``reused``; ``logout`` after a logout;
    ``forked`` in a process that was forked from one with a MemoryStore; or ``missing`` if there never was one.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, reason)
        self.reason = reason


class LoginFailed(TokenAuthError):
    """The server refused the credentials. TokenAuth does not send them a second time.

    ``code`` is the server's, such as ``no_active_account``. ``fields`` has the errors by field if the status is 400.
    """

    def __init__(self, message: str, code: str = "", fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, code, fields)
        self.code = code
        self.fields = fields or {}


class StepUpRequired(TokenAuthError):
    """The API wants a more recent login for this request (RFC 9470).

    ``max_age`` is in seconds, or None if the API names none.
    """

    def __init__(self, message: str, max_age: int | None = None) -> None:
        super().__init__(message, max_age)
        self.max_age = max_age


class Unavailable(TokenAuthError):
    """No answer came, or the server was busy, for as long as the client waits. The session stays.

    ``retry_after`` is what the server asks to wait, in seconds, or 0. ``__cause__`` is the last network error.
    """

    def __init__(self, message: str, retry_after: float = 0) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after


class UnexpectedAnswer(TokenAuthError):
    """The answer is not one of twotoken's, such as a proxy's page. The session stays."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)
        self.status = status


class StoreError(TokenAuthError):
    """The store can't be read or written, belongs to somebody else, or holds another session."""
