"""The example's front end: built by the documented command, served by Django without Node, and used in tabs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import PASSWORD, Server

ROOT = Path(__file__).parents[2]
FRONT_END = Path("example_project", "frontend")
COMMAND = "cd example_project/frontend && npm install && npm run build"
QUIET = "npm install --no-audit --no-fund --no-package-lock --ignore-scripts"


@pytest.fixture(scope="module")
def server(server_with: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server with the front end that the command of the docs builds. Access tokens live for four seconds."""
    assert f"\n{COMMAND}\n" in (ROOT / "docs" / "how-to" / "browser.md").read_text()
    folder = tmp_path_factory.mktemp("checkout")
    built = shutil.ignore_patterns("node_modules", "package-lock.json")
    shutil.copytree(ROOT / FRONT_END, folder / FRONT_END, ignore=built)
    (folder / "twotoken").symlink_to(ROOT / "twotoken")
    command = ["bash", "-euc", COMMAND.replace("npm install", QUIET)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return server_with(TEST_STATIC=str(folder / "example_project" / "static"), TEST_ACCESS_SECONDS="4")


def open_page(server: Server, context: BrowserContext) -> Page:
    """Open the front end in a new tab."""
    page = context.new_page()
    page.goto(f"{server.url}/frontend/")
    return page


def enter(page: Page, password: str = PASSWORD) -> None:
    """Fill in the form."""
    page.get_by_label("User name").fill("demo")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def see_books(page: Page) -> None:
    """Check that the page shows the list that only logged-in users see."""
    expect(page.get_by_role("listitem").filter(has_text="Kindred, by Octavia E. Butler")).to_be_visible()


@pytest.mark.usefixtures("complaints")
def test_login_reload_two_tabs_and_logout(server: Server, context: BrowserContext) -> None:
    """A reload and a second tab need no login. After a logout both tabs say why the session is over."""
    first = open_page(server, context)
    enter(first, "a wrong one")
    expect(first.get_by_role("alert")).to_contain_text("No active account")
    enter(first)
    see_books(first)
    first.reload()
    see_books(first)
    second = open_page(server, context)
    see_books(second)
    second.get_by_role("button", name="Log out").click()
    for page in (first, second):
        expect(page.get_by_role("alert")).to_have_text("You are logged out. Please log in again.")
        expect(page.get_by_text("Kindred")).to_have_count(0)
    enter(first)
    for page in (first, second):
        see_books(page)


@pytest.mark.usefixtures("complaints")
def test_revoking_another_session(server: Server, chromium: Browser, context: BrowserContext) -> None:
    """A browser revokes the session of a second one, which says so at its next refresh. The first stays logged in."""
    page = open_page(server, context)
    enter(page)
    see_books(page)
    other = chromium.new_context(user_agent="The other browser")
    there = open_page(server, other)
    enter(there)
    see_books(there)
    page.reload()
    session = page.get_by_role("listitem").filter(has_text="The other browser")
    session.get_by_role("button", name="Revoke").click()
    expect(session).to_have_count(0)
    expect(there.get_by_role("alert")).to_contain_text("ended from another device")
    expect(page.get_by_role("listitem").filter(has_text=re.compile("this browser$"))).to_be_visible()
    see_books(page)
    other.close()
