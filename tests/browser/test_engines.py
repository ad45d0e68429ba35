"""The client and the demo page in Firefox and WebKitGTK. Other modules test them in Chromium, in more detail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import PASSWORD, Certificate, SecureServer
from tests.browser.engines import ESCAPE, Engine, Firefox, Tab, WebKit
from tests.browser.test_bound import KEYS, REPLAY
from tests.browser.test_client import LOGIN, ME, READY, REFRESH

EXPIRED = 4.2  # seconds, after which an access token has expired. A shorter one may expire in use on a busy machine
MANY = """async () => {
  const end = performance.now() + 4500;
  while (performance.now() < end) {}
  return Promise.all(Array.from({ length: 30 }, () => client.fetch("/api/me/").then(({ status }) => status)));
}"""
LATE = """() => { window.late = client.fetch("/api/me/").then(({ status }) => status); }"""
STATUS = """document.querySelector("#status").textContent"""
DIALOG = """document.querySelector("#confirm").open"""
TITLE = """document.querySelector("#session-part").checkVisibility() && document.querySelector("#who").textContent"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[SecureServer]:
    """A TLS server with tokens of four seconds and without a grace. WebKit keeps Secure cookies only over TLS."""
    folder = tmp_path_factory.mktemp("server")
    server = SecureServer(folder, certificate, TEST_ACCESS_SECONDS="4", TEST_BROWSER_GRACE="0", TEST_NONCES="1")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module", params=[Firefox, WebKit], ids=lambda engine: engine.__name__)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A browser of each kind, for all tests that use it."""
    engine: Engine = request.param(tmp_path_factory.mktemp("profile"))
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()


class Visitor:
    """A user who opens tabs at a host name of their own, so that tests don't share cookies or storage."""

    def __init__(self, engine: Engine, server: SecureServer, name: str) -> None:
        self.engine = engine
        self.server = server
        self.url = f"https://{name}.app.localhost:{server.port}"
        self.tabs: list[Tab] = []

    def open(self, path: str) -> Tab:
        """Open a tab."""
        tab = self.engine.tab(self.url + path)
        self.tabs.append(tab)
        return tab

    def page(self, query: str = "") -> Tab:
        """Open the page with the client, and wait until the client has tried to restore the session."""
        tab = self.open(f"/page/{query}")
        tab.until(READY)
        return tab

    def family(self, tab: Tab) -> Any:
        """Return the generation and the device key of the family of a tab's session."""
        query = "SELECT generation, device_key FROM twotoken_refreshtoken WHERE id = ?"
        (family,) = self.server.rows(query, tab.evaluate("client.claims.sid").replace("-", ""))
        return family


@pytest.fixture
def visitor(request: pytest.FixtureRequest, engine: Engine, server: SecureServer) -> Iterator[Visitor]:
    """A visitor without cookies; the server has no faults."""
    server.faults()
    visitor = Visitor(engine, server, request.function.__name__.replace("_", "-"))
    yield visitor
    for tab in visitor.tabs:
        tab.close()


def test_a_session_in_two_tabs(visitor: Visitor) -> None:
    """A session is refreshed, survives a reload, is shared with a second tab, and ends in both tabs by a logout."""
    first = visitor.page()
    assert first.evaluate("client.isAuthenticated") is False
    first.evaluate(LOGIN, ["demo", PASSWORD])
    assert first.evaluate(ME, "/api/me/") == 200
    time.sleep(EXPIRED)
    assert first.evaluate(ME, "/api/me/") == 200
    generation, key = visitor.family(first)
    assert (generation > 0, key) == (True, "")
    first.reload()
    first.until(READY)
    assert first.evaluate(ME, "/api/me/") == 200
    second = visitor.page()
    assert second.evaluate(ME, "/api/me/") == 200
    assert second.evaluate("client.claims.sid") == first.evaluate("client.claims.sid")
    second.evaluate("client.logout()")
    first.until("ended.length > 0")
    assert [tab.evaluate("ended") for tab in (first, second)] == [["logout"], ["logout"]]
    assert first.evaluate(ME, "/api/me/") == 401


def test_a_bound_session(visitor: Visitor) -> None:
    """Two tabs share a key that no script can read. An access token without a proof is refused."""
    first = visitor.page("?dpop")
    first.evaluate(LOGIN, ["demo", PASSWORD])
    assert first.evaluate(ME, "/api/me/") == 200
    bound = first.evaluate("client.claims.cnf.jkt")
    token = first.evaluate("client.accessToken()")
    assert [first.evaluate(REPLAY, f"{scheme} {token}") for scheme in ("Bearer", "DPoP")] == [401, 401]
    second = visitor.page("?dpop")
    time.sleep(EXPIRED)
    assert [tab.evaluate(ME, "/api/me/") for tab in (first, second)] == [200, 200]
    first.reload()
    first.until(READY)
    assert first.evaluate(ME, "/api/me/") == 200
    assert [tab.evaluate("client.claims.cnf.jkt") for tab in (first, second)] == [bound, bound]
    assert first.evaluate(KEYS) == [[False], ["InvalidAccessError"]]
    generation, key = visitor.family(first)
    assert (generation > 0, key[:5]) == (True, "dpop:")
    assert second.evaluate("ended") == []


def test_faults(visitor: Visitor, server: SecureServer) -> None:
    """Thirty calls need one refresh. After lost answers and a restart of the server, all tabs are still logged in."""
    tabs = [visitor.page()]
    tabs[0].evaluate(LOGIN, ["demo", PASSWORD])
    server.faults()
    assert tabs[0].evaluate(MANY) == [200] * 30
    assert server.calls()[REFRESH] == 1
    tabs += [visitor.page() for _ in range(4)]
    server.faults({"path": REFRESH, "what": "lose answer"}, {"path": REFRESH, "what": "cut"})
    for tab in tabs:
        tab.evaluate("() => { setTimeout(() => location.reload(), 0); }")
    for tab in tabs:
        tab.until(READY)
    assert server.calls()[REFRESH] > 2
    assert [tab.evaluate(ME, "/api/me/") for tab in tabs] == [200] * 5
    server.stop()
    time.sleep(EXPIRED)
    tabs[0].evaluate(LATE)
    server.start()
    assert tabs[0].evaluate("late") == 200
    assert [tab.evaluate("ended") for tab in tabs] == [[]] * 5


def test_changing_the_email(visitor: Visitor, server: SecureServer) -> None:
    """To change the e-mail address after an old login, a dialog asks for the password. No tab is logged out."""
    page = visitor.open("/")
    page.until("document.querySelector('#login-part').checkVisibility()")
    page.type("#login [name=password]", PASSWORD)
    page.click("#login button")
    page.until(f"{TITLE} === 'demo'")
    other = visitor.open("/")
    other.until(f"{TITLE} === 'demo'")
    time.sleep(10.5)
    page.click("#email button")
    page.until(DIALOG)
    page.type("#confirm [name=password]", ESCAPE)
    page.until(f"{STATUS} === 'The e-mail address was not changed.'")
    page.click("#email button")
    page.until(DIALOG)
    assert page.evaluate("document.activeElement.name") == "password"
    page.type("#confirm [name=password]", "wrong")
    page.click("#confirm [value=confirm]")
    page.until("document.querySelector('#confirm-says').textContent.includes('No active account')")
    page.type("#confirm [name=password]", PASSWORD)
    page.click("#confirm [value=confirm]")
    page.until(f"{STATUS} === 'The e-mail address is demo@example.com now.'")
    assert [tab.evaluate(TITLE) for tab in (page, other)] == ["demo", "demo"]
    assert server.calls()["/api/auth/reauthenticate/"] == 2


@pytest.mark.parametrize("engine", [Firefox], indirect=True)
def test_offline_and_back(engine: Firefox, visitor: Visitor) -> None:
    """A waiting call is sent when Firefox is online again. WebKit's driver can't go offline."""
    page = visitor.page()
    page.evaluate(LOGIN, ["demo", PASSWORD])
    engine.set_offline(True)
    try:
        time.sleep(EXPIRED)
        page.evaluate(LATE)
        assert page.evaluate("navigator.onLine") is False
        time.sleep(2)
    finally:
        engine.set_offline(False)
    assert page.evaluate("late") == 200
    assert page.evaluate("ended") == []
