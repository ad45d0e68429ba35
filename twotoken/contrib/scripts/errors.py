"""The errors that TokenAuth raises, a subclass of TokenAuthError for each case that a program may handle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TokenAuthError(Exception):
    """The base class of the errors of TokenAuth. The program's request was not sent, or was answered with a 401."""

    def __str__(self) -> str:
        return str(self.args[0])


class SessionEnded(TokenAuthError):
    """There is no session, and there are no credentials to log in again.

    ``reason`` is the reason in the server's answer, such as ``expired``, ``revoked`` or ``reused``. Three reasons come
    from the client: ``logout`` after a logout, ``missing`` if there never was a session, and ``forked`` in a child
    process. A child process must not use the session in its parent's MemoryStore.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, reason)
        self.reason = reason


class LoginFailed(TokenAuthError):
    """The server refused the credentials. TokenAuth does not send them again, unless they come from a function.

    ``code`` is the server's error code, such as ``no_active_account``. After a 400, ``fields`` has the errors by field.
    """

    def __init__(self, message: str, code: str = "", fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, code, fields)
        self.code = code
        self.fields = fields or {}


class StepUpRequired(TokenAuthError):
    """The API wants a more recent login for this request (RFC 9470).

    ``max_age`` says how old the login may be, in seconds. ``max_age`` is None if the API does not say it.
    """

    def __init__(self, message: str, max_age: int | None = None) -> None:
        super().__init__(message, max_age)
        self.max_age = max_age


class Unavailable(TokenAuthError):
    """No answer came, or the server was busy, and ``patience`` allows no further try. The session stays in the store.

    The error comes at once if the server's Retry-After is longer than the rest of ``patience``. It also comes if
    another thread or process refreshes for longer than ``patience``.

    ``retry_after`` is how many seconds the server asks to wait, or 0. ``__cause__`` is the last network error.
    """

    def __init__(self, message: str, retry_after: float = 0) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after


class UnexpectedAnswer(TokenAuthError):
    """The answer is not one that TokenAuth expects, for example a proxy's page. The session stays in the store."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)
        self.status = status


class StoreError(TokenAuthError):
    """The store can't be read or written, its file is not private, or its session is for another account or URL."""
