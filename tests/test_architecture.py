"""The layers of the package, checked by its imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import twotoken

PACKAGE = Path(twotoken.__file__).parent
# A module imports only from earlier rows of this list. In a package, it imports only from earlier rows in PACKAGES.
ROWS = [
    ["exceptions", "signals", "conflicts"],
    ["polling", "keys"],
    ["tokens", "dpop"],
    ["conf"],
    ["clients"],
    ["models"],
    ["statements", "responses"],
    ["proofs"],
    ["bearer"],
    ["users", "permissions"],
    ["families"],
    ["cookies", "serializers", "throttling", "checks", "testing", "templatetags"],
    ["admin", "authentication", "remote"],
    ["views"],
    ["management"],
    ["urls"],
    ["contrib"],
    ["apps"],
]
PACKAGES = {
    "admin": [
        ["devices", "searching"],
        ["timeline"],
        ["picture", "incident", "changelist", "figures"],
        ["revoking", "cards"],
        ["overview"],
        ["pages"],
        ["__init__"],
    ],
    "checks": [["rules"], ["settings"], ["caches", "databases", "project", "services", "urls"], ["__init__"]],
    "conf": [["values"], ["settings"], ["__init__"]],
    "dbsc": [["codec"], ["device"], ["views"], ["urls"]],
    "dpop": [["addresses", "bindings", "nonces"], ["codec"], ["__init__"]],
    "doctor": [
        ["findings", "sites"],
        ["browser", "transports", "mounts", "stores"],
        ["project", "front_end"],
        ["visit"],
        ["__init__"],
    ],
    "families": [
        ["rule", "pairs", "events", "schemas"],
        ["queries"],
        ["revocation", "revoked"],
        ["logins", "rotation", "purging", "stepping_up", "binding", "unbinding", "sampling", "receivers"],
        ["__init__"],
    ],
    "keys": [["weak_secrets", "device"], ["key"], ["ring"], ["__init__"]],
    "management": [["__init__", "progress", "arguments"], ["doctor"], ["commands"]],
    "notices": [["hooks", "devices"], ["mail"], ["receivers", "checks"], ["apps"]],
    "remote": [["fetching", "jwks"], ["revocations"], ["authentication"], ["__init__"]],
    "scripts": [
        ["errors", "session", "proving"],
        ["stores"],
        ["steps"],
        ["answers", "options"],
        ["sending"],
        ["keeping"],
        ["protocol"],
        ["base"],
        ["__init__"],
    ],
    "simplejwt": [
        ["tokens", "replacements", "leftovers"],
        ["conf", "blacklist"],
        ["users", "checks"],
        ["authentication", "exchange"],
        ["views", "management"],
        ["urls", "apps"],
    ],
    "testing": [["lossy"], ["__init__"]],
    "tokens": [["claims"], ["identifiers"], ["codec"], ["__init__"]],
    "throttling": [["counters", "usernames"], ["throttles"], ["__init__"]],
    "views": [["parsers", "origins"], ["base"], ["logins", "refreshing", "sessions", "services"], ["__init__"]],
    "spectacular": [
        ["errors", "layers", "mounts"],
        ["parts"],
        ["schemas"],
        ["endpoints", "step_up"],
        ["services", "simplejwt"],
        ["replacements"],
        ["extensions"],
    ],
}
SCRIPTS = {"httpx", "requests"}  # two adapters of contrib.scripts
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if "migrations" not in path.parts]


def row_of(name: str, rows: list[list[str]]) -> int:
    """Return the index of the row that contains a module. ``rows`` is ROWS, or the rows of a package in PACKAGES."""
    return next(number for number, row in enumerate(rows) if name in row)


def imported(tree: ast.AST) -> Iterator[list[str]]:
    """Yield each module of twotoken that the code imports or loads by name, as the parts of its dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):  # the rows are compared only for ``from … import``
            assert not [alias.name for alias in node.names if alias.name.startswith("twotoken")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "twotoken":
            parts = (node.module or "").split(".")[1:]
            # twotoken and the packages in contrib have an empty __init__, so their names are modules.
            has_modules = not parts or (parts[0] == "contrib" and len(parts) == 2)
            yield from [[*parts, alias.name] for alias in node.names] if has_modules else [parts]
        elif isinstance(node, ast.Call) and "import_" in getattr(node.func, "attr", getattr(node.func, "id", "")):
            names = [value.value for value in node.args if isinstance(value, ast.Constant)]
            yield from [str(name).split(".")[1:] for name in names if str(name).startswith("twotoken.")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    """A module imports, or loads by name, only modules of earlier rows (see ROWS). No import is inside a function."""
    own = path.relative_to(PACKAGE).with_suffix("").parts
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert not [inner for inner in ast.walk(node) if isinstance(inner, ast.Import | ast.ImportFrom)]
    for parts in imported(tree):
        if parts[0] != own[0]:
            assert row_of(parts[0], ROWS) < row_of(own[0], ROWS), f"{path.name} imports {'.'.join(parts)}"
            assert parts[0] not in PACKAGES or len(parts) == 1 or parts[0] == "management", "a package has one door"
            continue
        if own[0] == "contrib" and own[1] in SCRIPTS:
            assert parts[:2] == ["contrib", "scripts"], "the adapters of scripts import what they share"
            continue
        if own[0] == "contrib":
            assert parts[:2] == list(own[:2]), "the packages of contrib know nothing of each other"
        level = 1 if own[0] == "contrib" or own[:2] == ("management", "doctor") else 0
        rows = PACKAGES[own[level]]
        assert row_of(parts[level + 1], rows) < row_of(own[level + 1], rows), f"{path.name} imports {'.'.join(parts)}"


def run(code: str) -> None:
    """Run code in a fresh interpreter."""
    subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, check=True)


@pytest.mark.slow
def test_the_codec_knows_no_django() -> None:
    """``twotoken.tokens`` and ``twotoken.dpop`` can be imported without importing Django."""
    run("import sys, twotoken.tokens, twotoken.dpop; assert 'django' not in sys.modules")


@pytest.mark.slow
def test_a_remote_service_needs_no_app() -> None:
    """``twotoken.remote`` works in a project without databases: it imports no model and no DRF view."""
    run(
        "import sys, django; from django.conf import settings;"
        "settings.configure(INSTALLED_APPS=['rest_framework'], DATABASES={},"
        " REST_FRAMEWORK={'UNAUTHENTICATED_USER': None}); django.setup();"
        "import twotoken.remote; from django.apps import apps; assert not apps.all_models['twotoken'];"
        "assert not {'twotoken.models', 'rest_framework.views', 'django.contrib.auth.models'} & set(sys.modules)"
    )


@pytest.mark.slow
def test_a_script_needs_no_django() -> None:
    """``contrib.httpx`` needs only httpx and ``contrib.requests`` only requests. Neither needs the other."""
    needless = "{'django', 'rest_framework', 'jwt', 'cryptography'}"
    for name, other in (("httpx", "requests"), ("requests", "httpx")):
        run(
            f"import sys, twotoken.contrib.{name};"
            f"assert not ({needless} | {{'{other}', 'twotoken.contrib.{other}'}}) & set(sys.modules)"
        )


@pytest.mark.slow
def test_authentication_and_permissions_do_not_reach_views() -> None:
    """``authentication`` and ``permissions`` don't import DRF's views: the views import both as default classes."""
    run(
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup();"
        "import twotoken.authentication, twotoken.permissions; assert 'rest_framework.views' not in sys.modules"
    )
