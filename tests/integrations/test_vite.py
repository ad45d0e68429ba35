"""The npm package in a front end of Vite and strict TypeScript, as the page says: built, and used in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.integrations import npm
from tests.integrations.conftest import NAME, PASSWORD
from tests.integrations.frontends import DJANGO, FrontEnd, front_end
from tests.integrations.servers import Served

PAGE = "../how-to/browser"
# The words by which each of the page's blocks is found, its language, and the file that it is.
BLOCKS = {
    "defineConfig": ("ts", "vite.config.ts"),
    'from "twotoken"': ("ts", "src/client.ts"),
    "useSession(client)": ("tsx", "src/App.tsx"),
    "shallowRef": ("ts", "src/vue.ts"),
    "svelte/store": ("ts", "src/svelte.ts"),
}


@pytest.fixture
def project() -> Iterator[FrontEnd]:
    """The page's project, with what the recipes for Vue and Svelte see."""
    with front_end(PAGE, BLOCKS, npm.VITE) as made:
        yield made


def log_in(page: Page) -> None:
    """Fill in the form, and see the user in all frameworks."""
    page.get_by_label("User name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    see_user(page)


def see_user(page: Page) -> None:
    """See the one user of the database, in all frameworks."""
    expect(page.get_by_text("You are user 1.")).to_be_visible()
    assert page.evaluate("[document.body.dataset.vue, document.body.dataset.svelte]") == ["1", "1"]


def test_from_the_command_to_logout(project: FrontEnd, serve: Callable[..., Served], context: BrowserContext) -> None:
    """Strict TypeScript works with Vite's dev server and its build: login, reload, second tab, logout in both."""
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
    """A link to the installed package builds with the option in the docs."""
    project.change("vite.config.ts", "plugins:", 'resolve: { dedupe: ["react"] },\n  plugins:')
    assert '`resolve: { dedupe: ["react"] }`' in (npm.VITE.parents[2] / "docs" / "how-to" / "browser.md").read_text()
    project.install()
    assert (project.folder / "node_modules" / "twotoken").resolve().name == "twotoken"
    project.build()
