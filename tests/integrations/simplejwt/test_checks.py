"""The system checks of the move from simplejwt report each wrong setting and each remaining use of simplejwt."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any, cast

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import override_settings
from django.urls import path
from django.views import View
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.settings import DEFAULTS, REMOVED_SETTINGS

from tests.integrations.simplejwt.conftest import LIFETIME, Move, move_settings
from tests.integrations.simplejwt.key import SECRET_KEY
from tests.integrations.simplejwt.test_tokens import pem
from tests.test_docs import ROOT, first_cells
from tests.urls import me
from twotoken.authentication import StatelessAccessTokenAuthentication
from twotoken.contrib.simplejwt import checks, leftovers
from twotoken.contrib.simplejwt.conf import SETTING_NAMES
from twotoken.contrib.simplejwt.replacements import REPLACEMENTS
from twotoken.testing import time_travel

GOOD = {"SIGNING_KEY": SECRET_KEY, "UNTIL": datetime.now(UTC) + timedelta(days=1)}
LABEL = "twotoken_simplejwt"
CONTRIB = "twotoken.contrib.simplejwt.authentication.AccessTokenAuthentication"
urlpatterns = [
    path("plain/", View.as_view()),
    path("function/", lambda request: request),
    me("old", cast("Any", JWTAuthentication)),
    me("half", StatelessAccessTokenAuthentication),
]


def found(**values: Any) -> list[tuple[str, str, str]]:
    """Return id, message and hint of each message that the checks give with these settings."""
    usual = {
        "TWOTOKEN_SIMPLEJWT": GOOD,
        "ROOT_URLCONF": "tests.integrations.simplejwt.after_urls",
        "REST_FRAMEWORK": {"DEFAULT_AUTHENTICATION_CLASSES": [CONTRIB]},
    }
    with override_settings(**{**usual, **values}):
        messages = [message for check in checks.CHECKS for message in check(None)]
    return [(str(message.id).removeprefix(f"{LABEL}."), message.msg, str(message.hint)) for message in messages]


def ids(**values: Any) -> list[str]:
    """Return the ids of the messages that the checks give with these settings."""
    return [identifier for identifier, _, _ in found(**values)]


def test_nothing() -> None:
    """A valid configuration gives no message, with all settings or only the required ones, with or without URLs."""
    assert found() == []
    assert found(ROOT_URLCONF=None, REST_FRAMEWORK=None) == []
    everything = {
        "ALGORITHM": "HS512",
        "VERIFYING_KEY": "",
        "ISSUER": "issuer",
        "AUDIENCE": ["one", "two"],
        "LEEWAY": timedelta(seconds=1),
        "USER_ID_FIELD": "id",
        "USER_ID_CLAIM": "user_id",
        "TOKEN_TYPE_CLAIM": "token_type",
        "JTI_CLAIM": "jti",
        "CHECK_REVOKE_TOKEN": True,
        "REVOKE_TOKEN_CLAIM": "hash_password",
        "AUTH_HEADER_TYPES": ("Bearer", "JWT"),
        "AUTH_HEADER_NAME": "HTTP_X_TOKEN",
    }
    assert set(everything) | set(GOOD) == SETTING_NAMES == set(checks.RULES)
    assert found(TWOTOKEN_SIMPLEJWT={**GOOD, **everything}) == []


@pytest.mark.parametrize("value", [None, [], "text"])
def test_no_dict(value: object) -> None:
    """If TWOTOKEN_SIMPLEJWT is not a dict, E001 is the only message."""
    assert ids(TWOTOKEN_SIMPLEJWT=value) == ["E001"]


def test_unknown_keys() -> None:
    """E002 suggests a similar key for a misspelt key, and a replacement for a setting of simplejwt."""
    values = {**GOOD, "ISSUER ": "x", "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5), "WHATEVER": 1}
    assert [(identifier, hint) for identifier, _, hint in found(TWOTOKEN_SIMPLEJWT=values)] == [
        ("E002", "Did you mean 'ISSUER'?"),
        ("E002", REPLACEMENTS["ACCESS_TOKEN_LIFETIME"]),
        ("E002", "Delete it. See 'Coming from simplejwt' in the documentation."),
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("UNTIL", None),
        ("UNTIL", "2026-12-01"),
        ("UNTIL", datetime(2026, 12, 1)),
        ("ALGORITHM", None),
        ("SIGNING_KEY", 7),
        ("LEEWAY", -1),
        ("LEEWAY", True),
        ("LEEWAY", timedelta(days=2)),
        ("AUDIENCE", []),
        ("ISSUER", ""),
        ("CHECK_REVOKE_TOKEN", "no"),
        ("AUTH_HEADER_TYPES", ()),
        ("USER_ID_CLAIM", None),
    ],
)
def test_wrong_values(key: str, value: object) -> None:
    """For an invalid value, E003 names the key and says what its value must be."""
    ((identifier, message, hint),) = found(TWOTOKEN_SIMPLEJWT={**GOOD, key: value})
    assert (identifier, f"[{key!r}]" in message, checks.RULES[key][0] in hint) == ("E003", True, True)


def test_until_is_required() -> None:
    """E003 reports a missing UNTIL."""
    assert ids(TWOTOKEN_SIMPLEJWT={"SIGNING_KEY": SECRET_KEY}) == ["E003"]


@pytest.mark.parametrize(
    "values",
    [
        {"SIGNING_KEY": ""},
        {"ALGORITHM": "none", "VERIFYING_KEY": "key"},
        {"ALGORITHM": "HS257"},
        {"ALGORITHM": "RS256"},
        {"ALGORITHM": "RS256", "VERIFYING_KEY": "no key"},
        {"ALGORITHM": "RS256", "VERIFYING_KEY": pem("RS256")[0]},
        {"SIGNING_KEY": "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"},
    ],
)
def test_no_key(values: dict[str, str]) -> None:
    """E004 reports a key that is missing or does not fit the algorithm, and an unknown algorithm."""
    assert ids(TWOTOKEN_SIMPLEJWT={**GOOD, **values}) == ["E004"]


def test_a_shared_key() -> None:
    """E005 reports that ACCESS_SECRET or REFRESH_SECRET is simplejwt's key."""
    assert ids(TWOTOKEN={**settings.TWOTOKEN, "ACCESS_SECRET": SECRET_KEY}) == ["E005"]
    assert ids(
        TWOTOKEN={**settings.TWOTOKEN, "REFRESH_SECRET": ["a newer secret of these tests, of 32 bytes", SECRET_KEY]}
    ) == ["E005"]
    assert ids(TWOTOKEN={}) == []


def test_retention() -> None:
    """E006 reports an UNTIL that is further away than RETENTION."""
    until = {**GOOD, "UNTIL": datetime.now(UTC) + timedelta(days=60)}
    assert ids(TWOTOKEN_SIMPLEJWT=until) == ["E006"]
    assert ids(TWOTOKEN_SIMPLEJWT=until, TWOTOKEN={**settings.TWOTOKEN, "RETENTION": timedelta(days=61)}) == []


@pytest.mark.parametrize("value", [[], {**settings.TWOTOKEN, "RETENTION": 30}, {**settings.TWOTOKEN, "COOKIE_NAME": 7}])
def test_settings_that_are_wrong(value: Any) -> None:
    """The checks of the move give no message about wrong settings of twotoken, and don't crash on them."""
    assert ids(TWOTOKEN=value) == []


def test_every_old_setting() -> None:
    """The hint of W001 says what replaces each setting of simplejwt, removed settings included."""
    assert {*DEFAULTS, *REMOVED_SETTINGS} <= set(REPLACEMENTS)
    # Not REMOVED_SETTINGS: simplejwt itself raises an error if one of these is set.
    messages = found(SIMPLE_JWT=dict(DEFAULTS))
    assert [(identifier, hint) for identifier, _, hint in messages] == [("W001", REPLACEMENTS[key]) for key in DEFAULTS]


def test_old_settings_that_never_were() -> None:
    """W002 names settings that simplejwt silently ignores."""
    messages = found(SIMPLE_JWT={"SIGNING_KEY ": "x", "ACCES_TOKEN_LIFETIME": 5, "WHATEVER": 1})
    assert [(identifier, hint) for identifier, _, hint in messages] == [
        ("W002", "Did you mean 'SIGNING_KEY'?"),
        ("W002", "Did you mean 'ACCESS_TOKEN_LIFETIME'?"),
        ("W002", "Delete it. See 'Coming from simplejwt' in the documentation."),
    ]
    assert found(SIMPLE_JWT=None) == []


@pytest.mark.parametrize(
    "name",
    [
        "rest_framework_simplejwt.authentication.JWTAuthentication",
        "rest_framework_simplejwt.uninstalled.JWTAuthentication",
        JWTAuthentication,
        type("Own", (JWTAuthentication,), {}),
    ],
)
def test_an_old_authentication_class(name: Any) -> None:
    """W003 reports simplejwt's authentication class or a subclass in DRF's defaults, even if it can't be imported."""
    ((identifier, message, _),) = found(REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [name]})
    assert (identifier, "DEFAULT_AUTHENTICATION_CLASSES" in message) == ("W003", True)


def test_views_with_classes_of_their_own() -> None:
    """W003 names the route of a view with simplejwt's class. W005 names that of a view with twotoken's own class."""
    messages = found(ROOT_URLCONF=__name__)
    assert [(identifier, message.split()[0]) for identifier, message, _ in messages] == [
        ("W003", "/api/old/"),
        ("W005", "/api/half/"),
    ]


def test_our_class_alone() -> None:
    """W005 reports twotoken's own class in DRF's defaults, because it refuses simplejwt's access tokens."""
    name = "twotoken.authentication.AccessTokenAuthentication"
    assert ids(REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [name]}) == ["W005"]
    assert ids(REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["no.such.Class"]}) == []


def test_old_views() -> None:
    """W004 names each URL that still has a view of simplejwt."""
    messages = found(ROOT_URLCONF="tests.integrations.simplejwt.before_urls")
    assert [(identifier, message.split()[0]) for identifier, message, _ in messages] == [
        ("W004", f"/api/token/{name}") for name in ("", "refresh/", "verify/", "blacklist/")
    ]


def test_the_guide() -> None:
    """The guide names every check, every setting of TWOTOKEN_SIMPLEJWT, and the settings of simplejwt.

    The guide leaves out simplejwt's settings for sliding tokens, and for serializers except TOKEN_OBTAIN_SERIALIZER.
    """
    guide = (ROOT / "docs/how-to/from-simplejwt.md").read_text()
    used = set(
        re.findall(r'id="(twotoken_simplejwt\.[EW]\d{3})"', inspect.getsource(checks) + inspect.getsource(leftovers))
    )
    assert first_cells(guide) >= used == set(re.findall(r"twotoken_simplejwt\.[EW]\d{3}", guide))
    told = set(re.findall(r"`([A-Z_]+)`", guide))
    assert {*SETTING_NAMES, *DEFAULTS} - told == {name for name in DEFAULTS if name.startswith("SLIDING_")} | {
        name for name in DEFAULTS if name.endswith("_SERIALIZER") and name != "TOKEN_OBTAIN_SERIALIZER"
    }


def test_the_old_cookie() -> None:
    """E007 reports a refresh cookie with the name of simplejwt's cookie: an answer can't both set and clear it."""
    assert ids(TWOTOKEN={**settings.TWOTOKEN, "COOKIE_NAME": "old"}) == ["E007"]


def test_the_end() -> None:
    """After UNTIL, W006 says that the app can be removed."""
    ended = {**GOOD, "UNTIL": datetime.now(UTC) - timedelta(seconds=1)}
    assert ids(TWOTOKEN_SIMPLEJWT=ended) == ["W006"]


def test_check_runs_them(move: Move) -> None:
    """``manage.py check`` runs the checks of the move."""
    assert "twotoken_simplejwt.E003" not in {message.id for message in run_checks()}
    with override_settings(TWOTOKEN_SIMPLEJWT={}):
        assert "twotoken_simplejwt.E003" in {message.id for message in run_checks()}


def status() -> str:
    """Run ``manage.py simplejwt_status``, and return its output."""
    output = StringIO()
    call_command("simplejwt_status", stdout=output)
    return output.getvalue()


def test_status(move: Move) -> None:
    """``simplejwt_status`` counts usable tokens, or prints UNTIL without a blacklist, or says that the move is over."""
    until = move_settings()["UNTIL"]
    if move.has_blacklist:
        assert re.match(r"Refresh tokens of .* can still be exchanged: \d+\. The last expires at 20", status())
    else:
        assert status().startswith(f"Old tokens are accepted until {until.isoformat()}.")
    with (
        override_settings(TWOTOKEN_SIMPLEJWT={**move_settings(), "UNTIL": until + LIFETIME}),
        time_travel(LIFETIME),
    ):
        assert status().startswith("No refresh token on simplejwt's list") == move.has_blacklist
    ended = datetime.now(UTC) - timedelta(seconds=1)
    with override_settings(TWOTOKEN_SIMPLEJWT={**move_settings(), "UNTIL": ended}):
        assert status() == f"The move is over: old tokens are refused since {ended.isoformat()}.\n"
