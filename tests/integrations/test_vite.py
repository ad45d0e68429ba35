"""The npm package in a front end of Vite and strict TypeScript, as the page says: built, and used in Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.integrations import npm
from tests.integrations.conftest import NAME, PASSWORD
from tests.integrations.pages import block
from tests.integrations.servers import Served
from tests.server import free_port

PAGE = "../how-to/browser"
# The words by which each of the page's blocks is found, its language, and the file that it is.
BLOCKS = {
    "defineConfig": ("ts", "vite.config.ts"),
    'from "twotoken"': ("ts", "src/client.ts"),
    "useSession": ("tsx", "src/App.tsx"),
    "shallowRef": ("ts", "src/vue.ts"),
    "svelte/store": ("ts", "src/svelte.ts"),
}
DJANGO = "http://127.0.0.1:8000"


class FrontEnd:
    """A project of the page's blocks, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(npm.VITE, folder, dirs_exist_ok=True)
        (folder / "package.json").write_text('{"private": true, "type": "module"}')  # the others are in a folder above
        for words, (language, name) in BLOCKS.items():
            (folder / name).write_text(block(PAGE, words, language))

    def change(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file."""
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    def install(self, *arguments: str) -> None:
        """Install the client from where the command says."""
        command = [sys.executable, "-m", "django", "twotoken_client", *arguments, "--settings=tests.settings"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        told = subprocess.run(command, cwd=self.folder, env=environment, check=True, capture_output=True, text=True)
        self.run("npm", "install", "--no-audit", "--no-fund", "--offline", told.stdout.strip())

    def run(self, *command: str) -> None:
        """Run a program, and see that it succeeds."""
        result = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr

    def build(self) -> None:
        """Check the types, and build."""
        self.run(self.program("tsc"), "--project", ".")
        self.run(self.program("vite"), "build")

    def program(self, name: str) -> str:
        """Return the path of a program that npm has installed."""
        return str(npm.installed(npm.VITE) / "node_modules" / ".bin" / name)

    @contextmanager
    def served(self, mode: str) -> Iterator[str]:
        """Serve it with Vite, and give the address."""
        port = free_port()
        command = [self.program("vite"), mode, "--host", "127.0.0.1", "--port", str(port), "--strictPort"]
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(f"http://127.0.0.1:{port}/")
            yield f"http://localhost:{port}/"
        finally:
            process.terminate()
            process.wait(30)


def wait_for(address: str) -> None:
    """Wait until somebody answers there."""
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(address, timeout=30).close()
        except OSError:
            assert time.monotonic() < deadline, f"no answer from {address}"
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def front_end() -> Iterator[FrontEnd]:
    """Make one below the folder of the packages, where Node looks for them."""
    with tempfile.TemporaryDirectory(dir=npm.installed(npm.VITE)) as folder:
        yield FrontEnd(Path(folder))


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


def test_from_the_command_to_logout(front_end: FrontEnd, serve: Callable[..., Served], context: BrowserContext) -> None:
    """Strict TypeScript works with Vite's dev server and its build: login, reload, second tab, logout in both."""
    front_end.change("vite.config.ts", DJANGO, f"http://127.0.0.1:{serve().port}")
    front_end.install("--to", "twotoken")
    front_end.build()
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    for mode in ("dev", "preview"):
        with front_end.served(mode) as address:
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


def test_a_link_to_the_installed_package(front_end: FrontEnd) -> None:
    """A link to the installed package builds with the option in the docs."""
    front_end.change("vite.config.ts", "plugins:", 'resolve: { dedupe: ["react"] },\n  plugins:')
    assert '`resolve: { dedupe: ["react"] }`' in (npm.VITE.parents[2] / "docs" / "how-to" / "browser.md").read_text()
    front_end.install()
    assert (front_end.folder / "node_modules" / "twotoken").resolve().name == "twotoken"
    front_end.build()
