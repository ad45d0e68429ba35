"""Reads code blocks of the docs' pages, so that tests can run the code that the pages show."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

PAGES = Path(__file__).parents[2] / "docs" / "integrations"


def block(page: str, containing: str, language: str = "python") -> str:
    """Return the only code block of a page that contains the words ``containing``."""
    text = (PAGES / f"{page}.md").read_text()
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    (found,) = (textwrap.dedent(block) for block in blocks if containing in block)
    return found


def settings_of(page: str, containing: str, **before: Any) -> dict[str, Any]:
    """Run a page's code block, and return the settings. ``before`` has settings that exist before the block runs."""
    names: dict[str, Any] = dict(before)
    exec(block(page, containing), names)  # noqa: S102 - our own docs
    return {name: value for name, value in names.items() if name.isupper()}


def module_of(page: str, containing: str, name: str, **before: Any) -> Any:
    """Run a page's code block as the module ``name``. Return the module. ``before`` has names that the code uses."""
    module = sys.modules[name] = ModuleType(name)
    vars(module).update(before)
    exec(compile(block(page, containing), f"{page}.md", "exec"), vars(module))  # noqa: S102 - our own docs
    return module
