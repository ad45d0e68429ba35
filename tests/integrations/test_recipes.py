"""The docs' recipes for front ends, built with Vite and strict TypeScript, run in Chromium with an expired token."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.integrations import npm
from tests.integrations.conftest import NAME, PASSWORD
from tests.integrations.frontends import DJANGO, front_end
from tests.integrations.pages import block
from tests.integrations.servers import Served

PAGE = "../how-to/frontend-recipes"
HERE = Path(__file__).parent
BLOCKS = {
    'from "twotoken"': ("ts", "src/client.ts"),
    'adapter: "fetch"': ("ts", "src/axios.ts"),
    "createAuthRefresh(": ("ts", "src/axios-auth-refresh.ts"),
    "ky.create": ("ts", "src/ky.ts"),
    'from "openapi-fetch"': ("ts", "src/openapi-fetch.ts"),
    "new QueryClient": ("ts", "src/tanstack-query.ts"),
}
KIT = {
    "export async function ask": ("ts", "src/lib/server/session.ts"),
    "HandleFetch": ("ts", "src/hooks.server.ts"),
    "interface Locals": ("ts", "src/app.d.ts"),
    "PageServerLoad": ("ts", "src/routes/+page.server.ts"),
}
RECIPES = ["axios", "axios-auth-refresh", "ky", "openapi-fetch", "tanstack-query"]
SECONDS = 5  # the lifetime of an access token
# The client would refresh before a token expires. This script hides the lifetime, so each request gets a 401.
SLOW_CLOCK = """
  const own = window.fetch;
  window.fetch = async (...given) => {
    const response = await own(...given);
    if (!response.ok || !/auth.(login|refresh)/.test(response.url)) return response;
    return Response.json({ ...(await response.json()), expires_in: 900 });
  };
"""
RENDERED = "() => Promise.all(Array.from({ length: 20 }, () => fetch('/').then((answer) => answer.text())))"


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    """A server with access tokens that live 5 seconds."""
    return serve(TEST_ACCESS_SECONDS=str(SECONDS))


@pytest.fixture(scope="module")
def address(server: Served) -> Iterator[str]:
    """Build the recipes, serve them with Vite and the proxy in the docs, and yield the address."""
    with front_end(PAGE, BLOCKS, npm.VITE, HERE / "recipes") as project:
        (project.folder / "src" / "main.tsx").unlink()
        config = block("../how-to/browser", "defineConfig", "ts")
        (project.folder / "vite.config.ts").write_text(config.replace(DJANGO, f"http://127.0.0.1:{server.port}"))
        project.install("--to", "twotoken")
        project.build()
        with project.served("preview") as address:
            yield address


@pytest.fixture(scope="module")
def expired(address: str, chromium: Browser) -> Iterator[dict[str, Page]]:
    """An open page for each recipe, logged in and with an expired access token."""
    pages = {}
    for name in [*RECIPES, "warned", "cache"]:
        context = chromium.new_context()
        context.add_init_script(SLOW_CLOCK)
        pages[name] = context.new_page()
        pages[name].goto(address)
        pages[name].evaluate("([username, password]) => client.login({ username, password })", [NAME, PASSWORD])
    time.sleep(SECONDS)
    yield pages
    for page in pages.values():
        page.context.close()


def ask_all(page: Page, name: str) -> tuple[list[str], list[int]]:
    """Send twenty requests at once by a recipe. Return their results, and the statuses of the refreshes."""
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status) if "auth/refresh" in answer.url else None)
    return page.evaluate("askAll", name), statuses


@pytest.mark.parametrize("name", RECIPES)
def test_twenty_requests_with_an_expired_token(expired: dict[str, Page], name: str) -> None:
    """If twenty requests get a 401 at once, the recipe refreshes once, and all twenty succeed."""
    results, refreshes = ask_all(expired[name], name)
    assert results == ["1"] * 20
    assert refreshes == [200]


def test_the_default_of_axios_auth_refresh(expired: dict[str, Page]) -> None:
    """With its default settings, axios-auth-refresh rejects 19 of 20 requests, as the docs warn."""
    results, _ = ask_all(expired["warned"], "warned")
    assert results.count("1") == 1
    page = (HERE.parents[1] / "docs" / "how-to" / "frontend-recipes.md").read_text()
    assert "rejects all others" in " ".join(page.split())


def test_the_cache_of_tanstack_query(expired: dict[str, Page]) -> None:
    """A logout in one tab clears the cache of TanStack Query in another tab."""
    page = expired["cache"]
    ask_all(page, "tanstack-query")
    assert page.evaluate("cached()") == 20
    other = page.context.new_page()
    other.goto(page.url)
    other.evaluate("client.logout()")
    page.wait_for_function("cached() === 0")


@pytest.fixture(scope="module")
def rendering(serve: Callable[..., Served]) -> Iterator[str]:
    """The address of a SvelteKit server with the docs' code. Its access tokens don't expire during the test."""
    with front_end(PAGE, KIT, HERE / "sveltekit") as project:
        project.change("src/lib/server/session.ts", DJANGO, f"http://127.0.0.1:{serve().port}")
        project.run(project.program("svelte-kit"), "sync")
        project.build()
        with project.served("preview") as address:
            yield address


def family(database: Path) -> Any:
    """Return ``is_browser``, ``generation`` and ``revoked_reason`` of the newest token family."""
    query = "SELECT is_browser, generation, revoked_reason FROM twotoken_refreshtoken ORDER BY created_at DESC LIMIT 1"
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchone()


def test_a_server_that_renders(rendering: str, context: BrowserContext, database: Path) -> None:
    """Twenty requests without an access token rotate the refresh token once, and get pages for the user."""
    page = context.new_page()
    page.goto(rendering)
    page.get_by_label("User name").fill(NAME)
    page.get_by_label("Password").fill("a wrong one")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("You could not be logged in.")).to_be_visible()
    page.get_by_label("User name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("You are user 1.")).to_be_visible()
    context.clear_cookies(name="__Host-access")
    answers: list[Any] = page.evaluate(RENDERED)
    assert ["You are user" in text for text in answers] == [True] * 20
    assert family(database) == (True, 1, "")
    page.reload()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("User name")).to_be_visible()
    assert family(database) == (True, 1, "logout")
    assert context.cookies() == []
