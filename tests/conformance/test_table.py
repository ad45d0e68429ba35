"""The table of the conformance cases in README.md."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ROW = re.compile(r"^\| (\d\w*) \|.*\| (`[^|]*`) \|$", re.MULTILINE)
CASE = re.compile(r"Cases? (\d+\w*)(?:(?:,| and) (\d+\w*))?")


def cases_of(test: Any) -> list[str]:
    """Return the case numbers at the start of a test's docstring."""
    match = CASE.match(test.__doc__ or "")
    return [number for number in match.groups() if number] if match else []


def test_the_table_names_the_tests_of_each_case() -> None:
    """Each row of the table names exactly the tests whose docstrings begin with the row's case number."""
    table = {
        (case, name)
        for case, names in ROW.findall((FOLDER / "README.md").read_text())
        for name in names[1:-1].split("`, `")
    }
    here = {f"conformance.{path.stem}" for path in FOLDER.glob("test_*.py")}
    modules = here | {name.rpartition(".")[0] for _, name in table}
    found = {
        (case, f"{module}.{name}")
        for module in modules
        for name, test in vars(import_module(f"tests.{module}")).items()
        if name.startswith("test_")
        for case in cases_of(test)
    }
    assert table == found
