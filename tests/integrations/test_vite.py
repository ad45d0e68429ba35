"""Builds the docs' front end with the npm package, Vite and strict TypeScript, and uses it in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.integrations import npm
from tests.integrations.conftest import NAME, PASSWORD
from tests.integrations.frontends import DJANGO, FrontEnd, front_end
from tests.integrations.servers import Served

PAGE = "../how-to/browser"
# For each code block of the page: words that it contains, its language, and the file to write it to.
BLOCKS = {
    "defineConfig": ("ts", "vite.config.ts"),
    'from "twotoken"': ("ts", "src/client.ts"),
    "useSession(client)": ("tsx", "src/App.tsx"),
    "shallowRef": ("ts", "src/vue.ts"),
    "svelte/store": ("ts", "src/svelte.ts"),
}


@pytest.fixture
def project() -> Iterator[FrontEnd]:
    """The Vite project of the docs' page: a React app, and the code for Vue and Svelte."""
    with front_end(PAGE, BLOCKS, npm.VITE) as made:
        yield made


def log_in(page: Page) -> None:
    """Log in with the form, and assert that React, Vue and Svelte show the user."""
    page.get_by_label("User name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    see_user(page)


def see_user(page: Page) -> None:
    """Assert that React, Vue and Svelte show user 1."""
    expect(page.get_by_text("You are user 1.")).to_be_visible()
    assert page.evaluate("[document.body.dataset.vue, document.body.dataset.svelte]") == ["1", "1"]


def test_from_the_command_to_logout(project: FrontEnd, serve: Callable[..., Served], context: BrowserContext) -> None:
    """Under Vite's dev server and its build, login, reload, a second tab, and a logout that ends both tabs work."""
    project.change("vite.config.ts", DJANGO, f"http://127.0.0.1:{serve().port}")
    project.install("--to", "twotoken")
    project.build()
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    for mode in ("dev", "preview"):
        with project.served(mode) as address:
            first = context.new_page()
            first.goto(address)
            log_in(first)
            first.reload()
            see_user(first)
            second = context.new_page()
            second.goto(address)
            see_user(second)
            second.get_by_role("button", name="Log out").click()
            for page in (first, second):
                expect(page.get_by_text("Your session is over: logout.")).to_be_visible()
                assert page.evaluate("[document.body.dataset.vue, document.body.dataset.svelte]") == ["", ""]
                page.close()
    assert errors == []


def test_a_link_to_the_installed_package(project: FrontEnd) -> None:
    """If npm links to the installed package, the project builds with ``resolve.dedupe``, as the docs say."""
    project.change("vite.config.ts", "plugins:", 'resolve: { dedupe: ["react"] },\n  plugins:')
    assert '`resolve: { dedupe: ["react"] }`' in (npm.VITE.parents[2] / "docs" / "how-to" / "browser.md").read_text()
    project.install()
    assert (project.folder / "node_modules" / "twotoken").resolve().name == "twotoken"
    project.build()
