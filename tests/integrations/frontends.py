"""Writes a docs page's code blocks as a Vite project. Tests install, type-check, build and serve the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.integrations import npm
from tests.integrations.pages import block
from tests.server import free_port

DJANGO = "http://127.0.0.1:8000"  # the address of Django on the docs' pages


class FrontEnd:
    """A Vite project in a folder. Its files come from the tests and from code blocks of a docs page.

    A key of ``blocks`` selects the code block that contains these words. Its value gives the block's language and the
    name of the file to write.
    """

    def __init__(self, folder: Path, page: str, blocks: Mapping[str, tuple[str, str]], *sources: Path) -> None:
        self.folder = folder
        for source in sources:
            shutil.copytree(source, folder, dirs_exist_ok=True)
        (folder / "package.json").write_text('{"private": true, "type": "module"}')  # the packages are one folder above
        for words, (language, name) in blocks.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block(page, words, language))

    def change(self, name: str, old: str, new: str) -> None:
        """Replace the text ``old`` with ``new`` in a file of the project."""
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    def install(self, *arguments: str) -> None:
        """Install the client package from the path that ``manage.py twotoken_client`` prints."""
        command = [sys.executable, "-m", "django", "twotoken_client", *arguments, "--settings=tests.settings"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        told = subprocess.run(command, cwd=self.folder, env=environment, check=True, capture_output=True, text=True)
        self.run("npm", "install", "--no-audit", "--no-fund", "--offline", told.stdout.strip())

    def run(self, *command: str) -> None:
        """Run a program in the project's folder, and assert that the program succeeds."""
        result = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr

    def build(self) -> None:
        """Check the types with tsc, and build the project with Vite."""
        self.run(self.program("tsc"), "--project", ".")
        self.run(self.program("vite"), "build")

    def program(self, name: str) -> str:
        """Return the path of a program that npm has installed."""
        return str(npm.installed(npm.VITE) / "node_modules" / ".bin" / name)

    @contextmanager
    def served(self, mode: str) -> Iterator[str]:
        """Serve the project with Vite, and yield the address."""
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
    """Wait until a server answers at an address."""
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(address, timeout=30).close()
        except OSError:
            assert time.monotonic() < deadline, f"no answer from {address}"
            time.sleep(0.1)
        else:
            return


@contextmanager
def front_end(page: str, blocks: Mapping[str, tuple[str, str]], *sources: Path) -> Iterator[FrontEnd]:
    """Make a FrontEnd in a folder below the folder of the npm packages, so that Node finds the packages."""
    with tempfile.TemporaryDirectory(dir=npm.installed(npm.VITE)) as folder:
        yield FrontEnd(Path(folder), page, blocks, *sources)
