"""``python -m benchmarks``: make an environment with the peers in it, and measure there.

The environment is the benchmarks' own, under ``.benchmarks/``, and is made anew where the packages have changed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.peer import all_peers

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".benchmarks"
ENVIRONMENT = FOLDER / "venv"
TOOLS = ("dj-database-url", "gunicorn", "mysqlclient", "psycopg[binary]")


def install(packages: list[str]) -> Path:
    """Return the Python of an environment that has these packages."""
    python = ENVIRONMENT / "bin" / "python"
    written, wanted = ENVIRONMENT / "packages.json", json.dumps([sys.version, *packages])
    if not written.exists() or written.read_text() != wanted:
        print("Installing", *packages, flush=True)
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        written.write_text(wanted)
    return python


if __name__ == "__main__":
    os.chdir(ROOT)
    wanted = {package for peer in all_peers().values() for package in peer.packages}
    python = install(sorted({*TOOLS, *wanted}))
    os.execv(python, [python, "-m", "benchmarks.run", *sys.argv[1:]])
