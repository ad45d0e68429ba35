"""Holds the types of the package to what pyright makes of it as a consumer: ``python -m tests.typing.public``.

Whatever README and docs import is there, and no symbol of the package has a type that is not known. That some could be
inferred differently is let pass: they are the attributes that Django and DRF have one declare without an annotation.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/neighbours/*.md")]
# They adapt to packages that have no types.
ADAPTERS = "twotoken.contrib."
# Their bases are generic for type checkers alone, and nobody imports them.
OPEN = {"twotoken.authentication.ClaimsUser", "twotoken.admin.changelist.CappedPaginator"}
NAMED = re.compile(r"^ *from (twotoken[\w.]*) import (\([^)]+\)|[^#\n]+)", re.MULTILINE)


def named() -> set[str]:
    """Return what README and docs import."""
    found = [match for page in PAGES for match in NAMED.findall(page.read_text())]
    return {f"{module}.{name}" for module, names in found for name in re.findall(r"\w+", names)}


def symbols() -> dict[str, Any]:
    """Return what pyright says of each symbol of the installed package."""
    command = [sys.executable, "-m", "pyright", "--verifytypes", "twotoken", "--ignoreexternal", "--outputjson"]
    folder = os.path.dirname(sys.executable)
    environment = {**os.environ, "PATH": os.pathsep.join([folder, os.environ["PATH"]])}
    with tempfile.TemporaryDirectory() as elsewhere:
        run = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
    return {symbol["name"]: symbol for symbol in json.loads(run.stdout)["typeCompleteness"]["symbols"]}


def main() -> None:
    """Print what is not known, and fail."""
    found = symbols()
    modules = {name.rpartition(".")[0] for name in found}
    missing = sorted(name for name in named() if name not in found and name not in modules)
    unknown = sorted(
        name
        for name, symbol in found.items()
        if not symbol["isTypeKnown"]
        and not symbol["isTypeAmbiguous"]
        and name not in OPEN
        and not name.startswith(ADAPTERS)
    )
    print(f"{len(found)} symbols; not there: {missing}; of unknown type: {unknown}")
    sys.exit(bool(missing or unknown or not found))


if __name__ == "__main__":
    main()
