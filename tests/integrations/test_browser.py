"""In a real Chromium, pages of other origins use an API under uvicorn: cookies, preflights, WebSockets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corsheaders.defaults import default_headers
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.conftest import CHROMIUM_ARGUMENTS, chromium_path
from tests.browser.test_client import LOGIN, ME, READY, until
from tests.integrations.conftest import NAME, PASSWORD
from tests.integrations.pages import block
from tests.integrations.servers import API, OTHER_SITE, SAME_SITE, Served
from tests.jar import COOKIE

FAILED = "TypeError: Failed to fetch"
REFUSED = (
    "([username, password]) => client.login({ username, password }).then(() => 'in', (error) => error.code"
    " ? [error.status, error.code, error.retryAfter] : String(error))"
)
RESTORE = "() => client.restore({ force: true }).then((there) => there, (error) => String(error))"


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    """A server with the settings in the docs' page on CORS, and access tokens that live 3 seconds."""
    return serve(TEST_ACCESS_SECONDS="3")


def open_page(context: BrowserContext, server: Served, host: str, *connect: str) -> Page:
    """Open a page of a host, with a client for the API's host. ``connect`` has more origins that the page may call."""
    page = context.new_page()
    allowed = "".join(f"&connect={origin}" for origin in connect)
    page.goto(f"{server.at(host)}/page/?server={server.at(API)}{allowed}")
    until(page, READY)
    return page


def me(page: Page, server: Served) -> Any:
    """GET an API route from the page, and return the status."""
    return page.evaluate(ME, f"{server.at(API)}/api/me/")


def cookies(context: BrowserContext, server: Served) -> list[Any]:
    """Return the refresh cookies that the browser would send to the API."""
    return [cookie for cookie in context.cookies(f"{server.at(API)}/api/auth/") if cookie["name"] == COOKIE]


def test_another_subdomain(server: Served, context: BrowserContext) -> None:
    """On a page of another subdomain with SameSite=Strict, login, API, refresh, reload and logout work."""
    page = open_page(context, server, SAME_SITE)
    keys: list[Any] = []
    page.on("request", lambda request: keys.append(request.headers.get("idempotency-key")))
    page.evaluate(LOGIN, [NAME, PASSWORD])
    assert me(page, server) == 200
    (cookie,) = cookies(context, server)
    assert (cookie["sameSite"], cookie["secure"], cookie["domain"]) == ("Strict", True, API)
    page.wait_for_timeout(3100)
    assert me(page, server) == 200
    page.reload()
    until(page, READY)
    assert me(page, server) == 200
    assert [key for key in keys if key]
    page.evaluate("client.logout()")
    assert page.evaluate("ended") == ["logout"]
    assert cookies(context, server) == []


def test_another_site_with_the_strict_cookie(server: Served, context: BrowserContext) -> None:
    """On a page of another site with SameSite=Strict, login works, but a refresh has no cookie and ends the session."""
    page = open_page(context, server, OTHER_SITE)
    page.evaluate(LOGIN, [NAME, PASSWORD])
    assert me(page, server) == 200
    assert page.evaluate(RESTORE) is False
    assert page.evaluate("ended") == ["missing"]


def test_another_site(serve: Callable[..., Served], chromium: Browser, tmp_path: Path) -> None:
    """On another site with SameSite=None, a session survives a reload if the browser allows third-party cookies."""
    server = serve(twotoken={"COOKIE_SAMESITE": "None"})
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text('{"profile": {"cookie_controls_mode": 0}}')  # block no cookie
    start = chromium.browser_type.launch_persistent_context
    allowing = start(tmp_path, executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
    for context, stays in ((allowing, True), (chromium.new_context(), False)):
        page = open_page(context, server, OTHER_SITE)
        page.evaluate(LOGIN, [NAME, PASSWORD])
        assert me(page, server) == 200
        page.reload()
        until(page, READY)
        assert me(page, server) == (200 if stays else 401)
        assert page.evaluate("client.isAuthenticated") is stays
        page.evaluate("client.logout()")
        assert cookies(context, server) == []
        context.close()


def test_without_the_key_among_the_headers(serve: Callable[..., Served], context: BrowserContext) -> None:
    """If CORS does not allow Idempotency-Key, a refresh is a network error, and the user stays logged in."""
    server = serve(settings={"CORS_ALLOW_HEADERS": list(default_headers)})
    page = open_page(context, server, SAME_SITE)
    page.evaluate(LOGIN, [NAME, PASSWORD])
    assert me(page, server) == 200
    assert page.evaluate(RESTORE) == FAILED
    assert page.evaluate("client.isAuthenticated") is True


def test_without_credentials(serve: Callable[..., Served], context: BrowserContext) -> None:
    """If CORS_ALLOW_CREDENTIALS is False, a login of a cross-origin page fails with a network error."""
    server = serve(settings={"CORS_ALLOW_CREDENTIALS": False})
    page = open_page(context, server, SAME_SITE)
    assert page.evaluate(REFUSED, [NAME, PASSWORD]) == FAILED


def test_without_trust(serve: Callable[..., Served], context: BrowserContext) -> None:
    """If CSRF_TRUSTED_ORIGINS lacks the origin, a login is a 403 ``cross_origin``, which the page can read."""
    server = serve(settings={"CSRF_TRUSTED_ORIGINS": []})
    page = open_page(context, server, SAME_SITE)
    assert page.evaluate(REFUSED, [NAME, PASSWORD]) == [403, "cross_origin", 0]


def test_a_lockout(serve: Callable[..., Served], context: BrowserContext) -> None:
    """With CorsMiddleware before axes' middleware, the page can read a lockout. In the other order it can't."""
    cors, axes = "corsheaders.middleware.CorsMiddleware", "axes.middleware.AxesMiddleware"
    others = ["allauth.account.middleware.AccountMiddleware"]
    settings = {
        "AXES_ENABLED": True,
        "AXES_FAILURE_LIMIT": 1,
        "AXES_COOLOFF_TIME": 1,
        "AXES_LOCKOUT_CALLABLE": "twotoken.contrib.axes.lockout_response",
        "AUTHENTICATION_BACKENDS": [
            "axes.backends.AxesStandaloneBackend",
            "django.contrib.auth.backends.ModelBackend",
        ],
    }
    for order, seen in (([cors, axes], [429, "locked_out", 3600]), ([axes, cors], FAILED)):
        server = serve(settings={**settings, "MIDDLEWARE": [*order, *others]})
        page = open_page(context, server, SAME_SITE)
        assert page.evaluate(REFUSED, ["nobody", "a wrong guess"]) == seen


def test_a_websocket(server: Served, context: BrowserContext) -> None:
    """The docs' JavaScript opens a WebSocket. When the token expires, it opens another with a new token."""
    sockets = server.at(API).replace("http", "ws")
    page = open_page(context, server, SAME_SITE, sockets)
    page.evaluate(LOGIN, [NAME, PASSWORD])
    code = block("websockets", "new WebSocket", "js")
    code = code.replace("/ws/news/", f"{sockets}/ws/news/")
    code = code.replace("console.log(data)", "news.push(data)").replace("if (code", "ends.push(reason); if (code")
    page.evaluate(f"() => {{ window.news = []; window.ends = []; {code}; return open(); }}")
    until(page, "news.length === 1")
    assert page.evaluate("news[0]").startswith('{"you"')
    until(page, "news.length === 2")
    assert page.evaluate("ends") == ["expired"]


def test_a_websocket_with_a_token_that_is_refused(server: Served, context: BrowserContext) -> None:
    """If the token of a WebSocket is refused, the page gets the close code 4401 and the reason."""
    sockets = server.at(API).replace("http", "ws")
    page = open_page(context, server, SAME_SITE, sockets)
    opened = f"new WebSocket('{sockets}/ws/news/', ['bearer', 'x'])"
    told = page.evaluate(
        f"() => new Promise((resolve) => {{ const socket = {opened};"
        " socket.onclose = ({ code, reason }) => resolve([code, reason, socket.protocol]); })"
    )
    assert told == [4401, "invalid", "bearer"]
