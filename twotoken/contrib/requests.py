"""Authentication for requests: ``session.auth = TokenAuth(…)``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Unpack

import requests
from requests.auth import AuthBase
from requests.cookies import extract_cookies_to_jar
from requests.exceptions import UnrewindableBodyError
from requests.utils import rewind_body

from twotoken.contrib.scripts import (
    Answer,
    AuthOptions,
    BaseTokenAuth,
    FileStore,
    LoginFailed,
    Lost,
    MemoryStore,
    Post,
    SessionEnded,
    StepUpRequired,
    StoreError,
    TokenAuthError,
    Unavailable,
    UnexpectedAnswer,
    answer,
)

__all__ = [
    "FileStore",
    "LoginFailed",
    "MemoryStore",
    "SessionEnded",
    "StepUpRequired",
    "StoreError",
    "TokenAuth",
    "TokenAuthError",
    "Unavailable",
    "UnexpectedAnswer",
]


class TokenAuth(BaseTokenAuth, AuthBase):
    """Logs in, refreshes, and repeats a request after a 401. Several threads can share one TokenAuth.

    TokenAuth sends each login and refresh with a new ``requests.Session``, not with the program's session.
    ``new_session`` is a function that returns this new session, for example with a proxy or a certificate.
    """

    def __init__(
        self,
        auth_url: str,
        *,
        new_session: Callable[[], requests.Session] = requests.Session,
        **options: Unpack[AuthOptions],
    ) -> None:
        super().__init__(auth_url, **options)
        self._new_session = new_session

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the access token to a request for the API, and a hook that repeats the request after a 401."""
        if self._protocol.covers(request.url or ""):
            token = self.access_token()
            self._authorize(request, token)
            request.register_hook("response", partial(self._answered, token))  # type: ignore[no-untyped-call]
        return request

    def _answered(self, token: str, response: requests.Response, **options: Any) -> requests.Response:
        tried: set[str] = set()
        while self._is_refusal(response, token):
            content = response.content  # read all of it, so that the connection can be used again
            token = self._remedied(token, answer(response.status_code, content, response.headers), tried)
            if not token or not is_rewound(response.request):
                break
            response.close()
            response = self._repeat(response, token, **options)
        return response

    def _is_refusal(self, response: requests.Response, token: str) -> bool:
        self._protocol.note(str(response.request.url), response.headers)
        # requests removes the header at a redirect to another origin: a 401 from there is not about our token.
        sent = str(response.request.headers.get("Authorization", ""))
        return response.status_code == requests.codes.unauthorized and sent.endswith(f" {token}")

    def _repeat(self, response: requests.Response, token: str, **options: Any) -> requests.Response:
        again = response.request.copy()
        jar: Any = again._cookies  # type: ignore[attr-defined]  # as in requests.auth.HTTPDigestAuth
        extract_cookies_to_jar(jar, response.request, response.raw)  # type: ignore[no-untyped-call]
        again.prepare_cookies(jar)
        self._authorize(again, token)
        second: requests.Response = response.connection.send(again, **options)
        second.history.append(response)
        second.request = again
        return second

    def _authorize(self, request: requests.PreparedRequest, token: str) -> None:
        request.headers.update(self._protocol.headers(token, request.method or "", request.url or ""))

    def _send(self, step: Post) -> Answer | Lost:
        try:
            with self._new_session() as session:
                response = session.post(
                    step.url,
                    json=step.body,
                    headers=step.headers,
                    timeout=self._timeout,
                    allow_redirects=False,
                    auth=no_auth,
                )
                return answer(response.status_code, response.content, response.headers)
        except requests.RequestException as error:
            return Lost(error)


def no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return a request unchanged. Without any ``auth``, the library requests would use a password from ``.netrc``."""
    return request


def is_rewound(request: requests.PreparedRequest) -> bool:
    """Tell whether a request can be sent again. If its body is a file, move the file back to where the body began."""
    if request.body is None or isinstance(request.body, str | bytes):
        return True
    try:
        rewind_body(request)
    except UnrewindableBodyError:
        return False
    return True
