"""The admin in a real browser: the timeline of a theft, the revoke buttons, and a check of all pages by axe-core."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import PASSWORD, Server
from tests.integrations.npm import installed

LIST = "/admin/twotoken/refreshtoken/"
# How many pixels of an element its container hides.
HIDDEN = """(selector) => {
    const element = document.querySelector(selector);
    return Math.max(0, element.getBoundingClientRect().width - element.parentElement.clientWidth);
}"""
# axe-core calls a problem serious or critical if it keeps somebody from reading or using a page.
AXE = """async () => (await axe.run({exclude: ["#searchbar", ".search-label-icon"]})).violations
    .filter(({impact}) => ["serious", "critical"].includes(impact))
    .map(({id, nodes}) => [id, ...nodes.map(({html}) => html)])"""  # Django's search box and its chooser are excluded
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Mobile Safari/604.1"


@pytest.fixture(scope="module")
def server(server_with: Callable[..., Server]) -> Server:
    """A server with the example's own lifetimes and grace."""
    return server_with()


def call(server: Server, path: str, data: Any = None, **headers: str) -> tuple[int, Any]:
    """Call the API as an app does."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(server.url + path, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


def log_in(server: Server, name: str = "demo", **headers: str) -> Any:
    """Log in at the body mount and return the pair."""
    status, pair = call(server, "/api/app/auth/login/", {"username": name, "password": PASSWORD}, **headers)
    assert status == 200
    return pair


def refresh(server: Server, token: str, **headers: str) -> tuple[int, Any]:
    """Refresh at the body mount."""
    return call(server, "/api/app/auth/refresh/", {"refresh": token}, **headers)


def sign_in(page: Page, server: Server) -> None:
    """Log in to the admin as the example's superuser, and open the list of families."""
    page.goto(server.url + LIST)
    page.fill("#id_username", "admin")
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    expect(page.locator("#result_list")).to_be_visible()


def revocable(server: Server, access: str) -> int:
    """Call the route of the revocable authentication class with an access token, and return the status."""
    return call(server, "/api/me/revocable/", Authorization=f"Bearer {access}")[0]


def picture(page: Page, name: str) -> None:
    """Take a screenshot for people, if SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_the_admin(server: Server, context: BrowserContext) -> None:
    """After each revoke button of the admin, a refresh and a request to the revocable class get a 401 at once."""
    stolen = log_in(server, **{"User-Agent": PHONE})
    assert refresh(server, stolen["refresh"], **{"User-Agent": PHONE})[0] == 200
    assert refresh(server, stolen["refresh"], **{"User-Agent": "python-requests/2.32"})[1]["reason"] == "reused"
    one, two, three = (log_in(server, **{"User-Agent": PHONE}) for _ in range(3))
    bystander = log_in(server, "admin")
    assert [revocable(server, pair["access"]) for pair in (one, two, three)] == [200] * 3

    page = context.new_page()
    sign_in(page, server)
    assert page.evaluate(HIDDEN, "#result_list") == 0
    picture(page, "list")
    page.fill("#searchbar", "demo@example")
    page.press("#searchbar", "Enter")
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(4)

    rows.filter(has_text="refresh token reused").locator("th a").click()
    timeline = page.locator("#timeline tbody tr")
    expect(timeline).to_have_count(4)
    expect(timeline.nth(2)).to_contain_text("1 generation behind, Python Requests")
    expect(timeline.nth(3)).to_contain_text("Revoked")
    picture(page, "page")
    page.set_viewport_size({"width": 360, "height": 720})
    assert page.evaluate(HIDDEN, "#timeline") == page.evaluate(HIDDEN, ".twotoken-picture") == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    picture(page, "page-360")
    page.set_viewport_size({"width": 1280, "height": 720})
    panel = page.get_by_role("region", name="What happened")
    expect(panel.locator("li").filter(has_text="Came last")).to_contain_text("Python Requests 2, 127.0.0.1")
    panel.get_by_role("link", name="Revoke all 3 token families of the user").click()
    expect(page.locator("#content")).to_contain_text("Are you sure you want to revoke 3 token families?")

    page.goto(f"{server.url}{LIST}?q=demo@example")
    rows.filter(has_text="active").first.locator("th a").click()
    newest = page.locator(".fieldBox.field-id .readonly").inner_text().strip()
    page.get_by_role("link", name="Revoke this family").click()
    expect(page.locator("#content")).to_contain_text("Are you sure you want to revoke 1 token family?")
    expect(page.locator("#content")).to_contain_text("still work for up to 15 minutes")
    picture(page, "confirmation")
    page.get_by_role("button", name="Yes, I’m sure").click()  # noqa: RUF001
    expect(page.locator(".messagelist")).to_contain_text("Revoked 1 token family.")
    expect(timeline.last).to_contain_text("by admin")
    assert server.rows("SELECT revoked_reason FROM twotoken_refreshtoken WHERE id = ?", newest.replace("-", "")) == [
        ("admin",)
    ]
    assert [revocable(server, pair["access"]) for pair in (one, two, three)] == [200, 200, 401]
    assert refresh(server, three["refresh"])[1]["reason"] == "revoked"

    page.locator(".field-user_link a").click()
    picture(page, "user")
    page.get_by_role("link", name="Revoke 2 token families").click()
    page.get_by_role("button", name="Yes, I’m sure").click()  # noqa: RUF001
    expect(page.locator(".messagelist")).to_contain_text("Revoked 2 token families.")
    for pair in (one, two):
        assert revocable(server, pair["access"]) == 401
        assert refresh(server, pair["refresh"])[1]["reason"] == "revoked"
    assert refresh(server, bystander["refresh"])[0] == 200

    log_in(server)
    log_in(server)
    page.goto(f"{server.url}/admin/twotoken/refreshtoken/?state=active&q=demo")
    page.check("#action-toggle")
    page.select_option("[name=action]", "revoke_families")
    page.get_by_role("button", name="Go").or_(page.get_by_role("button", name="Run")).first.click()
    expect(page.locator("#content")).to_contain_text("revoke 2 token families")
    page.get_by_role("button", name="No, take me back").click()
    expect(rows).to_have_count(2)


@pytest.fixture(scope="module")
def pages(server: Server) -> dict[str, str]:
    """Return the path of each page to check, by the page's name. The superuser has families in different states."""
    stolen, active = (log_in(server, "admin", **{"User-Agent": PHONE}) for _ in range(2))
    for pair, device in ((stolen, "curl/8.5.0"), (stolen, PHONE), (active, "curl/8.5.0")):
        refresh(server, pair["refresh"], **{"User-Agent": device})
    query = "SELECT revoked_reason, id FROM twotoken_refreshtoken WHERE user_id = ? ORDER BY generation"
    [[user]] = server.rows("SELECT id FROM auth_user WHERE username = 'admin'")
    ids = dict(server.rows(query, user))
    return {
        "list": LIST,
        "overview": f"{LIST}overview/",
        "theft": f"{LIST}{ids['reuse']}/change/",
        "active": f"{LIST}{ids['']}/change/",
        "revoke": f"{LIST}{ids['']}/revoke/",
        "nothing to revoke": f"{LIST}{ids['reuse']}/revoke/",
        "revoke all": f"{LIST}revoke-user/{user}/",
        "user": f"/admin/auth/user/{user}/change/",
        "demo": "/",
    }


@pytest.mark.parametrize(("scheme", "width", "shown"), [("light", 1280, 9), ("dark", 1280, 5), ("light", 360, 5)])
def test_accessible(
    server: Server, chromium: Browser, pages: dict[str, str], scheme: Any, width: int, shown: int
) -> None:
    """axe-core finds no serious problem on our pages, with light and dark colors, in wide and narrow windows."""
    source = (installed(Path(__file__).parent / "axe") / "node_modules/axe-core/axe.min.js").read_text()
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 720})
    page = context.new_page()
    sign_in(page, server)
    found: dict[str, list[Any]] = {}
    for name, path in list(pages.items())[:shown]:
        page.goto(server.url + path)
        picture(page, f"{name}-{scheme}-{width}")
        page.evaluate(source)
        found[name] = page.evaluate(AXE)
    context.close()
    assert not any(found.values()), found
