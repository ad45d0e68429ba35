"""Tests of AccessTokenMiddleware, with Channels and with plain ASGI applications."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.testing import WebsocketCommunicator
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from tests.integrations.pages import block, module_of
from tests.overrides import with_settings
from tests.proofs import Device
from twotoken import families
from twotoken.authentication import RevocableAccessTokenAuthentication, StatelessAccessTokenAuthentication
from twotoken.contrib.asgi import REFUSED, SUBPROTOCOL, TRY_AGAIN, AccessTokenMiddleware
from twotoken.exceptions import RevokedToken, Unavailable
from twotoken.models import RefreshToken
from twotoken.signals import family_revoked
from twotoken.testing import expired_access_token
from twotoken.tokens import AccessToken

pytestmark = pytest.mark.django_db(transaction=True)
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


@pytest.fixture(scope="module", name="shown")
def _shown() -> Any:
    """The ``asgi.py`` that the docs' page on WebSockets shows."""
    module_of("websockets", "class NewsConsumer", "news.consumers")
    return module_of("websockets", "ProtocolTypeRouter", "shown_asgi")


def socket(application: Any, *subprotocols: str, authorization: str = "") -> Any:
    """Return a WebSocket that has not connected yet."""
    headers = [(b"authorization", authorization.encode())] if authorization else []
    return WebsocketCommunicator(application, "/ws/news/", headers, list(subprotocols))


async def turned_away(connection: Any, reason: str) -> None:
    """Assert that a WebSocket is accepted and then closed, with the code 4401 and this reason."""
    accepted, subprotocol = await connection.connect()
    assert (accepted, subprotocol) == (True, None if connection.scope["subprotocols"] == [] else SUBPROTOCOL)
    assert await connection.receive_output() == {"type": "websocket.close", "code": REFUSED, "reason": reason}


def in_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Return a synchronous test that runs an asynchronous test to the end."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        async_to_sync(test)(**fixtures)

    return run


@in_a_loop
async def test_a_browser_s_token(shown: Any, user: Any) -> None:
    """The consumer gets the user of a token that follows ``bearer`` in the subprotocols. ``bearer`` is selected."""
    pair = await sync_to_async(families.start)(user)
    page = socket(shown.application, SUBPROTOCOL, pair.access)
    assert await page.connect() == (True, SUBPROTOCOL)
    assert await page.receive_json_from() == {"you": str(user.pk)}
    await page.disconnect()


@in_a_loop
async def test_a_script_s_token(shown: Any, user: Any) -> None:
    """The consumer gets the user of a token in the Authorization header. No subprotocol is selected."""
    pair = await sync_to_async(families.start)(user)
    script = socket(shown.application, authorization=f"Bearer {pair.access}")
    assert await script.connect() == (True, None)
    assert await script.receive_json_from() == {"you": str(user.pk)}
    await script.disconnect()


@in_a_loop
async def test_no_token(shown: Any) -> None:
    """The docs' consumer refuses a WebSocket without a token, although it has a session cookie and a query string."""
    visitor = WebsocketCommunicator(shown.application, "/ws/news/?bearer=x&token=y", [(b"cookie", b"sessionid=z")])
    assert await visitor.connect() == (False, 1000)
    await visitor.disconnect()


@in_a_loop
async def test_a_token_in_the_query_string(shown: Any, user: Any) -> None:
    """The docs' consumer refuses a WebSocket with a valid token in the query string."""
    access = (await sync_to_async(families.start)(user)).access
    for name in ("access", "access_token", "token", "bearer"):
        visitor = WebsocketCommunicator(shown.application, f"/ws/news/?{name}={access}")
        assert (await visitor.connect())[0] is False
        await visitor.disconnect()


@in_a_loop
async def test_tokens_that_are_refused(shown: Any, user: Any) -> None:
    """A WebSocket with a refused token closes with the reason ``expired``, ``invalid`` or ``user_inactive``."""
    access = (await sync_to_async(families.start)(user)).access
    await turned_away(
        socket(shown.application, SUBPROTOCOL, await sync_to_async(expired_access_token)(user)), "expired"
    )
    await turned_away(socket(shown.application, SUBPROTOCOL, f"{access}x"), "invalid")
    await turned_away(socket(shown.application, SUBPROTOCOL), "invalid")
    await turned_away(socket(shown.application, authorization="Bearer"), "invalid")
    twice = socket(shown.application)
    twice.scope["headers"] = [(b"authorization", f"Bearer {access}".encode())] * 2
    await turned_away(twice, "invalid")
    refresh = (await sync_to_async(families.start)(user)).refresh
    await turned_away(socket(shown.application, SUBPROTOCOL, refresh), "invalid")
    await sync_to_async(user.delete)()
    await turned_away(socket(shown.application, SUBPROTOCOL, access), "user_inactive")


@in_a_loop
async def test_the_connection_ends_with_the_token(shown: Any, user: Any) -> None:
    """When the access token expires, the docs' consumer closes its WebSocket with 4401 ``expired``."""
    with with_settings(ACCESS_LIFETIME=timedelta(seconds=2)):
        pair = await sync_to_async(families.start)(user)
        page = socket(shown.application, SUBPROTOCOL, pair.access)
        await page.connect()
        await page.receive_json_from()
        message = await page.receive_output(timeout=4)
        assert message == {"type": "websocket.close", "code": REFUSED, "reason": "expired"}
        await turned_away(socket(shown.application, SUBPROTOCOL, pair.access), "expired")
        await page.disconnect()


def under_way() -> list[str]:
    """Return the names of the coroutines that are not finished."""
    return [getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()]


@in_a_loop
async def test_a_page_that_leaves(shown: Any, user: Any) -> None:
    """After a WebSocket disconnects, the docs' consumer has no coroutine left that waits for the token's expiry."""
    pair = await sync_to_async(families.start)(user)
    page = socket(shown.application, SUBPROTOCOL, pair.access)
    await page.connect()
    await page.receive_json_from()
    assert "close_after" in under_way()
    await page.disconnect()
    await asyncio.sleep(0.05)
    assert "close_after" not in under_way()


@override_settings(CHANNEL_LAYERS=CHANNEL_LAYERS)
@in_a_loop
async def test_a_revocation_at_once(shown: Any, user: Any) -> None:
    """The docs' receiver closes the WebSockets of a revoked family. Those of the user's other family stay open."""
    prompt = module_of("websockets", "class PromptNewsConsumer", "shown_prompt")
    try:
        application = AccessTokenMiddleware(prompt.PromptNewsConsumer.as_asgi())
        sockets = []
        for _ in range(2):
            pair = await sync_to_async(families.start)(user)
            page = socket(application, SUBPROTOCOL, pair.access)
            await page.connect()
            await page.receive_json_from()
            sockets.append(page)
        first = await RefreshToken.objects.order_by("created_at").afirst()
        assert first is not None
        await sync_to_async(families.revoke)(first.pk)
        message = await sockets[0].receive_output()
        assert message == {"type": "websocket.close", "code": REFUSED, "reason": "revoked"}
        assert await sockets[1].receive_nothing()
        for page in sockets:
            await page.disconnect()
        visitor = socket(application)
        assert (await visitor.connect())[0] is False
        await visitor.disconnect()
    finally:
        family_revoked.disconnect(prompt.close_connections)


async def chosen(scope: Any, receive: Any, send: Any) -> None:
    """Accept with the first offered subprotocol, and send the subprotocols, the user and the ``sub`` in the scope."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
    claims = None if scope["auth"] is None else scope["auth"]["sub"]
    await send({"type": "websocket.send", "text": json.dumps([scope["subprotocols"], str(scope["user"].pk), claims])})
    await send({"type": "websocket.close", "code": 1000})


@in_a_loop
async def test_subprotocols_of_the_application(user: Any) -> None:
    """The middleware removes ``bearer`` and the token after it from the subprotocols in the application's scope."""
    application = AccessTokenMiddleware(chosen)
    access = (await sync_to_async(families.start)(user)).access
    for offered, own, selected in (
        (["chat", SUBPROTOCOL, access, "mqtt"], ["chat", "mqtt"], "chat"),
        ([SUBPROTOCOL, access], [], SUBPROTOCOL),
    ):
        page = socket(application, *offered)
        assert await page.connect() == (True, selected)
        assert await page.receive_json_from() == [own, str(user.pk), str(user.pk)]
    visitor = socket(application, "chat", access)
    assert await visitor.connect() == (True, "chat")
    assert await visitor.receive_json_from() == [["chat", access], "None", None]


@pytest.mark.parametrize(
    ("authentication_class", "queries"),
    [(None, 1), (StatelessAccessTokenAuthentication, 0), (RevocableAccessTokenAuthentication, 1)],
)
def test_queries(user: Any, authentication_class: Any, queries: int) -> None:
    """The middleware makes as many queries as the authentication class makes in a view."""
    access = families.start(user).access
    arguments = [] if authentication_class is None else [authentication_class]
    page = socket(AccessTokenMiddleware(chosen, *arguments), SUBPROTOCOL, access)
    with CaptureQueriesContext(connection) as captured:
        async_to_sync(page.connect)()
    assert len([query for query in captured if "SELECT" in query["sql"]]) == queries


@in_a_loop
async def test_a_revoked_family(user: Any) -> None:
    """The revocable class closes a WebSocket with a revoked family's token. The stateless class accepts it."""
    pair = await sync_to_async(families.start)(user)
    await sync_to_async(families.revoke)(pair.family_id)
    await turned_away(
        socket(AccessTokenMiddleware(chosen, RevocableAccessTokenAuthentication), SUBPROTOCOL, pair.access), "revoked"
    )
    page = socket(AccessTokenMiddleware(chosen, StatelessAccessTokenAuthentication), SUBPROTOCOL, pair.access)
    assert (await page.connect())[0] is True


class Narrow(StatelessAccessTokenAuthentication):
    """An authentication class that raises RevokedToken for every token."""

    def verify(self, token: str) -> AccessToken:
        raise RevokedToken


@in_a_loop
async def test_a_class_that_takes_fewer_tokens(user: Any) -> None:
    """If the authentication class raises RevokedToken, the WebSocket closes with the reason ``revoked``."""
    access = (await sync_to_async(families.start)(user)).access
    await turned_away(socket(AccessTokenMiddleware(chosen, Narrow), SUBPROTOCOL, access), "revoked")


class Waiting(StatelessAccessTokenAuthentication):
    """An authentication class that raises Unavailable for every token."""

    def verify(self, token: str) -> AccessToken:
        raise Unavailable


@in_a_loop
async def test_when_nobody_can_tell(user: Any) -> None:
    """If the authentication class raises Unavailable, a WebSocket closes with 1013. HTTP gets a 503 and Retry-After."""
    application = AccessTokenMiddleware(chosen, Waiting)
    page = socket(application, SUBPROTOCOL, "x")
    assert (await page.connect())[0] is True
    assert await page.receive_output() == {"type": "websocket.close", "code": TRY_AGAIN, "reason": "unavailable"}
    status, headers, body = await ask(application, (b"authorization", b"Bearer x"))
    assert (status, json.loads(body)["code"], headers[b"retry-after"]) == (503, "unavailable", b"1")


async def ask(application: Any, *headers: tuple[bytes, bytes]) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send a GET to an ASGI application, and return status, headers and body."""
    client = ApplicationCommunicator(application, {"type": "http", "method": "GET", "headers": list(headers)})
    await client.send_input({"type": "http.request", "body": b""})
    start, body = await client.receive_output(), await client.receive_output()
    return start["status"], dict(start["headers"]), body["body"]


@in_a_loop
async def test_plain_http(user: Any) -> None:
    """Over HTTP the docs' plain ASGI application answers with the user. A bad token gets the 401 of an API route."""
    application = module_of("websockets", "async def whoami", "shown_plain").application
    access = (await sync_to_async(families.start)(user)).access
    assert await ask(application) == (200, {b"content-type": b"text/plain"}, b"None")
    status, _, body = await ask(application, (b"authorization", f"bearer {access}".encode()))
    assert (status, body) == (200, str(user.pk).encode())
    status, headers, body = await ask(application, (b"authorization", b"Bearer x"))
    assert (status, json.loads(body)) == (
        401,
        {"detail": "The token is not valid.", "code": "token_not_valid", "reason": "invalid"},
    )
    assert headers[b"www-authenticate"].startswith(b'Bearer realm="api", error="invalid_token"')
    assert headers[b"cache-control"] == b"no-store"
    status, _, _ = await ask(application, (b"authorization", b"Basic eDp5"))
    assert status == 200  # the middleware ignores a Basic header


@in_a_loop
async def test_a_bound_token(shown: Any, user: Any) -> None:
    """A WebSocket with a bound token, or with any token in the scheme DPoP, is closed: it can't send a proof."""
    bound = (await sync_to_async(families.start)(user, device_key=Device().device_key)).access
    await turned_away(socket(shown.application, SUBPROTOCOL, bound), "wrong_device")
    await turned_away(socket(shown.application, authorization=f"Bearer {bound}"), "wrong_device")
    await turned_away(socket(shown.application, authorization=f"DPoP {bound}"), "invalid")
    unbound = (await sync_to_async(families.start)(user)).access
    await turned_away(socket(shown.application, authorization=f"DPoP {unbound}"), "invalid")


@in_a_loop
async def test_other_scopes_pass() -> None:
    """The middleware passes a scope that is not http or websocket, such as lifespan, to the application unchanged."""
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    await AccessTokenMiddleware(application)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]


def test_the_classes_that_are_shown() -> None:
    """The docs' code block that mounts the middleware with each authentication class runs without an error."""
    code = "async def websockets(*args): pass\nfrom twotoken.contrib.asgi import AccessTokenMiddleware\n"
    exec(code + block("websockets", "# the claims: none"), {})  # noqa: S102 - our own docs
