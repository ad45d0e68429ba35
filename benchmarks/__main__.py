"""``python -m benchmarks``: make an environment with the competitors in it, and measure there.

The environment is the benchmarks' own, under ``.benchmarks/``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.competitor import all_competitors

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".benchmarks"
ENVIRONMENT = FOLDER / "venv"
TOOLS = ("dj-database-url", "gunicorn")
DRIVERS = {"postgresql": "psycopg[binary]", "mariadb": "mysqlclient"}


def install(packages: set[str]) -> Path:
    """Return the path of Python in an environment that has these packages. Install those that are missing."""
    python, note = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "packages.json"
    installed = set(json.loads(note.read_text())) if note.exists() else set()
    if not packages <= installed:
        print("Installing", *sorted(packages - installed), flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
        # All at once, so that pip finds versions on which all agree.
        subprocess.run([python, "-m", "pip", "install", "-q", *sorted(packages | installed)], check=True)
        note.write_text(json.dumps(sorted(packages | installed)))
    return python


if __name__ == "__main__":
    os.chdir(ROOT)
    wanted = {package for competitor in all_competitors().values() for package in competitor.packages}
    wanted |= {package for database, package in DRIVERS.items() if database in sys.argv}
    python = install({*TOOLS, *wanted})
    os.execv(python, [str(python), "-m", "benchmarks.run", *sys.argv[1:]])
