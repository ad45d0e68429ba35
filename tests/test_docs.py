"""The README says what the code does."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.test import override_settings
from django.urls import include, path, reverse
from rest_framework.test import APIClient

from tests.factories import PASSWORD, UserFactory
from twotoken import checks, exceptions
from twotoken.conf import SETTING_NAMES
from twotoken.models import RefreshToken
from twotoken.tokens import RESERVED_CLAIMS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
BLOCKS = re.findall(r"^ *```python\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    """Return a section of the README."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> set[str]:
    """Return the code in the first column of the tables of a text."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def test_settings() -> None:
    """Every setting is described, and nothing else."""
    assert first_cells(section("Settings")) == SETTING_NAMES


def test_rules_for_settings() -> None:
    """Every setting but the secrets has a rule that its default fits."""
    assert set(checks.RULES) == SETTING_NAMES - {"ACCESS_SECRET", "REFRESH_SECRET"}


def test_error_codes() -> None:
    """Every code and reason is described, and nothing else."""
    classes = [value for value in vars(exceptions).values() if isinstance(value, type)]
    codes = {value.code for value in classes if hasattr(value, "code")}
    reasons = {value.reason for value in classes if hasattr(value, "reason")}
    assert first_cells(section("Error codes")) == codes | reasons


def test_reserved_claims() -> None:
    """The names that claims of one's own can't have are told."""
    text = section("Authentication classes")
    assert {name for name in RESERVED_CLAIMS if f"`{name}`" not in text} == set()


def anchors(page: Path) -> set[str]:
    """Return what a page's headings are called in links, as GitHub makes it of them."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    """Each link within the project leads to a file, and to a heading in it."""
    for file, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#?)([^)]*)\)", page.read_text()):
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not anchor or anchor in anchors(target), anchor


def test_check_ids() -> None:
    """Every check id is described, and nothing else."""
    used = set(re.findall(r'id="(twotoken\.[EW]\d{3})"', inspect.getsource(checks)))
    assert first_cells(section("System checks")) == used


def test_the_two_commands_come_first() -> None:
    """Each stands whole on one line, before anything else names what it runs."""
    lines = [line for line in README.splitlines() if re.search(r"manage\.py demo|pytest|tox", line)]
    assert [line.partition(" && ")[0] for line in lines[:2]] == ["python3 -m venv .venv"] * 2
    assert lines[0].endswith("manage.py demo")
    assert "pytest" in lines[1]


@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_compile(block: str) -> None:
    """What is shown is Python."""
    compile(textwrap.dedent(block), "README.md", "exec")


@pytest.mark.django_db(transaction=True)
def test_the_script_runs(live_server: Any, tmp_path: Path) -> None:
    """The script logs in, then refreshes by key, and gets over a lost answer."""
    user: Any = UserFactory()
    (script,) = (block for block in BLOCKS if "urlopen" in block)
    script = script.replace('"username"', repr(user.USERNAME_FIELD))
    environment = {
        **os.environ,
        "API": f"{live_server.url}/api/app/auth/",
        "API_USER": user.get_username(),
        "API_PASSWORD": PASSWORD,
    }

    def run() -> None:
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, capture_output=True)

    store, key = tmp_path / "refresh.token", tmp_path / "refresh.key"
    run()
    first = store.read_text()
    assert store.stat().st_mode & 0o777 == 0o600
    key.write_text("key-of-an-answer-that-got-lost")
    run()
    second = store.read_text()
    assert not key.exists()
    store.write_text(first)
    key.write_text("key-of-an-answer-that-got-lost")
    run()
    assert store.read_text() == second
    assert RefreshToken.objects.get().generation == 1


@pytest.mark.django_db
def test_a_login_of_one_s_own(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The subclass that is shown has the delivery of each mount of its URLconf, and the cookie the mount's path."""
    (views,) = (block for block in BLOCKS if "RememberMeLoginView" in block)
    (mounts,) = (block for block in BLOCKS if 'include("accounts.auth_urls")' in block)
    for name, code in (("accounts.auth_urls", views), ("shown_urls", mounts)):
        module: Any = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(code, vars(module))  # noqa: S102 - our own README
    module.urlpatterns.append(path("api/more/auth/", include("accounts.auth_urls", namespace="more")))
    body = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD, "remember_me": True}
    with override_settings(ROOT_URLCONF="shown_urls"):
        for mount in ("/api/auth/", "/api/more/auth/"):
            response = APIClient().post(f"{mount}login/", body, format="json")
            assert (response.status_code, set(response.json())) == (200, {"access", "expires_in"})
            assert response.cookies["refresh_token"]["path"] == mount
        response = APIClient().post("/api/app/auth/login/", body, format="json")
        assert "refresh" in response.json()
        assert not response.cookies
        assert reverse("app:refresh") == "/api/app/auth/refresh/"
        assert not list(checks.check_mounts(None))
    lives = {family.expires_at - family.created_at for family in RefreshToken.objects.all() if family.expires_at}
    assert (RefreshToken.objects.count(), lives) == (3, {timedelta(days=90)})


def test_the_client() -> None:
    """Each option, member, event and reason that the client's types declare is described, and nothing else."""
    types = (ROOT / "twotoken/static/twotoken/client.d.ts").read_text()
    interfaces = dict(re.findall(r"export (?:interface|declare class) (\w+)[^{]*\{\n(.*?)\n\}", types, re.DOTALL))
    declared = {name: set(re.findall(r"^  (?:readonly )?(\w+)\??[:(]", interfaces[name], re.M)) for name in interfaces}
    text = section("In a browser")
    cells = {cell.partition("(")[0] for cell in first_cells(text)} | {"logoutAll"}
    listeners = {"addEventListener", "removeEventListener"}
    assert cells == declared["ClientOptions"] | declared["ClientEventMap"] | declared["Client"] - listeners
    reasons = set(re.findall(r'"(\w+)"', types.partition("type EndReason")[2].partition(";")[0]))
    assert reasons - first_cells(section("Error codes")) == {"logout", "replaced"}
    assert {name for name in declared["AuthError"] | {"logout", "replaced"} if f"`{name}`" not in text} == set()
