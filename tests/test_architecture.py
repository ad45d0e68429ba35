"""The plan of the house, held to by its imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import twotoken

PACKAGE = Path(twotoken.__file__).parent
ROWS = [
    {"exceptions"},
    {"keys"},
    {"tokens"},
    {"conf", "signals", "conflicts", "rotation"},
    {"clients"},
    {"models"},
    {"statements", "events", "pairs"},
    {"revocation"},
    {"families"},
    {"cookies", "origins", "serializers", "throttling", "checks", "testing", "progress", "templatetags"},
    {"admin", "management"},
    {"authentication"},
    {"generics", "schema"},
    {"views", "openapi"},
    {"operations"},
    {"urls", "apps"},
    {"contrib"},
]
PACKAGES = {"admin": ["devices", "timeline", "changelist", "revoking", "pages"]}  # each in the order of its imports
ROW_OF = {module: number for number, row in enumerate(ROWS) for module in row}
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if "migrations" not in path.parts]


def room(path: Path) -> str:
    """Return the room that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_one_way(path: Path) -> None:
    """A module imports from rows above it only, and never inside a function."""
    package, _, module = path.relative_to(PACKAGE).with_suffix("").as_posix().partition("/")
    order = PACKAGES.get(package, [])
    earlier = order if module == "__init__" else order[: order.index(module)] if order else []
    if path.name == "__init__.py" and not order:
        assert "import" not in path.read_text()
        return
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert not [inner for inner in ast.walk(node) if isinstance(inner, ast.Import | ast.ImportFrom)]
        if isinstance(node, ast.Import):  # would get past the rows
            assert not [alias.name for alias in node.names if alias.name.startswith("twotoken")]
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("twotoken"):
            parts = (node.module or "").split(".")
            for name in [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]:
                at_home = parts[1:2] == ["contrib"] and parts[:3] == ["twotoken", *path.relative_to(PACKAGE).parts[:2]]
                at_home |= parts[1:2] == [package] and parts[2] in earlier
                assert at_home or ROW_OF[name] < ROW_OF[room(path)], f"{path.name} imports {name}"


def run(code: str) -> None:
    """Run code in a fresh interpreter."""
    subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, check=True)


def test_the_codec_knows_no_django() -> None:
    """The codec and the errors can be used, and fuzzed, without it."""
    run("import sys, twotoken.tokens; assert 'django' not in sys.modules")


def test_authentication_does_not_reach_views() -> None:
    """DRF's views read DEFAULT_AUTHENTICATION_CLASSES on import, so it must not be on the way to those classes."""
    run(
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup();"
        "import twotoken.authentication; assert 'rest_framework.views' not in sys.modules"
    )
