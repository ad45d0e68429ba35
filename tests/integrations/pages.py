"""The code of the docs' pages, so that tests run what the pages show."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

PAGES = Path(__file__).parents[2] / "docs" / "integrations"


def block(page: str, containing: str, language: str = "python") -> str:
    """Return the only code block of a page that contains these words."""
    text = (PAGES / f"{page}.md").read_text()
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    (found,) = (textwrap.dedent(block) for block in blocks if containing in block)
    return found


def settings_of(page: str, containing: str, **before: Any) -> dict[str, Any]:
    """Return the settings after a page's code block has run. ``before`` has those that the project has already."""
    names: dict[str, Any] = dict(before)
    exec(block(page, containing), names)  # noqa: S102 - our own docs
    return {name: value for name, value in names.items() if name.isupper()}


def module_of(page: str, containing: str, name: str, **before: Any) -> Any:
    """Return a block as a module with this name, which can be imported from now on. ``before`` is what it builds on."""
    module = sys.modules[name] = ModuleType(name)
    vars(module).update(before)
    exec(compile(block(page, containing), f"{page}.md", "exec"), vars(module))  # noqa: S102 - our own docs
    return module
