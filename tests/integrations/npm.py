"""Installs the packages of a ``package.json`` by npm, once on each machine."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

NODE = Path(__file__).parent / "node"
VITE = Path(__file__).parent / "vite"


def installed(project: Path = NODE) -> Path:
    """Return a folder with the packages of the project's ``package.json`` in ``node_modules``.

    The next test run uses the folder again. The folder's name has a hash of ``package.json``, so a changed file gets a
    new folder.
    """
    wanted = project / "package.json"
    folder = Path(tempfile.gettempdir(), f"twotoken-node-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]}")
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            new = Path(name, "new")
            new.mkdir()
            shutil.copy(wanted, new)
            command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
            subprocess.run(command, cwd=new, check=True, capture_output=True)
            if not folder.exists():  # another process may have been faster
                new.rename(folder)
    return folder
