"""The settings: their defaults, and that they are read on use."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils.translation import gettext_lazy

from tests import claims, issuers
from tests.overrides import with_settings
from twotoken.conf import SETTING_NAMES, Delivery, callable_of, conf, delivery
from twotoken.keys import SecretKey

SECRETS: dict[str, Any] = {key: settings.TWOTOKEN[key] for key in ("ACCESS_SECRET", "REFRESH_SECRET")}
TEXT, OTHER_TEXT = "a secret that is set in the tests", "another secret that is set in the tests"
DEFAULTS: dict[str, Any] = {
    "ACCESS_ALGORITHM": "HS256",
    "ACCESS_LIFETIME": timedelta(minutes=15),
    "REFRESH_LIFETIME": timedelta(days=7),
    "FAMILY_LIFETIME": timedelta(days=30),
    "DELIVERY": Delivery.COOKIE,
    "COOKIE_NAME": "__Secure-refresh_token",
    "COOKIE_PATH": None,
    "COOKIE_DOMAIN": None,
    "COOKIE_SAMESITE": "Strict",
    "COOKIE_SECURE": True,
    "BROWSER_GRACE": timedelta(seconds=10),
    "REUSE_GRACE": timedelta(),
    "REVOKE_ON_REUSE": "family",
    "MAX_FAMILIES_PER_USER": None,
    "ACCESS_CLAIMS": None,
    "ISSUER": None,
    "AUDIENCE": (),
    "CLIENT_ID": None,
    "JWKS_URL": None,
    "LEEWAY": timedelta(),
    "REVOCATIONS_URL": None,
    "REVOCATION_INTERVAL": None,
    "DPOP": "optional",
    "DPOP_ACCESS": True,
    "DPOP_NONCE": False,
    "USER_ID_FIELD": "pk",
    "LOGIN_THROTTLE": "10/min",
    "REFRESH_THROTTLE": "60/min",
    "STEP_UP_SESSIONS": None,
    "RECORD_CLIENT": True,
    "RETENTION": timedelta(days=30),
}
OTHERS: list[tuple[str, Any, Any]] = [
    ("ACCESS_SECRET", TEXT, (TEXT,)),
    ("REFRESH_SECRET", [TEXT, OTHER_TEXT], (TEXT, OTHER_TEXT)),
    ("ACCESS_ALGORITHM", "EdDSA", "EdDSA"),
    ("ACCESS_LIFETIME", timedelta(minutes=1), timedelta(minutes=1)),
    ("REFRESH_LIFETIME", timedelta(days=1), timedelta(days=1)),
    ("FAMILY_LIFETIME", None, None),
    ("DELIVERY", "body", Delivery.BODY),
    ("COOKIE_NAME", "rt", "rt"),
    ("COOKIE_PATH", "/", "/"),
    ("COOKIE_DOMAIN", "example.com", "example.com"),
    ("COOKIE_SAMESITE", "Lax", "Lax"),
    ("COOKIE_SECURE", False, False),
    ("BROWSER_GRACE", 0, timedelta()),
    ("REUSE_GRACE", timedelta(seconds=3), timedelta(seconds=3)),
    ("REVOKE_ON_REUSE", "user", "user"),
    ("MAX_FAMILIES_PER_USER", 3, 3),
    ("ACCESS_CLAIMS", "tests.claims.role", claims.role),
    ("ISSUER", "acme", "acme"),
    ("AUDIENCE", "api", ("api",)),
    ("AUDIENCE", ["api", "admin"], ("api", "admin")),
    ("CLIENT_ID", "web", "web"),
    ("JWKS_URL", "https://auth.example.com/jwks.json", "https://auth.example.com/jwks.json"),
    ("LEEWAY", 1.5, timedelta(seconds=1.5)),
    ("REVOCATIONS_URL", "https://auth.example.com/revocations/", "https://auth.example.com/revocations/"),
    ("REVOCATION_INTERVAL", timedelta(seconds=5), timedelta(seconds=5)),
    ("DPOP", "required", "required"),
    ("DPOP_ACCESS", False, False),
    ("DPOP_NONCE", True, True),
    ("USER_ID_FIELD", "email", "email"),
    ("LOGIN_THROTTLE", None, None),
    ("REFRESH_THROTTLE", "1/s", "1/s"),
    ("STEP_UP_SESSIONS", timedelta(minutes=5), timedelta(minutes=5)),
    ("RECORD_CLIENT", False, False),
    ("RETENTION", timedelta(), timedelta()),
]


def test_the_names_are_these() -> None:
    """Every setting except the two secrets has a default."""
    assert {*DEFAULTS, *SECRETS} == SETTING_NAMES


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items())
@override_settings(TWOTOKEN=SECRETS)
def test_defaults(name: str, value: Any) -> None:
    """Each setting has its documented default."""
    assert getattr(conf, name.lower()) == value


@pytest.mark.parametrize(("name", "given", "value"), OTHERS)
def test_a_setting_is_read_on_use(name: str, given: Any, value: Any) -> None:
    """A setting is read on each use, so ``override_settings`` works; a number means seconds."""
    before = getattr(conf, name.lower())
    with with_settings(**{name: given}):
        assert getattr(conf, name.lower()) == value
    assert getattr(conf, name.lower()) == before


@pytest.mark.parametrize("value", [None, "", [], (), [None], [TEXT, 5], TEXT.encode(), 5])
def test_secrets_that_are_none(value: Any) -> None:
    """If REFRESH_SECRET can't be used, the error names the setting and contains no secret."""
    with with_settings(REFRESH_SECRET=value), pytest.raises(ImproperlyConfigured) as caught:
        _ = conf.refresh_keys
    assert "REFRESH_SECRET" in str(caught.value)
    assert TEXT not in str(caught.value)


def test_no_dict_at_all() -> None:
    """Without TWOTOKEN in the settings, the error names ACCESS_SECRET and the environment file."""
    with override_settings():
        del settings.TWOTOKEN
        with pytest.raises(ImproperlyConfigured, match=r"ACCESS_SECRET.* environment file"):
            _ = conf.access_policy


@pytest.mark.parametrize("key", ["ACCESS_SECRET", "REFRESH_SECRET"])
def test_a_secret_that_is_too_short(key: str) -> None:
    """Using a secret of fewer than 32 bytes raises ImproperlyConfigured, which names the setting and not the secret."""
    with with_settings(**{key: "short"}), pytest.raises(ImproperlyConfigured, match=f"{key}.*shorter than 32") as error:
        _ = (conf.access_policy, conf.refresh_keys)
    assert "'short'" not in str(error.value)


def test_the_policy_is_a_view_of_the_keys() -> None:
    """The access policy has the issuer, audience, leeway and keys of the settings. Its repr contains no secret."""
    with with_settings(ISSUER="acme", AUDIENCE=["a", "b"], LEEWAY=5):
        policy = conf.access_policy
    assert (policy.issuer, policy.audience, policy.leeway) == ("acme", ("a", "b"), 5)
    assert policy.keys.keys == (SecretKey(SECRETS["ACCESS_SECRET"].encode()),)
    assert SECRETS["ACCESS_SECRET"] not in repr(policy)
    assert conf.refresh_keys.keys == (SecretKey(SECRETS["REFRESH_SECRET"].encode()),)


@pytest.mark.parametrize(
    ("values", "prefix"),
    [
        ({}, "__Secure-"),
        ({"COOKIE_NAME": None, "COOKIE_PATH": "/auth/"}, "__Secure-"),
        ({"COOKIE_PATH": "/"}, "__Host-"),
        ({"COOKIE_PATH": "/", "COOKIE_DOMAIN": "example.com"}, "__Secure-"),
        ({"COOKIE_PATH": "/", "COOKIE_SECURE": False}, ""),
        ({"COOKIE_SECURE": False}, ""),
    ],
)
def test_the_cookie_s_name(values: dict[str, Any], prefix: str) -> None:
    """The default cookie name has the strongest prefix that the attributes allow. COOKIE_NAME is used unchanged."""
    with override_settings(TWOTOKEN={**SECRETS, **values}):
        assert conf.cookie_name == f"{prefix}refresh_token"
    with override_settings(TWOTOKEN={**SECRETS, **values, "COOKIE_NAME": "rt"}):
        assert conf.cookie_name == "rt"


@pytest.mark.parametrize("given", [issuers.issuer, "tests.issuers.issuer"])
def test_an_issuer_that_is_asked_for(given: Any) -> None:
    """A callable for ISSUER is called on each use."""
    with with_settings(ISSUER=given):
        assert (conf.issuer, conf.tenant_issuer, conf.access_policy.issuer) == ("https://a.example.com",) * 3
        with issuers.tenant("b"):
            assert (conf.issuer, conf.tenant_issuer, conf.access_policy.issuer) == ("https://b.example.com",) * 3


@pytest.mark.parametrize("given", [issuers.audience, "tests.issuers.audience"])
def test_an_audience_that_is_asked_for(given: Any) -> None:
    """A callable for AUDIENCE is called on each use, and may return one string."""
    with with_settings(AUDIENCE=given):
        assert conf.access_policy.audience == ("a api", "a admin")
        with issuers.tenant("b"):
            assert conf.access_policy.audience == ("b api", "b admin")
    with with_settings(AUDIENCE="tests.issuers.issuer"):
        assert conf.audience == ("https://a.example.com",)


@pytest.mark.parametrize(
    "name",
    [
        "https://auth.example.com",
        "auth.example.com",  # there is no package of this name
        "platform.example.com",  # a module that is no package has no submodule
        "acme",
        "urn:example:auth",
        "tests.issuers.issuer ",
        "a.b c",
        "1.2",
        ".",
        "tests..issuer",
    ],
)
def test_names_that_are_no_path(name: str) -> None:
    """An ISSUER that is no dotted path, such as a host, is used unchanged. Refresh tokens don't contain this issuer."""
    with with_settings(ISSUER=name, AUDIENCE=name):
        assert (conf.issuer, conf.audience, conf.tenant_issuer) == (name, (name,), None)
        assert callable_of("ISSUER") is callable_of("AUDIENCE") is None
    assert "example" not in sys.modules


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("tests.isuers.issuer", "tests.isuers"),
        ("tests.issuers.isuer", "isuer"),
        ("tests.issuers.NOT_CALLABLE", "tests.issuers.NOT_CALLABLE is not callable"),
        ("tests.issuers", "tests.issuers is not callable"),
        ("__main__.no_such_issuer", "no_such_issuer"),
    ],
)
def test_a_path_that_leads_nowhere(path: str, problem: str) -> None:
    """A dotted path that can't be imported is an error on each use. Otherwise it would be the issuer of all tenants."""
    main = sys.modules["__main__"]
    with pytest.MonkeyPatch.context() as patch, with_settings(ISSUER=path, AUDIENCE=path):
        patch.setattr(main, "__spec__", None)
        for key in ("issuer", "audience", "tenant_issuer"):
            with pytest.raises(ImproperlyConfigured, match=problem):
                getattr(conf, key)


@pytest.mark.parametrize("value", [None, "", 7, b"a", ["a"], gettext_lazy("Yes")])
def test_an_issuer_that_is_no_text(value: Any) -> None:
    """If the callable ISSUER returns no text, it is an error. Otherwise tenants would accept each other's tokens."""
    with with_settings(ISSUER=lambda: value), pytest.raises(ImproperlyConfigured, match=r"ISSUER.*return a string"):
        _ = conf.access_policy
    with with_settings(ISSUER=lambda: value), pytest.raises(ImproperlyConfigured, match=r"ISSUER.*return a string"):
        _ = conf.tenant_issuer


@pytest.mark.parametrize("value", [None, "", 7, [], [None], ["a", ""], {"a": 1}])
def test_an_audience_that_is_no_text(value: Any) -> None:
    """If the callable AUDIENCE returns neither a text nor a list of texts, it is an error."""
    with with_settings(AUDIENCE=lambda: value), pytest.raises(ImproperlyConfigured, match=r"AUDIENCE.*must return"):
        _ = conf.access_policy


@pytest.mark.parametrize("value", ["both", "", "Cookie", None, 1, []])
def test_a_delivery_that_does_not_exist(value: Any) -> None:
    """An unknown delivery raises an error that lists the valid deliveries."""
    with pytest.raises(ImproperlyConfigured, match="'cookie', 'body', 'none'"):
        delivery(value)
    with with_settings(DELIVERY=value), pytest.raises(ImproperlyConfigured, match="is not a delivery"):
        _ = conf.delivery


@pytest.mark.parametrize("choice", list(Delivery))
def test_deliveries_are_plain_words(choice: Delivery) -> None:
    """A mount may give a delivery as a string or as a ``Delivery``."""
    assert delivery(str(choice)) is delivery(choice) is choice
