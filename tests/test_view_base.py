"""The behaviour that all endpoints share."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.test import RequestFactory, override_settings
from django.urls import resolve
from django.views.debug import SafeExceptionReporterFilter
from rest_framework.authentication import BasicAuthentication
from rest_framework.metadata import BaseMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import FormParser
from rest_framework.permissions import IsAdminUser
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.throttling import AnonRateThrottle
from rest_framework.versioning import AcceptHeaderVersioning
from rest_framework.views import APIView

from tests.conformance.helpers import bearer, error_reports
from tests.factories import PASSWORD
from tests.http import Caller
from tests.overrides import with_settings

HOSTILE = {
    "renderer_classes": [BrowsableAPIRenderer],
    "parser_classes": [FormParser],
    "authentication_classes": [BasicAuthentication],
    "permission_classes": [IsAdminUser],
    "throttle_classes": [type("Never", (AnonRateThrottle,), {"rate": "1/day", "allow_request": lambda *args: False})],
    "content_negotiation_class": DefaultContentNegotiation,
    "metadata_class": BaseMetadata,
    "versioning_class": AcceptHeaderVersioning,
}
DEFAULTS = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_THROTTLE_CLASSES": ["tests.nowhere.Throttle"],
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "DEFAULT_THROTTLE_RATES": {},
    "DEFAULT_VERSION": "1",
    "ALLOWED_VERSIONS": ["9"],
    "EXCEPTION_HANDLER": "tests.nowhere.handler",
    "NON_FIELD_ERRORS_KEY": "other",
    "URL_FORMAT_OVERRIDE": "format",
    "UNICODE_JSON": False,
}


@override_settings(REST_FRAMEWORK=DEFAULTS)
@pytest.mark.parametrize("mount", ["/api/auth/", "/api/app/auth/"])
def test_a_project_s_defaults_don_t_reach_our_views(user: Any, mount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our views ignore DRF's settings, changed attributes of APIView, the Accept header and ``?format=``."""
    for name, value in HOSTILE.items():
        monkeypatch.setattr(APIView, name, value)
    caller = Caller(user, mount=mount, HTTP_ACCEPT="text/html; version=1", QUERY_STRING="format=api")
    with with_settings(LOGIN_THROTTLE="100/min", REFRESH_THROTTLE="100/min"):
        answers = [
            login := caller.log_in(),
            caller.refresh(login.json().get("refresh")),
            caller.refresh("x"),
            caller.send("login/", {}),
            caller.send("logout/all/"),
            caller.get(mount + "login/"),
            caller.options(mount + "login/"),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 401, 400, 401, 405, 200]
        assert {answer["Content-Type"] for answer in answers} == {"application/json"}
        assert {answer["Cache-Control"] for answer in answers} == {"no-store"}
        assert answers[2].json()["reason"] == "invalid"
        assert answers[4].json()["reason"] == "missing"
        assert caller.send("logout/all/", **bearer(login.json()["access"])).status_code == 204
        sent = {"refresh": login.json().get("refresh", "")}
        assert caller.send("logout/", sent).status_code == 204


@pytest.mark.parametrize("mount", ["/api/auth/", "/api/app/auth/"])
@pytest.mark.parametrize("name", ["login/", "refresh/", "logout/"])
def test_options(db: None, client: Any, mount: str, name: str) -> None:
    """OPTIONS is a 200 from any origin, and changes nothing."""
    response = client.options(mount + name, HTTP_SEC_FETCH_SITE="cross-site", HTTP_ORIGIN="https://evil.example")
    assert response.status_code == 200
    assert response["Allow"] == "POST, OPTIONS"
    assert (response["Content-Type"], response["Cache-Control"]) == ("application/json", "no-store")
    assert not response.cookies


def test_options_of_logout_all(db: None, client: Any) -> None:
    """OPTIONS of ``logout/all/`` requires an access token."""
    response = client.options("/api/auth/logout/all/")
    assert (response.status_code, response.json()["reason"]) == (401, "missing")


class DownBackend(ModelBackend):
    """An authentication back end with a directory that is down. Like most, it marks no variables as sensitive."""

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **kwargs: Any) -> Any:
        raise RuntimeError("the directory is down")


class OwnFilter(SafeExceptionReporterFilter):
    """A project's filter of error reports."""

    def __init__(self, substitute: str) -> None:
        self.cleansed_substitute = substitute


def in_the_report(mount: str) -> list[bool]:
    """Log in with a back end that fails. Tell for the HTML and the text error report whether it has the password."""
    caller = Caller(None, mount=mount, raise_request_exception=False)
    with (
        override_settings(AUTHENTICATION_BACKENDS=["tests.test_view_base.DownBackend"]),
        error_reports() as reports,
    ):
        assert caller.send("login/", {get_user_model().USERNAME_FIELD: "ann", "password": PASSWORD}).status_code == 500
    assert all("the directory is down" in report for report in reports)
    return [PASSWORD in report for report in reports]


@pytest.mark.parametrize("mount", ["/api/auth/", "/api/app/auth/"])
def test_no_password_in_an_error_report(db: None, mount: str) -> None:
    """If an authentication back end raises, the error report has no password."""
    assert in_the_report(mount) == [False, False]


@override_settings(DEBUG=True)
def test_variables_in_the_report_of_a_developer(db: None) -> None:
    """With DEBUG the HTML error report shows variables, as Django's own does."""
    assert in_the_report("/api/app/auth/") == [True, False]


def test_a_project_s_own_filter_of_error_reports(db: None) -> None:
    """A project's own filter of error reports is still used, and variables are hidden."""
    request: Any = RequestFactory().post("/api/auth/logout/")
    request.exception_reporter_filter = OwnFilter("hidden by the project")
    match = request.resolver_match = resolve("/api/auth/logout/")
    assert match.func(request).status_code == 204
    assert isinstance(request.exception_reporter_filter, OwnFilter)
    frame = inspect.currentframe()
    assert frame is not None
    variables = dict(request.exception_reporter_filter.get_traceback_frame_variables(request, frame))
    assert set(variables.values()) == {"hidden by the project"}
    assert "request" in variables
