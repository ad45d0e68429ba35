"""What ``manage.py check`` says about the settings."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from tests import issuers
from tests.factories import UserFactory
from tests.overrides import with_settings
from twotoken import checks, families

# Django asks a MariaDB for its version when it checks the fields of models.
pytestmark = pytest.mark.django_db(databases=["default", "replica"])

GOOD = settings.TWOTOKEN


def ids(*, deploy: bool = False) -> set[str]:
    """Run the checks, and return the ids of twotoken's messages."""
    found = run_checks(include_deployment_checks=deploy)
    assert all(message.hint for message in found if message.id and message.id.startswith("twotoken"))
    return {message.id.removeprefix("twotoken.") for message in found if message.id and "twotoken" in message.id}


def test_a_good_configuration() -> None:
    """A good configuration has no message."""
    assert ids() == set()


BAD: list[tuple[str, dict[str, Any]]] = [
    ("E002", {"ACESS_LIFETIME": 1}),
    ("E003", {"ACCESS_ALGORITHM": "none"}),
    ("E003", {"ACCESS_ALGORITHM": ["HS256"]}),
    ("E003", {"ACCESS_LIFETIME": 900}),
    ("E003", {"ACCESS_LIFETIME": timedelta()}),
    ("E003", {"REFRESH_LIFETIME": None}),
    ("E003", {"FAMILY_LIFETIME": timedelta(-1)}),
    ("E003", {"DELIVERY": "both"}),
    ("E003", {"COOKIE_NAME": "a b"}),
    ("E003", {"COOKIE_PATH": "api"}),
    ("E003", {"COOKIE_PATH": "/a;Domain=example.com"}),
    ("E003", {"COOKIE_PATH": "/a b/"}),
    ("E003", {"COOKIE_PATH": "/ä/"}),
    ("E003", {"COOKIE_NAME": ""}),
    ("E003", {"COOKIE_SAMESITE": None}),
    ("E003", {"COOKIE_SECURE": "yes"}),
    ("E003", {"BROWSER_GRACE": -1}),
    ("E003", {"BROWSER_GRACE": True}),
    ("E003", {"REUSE_GRACE": "10"}),
    ("E003", {"REVOKE_ON_REUSE": "all"}),
    ("E003", {"MAX_FAMILIES_PER_USER": 0}),
    ("E003", {"ACCESS_CLAIMS": len}),
    ("E003", {"ISSUER": ""}),
    ("E003", {"AUDIENCE": []}),
    ("E003", {"AUDIENCE": [1]}),
    ("E003", {"DPOP": "on"}),
    ("E003", {"DPOP": True}),
    ("E003", {"DPOP_ACCESS": "yes"}),
    ("E003", {"DPOP_NONCE": None}),
    ("E003", {"CLIENT_ID": ""}),
    ("E003", {"JWKS_URL": "http://auth.example.com/jwks.json"}),
    ("E003", {"JWKS_URL": "file:///etc/jwks.json"}),
    ("E003", {"JWKS_URL": "https://user:password@auth.example.com/jwks.json"}),
    ("E003", {"JWKS_URL": "https://auth.example.com/jwks.json#keys"}),
    ("E003", {"JWKS_URL": "https://auth.example.com:port/jwks.json"}),
    ("E003", {"JWKS_URL": "https://auth.example.com:0/jwks.json"}),
    ("E003", {"JWKS_URL": "https:///jwks.json"}),
    ("E003", {"JWKS_URL": "https://auth.example.com/jwks json"}),
    ("E003", {"JWKS_URL": ["https://auth.example.com/jwks.json"]}),
    ("E003", {"LOGIN_THROTTLE": "10 a minute"}),
    ("E003", {"STEP_UP_SESSIONS": 300}),
    ("E003", {"STEP_UP_SESSIONS": timedelta()}),
    ("E003", {"RECORD_CLIENT": 1}),
    ("E003", {"RETENTION": 30}),
    ("E003", {"RETENTION": timedelta.max}),
    ("E003", {"REFRESH_LIFETIME": timedelta(days=365 * 1000)}),
    ("E004", {"ACCESS_SECRET": None}),
    ("E004", {"REFRESH_SECRET": []}),
    ("E005", {"ACCESS_SECRET": "short"}),
    ("E005", {"ACCESS_SECRET": "a" * 32}),
    ("E005", {"REFRESH_SECRET": "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="}),
    ("E005", {"REFRESH_SECRET": "/run/secrets/the_refresh_secret.txt"}),
    ("E005", {"REFRESH_SECRET": [GOOD["REFRESH_SECRET"], ""]}),
    ("E005", {"ACCESS_SECRET": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----"}),
    ("E006", {"ACCESS_SECRET": [GOOD["ACCESS_SECRET"], GOOD["REFRESH_SECRET"]]}),
    ("E006", {"ACCESS_SECRET": settings.SECRET_KEY}),
    ("E003", {"REVOCATION_INTERVAL": 5}),
    ("E003", {"REVOCATION_INTERVAL": timedelta()}),
    ("E007", {"ACCESS_LIFETIME": timedelta(days=8)}),
    ("E016", {"REVOCATION_INTERVAL": timedelta(minutes=15)}),
    ("E008", {"COOKIE_SAMESITE": "None", "COOKIE_SECURE": False}),
    ("E009", {"COOKIE_NAME": "__Host-refresh"}),
    ("E009", {"COOKIE_NAME": "__HOST-refresh", "COOKIE_PATH": "/", "COOKIE_DOMAIN": "example.com"}),
    ("E009", {"COOKIE_NAME": "__Host-refresh", "COOKIE_PATH": "/", "COOKIE_SECURE": False}),
    ("E009", {"COOKIE_NAME": "__Secure-refresh", "COOKIE_SECURE": False}),
    ("E009", {"COOKIE_NAME": "__secure-refresh", "COOKIE_SECURE": False}),
    ("E011", {"ACCESS_CLAIMS": "tests.nothing.there"}),
    ("E011", {"ACCESS_CLAIMS": "tests.factories.PASSWORD"}),
    ("E013", {"ISSUER": "tests.issuers.isuer"}),
    ("E013", {"ISSUER": "tests.issuers.NOT_CALLABLE"}),
    ("E013", {"AUDIENCE": "tests.isuers.audience"}),
    ("E012", {"USER_ID_FIELD": "nothing"}),
    ("E012", {"USER_ID_FIELD": "is_active"}),
    ("W002", {"LEEWAY": 61}),
    ("W013", {"REVOCATION_INTERVAL": timedelta(seconds=61)}),
    ("W016", {"STEP_UP_SESSIONS": timedelta(minutes=16)}),
    ("W003", {"USER_ID_FIELD": get_user_model().USERNAME_FIELD}),
]


@pytest.mark.parametrize(("expected", "values"), BAD)
def test_each_mistake_has_its_id(expected: str, values: dict[str, Any]) -> None:
    """Each mistake in TWOTOKEN causes exactly one message, with the expected id."""
    with override_settings(TWOTOKEN={**GOOD, **values}):
        assert ids() == {expected}


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"ACESS_LIFETIME": 1}, "has no key 'ACESS_LIFETIME'.", "Did you mean 'ACCESS_LIFETIME'? The keys are ACCESS_"),
        ({"delivery": "body"}, "has no key 'delivery'.", "Did you mean 'DELIVERY'? The keys are ACCESS_"),
        ({7: 1}, "has no key 7.", "The keys are ACCESS_"),
        ({"ACCESS_LIFETIME": 900}, "TWOTOKEN['ACCESS_LIFETIME'] is wrong: 900.", "It must be a timedelta from"),
        ({"COOKIE_PATH": "x" * 500}, f"is wrong: '{'x' * 99}.", "It must be a path that starts"),
        (
            {"ACCESS_SECRET": None},
            "TWOTOKEN['ACCESS_SECRET'] is not set. Is the environment file loaded?",
            "Most often this is a new shell that has not loaded the environment file: 'set -a",
        ),
        ({"ACCESS_SECRET": b"x" * 32}, "a string or a list of strings.", "Run 'manage.py generate_token_secrets'"),
    ],
)
def test_what_a_mistake_is_told_by(values: dict[Any, Any], message: str, hint: str) -> None:
    """A message contains the wrong value, shortened, unless the value is secret. Its hint says what to do."""
    with override_settings(TWOTOKEN={**GOOD, **values}):
        (found,) = (each for each in run_checks() if each.id and each.id.startswith("twotoken"))
    assert found.msg.endswith(message)
    assert found.hint is not None
    assert found.hint.startswith(hint)


FINE: list[dict[str, Any]] = [
    {"FAMILY_LIFETIME": None},
    {"USER_ID_FIELD": get_user_model()._meta.pk.name},
    {"BROWSER_GRACE": timedelta(seconds=5), "REUSE_GRACE": 0.5},
    {"COOKIE_NAME": "__Host-refresh", "COOKIE_PATH": "/"},
    {"COOKIE_NAME": None, "COOKIE_PATH": "/", "COOKIE_DOMAIN": "example.com"},
    {"COOKIE_NAME": None, "COOKIE_PATH": "/%C3%A4/", "COOKIE_SECURE": False},
    {"AUDIENCE": ["a", "b"], "ISSUER": "me", "LOGIN_THROTTLE": "5/hour"},
    {"ACCESS_CLAIMS": "tests.claims.role"},
    {"ISSUER": "tests.issuers.issuer", "AUDIENCE": "tests.issuers.audience"},
    {"ISSUER": issuers.issuer, "AUDIENCE": issuers.audience},
    {"STEP_UP_SESSIONS": timedelta(minutes=15), "REVOCATION_INTERVAL": timedelta(seconds=5)},
    {"ISSUER": "auth.example.com", "AUDIENCE": "api.example.com"},
]


@pytest.mark.parametrize("values", FINE)
def test_what_is_allowed(values: dict[str, Any]) -> None:
    """A valid value causes no message."""
    with override_settings(TWOTOKEN={**GOOD, **values}):
        assert ids() == set()


def test_no_dict() -> None:
    """A TWOTOKEN that is not a dict causes one message, and not one for each key."""
    with override_settings(TWOTOKEN=None):
        assert ids(deploy=True) == {"E001"}


def test_deployment() -> None:
    """W004, W005, W006 and W012 are reported only with ``--deploy``, because they would disturb development."""
    values = {**GOOD, "COOKIE_SECURE": False, "COOKIE_DOMAIN": "example.com", "LOGIN_THROTTLE": "1/s"}
    with override_settings(TWOTOKEN=values):
        assert ids() == set()
        assert ids(deploy=True) == {"W004", "W005", "W006", "W012"}
    with with_settings(ISSUER="https://auth.example.com", AUDIENCE="https://api.example.com"):
        assert ids(deploy=True) == set()


def test_generated_secrets_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """The two secrets that ``generate_token_secrets`` prints pass all checks."""
    call_command("generate_token_secrets")
    lines = dict(line.split("=") for line in capsys.readouterr().out.splitlines())
    assert list(lines) == ["JWT_ACCESS_SECRET", "JWT_REFRESH_SECRET"]
    access, refresh = lines.values()
    with override_settings(TWOTOKEN={"ACCESS_SECRET": access, "REFRESH_SECRET": refresh}):
        assert ids() == set()


def test_a_server_of_its_own() -> None:
    """W009 reports nothing outside a Galera cluster, and nothing if the families' database is not checked."""
    assert not [found for found in run_checks(databases=["default", "replica"]) if "twotoken" in (found.id or "")]
    assert not list(checks.check_cluster(None, databases=["replica"]))


@pytest.mark.parametrize(
    ("pooled", "options", "said"),
    [
        (True, {"server_side_binding": True, "prepare_threshold": 5}, True),
        (True, {"server_side_binding": True, "prepare_threshold": 0}, True),
        (True, {"server_side_binding": True}, False),
        (True, {"prepare_threshold": 5}, False),
        (True, {}, False),
        (False, {"server_side_binding": True, "prepare_threshold": 5}, False),
    ],
)
def test_prepared_statements_behind_a_pooler(
    monkeypatch: pytest.MonkeyPatch, pooled: bool, options: dict[str, object], said: bool
) -> None:
    """W018 reports prepared statements if DISABLE_SERVER_SIDE_CURSORS shows that the project uses a pooler."""
    database = connections["default"].settings_dict
    monkeypatch.setitem(database, "DISABLE_SERVER_SIDE_CURSORS", pooled)
    monkeypatch.setitem(database, "OPTIONS", {**database["OPTIONS"], **options})
    found = [message.id for message in checks.check_deployed_statements(None)]
    assert found == ["twotoken.W018"] * said


def claims_problem(name: str, databases: list[str] | None = None) -> str:
    """Return what ``check --database`` reports about a callable for ACCESS_CLAIMS."""
    with with_settings(ACCESS_CLAIMS=f"tests.claims.{name}"):
        found = [each for each in run_checks(databases=databases or ["default"]) if each.id == "twotoken.W015"]
        assert "W015" not in ids()
    return "".join(each.msg for each in found)


def test_claims_are_tried(user: Any) -> None:
    """With ``--database``, W015 calls ACCESS_CLAIMS for the latest login, reports an error, and rolls back writes."""
    before = "TWOTOKEN['ACCESS_CLAIMS'] failed when it was tried. "
    families.start(user)
    families.start(user, context={"tenant": "acme"})
    assert claims_problem("role") == claims_problem("of_a_context") == ""
    assert claims_problem("unfit") == before + "The claim 'family' has a value of type UUID, which JSON can't hold."
    assert claims_problem("reserved") == before + "These claim names are reserved: sub."
    assert claims_problem("no_dict") == before + "ACCESS_CLAIMS must return a dict."
    assert claims_problem("broken") == before + "It raised RuntimeError."
    assert "It raised " in claims_problem("asking_the_database")
    assert claims_problem("writing") == ""
    assert not get_user_model().objects.exclude(pk=user.pk).exists()
    user.refresh_from_db()
    assert getattr(user, "first_name", "") != "changed by the claims"
    assert claims_problem("broken", ["replica"]) == ""


@pytest.mark.slow
def test_proofs_without_cryptography() -> None:
    """Without the package cryptography, E017 is reported if the project sets DPOP to ``optional`` or ``required``."""
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "import django; from django.conf import settings; from tests import settings as ours\n"
        "values = {name: getattr(ours, name) for name in dir(ours) if name.isupper()}\n"
        "settings.configure(**values); django.setup()\n"
        "from twotoken import checks\n"
        "for value in (None, 'off', 'optional', 'required', 'on'):\n"
        "    settings.TWOTOKEN.update({'DPOP': value} if value else {})\n"
        "    print([each.id for each in checks.check_proofs(None)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]", "['twotoken.E017']", "['twotoken.E017']", "[]"]


def test_claims_are_tried_before_the_first_login() -> None:
    """Before the first login, W015 calls ACCESS_CLAIMS with the first user. Without users it calls nothing."""
    assert claims_problem("broken") == ""
    UserFactory()
    assert claims_problem("role") == ""
    assert claims_problem("of_a_context").endswith("It raised KeyError.")


def test_claims_are_not_tried_without_a_callable() -> None:
    """If ACCESS_CLAIMS is not set or not a valid path, W015 calls nothing. E011 and E003 report an invalid value."""
    UserFactory()
    wrong: list[Any] = [{"ACCESS_CLAIMS": len}, []]
    for value in wrong:
        with override_settings(TWOTOKEN=value):
            assert not list(checks.check_claims_of_latest(None, databases=["default"]))
    assert not list(checks.check_claims_of_latest(None, databases=["default"]))
    with with_settings(ACCESS_CLAIMS="tests.nothing.there"):
        assert not list(checks.check_claims_of_latest(None, databases=["default"]))


@pytest.mark.slow
def test_before_the_first_migrate(settings: Any, tmp_path: Any) -> None:
    """Before the first ``migrate`` there are no tables, and the database checks report nothing."""
    code = (
        "import django; from django.conf import settings; from tests import settings as ours\n"
        "values = {name: getattr(ours, name) for name in dir(ours) if name.isupper()}\n"
        "values['DATABASES'] = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n"
        "values['TWOTOKEN']['ACCESS_CLAIMS'] = 'tests.claims.broken'\n"
        "settings.configure(**values); django.setup()\n"
        "from django.core.checks import run_checks\n"
        "print([each.id for each in run_checks(databases=['default']) if 'twotoken' in each.id])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
