"""ASGI: who an access token stands for, in the scope, as ``user`` and ``auth``. For Django Channels and any other.

It comes as ``Authorization: Bearer`` or, from browsers, which can't set a header on a WebSocket, as the subprotocols
``bearer`` and the token. Never in the query string: addresses are written to logs by servers and proxies.
No cookie is read, so that no other site can open a WebSocket as its visitor.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.db import close_old_connections
from django.http import HttpRequest

from twotoken.authentication import AccessTokenAuthentication
from twotoken.bearer import bearer_token
from twotoken.exceptions import InvalidToken, TokenNotValid
from twotoken.responses import body_of, challenge
from twotoken.tokens import AccessToken

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SUBPROTOCOL: Final = "bearer"
REFUSED: Final = 4401  # close code of a WebSocket, of those for private use (RFC 6455 section 7.4.2)


class AccessTokenMiddleware:
    """Puts the user into the scope, or an AnonymousUser where no token came; a token that is refused ends it there.

    ``authentication_class`` says what is looked at, as in a DRF view: the claims, the user, or the family too. Its
    ``verify`` and ``get_user`` are asked; where the token comes from is said here.
    """

    def __init__(
        self, app: Application, authentication_class: type[AccessTokenAuthentication] = AccessTokenAuthentication
    ) -> None:
        self.app = app
        self.authentication = authentication_class()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        offered: list[str] = list(scope.get("subprotocols", []))
        if SUBPROTOCOL in offered:
            scope = {**scope, "subprotocols": without_token(offered)}
            send = selecting(send)
        try:
            token = presented(scope, offered)
            user, access = (AnonymousUser(), None) if token is None else await sync_to_async(self.authenticate)(token)
        except TokenNotValid as exc:
            await REFUSALS[scope["type"]](exc, receive, send)
            return
        await self.app({**scope, "user": user, "auth": access}, receive, send)

    def authenticate(self, token: str) -> tuple[Any, AccessToken]:
        """Ask the authentication class, in a thread. No request ends here that would let go of old connections."""
        close_old_connections()
        try:
            access = self.authentication.verify(token)
            return self.authentication.get_user(access), access
        finally:
            close_old_connections()


def presented(scope: Scope, offered: list[str]) -> str | None:
    """Return the token of the Authorization header or else of the subprotocols; raise InvalidToken for half of one."""
    request = HttpRequest()
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    request.META["HTTP_AUTHORIZATION"] = ",".join(values)
    token = bearer_token(request)
    if token is not None or SUBPROTOCOL not in offered:
        return token
    following = offered[offered.index(SUBPROTOCOL) + 1 :]
    if not following:
        raise InvalidToken
    return following[0]


def without_token(offered: list[str]) -> list[str]:
    """Return the subprotocols that are the application's own to choose from: it must not echo the token."""
    place = offered.index(SUBPROTOCOL)
    return offered[:place] + offered[place + 2 :]


def selecting(send: Send) -> Send:
    """Select our subprotocol where the application selects none: browsers hang up if none of theirs is taken."""

    async def select(message: Any) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": SUBPROTOCOL}
        await send(message)

    return select


async def refuse_http(error: TokenNotValid, receive: Receive, send: Send) -> None:
    """Answer with the 401 of an API route."""
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"www-authenticate", challenge(error).encode()),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body_of(error)).encode()})


async def refuse_websocket(error: TokenNotValid, receive: Receive, send: Send) -> None:
    """Accept, and close with a code and the reason: of a handshake that is refused, a page is told nothing."""
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": REFUSED, "reason": error.reason})


REFUSALS: Final = {"http": refuse_http, "websocket": refuse_websocket}
