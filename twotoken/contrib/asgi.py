"""ASGI middleware that authenticates by access token, for Django Channels and any other ASGI application.

The client sends the token as ``Authorization: Bearer``, or as two WebSocket subprotocols, ``bearer`` and the token,
because a browser can't set a header on a WebSocket. The middleware never reads a token from the query string, because
servers and proxies log URLs. It reads no cookie, so another site can't open a WebSocket in a visitor's name.

A bound access token (DPoP) is refused, because a page can't send a proof with the handshake of a WebSocket.
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
from twotoken.bearer import bearer_token, by_dpop
from twotoken.exceptions import InvalidToken, TokenNotValid, Unavailable, WrongDevice
from twotoken.responses import body_of, headers_of, status_of
from twotoken.tokens import AccessToken

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SUBPROTOCOL: Final = "bearer"
REFUSED: Final = 4401  # WebSocket close code, from the range for private use (RFC 6455 section 7.4.2)
TRY_AGAIN: Final = 1013  # WebSocket close code, registered as "Try Again Later"


class AccessTokenMiddleware:
    """Sets ``user`` and ``auth`` in the scope from an access token. Refuses invalid tokens.

    If there is no token, ``user`` is an AnonymousUser and ``auth`` is None.

    ``authentication_class`` decides, as in a DRF view, whether only the claims are checked, or also the user, or also
    the token family. The middleware reads the token from the scope, then calls ``verify`` and ``get_user`` of this
    class.
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
        except (TokenNotValid, Unavailable) as exc:
            await REFUSALS[scope["type"]](exc, receive, send)
            return
        await self.app({**scope, "user": user, "auth": access}, receive, send)

    def authenticate(self, token: str) -> tuple[Any, AccessToken]:
        """Return the user and the claims of a token. Raises WrongDevice if the token is bound.

        The caller runs this method in a thread. Old database connections are closed, as Django does for each request.
        """
        close_old_connections()
        try:
            access = self.authentication.verify(token)
            if access.is_bound:
                raise WrongDevice
            return self.authentication.get_user(access), access
        finally:
            close_old_connections()


def presented(scope: Scope, offered: list[str]) -> str | None:
    """Return the token of the Authorization header or the subprotocols. None if there is no token.

    Raises InvalidToken if the header or the subprotocols are malformed, or if the header has the scheme DPoP.
    """
    request = HttpRequest()
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    request.META["HTTP_AUTHORIZATION"] = ",".join(values)
    token = bearer_token(request)
    if by_dpop(request):
        raise InvalidToken
    if token is not None or SUBPROTOCOL not in offered:
        return token
    following = offered[offered.index(SUBPROTOCOL) + 1 :]
    if not following:
        raise InvalidToken
    return following[0]


def without_token(offered: list[str]) -> list[str]:
    """Return the offered subprotocols without ``bearer`` and the token. The application must not select the token."""
    place = offered.index(SUBPROTOCOL)
    return offered[:place] + offered[place + 2 :]


def selecting(send: Send) -> Send:
    """Return a ``send`` that selects ``bearer`` if the application selects no subprotocol.

    A browser that has offered subprotocols disconnects if none is selected.
    """

    async def select(message: Any) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": SUBPROTOCOL}
        await send(message)

    return select


async def refuse_http(error: TokenNotValid | Unavailable, receive: Receive, send: Send) -> None:
    """Refuse an HTTP request with the 401 or 503 that an API route would send."""
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        *((name.lower().encode(), value.encode()) for name, value in headers_of(error).items()),
    ]
    await send({"type": "http.response.start", "status": status_of(type(error)), "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body_of(error)).encode()})


async def refuse_websocket(error: TokenNotValid | Unavailable, receive: Receive, send: Send) -> None:
    """Accept a WebSocket, then close it with a code and the reason. A page can't see why a handshake is refused."""
    await receive()  # the message websocket.connect
    await send({"type": "websocket.accept"})
    if isinstance(error, Unavailable):
        await send({"type": "websocket.close", "code": TRY_AGAIN, "reason": error.code})
    else:
        await send({"type": "websocket.close", "code": REFUSED, "reason": error.reason})


REFUSALS: Final = {"http": refuse_http, "websocket": refuse_websocket}
