"""Sessions that are bound to a browser's key: what a thief in a second profile gets, and what the user notices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.conftest import Server
from tests.browser.test_client import ME, READY, REFRESH, live, log_in, open_page, until

KEYS = """async () => {
  const database = await new Promise((resolve) => {
    const opening = indexedDB.open("twotoken");
    opening.onsuccess = () => resolve(opening.result);
  });
  const pairs = await new Promise((resolve) => {
    const reading = database.transaction("keys").objectStore("keys").getAll();
    reading.onsuccess = () => resolve(reading.result);
  });
  database.close();
  const read = ({ privateKey }) => crypto.subtle.exportKey("jwk", privateKey).catch((error) => error.name);
  return [pairs.map(({ privateKey }) => privateKey.extractable), await Promise.all(pairs.map(read))];
}"""
REPLAY = """(token) => fetch("/api/me/", { headers: { Authorization: token } }).then(({ status }) => status)"""


@pytest.fixture(scope="module", params=["nonces", "no nonces"])
def server(request: pytest.FixtureRequest, server_with: Callable[..., Server]) -> Server:
    """A server without a grace, with access tokens that live for two seconds."""
    nonces = {"TEST_NONCES": "1"} if request.param == "nonces" else {}
    return server_with(TEST_BROWSER_GRACE="0", TEST_ACCESS_SECONDS="2", **nonces)


@pytest.fixture(autouse=True)
def _no_families(server: Server) -> None:
    """Start without token families and without faults."""
    server.clear()


@pytest.fixture
def thief(chromium: Browser) -> Iterator[BrowserContext]:
    """A second browser profile, the thief's."""
    context = chromium.new_context()
    yield context
    context.close()


def rob(owner: BrowserContext, page: Page, thief: BrowserContext, server: Server) -> Page:
    """Copy the whole cookie jar and localStorage into the thief's profile, and open the page there."""
    thief.add_cookies(owner.cookies())  # type: ignore[arg-type]  # what cookies() returns is what add_cookies() takes
    items = page.evaluate("() => Object.entries(localStorage)")
    assert {name.rpartition(":")[2] for name, _ in items} >= {"session"}
    thief.add_init_script(f"for (const [name, value] of {json.dumps(items)}) localStorage.setItem(name, value);")
    robbed = thief.new_page()
    robbed.goto(f"{server.url}/page/?dpop")
    until(robbed, READY)
    return robbed


def test_a_thief_with_everything_that_can_be_copied(
    server: Server, context: BrowserContext, thief: BrowserContext
) -> None:
    """A thief with copied cookies, storage and access token gets a 401 at once. The owner stays logged in."""
    tabs = [open_page(context, server, "?dpop") for _ in range(2)]
    tokens: list[str] = []
    context.on("request", lambda request: tokens.append(request.headers.get("authorization", "")))
    log_in(tabs[0])
    assert tabs[0].evaluate(ME, "/api/me/") == 200
    answers: list[Any] = []
    thief.on("response", lambda response: answers.append(response) if response.url.endswith(REFRESH) else None)
    robbed = rob(context, tabs[0], thief, server)
    assert robbed.evaluate("[client.isAuthenticated, client.claims, ...ended]") == [False, None, "wrong_device"]
    assert [response.json()["reason"] for response in answers] == ["wrong_device"]
    (bound, *_) = (token for token in tokens if token)
    assert bound.startswith("DPoP ")
    for copied in (bound, bound.replace("DPoP", "Bearer")):
        assert robbed.evaluate(REPLAY, copied) == 401
    for _ in range(2):
        tabs[0].wait_for_timeout(2100)
        assert [tab.evaluate(ME, "/api/me/") for tab in tabs] == [200, 200]
    assert [tab.evaluate("ended") for tab in tabs] == [[], []]
    assert len(live(server)) == 1
    assert tabs[0].evaluate(KEYS) == [[False], ["InvalidAccessError"]]


def test_tabs_reloads_and_lost_answers(server: Server, context: BrowserContext) -> None:
    """Five tabs with one key reload at the same time while answers are lost, and all tabs stay logged in."""
    pages = [open_page(context, server, "?dpop")]
    log_in(pages[0])
    pages += [open_page(context, server, "?dpop") for _ in range(4)]
    for what in ("lose answer", "cut"):
        server.faults(*[{"path": REFRESH, "what": what} for _ in range(2)])
        for page in pages:
            page.evaluate("() => { location.reload(); }")
        for page in pages:
            until(page, READY)
        assert [page.evaluate(ME, "/api/me/") for page in pages] == [200] * 5
    assert [page.evaluate("ended") for page in pages] == [[]] * 5
    assert len(live(server)) == 1
    pages[0].evaluate("client.logout()")
    for page in pages:
        until(page, "ended.length > 0")
    assert {page.evaluate("ended[0]") for page in pages} == {"logout"}
    assert live(server) == []


def test_a_lost_key_is_a_new_login(server: Server, context: BrowserContext) -> None:
    """If the browser loses the key, the page is logged out. The next login makes a new key."""
    page = open_page(context, server, "?dpop")
    log_in(page)
    page.goto(f"{server.url}/page.js")  # the client's page is closed
    page.evaluate("() => new Promise((resolve) => (indexedDB.deleteDatabase('twotoken').onsuccess = resolve))")
    page.goto(f"{server.url}/page/?dpop")
    until(page, READY)
    assert page.evaluate("[client.isAuthenticated, ...ended]") == [False, "wrong_device"]
    log_in(page)
    assert page.evaluate(ME, "/api/me/") == 200
    page.reload()
    until(page, READY)
    assert page.evaluate(ME, "/api/me/") == 200


def test_a_front_end_of_another_origin(
    server: Server, context: BrowserContext, server_with: Callable[..., Server]
) -> None:
    """With the CORS headers of the docs, nonces, proofs and a refresh work from another origin."""
    nonces = {"TEST_NONCES": "1"}
    api = server_with(TEST_BROWSER_GRACE="0", TEST_ACCESS_SECONDS="2", TEST_FRONT_END=server.url, **nonces)
    page = open_page(context, server, f"?dpop&server={api.url}")
    log_in(page)
    assert page.evaluate(ME, f"{api.url}/api/me/") == 200
    page.wait_for_timeout(2100)
    assert page.evaluate(ME, f"{api.url}/api/me/") == 200
    page.reload()
    until(page, READY)
    assert page.evaluate(ME, f"{api.url}/api/me/") == 200
    assert page.evaluate("ended") == []


def test_only_the_refresh_token_is_bound(
    context: BrowserContext, thief: BrowserContext, server_with: Callable[..., Server]
) -> None:
    """With DPOP_ACCESS off, API calls use Bearer tokens, and a copied cookie is still refused."""
    server = server_with(TEST_BEARER_ACCESS="1", TEST_ACCESS_SECONDS="900")
    page = open_page(context, server, "?dpop")
    schemes: list[list[str]] = []
    context.on("request", lambda request: schemes.append(request.headers.get("authorization", " ").split()[:1]))
    log_in(page)
    assert page.evaluate(ME, "/api/me/") == 200
    assert schemes[-1] == ["Bearer"]
    assert rob(context, page, thief, server).evaluate("ended") == ["wrong_device"]
    page.reload()
    until(page, READY)
    assert page.evaluate(ME, "/api/me/") == 200
