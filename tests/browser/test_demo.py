"""The demo page, used as a person does: by mouse, by keyboard and on a phone, while the session changes."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import PASSWORD, Server
from tests.browser.test_admin import call, log_in, picture

REFRESH = "/api/auth/refresh/"
APP_REFRESH = "/api/app/auth/refresh/"
SCROLLS = "() => [document.documentElement.scrollWidth, innerWidth]"
FOCUSED = "() => [document.activeElement.id || document.activeElement.textContent, document.activeElement.tagName]"
# Every visible text against the colour behind it, by WCAG 2's formula; disabled buttons are exempt there too.
PALE_TEXTS = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => parts(color).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if ((parts(color)[3] ?? 1) === 1) return color;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.body.querySelectorAll("*")].filter((element) => {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || !element.checkVisibility() || element.closest(":disabled, .lane")) return false;
    const both = [light(getComputedStyle(element).color), light(behind(element))].sort((one, two) => two - one);
    return (both[0] + 0.05) / (both[1] + 0.05) < 4.5;
  }).map((element) => element.textContent);
}"""


@pytest.fixture(scope="module")
def server(server_with: Callable[..., Server]) -> Server:
    """A server without a grace, with access tokens that live for four seconds."""
    return server_with(TEST_BROWSER_GRACE="0", TEST_ACCESS_SECONDS="4")


@pytest.fixture(autouse=True)
def _no_families(server: Server) -> None:
    """Start without token families."""
    server.clear()


@pytest.fixture
def page(server: Server, context: BrowserContext, complaints: list[str]) -> Page:
    """The demo page before a login."""
    return open_page(server, context)


def open_page(server: Server, context: BrowserContext) -> Page:
    """Open the demo page in another tab."""
    page = context.new_page()
    page.goto(server.url)
    return page


def enter(page: Page) -> None:
    """Log in."""
    page.locator("#login [name=password]").fill(PASSWORD)
    page.locator("#login button").click()
    expect(page.locator("#session-title")).to_have_text("Logged in as demo")


def log(page: Page, count: int) -> list[str]:
    """Return the newest ``count`` requests in the page's log, the oldest of them first."""
    items = page.locator("#log li").all_inner_texts()[:count]
    return [" ".join(item.split()[1:4]) for item in reversed(items)]


def wait_for(page: Page, note: str) -> bool:
    """Tell whether the page's log contains this note. If it does not, wait 50 ms first."""
    found = note in page.locator("#log").inner_text()
    if not found:
        page.wait_for_timeout(50)
    return found


def reasons(server: Server) -> list[str]:
    """Return the reason of each family's revocation, the oldest family first. An active family has an empty string."""
    return [reason for (reason,) in server.rows("SELECT revoked_reason FROM twotoken_refreshtoken ORDER BY created_at")]


def test_it_renews_itself(server: Server, page: Page) -> None:
    """After a login the tokens are renewed without any action. The message about the login disappears."""
    enter(page)
    expect(page.locator("#status")).to_contain_text("Logged in.")
    expect(page.locator("#access-name")).to_have_text("A1")
    expect(page.locator("#refresh-name")).to_have_text("R0")
    expect(page.locator("#access-name")).to_have_text("A3")
    expect(page.locator("#refresh-line")).to_have_text("R0 used upR1 given 2 times")
    expect(page.locator("#refresh-line s")).to_have_text("R0")
    expect(page.locator("#refresh-idle")).to_contain_text("in 7 days")
    expect(page.locator("#refresh-end")).to_have_text("in 30 days")
    assert log(page, 2) == [f"POST {REFRESH} 200"] * 2
    assert 0 < page.locator("#access-left").evaluate("(element) => element.value") <= 1
    expect(page.locator("#access-lane span")).to_have_text(["A1", "A2", "A3"])
    expect(page.locator("#status")).to_be_empty()
    assert server.rows("SELECT generation FROM twotoken_refreshtoken WHERE revoked_at IS NULL") == [(1,)]


def test_refused_refreshed_retried(server: Server, page: Page) -> None:
    """After a 401 a call is repeated once, with a new token. Ten calls at once with a bad token share one refresh."""
    enter(page)
    page.get_by_role("button", name="Call the API").click()
    expect(page.locator("#call-says")).to_have_text("200: A1 was accepted.")
    page.get_by_role("button", name="Call with a bad token").click()
    expect(page.locator("#call-says")).to_contain_text("200 in the end")
    assert log(page, 3) == ["GET /api/me/ 401", f"POST {REFRESH} 200", "GET /api/me/ 200"]
    expect(page.locator("#log li").nth(2)).to_contain_text("A1 with a changed letter was refused (invalid).")
    expect(page.locator("#log li").first).to_contain_text("The same request again, with A2.")
    server.faults()
    page.get_by_role("button", name="10 calls with a bad token").click()
    expect(page.locator("#call-says")).to_contain_text("10 of 10 succeeded.")
    assert (server.calls()["/api/me/"], server.calls()[REFRESH]) == (20, 1)


def test_without_a_token(page: Page) -> None:
    """Before a login the page shows only "Play a theft" and the login form. A wrong password is refused."""
    titles = page.get_by_role("heading", level=2)
    expect(titles).to_have_text(["Play a theft", "Log in yourself"])
    page.locator("#login [name=password]").fill("wrong")
    page.locator("#login button").click()
    expect(page.locator("#status")).to_contain_text("No active account")
    expect(titles).to_have_text(["Play a theft", "Log in yourself", "Requests"])


def test_sessions(server: Server, page: Page) -> None:
    """The page lists other devices and revokes them by keyboard. The focus is not lost when a row disappears."""
    other = log_in(server, **{"User-Agent": "curl/8.5.0"})
    log_in(server, **{"User-Agent": "<b>Firefox/140.0</b> on Windows"})
    enter(page)
    rows = page.locator("#sessions li")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="this page")).to_contain_text("Chrome on Linux")
    page.get_by_role("button", name="Revoke curl").press("Enter")
    expect(rows).to_have_count(2)
    assert page.evaluate(FOCUSED)[1] == "BUTTON"
    status, answer = call(server, "/api/app/auth/refresh/", {"refresh": other["refresh"]})
    assert (status, answer["reason"]) == (401, "revoked")
    page.get_by_role("button", name="Revoke all others").press("Enter")
    expect(rows).to_have_count(1)
    assert page.evaluate(FOCUSED) == ["sessions-title", "H2"]
    assert reasons(server) == ["logout", "logout", ""]


def test_two_kinds_of_route(page: Page) -> None:
    """After the page revokes its session, the stateless class answers 200, and the revocable class answers 401."""
    enter(page)
    expect(page.locator("#access-name")).to_have_text("A2")
    page.get_by_role("button", name="Revoke Chrome").click()
    expect(page.locator("#status")).to_contain_text("That session is revoked.")
    page.get_by_role("button", name="Call two kinds of route").click()
    expect(page.locator("#status")).to_contain_text("The stateless route answers 200, the revocable route answers 401.")
    expect(page.locator("#status")).to_contain_text("the session was revoked")
    expect(page.locator("#login-title")).to_be_visible()


def test_log_out_everywhere(server: Server, chromium: Browser, page: Page) -> None:
    """Logging out everywhere also logs out another browser of the user, and its page says so."""
    enter(page)
    elsewhere = chromium.new_context()
    other = open_page(server, elsewhere)
    enter(other)
    page.get_by_role("button", name="Log out everywhere").click()
    expect(page.locator("#status")).to_contain_text("Logged out.")
    expect(other.locator("#status")).to_contain_text("Logged out by the server")
    assert reasons(server) == ["logout", "logout"]
    elsewhere.close()


def test_tabs_and_reload(server: Server, context: BrowserContext, page: Page) -> None:
    """A reload keeps the session, a second tab shares the tokens, and a logout reaches both."""
    enter(page)
    page.reload()
    expect(page.locator("#session-title")).to_have_text("Logged in as demo")
    other = open_page(server, context)
    expect(other.locator("#session-title")).to_have_text("Logged in as demo")
    handed = "Another tab has refreshed and shared its new access token."
    assert any(wait_for(each, handed) for _ in range(100) for each in (page, other))
    page.get_by_role("button", name="Log out", exact=True).click()
    for each in (page, other):
        expect(each.locator("#status")).to_contain_text("Logged out.")
        expect(each.locator("#login-title")).to_be_visible()
    assert reasons(server) == ["logout"]


def test_the_server_stops(server: Server, page: Page, complaints: list[str]) -> None:
    """If the server stops, the page says so and stays logged in. When the server answers again, the page continues."""
    enter(page)
    server.stop()
    expect(page.locator("#status")).to_have_text("The server does not answer. You stay logged in.")
    expect(page.locator("#access-says")).to_contain_text("Expired")
    page.get_by_role("button", name="Call the API").click()
    expect(page.locator("#session-title")).to_be_visible()
    server.start()
    expect(page.locator("#status")).to_contain_text("The server answers again. You are still")
    page.get_by_role("button", name="Call the API").click()
    expect(page.locator("#call-says")).to_contain_text("was accepted")
    complaints[:] = [text for text in complaints if "net::ERR_" not in text]


def test_staff_revokes_the_session(server: Server, page: Page) -> None:
    """After staff revoke the session, the page notices it at its next refresh."""
    enter(page)
    server.manage("revoke_token_families", "--user", "demo", "--no-input")
    expect(page.locator("#status")).to_contain_text("Logged out by the server")
    expect(page.locator("#access-name")).to_have_text("none")


def test_a_stolen_cookie(server: Server, context: BrowserContext, page: Page) -> None:
    """If a script sends an old cookie after the page has refreshed, the page is logged out and says why."""
    enter(page)
    stolen = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in context.cookies(f"{server.url}/api/auth/"))
    expect(page.locator("#refresh-name")).to_have_text("R1")
    thief = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    thief.request("POST", REFRESH, headers={"Cookie": stolen})
    assert b'"reused"' in thief.getresponse().read()
    thief.close()
    expect(page.locator("#status")).to_contain_text("a copy of its token was used")
    assert reasons(server) == ["reuse"]


def test_the_theft(server: Server, page: Page) -> None:
    """A user can play the theft by keyboard, and start it again. Tokens that no longer work are struck through."""
    moral = page.locator("#moral")
    victim, thief = page.locator("#victim"), page.locator("#thief")
    page.locator("[data-step]").first.focus()
    for number, (name, lesson, living, dead) in enumerate(
        (
            ("Ann logs in", "first refresh token, R0", ["R0"], []),
            ("The thief copies her token", "Both have R0 now.", ["R0", "R0"], []),
            ("Ann's phone refreshes as usual", "R0 is used up", ["R1"], ["R0", "R0"]),
            ("The thief uses the copy", "revokes the whole login", [], ["R0", "R1", "R0"]),
            ("Ann's phone refreshes again", "The thief is locked out", [], ["R0", "R1", "R0"]),
        )
    ):
        assert page.evaluate(FOCUSED)[0] == name
        page.keyboard.press("Enter")
        expect(moral).to_contain_text(lesson)
        expect(page.locator("#theft .line b")).to_have_text(living)
        expect(page.locator("#theft .line s")).to_have_text(dead)
        expect(page.locator("#steps .done")).to_have_count(number + 1)
    expect(thief.locator(".state")).to_have_text("Refused: reused.")
    expect(victim.locator(".state")).to_have_text("Refused: revoked.")
    expect(victim.locator("li")).to_have_text(["R0 used up", "R1 revoked"])
    assert reasons(server) == ["reuse"]
    assert page.evaluate(FOCUSED)[0] == "again"
    page.keyboard.press("Enter")
    expect(page.locator("#steps .done")).to_have_count(0)
    expect(page.locator("#theft .line li")).to_have_count(0)
    assert page.evaluate(FOCUSED)[0] == "Ann logs in"


def test_the_theft_of_a_bound_token(server: Server, page: Page) -> None:
    """In the theft of a bound token, the thief's copy is refused at once, and nothing is revoked."""
    moral = page.locator("#moral")
    page.get_by_label("Bind the token to a key of the phone").check()
    for name, lesson in (
        ("Ann logs in", "bound to this key"),
        ("The thief copies her token", "everything that can be copied"),
        ("Ann's phone refreshes as usual", "got R1"),
        ("The thief uses the copy", "revokes nothing"),
        ("Ann's phone refreshes again", "Ann has noticed nothing."),
    ):
        page.get_by_role("button", name=name).click()
        expect(moral).to_contain_text(lesson)
    expect(page.locator("#thief .state")).to_have_text("Refused: wrong_device.")
    expect(page.locator("#victim .state")).to_have_text("Still logged in.")
    expect(page.locator("#server .state")).to_contain_text("Accepts R2.")
    assert server.rows("SELECT revoked_reason, generation FROM twotoken_refreshtoken") == [("", 2)]
    page.get_by_label("Bind the token to a key of the phone").uncheck()
    expect(moral).to_have_text("Nobody has a token yet.")


def test_a_theft_that_stops(server: Server, context: BrowserContext, page: Page, complaints: list[str]) -> None:
    """If no answer comes, a step of the theft can be repeated. After an unexpected answer the theft starts again."""
    login, steal, refresh = page.locator("[data-step]").all()[:3]
    login.click()
    steal.click()
    context.set_offline(True)
    refresh.click()
    expect(page.locator("#moral")).to_have_text("The server does not answer. Press the button again.")
    context.set_offline(False)
    server.faults({"path": APP_REFRESH, "what": "status", "status": 500})
    refresh.click()
    expect(page.locator("#moral")).to_have_text("The answer was 500.")
    expect(login).to_be_enabled()
    complaints.clear()


def test_changing_the_email(server: Server, context: BrowserContext, page: Page) -> None:
    """To change the e-mail address after an old login, a dialog asks for the password. No tab is logged out."""
    enter(page)
    other = open_page(server, context)
    expect(other.locator("#session-title")).to_have_text("Logged in as demo")
    page.get_by_role("button", name="Change e-mail").click()
    expect(page.locator("#status")).to_contain_text("The e-mail address is demo@example.com now.")
    page.wait_for_timeout(11_000)
    page.get_by_label("New e-mail address").fill("new@example.com")
    dialog = page.get_by_role("dialog")
    page.get_by_role("button", name="Change e-mail").click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.locator("#status")).to_have_text("The e-mail address was not changed.")
    page.get_by_role("button", name="Change e-mail").click()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Change e-mail").click()
    expect(dialog).to_be_visible()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#confirm-says")).to_contain_text("No active account")
    assert page.evaluate(PALE_TEXTS) == []
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("The e-mail address is new@example.com now.")
    assert page.evaluate(FOCUSED)[0] == "Change e-mail"
    expect(other.locator("#session-title")).to_have_text("Logged in as demo")
    assert server.rows("SELECT email FROM auth_user WHERE username = 'demo'") == [("new@example.com",)]
    assert reasons(server) == [""]


def test_by_keyboard_alone(page: Page) -> None:
    """A user can log in, call the API and log out by keyboard, and the focus is always visible."""
    expect(page.locator("#login-part")).to_be_visible()
    seen = []

    def tab_to(name: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            focused = page.evaluate(FOCUSED)
            seen.append(focused)
            outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", focused
            if page.evaluate("() => document.activeElement.name || document.activeElement.textContent") == name:
                return
        raise AssertionError(f"{name} was not found: {seen}")

    tab_to("password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#session-title")).to_have_text("Logged in as demo")
    assert page.evaluate(FOCUSED) == ["logout", "BUTTON"]
    tab_to("Call the API")
    page.keyboard.press("Space")
    expect(page.locator("#call-says")).to_contain_text("was accepted")
    assert page.evaluate(FOCUSED)[0] == "call"
    while page.evaluate(FOCUSED)[0] != "logout":
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("Logged out.")
    assert page.evaluate(FOCUSED)[1] == "INPUT"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "width", "height"), [("phone", 360, 740), ("desktop", 1280, 900)])
def test_its_looks(server: Server, chromium: Browser, scheme: Any, name: str, width: int, height: int) -> None:
    """On a phone and a desktop nothing scrolls horizontally, no text is pale, and the demonstrated theft is in view."""
    log_in(server, **{"User-Agent": "Firefox/140.0 Windows " + "x" * 200})
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = open_page(server, context)
    expect(page.locator("#login-part")).to_be_visible()
    for state in ("before", "after"):
        if state == "after":
            enter(page)
            expect(page.locator("#sessions li")).to_have_count(2)
            page.get_by_role("button", name="Call with a bad token").click()
            for step in page.locator("[data-step]").all()[:4]:
                step.click()
            expect(page.locator(".people")).to_be_in_viewport(ratio=1)
            for details in page.locator("summary").all():
                details.click()
            expect(page.locator("#access-name")).to_have_text("A3")
        scrolled, inner = page.evaluate(SCROLLS)
        assert scrolled <= inner == width
        assert page.evaluate(PALE_TEXTS) == []
        picture(page, f"demo-{name}-{scheme}-{state}")
    assert re.search(r"curl -X POST http://127\.0\.0\.1", page.locator("#curl").inner_text())
    context.close()
