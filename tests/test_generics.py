"""What the endpoints share."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings
from rest_framework.authentication import BasicAuthentication
from rest_framework.metadata import BaseMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import FormParser
from rest_framework.permissions import IsAdminUser
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.throttling import AnonRateThrottle
from rest_framework.versioning import AcceptHeaderVersioning
from rest_framework.views import APIView

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


def bearer(access: str) -> Any:
    """Return the header that carries an access token."""
    return {"HTTP_AUTHORIZATION": f"Bearer {access}"}


@override_settings(REST_FRAMEWORK=DEFAULTS)
@pytest.mark.parametrize("mount", ["/api/auth/", "/api/app/auth/"])
def test_a_project_s_defaults_don_t_reach_our_views(user: Any, mount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as settings nor as what APIView made of them when it was imported; nor does Accept or ``?format=``."""
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
    """What may be sent is no secret: 200 from wherever, and nothing is set or stored."""
    response = client.options(mount + name, HTTP_SEC_FETCH_SITE="cross-site", HTTP_ORIGIN="https://evil.example")
    assert response.status_code == 200
    assert response["Allow"] == "POST, OPTIONS"
    assert (response["Content-Type"], response["Cache-Control"]) == ("application/json", "no-store")
    assert not response.cookies


def test_options_of_logout_all(db: None, client: Any) -> None:
    """For those who are signed in."""
    response = client.options("/api/auth/logout/all/")
    assert (response.status_code, response.json()["reason"]) == (401, "missing")
