"""The JavaScript client in a real browser, with a real server that delays answers, cuts connections and dies."""

from __future__ import annotations

import http.client
import random
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Request, expect

from tests.browser.conftest import PASSWORD, Server
from tests.jar import COMPANION, COOKIE

LOGIN = "([username, password]) => client.login({ username, password })"
WHO = "() => client.fetch('/api/me/').then((response) => response.json()).then((body) => body.username)"
ME = "(path) => client.fetch(path).then((response) => response.status, (error) => String(error))"
READY = "window.ready ? ready.then(() => true) : false"
REFRESH = "/api/auth/refresh/"


@pytest.fixture(scope="module")
def server(server_with: Callable[..., Server]) -> Server:
    """A server without grace: a refresh repeated without Idempotency-Key is reuse. Access tokens live two seconds."""
    return server_with(TEST_BROWSER_GRACE="0", TEST_ACCESS_SECONDS="2")


@pytest.fixture(autouse=True)
def _no_families(server: Server) -> None:
    """Start without token families and without faults."""
    server.clear()


def until(page: Page, expression: str) -> None:
    """Wait until an expression is true. The page's policy (CSP) forbids Playwright's own function for this."""
    for _ in range(200):
        try:
            if page.evaluate(expression):
                return
        except Error:
            pass  # the page is just being reloaded
        page.wait_for_timeout(50)
    raise AssertionError(f"not in time: {expression}")


def open_page(context: BrowserContext, server: Server, query: str = "") -> Page:
    """Open a tab, and wait until it has tried to restore the session."""
    page = context.new_page()
    page.goto(f"{server.url}/page/{query}")
    until(page, READY)
    return page


def log_in(page: Page) -> None:
    """Log in as the demo user."""
    page.evaluate(LOGIN, ["demo", PASSWORD])


def live(server: Server) -> list[Any]:
    """Return the generation of each active family."""
    rows = server.rows("SELECT generation FROM twotoken_refreshtoken WHERE revoked_at IS NULL")
    return [generation for (generation,) in rows]


def test_one_refresh_for_many_requests(server: Server, context: BrowserContext) -> None:
    """Thirty requests at once with an expired token cause one refresh."""
    page = open_page(context, server)
    log_in(page)
    server.faults()
    statuses = page.evaluate(
        "async () => { const end = performance.now() + 2500; while (performance.now() < end) {}"
        " return Promise.all(Array.from({ length: 30 }, () =>"
        " client.fetch('/api/me/').then((response) => response.status))); }"
    )
    assert statuses == [200] * 30
    assert server.calls()[REFRESH] == 1
    assert live(server) == [1]


def test_ten_tabs_restored_at_once(server: Server, context: BrowserContext) -> None:
    """Ten tabs reload twenty times while answers are late or lost. All stay logged in, with one active family."""
    chance = random.Random(4)
    pages = [open_page(context, server)]
    log_in(pages[0])
    pages += [open_page(context, server) for _ in range(9)]
    for number in range(20):
        what = ["lose answer", "delay answer", "delay", "cut"][number % 4]
        faults = [{"path": REFRESH, "what": what, "seconds": chance.uniform(0.05, 0.4)} for _ in range(2)]
        server.faults(*faults)
        for page in pages:
            page.evaluate("() => { location.reload(); }")
        for page in pages:
            until(page, READY)
        if what in {"lose answer", "cut"}:
            assert server.calls()[REFRESH] > len(faults)  # each fault occurred, and the client retried
        assert page_statuses(pages) == [200] * 10
    assert [page.evaluate("ended") for page in pages] == [[]] * 10
    assert len(live(server)) == 1


def page_statuses(pages: list[Page]) -> list[Any]:
    """Call the API from each tab, and again if the first call fails. Return the status of each tab's last call."""
    found = []
    for page in pages:
        status = page.evaluate(ME, "/api/me/")
        found.append(status if status == 200 else page.evaluate(ME, "/api/me/"))
    return found


@pytest.mark.parametrize("what", ["lose answer", "cut", "status"])
def test_a_lost_answer_is_not_seen(server: Server, context: BrowserContext, what: str) -> None:
    """After a lost answer, a cut connection or a 502, the client repeats a refresh or a logout by itself."""
    page = open_page(context, server)
    log_in(page)
    server.faults({"path": REFRESH, "what": what, "status": 502, "times": 2})
    page.wait_for_timeout(2100)
    assert page.evaluate(ME, "/api/me/") == 200
    assert server.calls()[REFRESH] >= 3
    assert page.evaluate("ended") == []
    server.faults({"path": "/api/auth/logout/", "what": what, "status": 502})
    page.evaluate("client.logout()")
    assert page.evaluate("ended") == ["logout"]
    assert (server.calls()["/api/auth/logout/"], live(server)) == (2, [])


def test_a_cookie_that_does_not_come_back(server: Server, context: BrowserContext) -> None:
    """If the browser drops the cookie, a reload logs the user out, and the console names the settings to check."""
    page = open_page(context, server)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "warning" else None)
    log_in(page)
    context.clear_cookies()
    page.reload()
    until(page, READY)
    assert page.evaluate("ended") == ["missing"]
    assert [text for text in said if "COOKIE_SECURE" in text and "COOKIE_PATH" in text]


def test_offline_and_back(server: Server, context: BrowserContext) -> None:
    """A call that waits for its next try is sent as soon as the browser is online again."""
    page = open_page(context, server)
    log_in(page)
    context.set_offline(True)
    page.wait_for_timeout(2100)
    page.evaluate("() => { window.late = client.fetch('/api/me/').then(({ status }) => status); }")
    page.wait_for_timeout(2000)
    context.set_offline(False)
    assert page.evaluate("late") == 200
    assert page.evaluate("ended") == []


def test_a_server_that_dies_after_its_commit(server: Server, context: BrowserContext) -> None:
    """If the server dies between commit and answer, a retry with the same key keeps the user logged in."""
    page = open_page(context, server)
    log_in(page)
    server.faults({"path": REFRESH, "what": "kill after"})
    server.wait()  # the page refreshes by itself before its token expires
    page.wait_for_timeout(1000)
    assert page.evaluate(ME, "/api/me/") == "TypeError: Failed to fetch"
    assert live(server) == [1]
    server.start()
    assert page.evaluate(ME, "/api/me/") == 200
    page.reload()
    until(page, READY)
    assert page.evaluate(ME, "/api/me/") == 200
    assert page.evaluate("ended") == []
    assert live(server) == [1]


def test_logout_in_one_tab_ends_all(server: Server, context: BrowserContext) -> None:
    """After a logout in one tab, the others are told, and send no request."""
    first, second = open_page(context, server), open_page(context, server)
    log_in(first)
    until(second, "Boolean(client.claims)")
    first.evaluate("client.logout()")
    until(second, "ended.length > 0")
    assert [page.evaluate("ended") for page in (first, second)] == [["logout"], ["logout"]]
    assert live(server) == []
    server.faults()
    assert second.evaluate(ME, "/api/me/") == 401
    second.reload()
    until(second, READY)
    assert REFRESH not in server.calls()


def test_staff_ends_the_session(server: Server, context: BrowserContext, chromium: Browser) -> None:
    """After staff revoke the family in the admin, the page's next call of the revocable class's route is refused."""
    page = open_page(context, server)
    log_in(page)
    assert page.evaluate(ME, "/api/me/revocable/") == 200
    office = chromium.new_context()
    admin = office.new_page()
    admin.goto(f"{server.url}/admin/twotoken/refreshtoken/?state=active")
    admin.fill("#id_username", "admin")
    admin.fill("#id_password", PASSWORD)
    admin.click("[type=submit]")
    admin.locator("#result_list tbody th a").click()
    admin.get_by_role("link", name="Revoke this family").click()
    admin.get_by_role("button", name="Yes, I’m sure").click()  # noqa: RUF001
    expect(admin.locator(".messagelist")).to_contain_text("Revoked 1 token family.")
    office.close()
    assert page.evaluate(ME, "/api/me/revocable/") == 401
    assert page.evaluate("ended") == ["revoked"]
    assert page.evaluate("client.isAuthenticated") is False


def test_a_stolen_cookie(server: Server, context: BrowserContext) -> None:
    """If a script refreshes with a copied cookie that is used up, the session ends, and the page says so."""
    page = open_page(context, server)
    log_in(page)
    stolen = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in context.cookies(f"{server.url}/api/auth/"))
    page.wait_for_timeout(2100)
    assert page.evaluate(ME, "/api/me/") == 200
    thief = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    thief.request("POST", REFRESH, headers={"Cookie": stolen})
    answer = thief.getresponse()
    assert (answer.status, b'"reused"' in answer.read()) == (401, True)
    thief.close()
    page.wait_for_timeout(2100)
    assert page.evaluate(ME, "/api/me/") == 401
    assert page.evaluate("ended") == ["revoked"]
    assert live(server) == []


def test_the_token_is_nowhere(server: Server, context: BrowserContext, server_with: Callable[..., Server]) -> None:
    """No token is in storage, in cookies that scripts can read, in the DOM, or in a request to another origin."""
    other = server_with()
    page = open_page(context, server, f"?connect={other.url}")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    log_in(page)
    assert page.evaluate(ME, "/api/me/") == 200
    page.evaluate(ME, f"{other.url}/api/me/")
    assert (other.calls()["/api/me/"], "Authorization" in other.calls()) == (1, False)
    page.wait_for_timeout(2100)  # the token expires
    assert page.evaluate(ME, "/api/me/") == 200
    assert [request for request in sent if request.url.startswith(other.url)]
    bearers = {(request.url.startswith(other.url), request.all_headers().get("authorization")) for request in sent}
    signatures = [bearer.split(".")[2] for is_elsewhere, bearer in bearers if bearer and not is_elsewhere]
    assert len(signatures) > 1
    assert [bearer for is_elsewhere, bearer in bearers if is_elsewhere] == [None]
    everything = page.evaluate(
        "async () => JSON.stringify([{...localStorage}, {...sessionStorage}, await indexedDB.databases(),"
        " document.cookie, document.documentElement.outerHTML])"
    )
    assert "twotoken" in everything
    assert [signature for signature in signatures if signature in everything] == []
    kept = {cookie["name"]: cookie for cookie in context.cookies(f"{server.url}/api/auth/")}
    assert kept.keys() == {COOKIE, COMPANION}
    assert all(cookie["httpOnly"] for cookie in kept.values())
    assert kept[COOKIE]["value"] not in everything


def test_a_redirect_to_another_origin(
    server: Server, context: BrowserContext, server_with: Callable[..., Server]
) -> None:
    """The token is sent to the API, but not to another origin to which the API redirects."""
    other = server_with()  # it has the same secrets, so it would accept the token
    page = open_page(context, server, f"?connect={other.url}")
    log_in(page)
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    page.evaluate(ME, f"/api/redirect/?to={other.url}/api/me/")
    first, second = (request for request in sent if "/api/" in request.url and "auth" not in request.url)
    assert first.all_headers()["authorization"].startswith("Bearer ")
    assert second.url == f"{other.url}/api/me/"
    assert "authorization" not in second.all_headers()
    assert (other.calls()["/api/me/"], "Authorization" in other.calls()) == (1, False)
    assert server.calls()["Authorization"] == 1


def test_another_user_logs_in(server: Server, context: BrowserContext) -> None:
    """If one tab logs in as another user, the other tab reports an end and a start, and calls as the new user."""
    first, second = open_page(context, server), open_page(context, server)
    log_in(first)
    until(second, "seen.length === 1")
    first.evaluate("client.logout()")
    first.evaluate(LOGIN, ["admin", PASSWORD])
    until(second, "seen.length === 3")
    assert second.evaluate("seen") == first.evaluate("seen") == ["started 1", "ended logout", "started 2"]
    assert second.evaluate(WHO) == "admin"
    second.evaluate(LOGIN, ["demo", PASSWORD])
    until(first, "seen.length === 5")
    assert first.evaluate("seen.slice(3)") == ["ended replaced", "started 1"]
    assert first.evaluate(WHO) == "demo"
    assert live(server) == [0]


def test_a_front_end_of_another_origin(
    server: Server, context: BrowserContext, server_with: Callable[..., Server]
) -> None:
    """With the docs' CORS headers, login, refresh with a key, Retry-After and logout work from another origin."""
    api = server_with(TEST_BROWSER_GRACE="0", TEST_ACCESS_SECONDS="2", TEST_FRONT_END=server.url)
    page = open_page(context, server, f"?server={api.url}")
    keys: list[Any] = []
    page.on("request", lambda request: keys.append(request.headers.get("idempotency-key")))
    log_in(page)
    assert page.evaluate(ME, f"{api.url}/api/me/") == 200
    api.faults({"path": REFRESH, "what": "status", "status": 429, "retry_after": 3600})
    page.wait_for_timeout(2100)
    busy = "(path) => client.fetch(path).then(() => null, (error) => [error.status, error.retryAfter])"
    assert page.evaluate(busy, f"{api.url}/api/me/") == [429, 3600]
    page.reload()
    until(page, READY)
    assert page.evaluate(ME, f"{api.url}/api/me/") == 200
    assert len({key for key in keys if key}) == 1
    page.evaluate("client.logout()")
    assert page.evaluate("ended") == ["logout"]
    assert live(api) == []
    assert server.calls().get(REFRESH) is None


def test_a_visitor_causes_no_refresh(server: Server, context: BrowserContext) -> None:
    """A page whose visitor never logged in sends no refresh."""
    open_page(context, server).evaluate(ME, "/api/me/")
    assert REFRESH not in server.calls()


def test_without_web_locks(chromium: Browser, server_with: Callable[..., Server]) -> None:
    """Without Web Locks the client sends no key, and the server's grace lets tabs refresh at the same time."""
    server = server_with(TEST_ACCESS_SECONDS="2")
    context = chromium.new_context()
    context.add_init_script("Object.defineProperty(Navigator.prototype, 'locks', { value: undefined })")
    pages = [open_page(context, server) for _ in range(5)]
    keys: list[Any] = []
    context.on("request", lambda request: keys.append(request.headers.get("idempotency-key")))
    log_in(pages[0])
    for _ in range(3):
        for page in pages:
            page.evaluate("() => { location.reload(); }")
        for page in pages:
            until(page, READY)
        assert page_statuses(pages) == [200] * 5
    assert set(keys) == {None}
    assert len(live(server)) == 1
    context.close()
