"""A sibling subdomain that sets and evicts cookies, in a real browser (RFC 6265 section 8.6)."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from http.cookies import SimpleCookie

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import PASSWORD, Server
from tests.browser.test_client import LOGIN, ME, READY, WHO, until
from tests.jar import COMPANION, COOKIE

# Chromium resolves both hosts to this machine, treats them as secure, and counts them as one site.
OURS, SIBLING, DOMAIN = "www.app.localhost", "evil.app.localhost", "app.localhost"
TOSS = """([name, value, path]) => {
  document.cookie = `${name}=${value}; Secure; Path=${path}; Domain=app.localhost`;
}"""
EVICT = """() => {
  for (let number = 0; number < 400; number += 1) {
    document.cookie = `junk${number}=x; Secure; Path=/; Domain=app.localhost`;
  }
}"""


@pytest.fixture(scope="module")
def server(server_with: Callable[..., Server]) -> Server:
    """A server with default settings: a refresh cookie for one host, and the companion cookie that names its family."""
    return server_with()


@pytest.fixture(scope="module")
def shared(server_with: Callable[..., Server]) -> Server:
    """A server with COOKIE_DOMAIN, which shares the refresh cookie with sibling subdomains."""
    return server_with(TEST_COOKIE_DOMAIN=DOMAIN)


def open_page(context: BrowserContext, server: Server, host: str) -> Page:
    """Open a page of a host, and wait until the page has tried to restore the session."""
    page = context.new_page()
    page.goto(f"http://{host}:{server.port}/page/")
    until(page, READY)
    return page


def log_in(context: BrowserContext, server: Server) -> Page:
    """Log the victim in on a page of our host, and return the page."""
    server.clear()
    page = open_page(context, server, OURS)
    page.evaluate(LOGIN, ["demo", PASSWORD])
    assert page.evaluate(WHO) == "demo"
    return page


def attackers_token(server: Server) -> str:
    """Return a refresh token of the attacker's account."""
    body = json.dumps({"username": "admin", "password": PASSWORD}).encode()
    request = urllib.request.Request(
        f"{server.url}/api/auth/login/", body, {"Content-Type": "application/json"}, method="POST"
    )
    cookies: SimpleCookie = SimpleCookie()
    with urllib.request.urlopen(request, timeout=10) as response:
        for header in response.headers.get_all("Set-Cookie"):
            cookies.load(header)
    return cookies[COOKIE].value


def kept(context: BrowserContext, server: Server) -> dict[tuple[str, str], str]:
    """Return the cookies that a browser sends to our mount, by name and domain."""
    found = context.cookies(f"http://{OURS}:{server.port}/api/auth/")
    return {(cookie["name"], cookie["domain"]): cookie["value"] for cookie in found}


def live(server: Server) -> dict[str, int]:
    """Return the generation of each active family, by the name of the family's user."""
    return dict(
        server.rows(
            "SELECT username, generation FROM twotoken_refreshtoken JOIN auth_user ON auth_user.id = user_id"
            " WHERE revoked_at IS NULL"
        )
    )


def load_again(page: Page) -> None:
    """Reload the page, which restores its session from the current cookies."""
    page.reload()
    until(page, READY)


@pytest.mark.parametrize(
    ("path", "is_first"),
    [("/", False), ("/api/auth/", False), ("/api/auth/", True), ("/api/auth/refresh/", False)],
)
def test_a_token_beside_ours(server: Server, context: BrowserContext, path: str, is_first: bool) -> None:
    """A second cookie with another family's token, set by a sibling, is ignored: the victim stays logged in."""
    token = attackers_token(server)
    if is_first:
        open_page(context, server, SIBLING).evaluate(TOSS, [COOKIE, token, path])
    page = log_in(context, server)
    token = token if is_first else attackers_token(server)
    if not is_first:
        open_page(context, server, SIBLING).evaluate(TOSS, [COOKIE, token, path])
    load_again(page)
    assert page.evaluate(WHO) == "demo"
    assert page.evaluate("ended") == []
    assert live(server)["demo"] > 0


def test_junk_beside_ours(server: Server, context: BrowserContext) -> None:
    """If a sibling sets a second cookie with an invalid value, nobody is logged out."""
    page = log_in(context, server)
    sibling = open_page(context, server, SIBLING)
    for path in ("/", "/api/auth/"):
        sibling.evaluate(TOSS, [COOKIE, "junk", path])
    load_again(page)
    assert page.evaluate(WHO) == "demo"


def test_a_token_in_place_of_ours(server: Server, context: BrowserContext) -> None:
    """If a sibling replaces our cookies, the victim is logged out, not logged in as another user. A login works."""
    page = log_in(context, server)
    sibling = open_page(context, server, SIBLING)
    token = attackers_token(server)
    sibling.evaluate(EVICT)
    for _ in range(5):  # the browser may also evict the attacker's new cookie
        for name, value in ((COOKIE, token), (COMPANION, "x"), (f"\u00a0{COMPANION}", "x")):
            sibling.evaluate(TOSS, [name, value, "/api/auth/"])
        cookies = kept(context, server)
        if (COOKIE, f".{DOMAIN}") in cookies:
            break
    assert {name for name, domain in cookies if domain == OURS} == set()
    assert cookies[COOKIE, f".{DOMAIN}"] == token
    assert COMPANION not in {name for name, _ in cookies}  # no browser lets a sibling set it
    load_again(page)
    assert page.evaluate("[client.isAuthenticated, client.claims, ...seen]") == [False, None, "ended invalid"]
    assert page.evaluate(ME, "/api/me/") == 401
    server.faults()
    load_again(page)
    assert server.calls().get("/api/auth/refresh/") is None
    assert live(server) == {"demo": 0, "admin": 0}
    page.evaluate(LOGIN, ["demo", PASSWORD])
    load_again(page)
    assert page.evaluate(WHO) == "demo"


def test_a_token_in_place_of_a_shared_one(shared: Server, context: BrowserContext) -> None:
    """With COOKIE_DOMAIN a sibling subdomain can plant its own token. The page sees another family, and logs out."""
    page = log_in(context, shared)
    token = attackers_token(shared)
    open_page(context, shared, SIBLING).evaluate(EVICT)
    open_page(context, shared, SIBLING).evaluate(TOSS, [COOKIE, token, "/api/auth/"])
    assert kept(context, shared)[COOKIE, f".{DOMAIN}"] == token
    load_again(page)
    assert page.evaluate("[client.isAuthenticated, client.claims, ...seen]") == [False, None, "ended replaced"]
    assert page.evaluate(ME, "/api/me/") == 401
    page.evaluate(LOGIN, ["demo", PASSWORD])
    assert page.evaluate(WHO) == "demo"
