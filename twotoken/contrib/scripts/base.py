"""The base class of TokenAuth for httpx and for requests: the options, and the methods that wait for an answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict, Unpack

from twotoken.contrib.scripts.options import PATIENCE, Credentials, Options, StepUp
from twotoken.contrib.scripts.protocol import TokenProtocol
from twotoken.contrib.scripts.steps import Answer, Lost, Post, run
from twotoken.contrib.scripts.stores import MemoryStore, Store

TIMEOUT = 10.0  # seconds for one try


class AuthOptions(TypedDict, total=False):
    """The keyword arguments of every TokenAuth. The docstring of BaseTokenAuth explains them."""

    username: str | None
    password: str | None
    credentials: Credentials | None
    refresh: str
    store: Store | None
    origins: Collection[str]
    patience: float
    dpop: bool
    on_step_up: StepUp | None
    timeout: float


class BaseTokenAuth:
    """Logs in with credentials or begins with a refresh token, and keeps the session in a store.

    - ``auth_url``: where ``twotoken.urls`` is mounted with the delivery ``body``
    - ``username``, ``password``: the credentials, if ``login/`` takes these two fields
    - ``credentials``: in place of name and password, the body of ``login/``, such as ``{"email": …, "password": …}``.
      The body's first entry names the user. The option can also be a function that returns a body, or None if there
      are no credentials
    - ``refresh``: a refresh token to begin with. A refresh token works only once, so keep the session in a FileStore
    - ``store``: a MemoryStore, which is the default, or a FileStore
    - ``origins``: more origins that get the access token. The origin of ``auth_url`` always gets it
    - ``dpop``: whether to bind new sessions to a key that the store keeps, so that a token copied without the key is
      useless (RFC 9449). This option needs the extra ``crypto``
    - ``on_step_up``: a function that is called if a route wants a more recent login. It returns the body of
      ``reauthenticate/``, such as ``{"password": …}``, or None to give up. Its argument is the ``max_age`` in
      seconds, or None if the API does not name a ``max_age``
    - ``patience``: how many seconds after its start a request may still begin a try to log in or refresh
    - ``timeout``: how many seconds one try may take
    """

    protocol_class = TokenProtocol

    def __init__(self, auth_url: str, **options: Unpack[AuthOptions]) -> None:
        self._timeout = options.get("timeout", TIMEOUT)
        self._store = options.get("store") or MemoryStore()
        known = Options(
            auth_url=auth_url,
            credentials=credentials_of(options),
            refresh=options.get("refresh", ""),
            origins=options.get("origins", ()),
            patience=options.get("patience", PATIENCE),
            dpop=options.get("dpop", False),
            on_step_up=options.get("on_step_up"),
        )
        self._protocol = self.protocol_class(known, self._store)

    def access_token(self) -> str:
        """Return an access token for use without the HTTP client, such as on a WebSocket. Raises a TokenAuthError."""
        return run(self._protocol.token(), self._send, self._store)

    def logout(self) -> None:
        """End the session. Raises Unavailable, UnexpectedAnswer or StoreError: then the session may still be active."""
        run(self._protocol.log_out(), self._send, self._store)

    def _remedied(self, token: str, answer: Answer, tried: set[str]) -> str:
        return run(self._protocol.refused(token, answer, tried), self._send, self._store)

    def _send(self, step: Post) -> Answer | Lost:
        raise NotImplementedError


def credentials_of(options: AuthOptions) -> Credentials | None:
    """Return the option ``credentials``, or a dict of the options ``username`` and ``password``.

    Raises TypeError if only one of these two is given, or if ``credentials`` are given in addition to them.
    """
    username, password, credentials = options.get("username"), options.get("password"), options.get("credentials")
    if username is None and password is None:
        return credentials
    if username is None or password is None or credentials is not None:
        raise TypeError("Give username and password, or credentials.")
    return {"username": username, "password": password}
