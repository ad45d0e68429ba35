"""Step-up: if the API asks for a recent login, the page asks the user only once for all waiting requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.conftest import PASSWORD, Server
from tests.browser.test_client import READY, REFRESH, log_in, open_page, until

EMAIL = "/api/me/email/"
CHANGE = """(count) => {
  const init = { method: "PUT", headers: { "Content-Type": "application/json" }, body: '{"email": "new@example.com"}' };
  const calls = Array.from({ length: count }, () => client.fetch("/api/me/email/", init));
  const results = Promise.all(calls.map((call) => call.then(({ status }) => status, (error) => error.code)));
  const late = new Promise((resolve) => setTimeout(resolve, 20_000, "no answer within 20 seconds"));
  window.changes = Promise.race([results, late]); // Playwright has no timeout for a promise
}"""
QUERIES = "", "?dpop"
TESTS = 2  # tests that use a profile of each kind
TOO_OLD = 11_000  # milliseconds: the example wants a login within ten seconds


@pytest.fixture(scope="module")
def server(server_with: Callable[..., Server]) -> Server:
    """A server with the example's own lifetimes and grace."""
    return server_with()


@pytest.fixture(scope="module")
def old_logins(server: Server, chromium: Browser) -> Iterator[dict[str, list[list[Page]]]]:
    """Profiles with two tabs each, after an old login. All are made here, so that the tests wait only once."""
    contexts = {query: [chromium.new_context() for _ in range(TESTS)] for query in QUERIES}
    profiles = {query: [two_tabs(each, server, query) for each in found] for query, found in contexts.items()}
    profiles[QUERIES[0]][0][0].wait_for_timeout(TOO_OLD)
    yield profiles
    for context in [each for found in contexts.values() for each in found]:
        context.close()


def two_tabs(context: BrowserContext, server: Server, query: str) -> list[Page]:
    """Open two tabs of a profile and log in."""
    tabs = [open_page(context, server, query) for _ in range(2)]
    log_in(tabs[0])
    until(tabs[1], "Boolean(client.claims)")
    return tabs


@pytest.fixture(params=QUERIES)
def tabs(request: pytest.FixtureRequest, server: Server, old_logins: dict[str, list[list[Page]]]) -> list[Page]:
    """Two tabs after an old login, in a bound and in an unbound session. The counts of calls are reset."""
    server.faults()
    return old_logins[request.param].pop()


def test_one_question_for_two_tabs(server: Server, tabs: list[Page]) -> None:
    """Ten requests share one dialog, even after a wrong password. Both tabs get the new token. Nothing rotates."""
    first, second = tabs
    first.evaluate(CHANGE, 10)
    until(first, "asked.length === 1")
    first.evaluate("() => answer({ password: 'wrong' })")
    until(first, "asked.length === 2")
    first.evaluate("(password) => answer({ password })", PASSWORD)
    assert first.evaluate("changes") == [200] * 10
    assert first.evaluate("asked") == [10, "no_active_account"]
    until(second, f"client.claims.auth_time === {first.evaluate('client.claims.auth_time')}")
    second.evaluate(CHANGE, 1)
    assert second.evaluate("changes") == [200]
    assert second.evaluate("asked") == []
    calls = server.calls()
    assert (calls["/api/auth/reauthenticate/"], calls[EMAIL], calls.get(REFRESH)) == (2, 21, None)
    query = "SELECT generation FROM twotoken_refreshtoken WHERE id = ?"
    assert server.rows(query, first.evaluate("client.claims.sid").replace("-", "")) == [(0,)]
    first.reload()  # the refresh token has the login's time: a copy of it is not stepped up
    until(first, READY)
    first.evaluate(CHANGE, 1)
    until(first, "asked.length === 1")


def test_a_refusal_and_a_cancelled_dialog(server: Server, tabs: list[Page]) -> None:
    """If the user cancels the dialog or the password is wrong, the call is a 401, and nobody is logged out."""
    page = tabs[0]
    page.evaluate(CHANGE, 2)
    until(page, "asked.length === 1")
    page.evaluate("() => answer(null)")
    assert page.evaluate("changes") == [401, 401]
    page.evaluate(CHANGE, 1)
    for count in (2, 3, 4):
        until(page, f"asked.length === {count}")
        page.evaluate("() => answer({ password: 'wrong' })")
    assert page.evaluate("changes") == ["no_active_account"]
    assert [tab.evaluate("[client.isAuthenticated, ...ended]") for tab in tabs] == [[True], [True]]
    assert server.calls().get(REFRESH) is None
