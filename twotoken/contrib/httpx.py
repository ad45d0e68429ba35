"""Authentication for httpx: ``httpx.Client(auth=TokenAuth(…))`` or ``httpx.AsyncClient(auth=TokenAuth(…))``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any, TypeVar, Unpack

import anyio
import httpx

from twotoken.contrib.scripts import (
    Answer,
    AuthOptions,
    BaseTokenAuth,
    FileStore,
    Flow,
    LoginFailed,
    Lost,
    MemoryStore,
    Pause,
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

T = TypeVar("T")


class TokenAuth(BaseTokenAuth, httpx.Auth):
    """Logs in, refreshes, and repeats a request after a 401. Several threads and tasks can share one TokenAuth.

    TokenAuth sends logins and refreshes with a client of its own, because httpx does not tell an Auth that an answer
    was lost. ``client_options`` are the arguments of this client, such as ``{"verify": context, "proxy": url}``.
    """

    def __init__(
        self, auth_url: str, *, client_options: Mapping[str, Any] | None = None, **options: Unpack[AuthOptions]
    ) -> None:
        super().__init__(auth_url, **options)
        self._client_options = {"timeout": self._timeout, **(client_options or {}), "follow_redirects": False}

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the access token to a Client's request for the API. After a 401, refresh and repeat the request."""
        if not self._protocol.covers(str(request.url)):
            yield request
            return
        token = self.access_token()
        self._authorize(request, token)
        response, tried = (yield request), set[str]()
        while self._is_refusal(response, token):
            response.read()
            token = self._remedied(token, answer_of(response), tried)
            if not token or not can_be_repeated(response.request):
                return
            self._authorize(response.request, token)
            response = yield response.request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Add the access token to an AsyncClient's request for the API. After a 401, refresh and repeat the request."""
        if not self._protocol.covers(str(request.url)):
            yield request
            return
        token = await self.access_token_async()
        self._authorize(request, token)
        response, tried = (yield request), set[str]()
        while self._is_refusal(response, token):
            await response.aread()
            token = await self._run_async(self._protocol.refused(token, answer_of(response), tried))
            if not token or not can_be_repeated(response.request):
                return
            self._authorize(response.request, token)
            response = yield response.request

    async def access_token_async(self) -> str:
        """Return an access token as ``access_token`` does, without blocking the event loop."""
        return await self._run_async(self._protocol.token())

    async def logout_async(self) -> None:
        """End the session as ``logout`` does, without blocking the event loop."""
        await self._run_async(self._protocol.log_out())

    def _authorize(self, request: httpx.Request, token: str) -> None:
        request.headers.update(self._protocol.headers(token, request.method, str(request.url)))

    def _is_refusal(self, response: httpx.Response, token: str) -> bool:
        self._protocol.note(str(response.request.url), response.headers)
        # httpx removes the header at a redirect to another origin: a 401 from there is not about our token.
        sent = response.request.headers.get("Authorization", "")
        return response.status_code == httpx.codes.UNAUTHORIZED and sent.endswith(f" {token}")

    def _send(self, step: Post) -> Answer | Lost:
        try:
            with httpx.Client(**self._client_options) as client:
                return answer_of(client.post(step.url, json=step.body, headers=step.headers))
        except httpx.RequestError as error:
            return Lost(error)

    async def _send_async(self, step: Post) -> Answer | Lost:
        try:
            async with httpx.AsyncClient(**self._client_options) as client:
                return answer_of(await client.post(step.url, json=step.body, headers=step.headers))
        except httpx.RequestError as error:
            return Lost(error)

    async def _run_async(self, flow: Flow[T]) -> T:
        """Do the steps of a flow as ``run`` does, without blocking the event loop: a save runs in a thread."""
        result: Answer | Lost | None = None
        try:
            while True:
                step = flow.send(result)
                result = None
                if isinstance(step, Post):
                    result = await self._send_async(step)
                elif isinstance(step, Pause):
                    await anyio.sleep(step.seconds)
                else:
                    await anyio.to_thread.run_sync(self._store.save, step.session)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            flow.close()


def answer_of(response: httpx.Response) -> Answer:
    """Return a response of httpx as an Answer, the form that TokenProtocol reads."""
    return answer(response.status_code, response.content, response.headers)


def can_be_repeated(request: httpx.Request) -> bool:
    """Tell whether a request can be sent again. A body from a file or a generator can be read only once."""
    return isinstance(request.stream, httpx.ByteStream)
