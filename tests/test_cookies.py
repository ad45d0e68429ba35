"""The refresh token's cookie."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import clear_script_prefix, include, path, resolve, set_script_prefix

from tests.http import Caller
from tests.overrides import with_settings
from twotoken.cookies import (
    clear_refresh_cookie,
    cookie_path,
    hide_cookie,
    presented_token,
    presented_tokens,
    set_refresh_cookie,
)
from twotoken.exceptions import ConflictingCookies, InvalidToken, MissingToken
from twotoken.families import TokenPair

factory = RequestFactory()


def nothing(request: Any, **kwargs: Any) -> HttpResponse:
    """A route that is resolved and never called."""
    raise AssertionError(request)  # pragma: no cover


# Mounts under a prefix that captures, and routes of a project: tests set ROOT_URLCONF to this module.
urlpatterns = [
    path("<slug:tenant>/auth/", include("twotoken.urls")),
    path("own/", include(([path("callback/", nothing)], "own"))),
    path("callback/", nothing),
]


class DefaultMount:
    """The URLs of a project with one mount and a namespace of its own."""

    urlpatterns = (
        path("auth/", include("twotoken.urls")),
        path("own/", include(([path("callback/", nothing)], "own"))),
        path(
            "devices/", include(([path("refresh/<uuid:family_id>/", nothing), path("callback/", nothing)], "devices"))
        ),
    )


def request_to(address: str = "/", **extra: Any) -> Any:
    """Return a request that is resolved as the handler does."""
    request = factory.post(address, **extra)
    request.resolver_match = resolve(address)
    return request


HEADERS: list[tuple[str, list[str]]] = [
    ("", []),
    ("other=a", []),
    ("xrefresh_token=a; refresh_tokenx=b; Refresh_Token=c", []),
    ("other=refresh_token", []),
    ("refresh_token", []),
    ("refresh_token=", [""]),
    ("refresh_token=a", ["a"]),
    ("other=x; refresh_token=a;refresh_token=a", ["a"]),
    ("refresh_token=a; other=x; refresh_token=b", ["a", "b"]),
    ("refresh_token=; refresh_token=b", ["", "b"]),
    ('refresh_token="a"', ["a"]),
    ("refresh_token=a=b", ["a=b"]),
]


@pytest.mark.parametrize(("header", "values"), HEADERS)
def test_every_value_of_our_name_is_seen(header: str, values: list[str]) -> None:
    """``request.COOKIES`` would hide all but the last."""
    assert presented_tokens(factory.post("/", HTTP_COOKIE=header)) == values


@pytest.mark.parametrize("header", ["", "other=a", "refresh_token="])
def test_no_token(header: str) -> None:
    """An empty cookie is none."""
    with pytest.raises(MissingToken) as caught:
        presented_token(factory.post("/", HTTP_COOKIE=header))
    assert caught.value.reason == "missing"


def test_one_token() -> None:
    """Sent once or twice, by the name that is set."""
    assert presented_token(factory.post("/", HTTP_COOKIE="refresh_token=a; refresh_token=a")) == "a"
    with with_settings(COOKIE_NAME="__Host-rt"):
        assert presented_token(factory.post("/", HTTP_COOKIE="__Host-rt=b; refresh_token=a")) == "b"


@pytest.mark.parametrize("header", ["refresh_token=a; refresh_token=b", "refresh_token=; refresh_token=b"])
def test_two_tokens(header: str) -> None:
    """A sibling subdomain may have tossed one in, and nobody can tell which: RFC 6265 section 8.6."""
    with pytest.raises(ConflictingCookies) as caught:
        presented_token(factory.post("/", HTTP_COOKIE=header))
    assert isinstance(caught.value, InvalidToken)
    assert caught.value.reason == "invalid"


def test_tossed_cookies_end_and_clear_nothing(jar: Caller, django_assert_num_queries: Any) -> None:
    """A 401 without a query; the real token still works."""
    jar.log_in()
    token = jar.cookie
    with django_assert_num_queries(0):
        response = jar.send("refresh/", HTTP_COOKIE=f"refresh_token={token}; refresh_token=tossed")
    assert (response.status_code, response.json()["reason"]) == (401, "invalid")
    assert "refresh_token" not in response.cookies
    assert jar.refresh(token).status_code == 200


def test_the_cookie_is_hidden_from_error_reports() -> None:
    """And is still read from the header; hiding it twice does no harm."""
    request = factory.post("/", HTTP_COOKIE="refresh_token=a; other=b")
    hide_cookie(request)
    hide_cookie(request)
    assert request.COOKIES == {"other": "b"}
    assert presented_token(request) == "a"


PAIR = TokenPair("access", 900, "refresh", 3600, uuid4(), 0)


def attributes(response: HttpResponse, name: str = "refresh_token") -> dict[str, Any]:
    """Return the attributes of a cookie that was set, but for its value and time."""
    return {key: value for key, value in response.cookies[name].items() if key not in {"max-age", "expires"}}


def test_the_cookie_as_it_is_set() -> None:
    """HttpOnly, Secure, SameSite=Strict, for its mount and its host alone, as long as the token lives."""
    response = HttpResponse()
    set_refresh_cookie(response, PAIR, request_to("/api/auth/login/"))
    morsel = response.cookies["refresh_token"]
    assert (morsel.value, morsel["max-age"], morsel["path"]) == ("refresh", 3600, "/api/auth/")
    assert (morsel["secure"], morsel["httponly"], morsel["samesite"], morsel["domain"]) == (True, True, "Strict", "")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"COOKIE_DOMAIN": "example.com", "COOKIE_SAMESITE": "Lax", "COOKIE_SECURE": False, "COOKIE_PATH": "/x/"},
        {"COOKIE_SAMESITE": "None"},
    ],
)
def test_the_cookie_is_cleared_as_it_was_set(values: dict[str, Any]) -> None:
    """A browser keeps what it is told to clear under another path or domain."""
    request = request_to("/api/auth/login/")
    put, cleared = HttpResponse(), HttpResponse()
    with with_settings(COOKIE_NAME="rt", **values):
        set_refresh_cookie(put, PAIR, request)
        clear_refresh_cookie(cleared, request)
    assert attributes(put, "rt") == attributes(cleared, "rt")
    assert (cleared.cookies["rt"].value, cleared.cookies["rt"]["max-age"]) == ("", 0)
    assert attributes(put, "rt")["path"] == values.get("COOKIE_PATH", "/api/auth/")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/api/auth/login/", "/api/auth/"),
        ("/api/auth/refresh/", "/api/auth/"),
        ("/api/auth/logout/all/", "/api/auth/"),
        ("/api/me/", "/api/auth/"),
        ("/admin/", "/api/auth/"),
    ],
)
def test_the_path_is_the_request_s_own_mount(address: str, expected: str) -> None:
    """By namespace; elsewhere it is the default mount's."""
    assert cookie_path(request_to(address)) == expected


@pytest.mark.parametrize(
    ("address", "expected"), [("/api/app/auth/login/", "/api/app/auth/"), ("/api/tool/auth/login/", "/api/tool/auth/")]
)
def test_the_path_is_that_of_a_mount_with_a_delivery(address: str, expected: str) -> None:
    """A mount may say ``{"delivery": "cookie"}`` too, where it isn't the default."""
    assert cookie_path(request_to(address)) == expected


def test_the_path_of_a_request_that_was_not_resolved() -> None:
    """A middleware's: the default mount's."""
    assert cookie_path(factory.post("/")) == "/api/auth/"


def test_the_path_under_a_prefix_of_the_server() -> None:
    """SCRIPT_NAME is part of what the browser sees."""
    set_script_prefix("/shop/")
    try:
        assert cookie_path(factory.post("/")) == "/shop/api/auth/"
    finally:
        clear_script_prefix()


@override_settings(ROOT_URLCONF=__name__)
def test_the_path_has_what_the_prefix_captures() -> None:
    """One tenant's cookie is not sent to another."""
    assert cookie_path(request_to("/acme/auth/logout/")) == "/acme/auth/"


@override_settings(ROOT_URLCONF=DefaultMount)
@pytest.mark.parametrize(
    "address", ["/own/callback/", "/devices/refresh/00000000-0000-0000-0000-000000000000/", "/devices/callback/"]
)
def test_the_path_from_a_namespace_without_a_refresh_view(address: str) -> None:
    """It is the default mount's."""
    assert cookie_path(request_to(address)) == "/auth/"


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize("address", ["/own/callback/", "/callback/"])
def test_no_path_can_be_found(address: str) -> None:
    """Where the default mount captures something; the error says what to set."""
    request = request_to(address)
    with pytest.raises(ImproperlyConfigured, match="COOKIE_PATH"):
        cookie_path(request)
    with with_settings(COOKIE_PATH="/api/"):
        assert cookie_path(request) == "/api/"
