"""The example's Swagger UI, used as a person does, under the page's Content-Security-Policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import PASSWORD, REFUSED, Server
from tests.browser.test_admin import log_in, picture


@pytest.fixture(scope="module")
def server(server_with: Callable[..., Server]) -> Server:
    """A server with the example's own lifetimes and grace."""
    return server_with()


@pytest.fixture
def page(server: Server, context: BrowserContext) -> Iterator[Page]:
    """Swagger UI, opened by the demo page's link. Nothing may violate the policy or be loaded from another origin."""
    complaints: list[str] = []
    origins = set()
    context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("request", lambda request: origins.add(request.url.startswith((server.url, "data:", "blob:"))))
    page = context.new_page()
    page.goto(server.url)
    page.get_by_role("link", name="API", exact=True).click()
    expect(page.locator(".opblock").first).to_be_visible()
    yield page
    assert [text for text in complaints if REFUSED not in text] == []
    assert origins == {True}


def open_operation(page: Page, operation: str) -> Locator:
    """Open an operation and press "Try it out"."""
    block = page.locator(f"[id$='-{operation}']")
    block.locator(".opblock-summary-control").first.click()
    block.get_by_role("button", name="Try it out").click()
    return block


def execute(block: Locator, status: int) -> Any:
    """Execute an operation, check its status, and return the shown body."""
    block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table .response")
    expect(answer.locator(".response-col_status")).to_contain_text(str(status))
    body = answer.locator(".highlight-code code")
    return json.loads(body.inner_text()) if body.count() else None


def authorize(page: Page, token: str) -> None:
    """Enter an access token in the dialog."""
    page.locator(".auth-wrapper .authorize").click()
    page.get_by_label("auth-bearer-value").fill(token)
    page.get_by_label("auth-bearer-value").press("Enter")
    page.locator(".modal-ux").get_by_role("button", name="Close").first.click()


def test_a_pasted_token(server: Server, page: Page) -> None:
    """Without an access token the calls are a 401. With one they return the data of the token's user."""
    me = open_operation(page, "me_retrieve")
    execute(me, 401)
    authorize(page, log_in(server)["access"])
    assert execute(me, 200)["username"] == "demo"
    sessions = execute(open_operation(page, "app_auth_sessions_list"), 200)
    assert [session["current"] for session in sessions].count(True) == 1
    picture(page, "swagger")


def test_logging_in_here(page: Page) -> None:
    """A login on the page lets a user call, refresh by cookie, and log out."""
    login = open_operation(page, "auth_login")
    login.locator("textarea").fill(json.dumps({"username": "demo", "password": PASSWORD}))
    assert set(execute(login, 200)) == {"access", "expires_in"}
    execute(open_operation(page, "me_retrieve"), 200)
    execute(open_operation(page, "auth_refresh"), 200)
    execute(open_operation(page, "auth_logout"), 204)
    execute(open_operation(page, "me_revocable_retrieve"), 401)
