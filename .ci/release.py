"""Builds the files of a release twice, and installs them from a local index. Needs the packages of ``tox -e release``.

The result is in ``dist``: the wheel, the sdist, the software bill of materials (CycloneDX), and the npm package.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
BIN = Path(sys.executable).parent
NEEDED = {
    "twotoken/py.typed",
    "twotoken/migrations/0001_initial.py",
    "twotoken/static/twotoken/admin.css",
    *(f"twotoken/locale/{language}/LC_MESSAGES/django.mo" for language in ("de", "es", "fr")),
    *(f"twotoken/static/twotoken/{name}" for name in ("client.js", "client.d.ts", "react.js", "react.d.ts")),
    *(f"twotoken/static/twotoken/{name}" for name in ("package.json", "LICENSE")),
    "twotoken/contrib/notices/templates/twotoken/notices/reuse.txt",
    "twotoken/templates/admin/twotoken/user_change_form.html",
    "twotoken/templates/admin/twotoken/refreshtoken/change_list.html",
}


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command and return what it prints. If the command fails, print its output and stop."""
    done = subprocess.run(  # noqa: S603 - our own commands
        [str(word) for word in command], cwd=cwd, env={**os.environ, **environment}, text=True, capture_output=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(target: Path) -> dict[str, bytes]:
    """Build wheel, sdist and npm package from the commit that is checked out. Return the files by name."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "twotoken"
        run("git", "clone", "-q", ROOT, clone)
        epoch = run("git", "log", "-1", "--format=%ct", cwd=clone).strip()
        run(sys.executable, "-m", "build", "--outdir", target, cwd=clone, SOURCE_DATE_EPOCH=epoch)
        run("npm", "pack", "--silent", "--pack-destination", target, cwd=clone / "twotoken/static/twotoken")
    return {path.name: path.read_bytes() for path in target.iterdir()}


def check_wheel(path: Path) -> None:
    """Stop if the wheel lacks a file of NEEDED, or has a file that does not belong to the package."""
    names = set(zipfile.ZipFile(path).namelist())
    foreign = {name for name in names if not name.startswith("twotoken")}
    if missing := NEEDED - names or foreign:
        sys.exit(f"{path.name}: {sorted(missing)} is missing or should not be there.")


@contextmanager
def index(folder: Path) -> Iterator[str]:
    """Serve a local package index that accepts uploads, and yield its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [BIN / "pypi-server", "run", "-i", "127.0.0.1", "-p", str(port), "-P", ".", "-a", ".", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # noqa: S603
        address = f"http://127.0.0.1:{port}/"
        try:
            for _ in range(100):
                time.sleep(0.1)
                try:
                    urllib.request.urlopen(address, timeout=5).close()
                except OSError:
                    continue
                break
            yield address
        finally:
            server.terminate()


def install(address: str, folder: Path) -> str:
    """Install the package from an index into a new environment, write the bill of materials, and return the version."""
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    run(python, "-m", "pip", "install", "-q", "--pre", "--extra-index-url", f"{address}simple/", "twotoken")
    run(
        BIN / "cyclonedx-py",
        "environment",
        "--output-reproducible",
        "--of",
        "JSON",
        "-o",
        DIST / "twotoken.cdx.json",
        python,
    )
    return run(python, "-c", "import twotoken; print(twotoken.__version__)", cwd=folder).strip()


def main() -> None:
    """Build twice, compare the builds, check the wheel, upload to a local index, install, and print the result."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    first = build(DIST)
    with tempfile.TemporaryDirectory() as folder:
        time.sleep(2)  # zip files count in steps of two seconds
        second = build(Path(folder))
    if first != second:
        sys.exit(f"Two builds differ: {sorted(name for name in first if first[name] != second.get(name))}")
    (wheel,) = DIST.glob("*.whl")
    packages = [wheel, *DIST.glob("*.tar.gz")]
    check_wheel(wheel)
    run(BIN / "twine", "check", "--strict", *packages)
    with tempfile.TemporaryDirectory() as folder, index(Path(folder)) as address:
        run(BIN / "twine", "upload", "--repository-url", address, "-u", "", "-p", "", *packages)
        version = install(address, Path(folder) / "environment")
    listed = json.loads((DIST / "twotoken.cdx.json").read_text())["components"]
    names = {component["name"].lower() for component in listed}
    if not {"twotoken", "django", "djangorestframework", "pyjwt"} <= names:
        sys.exit(f"The bill of materials lists only {sorted(names)}.")
    print(f"{len(first)} files passed, built twice alike; installed {version} from a local index")


if __name__ == "__main__":
    main()
