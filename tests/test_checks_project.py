"""What ``manage.py check`` says about the project's tenants and about settings of Django and DRF."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import override_settings

from tests import issuers
from tests.test_checks import GOOD, ids

# Django asks a MariaDB for its version when it checks the fields of models.
pytestmark = pytest.mark.django_db(databases=["default", "replica"])


@pytest.fixture
def django_tenants(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for django-tenants, of which the checks read only the name and the settings."""
    module = ModuleType("django_tenants")
    module.__file__ = __file__
    monkeypatch.setitem(sys.modules, "django_tenants", module)
    return module


def tenant_ids(**values: Any) -> set[str]:
    """Return the ids of the checks' messages in a project with django-tenants."""
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "django_tenants"], **values):
        return ids()


ISSUER = {**GOOD, "ISSUER": issuers.issuer}
USER_APP = get_user_model()._meta.app_config.name
USER_CONFIG = f"{type(get_user_model()._meta.app_config).__module__}.{type(get_user_model()._meta.app_config).__name__}"
OURS, OUR_CONFIG = "twotoken", "twotoken.apps.TwoTokenConfig"


@pytest.mark.parametrize(("first", "expected"), [("SessionAuthentication", {"W001"}), ("BasicAuthentication", set())])
def test_an_authenticator_before_ours(first: str, expected: set[str]) -> None:
    """W001 reports an authentication class without ``authenticate_header`` if it comes before twotoken's class."""
    classes = [f"rest_framework.authentication.{first}", "twotoken.authentication.AccessTokenAuthentication"]
    usual = settings.REST_FRAMEWORK
    with override_settings(REST_FRAMEWORK={**usual, "DEFAULT_AUTHENTICATION_CLASSES": classes}):
        assert ids() == expected
    with override_settings(REST_FRAMEWORK={**usual, "DEFAULT_AUTHENTICATION_CLASSES": classes[:1]}):
        assert ids() == set()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"W019"}),
        ({"DEFAULT_PERMISSION_CLASSES": []}, {"W019"}),
        ({"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"]}, {"W019"}),
        ({"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticatedOrReadOnly"]}, set()),
    ],
)
def test_a_default_that_needs_no_login(values: dict[str, Any], expected: set[str]) -> None:
    """W019 reports missing, empty and AllowAny DEFAULT_PERMISSION_CLASSES, because they let everybody in."""
    with override_settings(REST_FRAMEWORK=values):
        assert ids() == expected


@override_settings(USE_TZ=False)
def test_times_without_a_zone() -> None:
    """W007 reports USE_TZ=False, because local times jump when the clocks change."""
    assert ids() == {"W007"}


@pytest.mark.usefixtures("django_tenants")
def test_tokens_that_name_no_tenant() -> None:
    """With django-tenants, W010 asks for a callable as ISSUER or AUDIENCE, so that each token names its tenant."""
    plain: list[dict[str, Any]] = [{}, {"ISSUER": "https://example.com", "AUDIENCE": ["api"]}]
    asked: list[dict[str, Any]] = [{"ISSUER": "tests.issuers.issuer"}, {"AUDIENCE": issuers.audience}]
    wrong: list[tuple[str, dict[str, Any]]] = [("E013", {"ISSUER": "tests.issuers.isuer"}), ("E003", {"ISSUER": 7})]
    for values in plain:
        assert tenant_ids(TENANT_APPS=[USER_APP, OURS], TWOTOKEN={**GOOD, **values}) == {"W010"}
    for values in asked:
        assert tenant_ids(TENANT_APPS=[USER_APP, OURS], TWOTOKEN={**GOOD, **values}) == set()
    for problem, values in wrong:
        assert tenant_ids(TENANT_APPS=[USER_APP, OURS], TWOTOKEN={**GOOD, **values}) - {"W010"} == {problem}


@pytest.mark.usefixtures("django_tenants")
@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ([USER_APP, OURS], set()),
        ([USER_CONFIG, OUR_CONFIG], set()),
        ([USER_APP], {"W011"}),
        ([USER_CONFIG], {"W011"}),
        ([OURS], set()),
        (["django.contrib.sessions"], set()),
    ],
)
def test_families_of_users_that_each_tenant_has(listed: list[str], found: set[str]) -> None:
    """W011 reports tenants, or a type of tenant, that have their own users and no token families of their own."""
    assert tenant_ids(TENANT_APPS=listed, TWOTOKEN=ISSUER) == found
    kinds = {"main": {"APPS": [USER_APP]}, "shop": {"APPS": [USER_APP, OURS]}, "firm": {"APPS": listed}}
    many: dict[str, Any] = {"HAS_MULTI_TYPE_TENANTS": True, "PUBLIC_SCHEMA_NAME": "main", "TENANT_TYPES": kinds}
    assert tenant_ids(**many, TWOTOKEN=ISSUER) == found
