"""README and docs say what the code does."""

from __future__ import annotations

import ast
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import jwt
import pytest
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.models import Group
from django.core.checks.registry import registry
from django.dispatch import Signal
from django.test import override_settings
from django.urls import include, path, reverse
from rest_framework.test import APIClient, APIRequestFactory

from docs import generate
from tests.conformance.helpers import claims_of
from tests.factories import PASSWORD, UserFactory
from tests.jar import COOKIE
from tests.overrides import with_settings
from twotoken import checks, exceptions, families, signals, urls
from twotoken.clients import Client
from twotoken.conf import SETTING_NAMES, conf
from twotoken.models import RefreshToken, RevokedReason
from twotoken.testing import TokenClient
from twotoken.tokens import RESERVED_CLAIMS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
# These pages are outside the folder of the docs, and are part of the built site.
ABOVE = [ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")]
PAGES = sorted([*ABOVE, *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)])
PICTURES = sorted(page for page in DOCS.rglob("*.svg") if page.name != "benchmarks.svg")
FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
PYTHON_BLOCK = re.compile(r"^ *```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    """Return a page's name, as the id of a test."""
    return str(page.relative_to(ROOT))


def text_of(name: str) -> str:
    """Return the text of a page of the docs."""
    return (DOCS / f"{name}.md").read_text()


def blocks(text: str) -> list[str]:
    """Return the Python blocks of a page."""
    return [textwrap.dedent(block) for block in PYTHON_BLOCK.findall(text)]


def section(text: str, title: str) -> str:
    """Return a section of a page."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def imports(text: str) -> list[ast.ImportFrom]:
    """Return the imports from twotoken on a page, except those from contrib, which need other packages."""
    nodes = [node for block in blocks(text) for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    return [node for node in nodes if re.match(r"twotoken(?!\.contrib)", node.module or "")]


def first_cells(text: str) -> set[str]:
    """Return the code in the first column of the tables of a text."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def first_words(text: str) -> set[str]:
    """Return the code at the start of each list item."""
    return set(re.findall(r"^- `([^`]+)`[,:]", text, re.MULTILINE))


def code_headings(text: str) -> list[str]:
    """Return the headings that consist of code."""
    return re.findall(r"^#+ `([^`]+)`$", text, re.MULTILINE)


# Parts that are generated from the code


@pytest.mark.parametrize("page", [page for page in PAGES if imports(page.read_text())], ids=name_of)
def test_imports_of_a_page(page: Path) -> None:
    """Every name that a page imports from twotoken exists."""
    for node in imports(page.read_text()):
        module = import_module(str(node.module))
        assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_reference_is_as_the_code_has_it(page: Path) -> None:
    """The generated parts of each page are up to date. ``python docs/generate.py`` writes them."""
    assert generate.filled(page.read_text()) == page.read_text()


def test_each_part_of_the_reference_has_its_place() -> None:
    """Each generated part is on exactly one page, once."""
    whole = "".join(page.read_text() for page in PAGES)
    assert [whole.count(f"<!-- {name}: written by python docs/generate.py -->") for name in generate.PARTS] == [1] * 6
    assert [whole.count(f"<!-- /{name} -->") for name in generate.PARTS] == [1] * 6


def test_what_is_stale_is_seen() -> None:
    """``generate.filled`` replaces a generated part that is out of date, and keeps the text around it."""
    page = text_of("reference/checks")
    assert generate.filled(page.replace("Hint: `Use 'pk'.`", "Hint: none")) == page


def test_settings() -> None:
    """The reference describes exactly the settings that exist."""
    assert set(code_headings(text_of("reference/settings"))) == SETTING_NAMES


def test_rules_for_settings() -> None:
    """Every setting except the two secrets has a rule in ``checks.RULES``."""
    assert set(checks.RULES) == SETTING_NAMES - {"ACCESS_SECRET", "REFRESH_SECRET"}


@pytest.mark.parametrize("key", sorted(checks.RULES))
def test_defaults(key: str) -> None:
    """A setting with its documented default has the same effect as a setting that is left out."""
    shown = generate.default(key).strip("`")
    with override_settings(TWOTOKEN={}):
        usual = getattr(conf, key.lower())
    with override_settings(TWOTOKEN={key: eval(shown, {"timedelta": timedelta})}):  # noqa: S307 - our own text
        assert getattr(conf, key.lower()) == usual


def test_which_check_looks_at_a_setting() -> None:
    """``generate.coverage`` lists a check under each setting that the check's code reads or its message names."""
    covered = generate.coverage()
    assert covered["COOKIE_SAMESITE"] == ["twotoken.E003", "twotoken.E008"]
    assert covered["ACCESS_SECRET"] == ["twotoken.E004", "twotoken.E005", "twotoken.E006"]
    assert covered["BROWSER_GRACE"] == ["twotoken.E003", "twotoken.W002"]
    assert set(covered) == SETTING_NAMES


def test_error_codes() -> None:
    """The reference describes exactly the codes, reasons and exceptions that exist."""
    classes = [value for value in vars(exceptions).values() if isinstance(value, type)]
    codes = {value.code for value in classes if hasattr(value, "code")}
    reasons = {value.reason for value in classes if hasattr(value, "reason")}
    page = text_of("reference/errors")
    assert first_words(section(page, "Codes")) == codes
    assert first_words(section(page, "Reasons")) == reasons
    described = {value.__name__ for value in classes if "message" in vars(value)}
    assert set(code_headings(page)) == described


def test_check_ids() -> None:
    """The reference describes exactly the check ids in use, each with its rule, and says which need ``--deploy``."""
    sources = "".join(path.read_text() for path in (ROOT / "twotoken").rglob("*.py"))
    used = set(re.findall(r'id="(twotoken\.[EW]\d{3})"', sources))
    page = text_of("reference/checks")
    assert set(code_headings(page)) == used
    assert [name for name in used if not re.search(rf"^## `{name}`\n\n[A-Z][^\n]+\n\n- An? ", page, re.MULTILINE)] == []
    deployed = {name for check in registry.deployment_checks for name in generate.rules(check)}
    shown = re.findall(r"`twotoken\.(\w+)`\n\n[^\n]+\n\n- A warning of `manage\.py check --deploy`", page)
    assert set(shown) == {name for name in deployed if f"twotoken.{name}" in used}


def test_an_id_that_nobody_describes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generating the docs fails if a check id in the code belongs to no registered check."""
    monkeypatch.setattr(registry, "deployment_checks", set())
    with pytest.raises(LookupError, match=r"W004, twotoken\.W005"):
        generate.messages()


def test_signals() -> None:
    """The reference describes exactly the signals that exist, and every reason that twotoken gives for a revocation."""
    page = text_of("reference/signals")
    assert set(code_headings(page)) == {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert [reason for reason in RevokedReason.values if f"`{reason}`" not in section(page, "Reasons")] == []


def test_the_list_for_language_models() -> None:
    """llms.txt is up to date and lists every page. ``python docs/generate.py`` writes it."""
    written = (DOCS / "llms.txt").read_text()
    assert written == generate.llms("md")
    listed = set(re.findall(r"\]\(([^)]+)\): [A-Z`a-z]", written))
    assert listed == {str(page.relative_to(DOCS)) for page in PAGES if page.parent.parent == DOCS} | {"tutorial.md"}


def test_screenshots() -> None:
    """Each screenshot has a comment that marks its place, on exactly one page."""
    taken = re.findall(r'folder / "([\w-]+)\.png"', (DOCS / "screenshots.py").read_text())
    shown = [name for page in PAGES for name in re.findall(r"<!-- screenshot: ([\w-]+), .+? -->", page.read_text())]
    assert sorted(shown) == sorted(taken) != []


# Parts that are written by hand


def test_reserved_claims() -> None:
    """The page about authentication names every reserved claim."""
    text = text_of("reference/authentication")
    assert {name for name in RESERVED_CLAIMS if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("text", [README, text_of("reference/endpoints")], ids=["README", "endpoints"])
def test_endpoints(text: str) -> None:
    """The table of endpoints lists exactly the routes of ``twotoken.urls``."""
    routes = {str(pattern.pattern).replace("<str:family_id>", "<id>") for pattern in urls.urlpatterns}
    assert set(re.findall(r"^\| `(?:GET|POST|DELETE) ([^`]+)`", text, re.MULTILINE)) == routes


def test_the_installation_is_the_same() -> None:
    """The README's commands are also in the installation guide, word for word."""
    shown = FENCE.findall(section(README, "Install"))
    assert len(shown) == 3
    assert [block for block in shown if block not in text_of("how-to/install")] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)", FENCE.sub("", page.read_text()), re.MULTILINE):
        name = generate.slug(heading)
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return set(found)


def test_the_map_of_the_code() -> None:
    """The modules and functions in CONTRIBUTING's map exist. Each row is about one thing, so it has no semicolon."""
    _, _, table = (ROOT / "CONTRIBUTING.md").read_text().partition("| to change | look at |\n|---|---|\n")
    for row in table.split("\n\n")[0].splitlines():
        assert ";" not in row
        _, _, modules, _ = row.split("|")
        names = re.findall(r"`(.*?)`", modules)
        assert names
        for name in names:
            pkgutil.resolve_name(f"twotoken.{name}")


def test_the_map_of_everything_else() -> None:
    """The files and folders in CONTRIBUTING's second map exist."""
    _, _, table = (ROOT / "CONTRIBUTING.md").read_text().partition("Outside of `twotoken`:\n\n")
    rows = [row.split("|") for row in table.split("\n\n")[0].splitlines()[2:]]
    names = [re.findall(r"`(.*?)`", files) for _, _, files, _ in rows]
    assert all(names)
    assert all((ROOT / name).exists() for row in names for name in row)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page: Path) -> None:
    """Each link leads to a file and a heading in the project. A link in the docs leads to a page of the site."""
    for file, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#?)([^)]*)\)", FENCE.sub("", page.read_text())):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), file
        assert target.is_relative_to(DOCS) or target in ABOVE or page == ROOT / "README.md", file
        assert not anchor or anchor in anchors(target), anchor


@pytest.mark.parametrize("picture", PICTURES, ids=name_of)
def test_pictures(picture: Path) -> None:
    """Each SVG has a title and a description, colours for light and dark mode, and no script."""
    root = ET.parse(picture).getroot()  # noqa: S314 - our own
    assert root.attrib["role"] == "img"
    described = {element.attrib.get("id"): element.text for element in root}
    assert all(described[name] for name in root.attrib["aria-labelledby"].split())
    source = picture.read_text()
    assert "prefers-color-scheme: dark" in source
    assert not re.search(r"<script|href=|url\((?!#)", source)


def test_the_two_commands_come_first() -> None:
    """The README's first two commands start the demo and run the tests, each in one line."""
    lines = [line for line in README.splitlines() if re.search(r"manage\.py demo|pytest|tox", line)]
    assert [line.partition(" && ")[0] for line in lines[:2]] == ["python3 -m venv .venv"] * 2
    assert lines[0].endswith("manage.py demo")
    assert "pytest" in lines[1]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_compile(page: Path) -> None:
    """Each Python block of each page compiles."""
    for block in blocks(page.read_text()):
        compile(block, str(page), "exec")


def of_ann(code: str, server: str, user: Any) -> str:
    """Return a script of the docs, with the user, the server and the file replaced by those of a test."""
    name = f'credentials={{"{user.USERNAME_FIELD}": "{user.get_username()}", "password": "{PASSWORD}"}}'
    code = code.replace("https://api.example.com", server).replace("session.json", f"{user.pk}.json")
    return re.sub(r'username="ann", password="correct horse"|username=os.+\n *password=os.+\]', name, code)


SCRIPTS = [block for block in blocks(text_of("how-to/apps")) if "TokenAuth(" in block]


@pytest.mark.parametrize("number", range(len(SCRIPTS)))
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_authorities")
@pytest.mark.slow
def test_a_script_runs(live_server: Any, tmp_path: Path, number: int) -> None:
    """Each script of the docs logs in and gets its answer. With a session file, a second run continues the session."""
    script = of_ann(SCRIPTS[number], live_server.url, UserFactory())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert RefreshToken.objects.count() == (1 if "FileStore" in script else 2)


@pytest.mark.parametrize(
    ("path", "password", "said"),
    [
        ("/api/app/auth/", "wrong", "LoginFailed: No active account found with the given credentials."),
        ("/api/wrong/auth/", PASSWORD, "UnexpectedAnswer: The answer was 404"),
        ("/api/me/", PASSWORD, "404: "),
    ],
)
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_authorities")
@pytest.mark.slow
def test_a_script_that_fails(live_server: Any, tmp_path: Path, path: str, password: str, said: str) -> None:
    """If the server refuses the login or the request, the docs' script prints the answer and exits with 1."""
    (script,) = (script for script in SCRIPTS if "sys.exit" in script)
    script = of_ann(script, live_server.url, UserFactory()).replace(PASSWORD, password)
    script = script.replace("/api/me/", "/api/none/") if path == "/api/me/" else script.replace("/api/app/auth/", path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.startswith(said)) == (1, True), done.stderr


def test_the_shortest_script() -> None:
    """The README's script is the beginning of a script in the docs, which another test runs."""
    (shown,) = (block for block in blocks(README) if "TokenAuth(" in block)
    assert [script for script in SCRIPTS if script.startswith(shown)]


@pytest.mark.skipif(get_user_model().USERNAME_FIELD != "username", reason="the page shows Django's own user")
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_authorities")
@pytest.mark.slow
def test_a_test_of_a_client(live_server: Any) -> None:
    """The example test on the page about testing passes."""
    (code,) = (block for block in blocks(text_of("how-to/testing")) if "LossyProxy" in block)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own docs
    names["test_my_client"](live_server, get_user_model())


@pytest.mark.django_db
def test_a_login_of_one_s_own(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login view in the docs uses the delivery and the cookie path of its mount. Its families live for 90 days."""
    shown = blocks(text_of("how-to/custom-login"))
    (views,) = (block for block in shown if "RememberMeLoginView" in block)
    (mounts,) = (block for block in shown if 'include("accounts.auth_urls")' in block)
    for name, code in (("accounts.auth_urls", views), ("shown_urls", mounts)):
        module: Any = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(code, vars(module))  # noqa: S102 - our own docs
    module.urlpatterns.append(path("api/more/auth/", include("accounts.auth_urls", namespace="more")))
    body = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD, "remember_me": True}
    with override_settings(ROOT_URLCONF="shown_urls"):
        for mount in ("/api/auth/", "/api/more/auth/"):
            response = APIClient().post(f"{mount}login/", body, format="json")
            assert (response.status_code, set(response.json())) == (200, {"access", "expires_in"})
            assert response.cookies[COOKIE]["path"] == mount
        response = APIClient().post("/api/app/auth/login/", body, format="json")
        assert "refresh" in response.json()
        assert not response.cookies
        assert reverse("app:refresh") == "/api/app/auth/refresh/"
        assert not list(checks.check_mounts(None))
    lives = {family.expires_at - family.created_at for family in RefreshToken.objects.all() if family.expires_at}
    assert (RefreshToken.objects.count(), lives) == (3, {timedelta(days=90)})


@pytest.mark.django_db
def test_a_login_by_address(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The docs' EmailBackend finds a user by name or by e-mail address, ignores case, and refuses a shared address."""
    (code,) = (block for block in blocks(text_of("how-to/accounts")) if "class EmailBackend" in block)
    shown: Any = ModuleType("accounts_backends")
    monkeypatch.setitem(sys.modules, shown.__name__, shown)
    exec(code, vars(shown))  # noqa: S102 - our own docs
    other: Any = UserFactory()

    def status(name: str, password: str = PASSWORD) -> int:
        body = {user.USERNAME_FIELD: name, "password": password}
        return int(APIClient().post("/api/auth/login/", body, format="json").status_code)

    with override_settings(AUTHENTICATION_BACKENDS=["accounts_backends.EmailBackend"]):
        for name in (user.email.upper(), user.email, user.get_username()):
            assert (status(name), status(name, "wrong")) == (200, 401)
        assert status("nobody@example.com") == 401
        type(other)._default_manager.filter(pk=other.pk).update(email=user.email.title())
        assert status(user.email.swapcase()) == 401
        assert authenticate(None) is None
    assert set(RefreshToken.objects.values_list("user", flat=True)) == {user.pk}


@pytest.mark.skipif(get_user_model().USERNAME_FIELD != "username", reason="the page shows Django's own user")
@pytest.mark.django_db
def test_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who registers by the docs' view can log in. A bad password and a missing address are refused."""
    (code,) = (block for block in blocks(text_of("how-to/accounts")) if "RegisterView" in block)
    names: dict[str, Any] = {"__name__": "shown"}
    exec(code, names)  # noqa: S102 - our own docs
    body = {"username": "ann", "email": "ann@example.com", "password": PASSWORD}
    register = names["RegisterView"].as_view()
    validators = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]
    with override_settings(AUTH_PASSWORD_VALIDATORS=validators):
        for field in ("email", "password"):
            refused = register(APIRequestFactory().post("/", {**body, field: ""}, format="json"))
            assert (refused.status_code, set(refused.data)) == (400, {field})
        assert register(APIRequestFactory().post("/", {**body, "password": "short"}, format="json")).status_code == 400
        made = register(APIRequestFactory().post("/", body, format="json"))
    assert (made.status_code, made.data) == (201, {"username": "ann", "email": "ann@example.com"})
    login = APIClient().post("/api/auth/login/", {"username": "ann", "password": PASSWORD}, format="json")
    assert login.status_code == 200


@pytest.mark.django_db
def test_claims_that_depend_on_the_login(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the docs' login view, each access token has the login's context. A tenant of somebody else is refused."""
    (code,) = (block for block in blocks(text_of("how-to/custom-login")) if "DeviceLoginView" in block)
    shown: Any = ModuleType("accounts.logins")
    monkeypatch.setitem(sys.modules, "accounts.logins", shown)
    exec(code, vars(shown))  # noqa: S102 - our own docs
    settings = next(block for block in blocks(text_of("how-to/custom-login")) if "ACCESS_CLAIMS" in block)
    values: dict[str, Any] = {}
    exec(settings, values)  # noqa: S102
    user.groups.add(Group.objects.create(name="acme"))
    login = shown.DeviceLoginView.as_view(delivery="body")
    body = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD, "device": "Ann's phone"}

    def post(tenant: str) -> Any:
        return login(APIRequestFactory().post("/", {**body, "tenant": tenant}, format="json")).render()

    with with_settings(**values["TWOTOKEN"]):
        answer = post("acme")
        again = families.rotate(families.verify(answer.data["refresh"]), Client())
        for access in (answer.data["access"], again.access):
            claims = jwt.decode(access, options={"verify_signature": False})
            assert (claims["tenant"], claims["device"], claims["amr"]) == ("acme", "Ann's phone", ["pwd"])
        refused = post("other")
    assert (refused.status_code, set(refused.data)) == (400, {"tenant"})


@pytest.mark.django_db
def test_views_that_ask_for_a_step_up(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The docs' views refuse an old login. They accept a step-up by a PIN or by another proof of identity."""
    monkeypatch.setitem(sys.modules, "shown_views", ModuleType("shown_views"))
    names: dict[str, Any] = vars(sys.modules["shown_views"])
    for block in blocks(text_of("how-to/step-up")):
        exec(block, names)  # noqa: S102 - our own docs
    assert set(names["TWOTOKEN"]) < SETTING_NAMES
    views = {
        "email/": names["ChangeEmailView"].as_view(),
        "pay/": names["pay"],
        "finish/": names["FinishView"].as_view(),
    }
    routes = (
        *(path(name, view) for name, view in views.items()),
        path("auth/", include((names["urlpatterns"], "twotoken"))),
    )
    client = TokenClient(user, context={"auth_time": 0})
    with override_settings(ROOT_URLCONF=routes):
        for name, max_age in (("/email/", 300), ("/pay/", 60)):
            assert client.post(name, {"email": "new@example.com"}).json()["max_age"] == max_age
        wrong = client.post("/auth/reauthenticate/", {"pin": "0815"}, format="json")
        assert wrong.json()["code"] == "no_active_account"
        access = client.post("/auth/reauthenticate/", {"pin": "4711"}, format="json").json()["access"]
        for token in (access, client.post("/finish/").json()["access"]):
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
            assert client.post("/email/", {"email": "new@example.com"}).status_code == 200
            assert client.post("/pay/").json() == {"paid": True}
    login = names["OurLoginView"]().get_context(user, {})
    assert claims_of(families.start(user, context=login).access)["amr"] == ["pwd"]


def test_the_client() -> None:
    """The docs describe exactly the options, members, events and reasons in the client's types."""
    types = (ROOT / "twotoken/static/twotoken/client.d.ts").read_text()
    interfaces = dict(re.findall(r"export (?:interface|declare class) (\w+)[^{]*\{\n(.*?)\n\}", types, re.DOTALL))
    declared = {name: set(re.findall(r"^  (?:readonly )?(\w+)\??[:(]", interfaces[name], re.M)) for name in interfaces}
    text = text_of("how-to/browser")
    cells = {cell.partition("(")[0] for cell in first_cells(text)} | {"logoutAll"}
    listeners = {"addEventListener", "removeEventListener"}
    assert cells == declared["ClientOptions"] | declared["ClientEventMap"] | declared["Client"] - listeners
    reasons = set(re.findall(r'"(\w+)"', types.partition("type EndReason")[2].partition(";")[0]))
    assert reasons - first_words(section(text_of("reference/errors"), "Reasons")) == {"logout", "replaced"}
    assert {name for name in declared["AuthError"] | {"logout", "replaced"} if f"`{name}`" not in text} == set()


def test_the_statuses_of_a_session() -> None:
    """The docs describe exactly the statuses that the React hook's types declare."""
    types = (ROOT / "twotoken/static/twotoken/react.d.ts").read_text()
    described = first_words(section(text_of("how-to/browser"), "With Vite and React"))
    assert described == set(re.findall(r'readonly status: "(\w+)"', types)) != set()


def test_each_environment_is_described() -> None:
    """Each environment in the list of tox.ini, except py3*, has a section. Otherwise tox would run the plain tests."""
    tox = (ROOT / "tox.ini").read_text()
    names = re.findall(r"^    (\w[\w-]*)", tox.split("env_list =")[1].split("isolated_build")[0], re.MULTILINE)
    assert len(names) > 10
    for name in names:
        stem = name.removesuffix("-quick").rstrip("-")
        assert name.startswith("py3") or re.search(rf"^\[testenv:{stem}", tox, re.MULTILINE), name


def test_the_code_of_the_example_front_end() -> None:
    """The docs quote four files of the example's front end without changes."""
    source = ROOT / "example_project" / "frontend" / "src"
    browser, recipes = text_of("how-to/browser"), text_of("how-to/frontend-recipes")
    part = browser.split("\n### The example front end\n")[1].split("\n### ")[0]
    quoted = re.findall(r"^```tsx?\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
    names = ["SessionEnded.tsx", "api.ts", "Sessions.tsx"]
    assert quoted == [(source / name).read_text() for name in names]
    client = f"```ts\n{(source / 'client.ts').read_text()}```\n"
    assert client in browser
    assert client in recipes
