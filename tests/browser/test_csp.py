"""The example project under Django's own Content-Security-Policy, in a browser that reports violations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from example_project.settings import MIDDLEWARE
from tests.browser.conftest import PASSWORD, Server
from tests.browser.test_admin import log_in, refresh

ROOT = Path(__file__).parents[2]
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
REPORT = """addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) =>
  reportViolation(`${effectiveDirective} ${blockedURI}`))"""
FORBIDDEN = """() => {
  const add = (name, attributes) => document.body.append(Object.assign(document.createElement(name), attributes));
  add("script", { textContent: "window.injected = true" });
  add("style", { textContent: "body { display: none }" });
  add("img", { src: "data:image/gif;base64,R0lGODlhAQABAAAAACw=" });
  document.body.setAttribute("style", "display: none");
}"""
INLINE = ["script-src-elem inline", "style-src-attr inline", "style-src-elem inline"]


@pytest.fixture(scope="module")
def server(server_with: Callable[..., Server]) -> Server:
    """A server for this module alone."""
    return server_with(TEST_BROWSER_GRACE="0")


@pytest.fixture
def violations(context: BrowserContext) -> Iterator[list[str]]:
    """Collect what violates the policy of a page. At the end the list must be empty."""
    found: list[str] = []
    context.expose_function("reportViolation", lambda violation: found.append(violation))
    context.add_init_script(REPORT)
    yield found
    assert found == []


@pytest.fixture
def page(context: BrowserContext, violations: list[str]) -> Page:
    """A tab that reports violations."""
    return context.new_page()


def visit(page: Page, url: str) -> None:
    """Open a page, and check that it has the policy."""
    response = page.goto(url)
    assert response is not None
    assert response.headers["content-security-policy"] == POLICY


def test_what_is_forbidden(server: Server, page: Page, violations: list[str]) -> None:
    """Django's middleware sets the policy. Chromium reports inline code, inline styles and images in data URLs."""
    assert "django.middleware.csp.ContentSecurityPolicyMiddleware" in MIDDLEWARE
    visit(page, server.url)
    page.evaluate(FORBIDDEN)
    expect(page.get_by_role("heading", name="Play a theft")).to_be_visible()
    assert page.evaluate("window.injected") is None
    assert sorted(violations) == ["img-src data", *INLINE]
    violations.clear()


def test_the_demo(server: Server, page: Page) -> None:
    """The example's page violates nothing in a theft of a bound token, a login, a call, and the password dialog."""
    visit(page, server.url)
    page.get_by_label("Bind the token to a key of the phone").check()
    for step in page.locator("[data-step]").all():
        step.click()
    expect(page.locator("#moral")).to_contain_text("Ann has noticed nothing.")
    page.locator("#login [name=password]").fill(PASSWORD)
    page.locator("#login button").click()
    page.get_by_role("button", name="Call with a bad token").click()
    expect(page.locator("#call-says")).to_contain_text("200 in the end")
    expect(page.locator("#access-lane span")).to_have_count(2)
    page.evaluate("document.querySelector('#confirm').showModal()")
    expect(page.get_by_role("dialog")).to_be_visible()


def walk_through_the_admin(server: Server, page: Page) -> None:
    """Open the list, a family's page with its timeline, the confirmation, and the user's page with its button."""
    server.clear()
    pair = log_in(server)
    refresh(server, pair["refresh"])
    refresh(server, pair["refresh"])
    log_in(server)
    page.goto(f"{server.url}/admin/twotoken/refreshtoken/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    rows = page.locator("#result_list tbody tr")
    rows.filter(has_text="reused").locator("th a").click()
    expect(page.locator("#timeline tbody tr").last).to_contain_text("Revoked")
    page.go_back()
    rows.filter(has_text="active").first.locator("th a").click()
    page.get_by_role("link", name="Revoke this family").click()
    expect(page.locator("#content")).to_contain_text("Are you sure")
    page.go_back()
    page.locator(".field-user_link a").click()
    expect(page.get_by_role("link", name="Revoke 1 token family")).to_be_visible()


def test_the_admin(server: Server, page: Page) -> None:
    """Our pages of the admin have the policy, and nothing violates it."""
    walk_through_the_admin(server, page)
    visit(page, f"{server.url}/admin/twotoken/refreshtoken/")


def test_nonces_in_the_admin(server_with: Callable[..., Server], page: Page) -> None:
    """With the docs' policy, which allows only files with a nonce, our pages of the admin still have their style."""
    block = (ROOT / "docs" / "how-to" / "csp.md").read_text().split("```python\n")[2].split("```")[0]
    shown: dict[str, Any] = {"TEMPLATES": [{"OPTIONS": {"context_processors": []}}]}
    exec(block, shown)  # noqa: S102
    server = server_with(TEST_BROWSER_GRACE="0", TEST_CSP=json.dumps(shown["SECURE_CSP"]))
    walk_through_the_admin(server, page)
    page.goto(f"{server.url}/admin/twotoken/refreshtoken/")
    styles = page.locator("link[href$='twotoken/admin.css']")
    assert styles.evaluate("(link) => [link.nonce !== '', link.sheet.cssRules.length > 0]") == [True, True]
