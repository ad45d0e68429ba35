"""The tutorial, step by step: its commands in a shell, its files in a folder, its clicks in a browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.server import free_port

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"(Create|Replace|Add\s+to\s+the\s+end\s+of)\s+`([\w/.]+)`")
BASH = shutil.which("bash") or "bash"
PASSWORD = "a long password"
REFRESHES = 29_000  # milliseconds after which an access token of the tutorial has been renewed


class Step(NamedTuple):
    """A code block of the tutorial, and the file that it goes into."""

    language: str
    code: str
    verb: str
    file: str

    def as_shell(self) -> str:
        """Return shell commands that run the code block, or write it to its file."""
        if self.language == "sh":
            return self.code
        assert self.file, self.code
        return (
            f"cat {'>>' if self.verb.startswith('Add') else '>'} {self.file} <<'END OF FILE'\n{self.code}END OF FILE\n"
        )


def steps(part: str) -> list[Step]:
    """Return the code blocks of a part of the tutorial. Blocks that show an answer are left out."""
    found, at = [], 0
    for fence in FENCE.finditer(part):
        named = FILE.findall(part[at : fence.start()])
        verb, file = named[-1] if named else ("", "")
        if fence[1] != "json":
            found.append(Step(fence[1], fence[2], verb, file))
        at = fence.end()
    return found


class Reader:
    """Somebody who follows the tutorial in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
        }
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)  # the tests' own

    def start(self, steps: list[Step]) -> None:
        """Run the steps, the last of which starts the server, and wait until the server answers."""
        script = "".join(step.as_shell() for step in steps)
        self.server = subprocess.Popen(
            [BASH, "-euc", script.replace(" runserver", f" runserver {self.port}")],
            cwd=self.folder,
            env=self.environment,
            start_new_session=True,
        )
        self.wait("")

    def go_on(self, steps: list[Step], path: str) -> None:
        """Run further steps while the server runs, and wait until the server answers at this path."""
        script = "".join(step.as_shell() for step in steps)
        subprocess.run([BASH, "-euc", script], cwd=self.folder / "tutorial", env=self.environment, check=True)
        self.wait(path)

    def answers(self, path: str) -> bool:
        """Tell whether the server answers at a path."""
        try:
            urllib.request.urlopen(f"{self.url}/{path}", timeout=5).close()
        except OSError:
            return False
        return True

    def wait(self, path: str) -> None:
        """Wait until the server answers at a path."""
        deadline = time.monotonic() + 60
        while not self.answers(path):
            assert self.server.poll() is None, "a step failed"
            assert time.monotonic() < deadline, "the server did not answer"
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server and its reloader."""
        os.killpg(self.server.pid, signal.SIGTERM)
        self.server.wait(30)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader who has followed the tutorial up to the start of the server."""
    before, _, _ = TUTORIAL.partition("## 3. ")
    whole = steps(before)
    assert "pip install /path/to/twotoken" in whole[0].code
    whole[0] = whole[0]._replace(code="mkdir tutorial && cd tutorial\n")  # the tests' own environment has the packages
    reader = Reader(tmp_path)
    try:
        reader.start(whole)
        yield reader
    finally:
        reader.stop()


@pytest.fixture
def page(reader: Reader, context: BrowserContext) -> Page:
    """The tutorial's page, with a clock that the test sets."""
    page = context.new_page()
    page.clock.install()
    page.goto(reader.url)
    return page


def run(command: str) -> str:
    """Run the thief's command, and return the answer."""
    assert command.startswith("curl ")
    return subprocess.run([BASH, "-c", f"{command} -s"], check=True, capture_output=True, text=True).stdout


def test_the_tutorial(reader: Reader, page: Page) -> None:
    """A reader logs in, watches the refreshes, steals a token, and sees the family revoked in page and admin."""
    page.fill("[name=password]", PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#name")).to_have_text("ann")
    expect(page.locator("#number")).to_have_text("1")
    page.clock.fast_forward(REFRESHES)
    expect(page.locator("#number")).to_have_text("2")
    page.reload()
    expect(page.locator("#name")).to_have_text("ann")

    reader.go_on(steps(TUTORIAL.partition("## 4. ")[2]), "api/auth/steal/")
    steal = page.get_by_role("button", name="Steal the token")
    page.reload()
    expect(page.locator("#name")).to_have_text("ann")
    steal.click()
    expect(page.locator("#message")).to_contain_text("curl")
    command = page.locator("#message").inner_text()
    assert "refresh_token=" in command
    assert re.fullmatch(r'{"access":"eyJ[^"]+","expires_in":30}', run(command))
    page.clock.fast_forward(REFRESHES)
    expect(page.locator("#message")).to_have_text("The session is over. The reason: reused.")
    assert "> The session is over. The reason: reused.\n" in TUTORIAL
    refusal = run(command)
    assert '"reason":"revoked"' in refusal
    assert f"\n{refusal}\n" in TUTORIAL

    page.goto(f"{reader.url}/admin/twotoken/refreshtoken/")
    page.fill("#id_username", "ann")
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    page.locator("#result_list tbody tr").filter(has_text="refresh token reused").locator("th a").click()
    timeline = page.locator("#timeline tbody tr")
    expect(timeline).to_have_count(5)
    told = ("Started", "Last of 2 rotations", "Device changed", "Refresh token reused", "Revoked")
    for line, text in zip(timeline.all(), told, strict=True):
        expect(line).to_contain_text(text)
    expect(timeline.nth(2)).to_contain_text("to curl")
