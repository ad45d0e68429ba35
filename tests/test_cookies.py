"""The refresh token's cookie, and its companion: a cookie with the family's id."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import clear_script_prefix, include, path, resolve, set_script_prefix

from tests.http import Caller
from tests.jar import COMPANION, COOKIE, cookies
from tests.overrides import with_settings
from twotoken import tokens
from twotoken.conf import conf
from twotoken.cookies import (
    clear_refresh_cookie,
    companion_name,
    cookie_path,
    cookie_values,
    hide_cookie,
    set_refresh_cookie,
    token_from_cookie,
    warn_if_dropped,
)
from twotoken.exceptions import ConflictingCookies, InvalidToken, MissingToken
from twotoken.families import TokenPair

factory = RequestFactory()


def nothing(request: Any, **kwargs: Any) -> HttpResponse:
    """A view for routes that are resolved and never called."""
    raise AssertionError(request)  # pragma: no cover


# Mounts with a URL that captures a tenant, and a project's routes. Tests set ROOT_URLCONF to this module.
urlpatterns = [
    path("<slug:tenant>/auth/", include("twotoken.urls")),
    path("any/<str:tenant>/auth/", include("twotoken.urls", namespace="any")),
    path("own/", include(([path("callback/", nothing)], "own"))),
    path("callback/", nothing),
]


class DefaultMount:
    """The URLs of a project with one mount of twotoken and two namespaces of its own."""

    urlpatterns = (
        path("auth/", include("twotoken.urls")),
        path("own/", include(([path("callback/", nothing)], "own"))),
        path(
            "devices/", include(([path("refresh/<uuid:family_id>/", nothing), path("callback/", nothing)], "devices"))
        ),
    )


def request_to(address: str = "/", **extra: Any) -> Any:
    """Return a POST request with the ``resolver_match`` that Django's handler would set."""
    request = factory.post(address, **extra)
    request.resolver_match = resolve(request.path_info)
    return request


HEADERS: list[tuple[str, list[str]]] = [
    ("", []),
    ("other=a", []),
    ("xrt=a; rtx=b; RT=c", []),
    ("other=rt", []),
    ("rt", []),
    ("rt=", []),
    ("=rt", []),
    ("rt=a", ["a"]),
    ("other=x; rt=a;rt=a", ["a"]),
    ("rt=a; other=x; rt=b", ["a", "b"]),
    ("rt=; rt=b", ["b"]),
    ("\t rt \t=\t a\t ;", ["a"]),
    ("rt=a=b", ["a=b"]),
    ('rt="a"', ['"a"']),
    ("\xa0rt=a; rt\xa0=b; \x1crt=c; \x85rt=d; \x0brt=e; \x0crt=f", []),
    ("rt=\xa0a", ["\xa0a"]),
]


@pytest.mark.parametrize(("header", "values"), HEADERS)
def test_every_value_of_a_name_is_seen(header: str, values: list[str]) -> None:
    """``cookie_values`` returns all values of a name. It compares names exactly, and strips only spaces and tabs."""
    assert cookie_values(factory.post("/", HTTP_COOKIE=header), "rt") == values


FIRST, SECOND = UUID(int=1), UUID(int=2)


def token(family: UUID = FIRST, generation: int = 0) -> str:
    """Return a correctly signed refresh token."""
    end = datetime(2031, 5, 4, tzinfo=UTC)
    return tokens.encode_refresh(
        conf.refresh_keys, family_id=family, generation=generation, secret=b"s" * 16, expires_at=end
    )


def counted(header: str) -> tuple[UUID, int]:
    """Return the family and generation of the token that ``token_from_cookie`` chooses."""
    claims = token_from_cookie(factory.post("/", HTTP_COOKIE=header))
    return claims.family_id, claims.generation


@pytest.mark.parametrize("header", ["", "other=a", f"{COOKIE}=", f"{COMPANION}={FIRST}", f"refresh_token={token()}"])
def test_no_token(header: str) -> None:
    """An empty cookie, a cookie of another name, and a companion (the family's id) alone raise MissingToken."""
    with pytest.raises(MissingToken) as caught:
        counted(header)
    assert caught.value.reason == "missing"


@pytest.mark.parametrize("header", [f"{COOKIE}=a", f"{COOKIE}=a; {COOKIE}=b", f"{COOKIE}=a; {COMPANION}={FIRST}"])
def test_junk_alone(header: str) -> None:
    """If no value of the refresh cookie is a valid token, InvalidToken is raised."""
    with pytest.raises(InvalidToken) as caught:
        counted(header)
    assert type(caught.value) is InvalidToken


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("others", [[], ["junk"], [token(SECOND)], ["junk", token(SECOND, 9), "a.b.c"]])
def test_the_companion_s_family_counts(others: list[str], order: int) -> None:
    """Of several refresh cookies, in any order, the token of the family that the companion cookie names is used."""
    parts = [f"{COOKIE}={value}" for value in [token(FIRST, 3), *others]]
    header = "; ".join([*parts, f"{COMPANION}={FIRST}"][::order])
    assert counted(header) == (FIRST, 3)


@pytest.mark.parametrize(
    "header",
    [
        f"{COOKIE}={token()}",
        f"{COOKIE}={token()}; {COOKIE}=junk",
        f"{COOKIE}={token(SECOND)}; {COMPANION}={FIRST}",
        f"{cookies(token())}; {COMPANION}={SECOND}",
        f"{COOKIE}={token()}; \xa0{COMPANION}={FIRST}",
        f"{COOKIE}={token()}; {COMPANION}=",
        f"{COOKIE}={token()}; {COMPANION}={FIRST.hex}",
    ],
)
def test_without_its_companion_no_token_counts(header: str) -> None:
    """A token is refused unless the companion cookie has its family's id. A sibling subdomain can't set this cookie."""
    with pytest.raises(ConflictingCookies) as caught:
        counted(header)
    assert caught.value.reason == "invalid"


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"COOKIE_PATH": "/"}, "__Host-refresh_token"),
        ({"COOKIE_DOMAIN": "example.com"}, COOKIE),
        ({"COOKIE_SECURE": False}, "refresh_token"),
    ],
)
def test_a_cookie_without_a_companion(values: dict[str, Any], name: str) -> None:
    """If the settings allow no companion cookie, invalid values are ignored, and tokens of two families are refused."""
    with with_settings(**values):
        assert companion_name("/api/auth/") is None
        assert counted(f"{name}={token()}") == (FIRST, 0)
        assert counted(f"{name}=junk; {name}={token()}; {name}=; {name}=a.b.c") == (FIRST, 0)
        with pytest.raises(ConflictingCookies):
            counted(f"{name}={token()}; {name}={token(SECOND)}")


@pytest.mark.parametrize("path", [None, "/"])
@pytest.mark.parametrize("order", [1, -1])
def test_several_generations_of_a_family(path: str | None, order: int) -> None:
    """Of several tokens of a family, the newest generation is used. An older one would revoke the family as reuse."""
    with with_settings(COOKIE_PATH=path):
        values = [f"{conf.cookie_name}={token(FIRST, generation)}" for generation in (3, 7, 5)]
        assert counted("; ".join([*values[::order], f"{COMPANION}={FIRST}"])) == (FIRST, 7)


def test_a_companion_for_each_mount() -> None:
    """Companion cookies (with the family's id) have the path ``/``. Each mount has its own constant name for them."""
    paths = ["/api/auth/", "/api-auth/", "/auth/", "/Auth/", "/a%3Bb/auth/", "/"]
    names = [companion_name(path) for path in paths]
    assert len(set(names)) == len(paths)
    assert names == [companion_name(path) for path in paths]
    assert names[0] == COMPANION
    assert all(re.fullmatch("__Host-refresh_token-[0-9a-f]{12}-sid", name or "") for name in names)
    with with_settings(COOKIE_NAME="rt"):
        assert companion_name("/api/auth/") == COMPANION.replace("refresh_token", "rt")


def test_the_cookie_is_hidden_from_error_reports() -> None:
    """``hide_cookie`` hides the refresh cookie from error reports, and may be called twice. The view still reads it."""
    request = factory.post("/", HTTP_COOKIE=f"{cookies(token())}; other=b")
    hide_cookie(request)
    hide_cookie(request)
    assert {COMPANION: str(FIRST), "other": "b"} == request.COOKIES
    assert token_from_cookie(request).family_id == FIRST


PAIR = TokenPair("access", 900, "refresh", 3600, uuid4(), 0)


def attributes(response: HttpResponse, name: str = COOKIE) -> dict[str, Any]:
    """Return the attributes of a cookie that was set, without its lifetime."""
    return {key: value for key, value in response.cookies[name].items() if key not in {"max-age", "expires"}}


def test_the_cookie_as_it_is_set() -> None:
    """The refresh cookie is HttpOnly, Secure and SameSite=Strict. It has its mount's path and the token's lifetime."""
    response = HttpResponse()
    set_refresh_cookie(response, PAIR, request_to("/api/auth/login/"))
    morsel = response.cookies[COOKIE]
    assert (morsel.value, morsel["max-age"], morsel["path"]) == ("refresh", 3600, "/api/auth/")
    assert (morsel["secure"], morsel["httponly"], morsel["samesite"], morsel["domain"]) == (True, True, "Strict", "")


def test_the_companion_as_it_is_set() -> None:
    """The companion cookie has the refresh cookie's attributes, except the path ``/``. Its value is the family's id."""
    response = HttpResponse()
    set_refresh_cookie(response, PAIR, request_to("/api/auth/login/"))
    morsel = response.cookies[COMPANION]
    assert (morsel.value, morsel["max-age"], morsel["path"]) == (str(PAIR.family_id), 3600, "/")
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
    """Cookies are cleared with the attributes with which they were set. Otherwise browsers would keep them."""
    request = request_to("/api/auth/login/")
    put, cleared = HttpResponse(), HttpResponse()
    with with_settings(COOKIE_NAME="rt", **values):
        set_refresh_cookie(put, PAIR, request)
        clear_refresh_cookie(cleared, request)
        companion = companion_name(cookie_path(request))
    assert put.cookies.keys() == cleared.cookies.keys() == {"rt", companion} - {None}
    for name in put.cookies:
        assert attributes(put, name) == attributes(cleared, name)
        assert (cleared.cookies[name].value, cleared.cookies[name]["max-age"]) == ("", 0)
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
    """The cookie's path is that of the request's own mount. Outside all mounts it is the default mount's path."""
    assert cookie_path(request_to(address)) == expected


@pytest.mark.parametrize(
    ("address", "expected"), [("/api/app/auth/login/", "/api/app/auth/"), ("/api/tool/auth/login/", "/api/tool/auth/")]
)
def test_the_path_is_that_of_a_mount_with_a_delivery(address: str, expected: str) -> None:
    """At a mount with its own ``delivery``, the cookie's path is the path of this mount."""
    assert cookie_path(request_to(address)) == expected


def test_the_path_of_a_request_that_was_not_resolved() -> None:
    """For a request that is not resolved yet, as in a middleware, the cookie's path is the default mount's."""
    assert cookie_path(factory.post("/")) == "/api/auth/"


def test_the_path_under_a_prefix_of_the_server() -> None:
    """The cookie's path contains SCRIPT_NAME, which is part of the path that the browser requests."""
    set_script_prefix("/shop/")
    try:
        assert cookie_path(factory.post("/")) == "/shop/api/auth/"
    finally:
        clear_script_prefix()


@override_settings(ROOT_URLCONF=__name__)
def test_the_path_has_what_the_prefix_captures() -> None:
    """The cookie's path contains what the mount's URL captures, so one tenant's cookie is not sent to another."""
    assert cookie_path(request_to("/acme/auth/logout/")) == "/acme/auth/"


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize(
    ("tenant", "encoded"),
    [
        ("a;Domain=evil.example", "a%3BDomain=evil.example"),
        ("a b", "a%20b"),
        ("ä", "%C3%A4"),
        ("50%", "50%25"),
        ("%3B", "%253B"),
        ("a\r\nSet-Cookie: x=y", "a%0D%0ASet-Cookie:%20x=y"),
        ('"a,b"', "%22a,b%22"),
    ],
)
def test_the_path_is_percent_encoded(tenant: str, encoded: str) -> None:
    """The cookie's path is percent-encoded, so that a captured value can't add an attribute or a header."""
    request = request_to(f"/any/{quote(tenant)}/auth/login/")
    assert request.resolver_match.kwargs == {"tenant": tenant}
    assert cookie_path(request) == f"/any/{encoded}/auth/"
    response = HttpResponse()
    set_refresh_cookie(response, PAIR, request)
    header = response.cookies["__Secure-refresh_token"].OutputString()
    names = [part.partition("=")[0].strip() for part in header.split(";")]
    assert sorted(names) == sorted([COOKIE, "expires", "HttpOnly", "Max-Age", "Path", "SameSite", "Secure"])
    assert "\r" not in header


@override_settings(ROOT_URLCONF=DefaultMount)
@pytest.mark.parametrize(
    "address", ["/own/callback/", "/devices/refresh/00000000-0000-0000-0000-000000000000/", "/devices/callback/"]
)
def test_the_path_from_a_namespace_without_a_refresh_view(address: str) -> None:
    """In a namespace without a URL named ``refresh``, the cookie's path is the default mount's."""
    assert cookie_path(request_to(address)) == "/auth/"


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize("address", ["/own/callback/", "/callback/"])
def test_no_path_can_be_found(address: str) -> None:
    """If the default mount's URL captures a value that the request does not have, the error names COOKIE_PATH."""
    request = request_to(address)
    with pytest.raises(ImproperlyConfigured, match="COOKIE_PATH"):
        cookie_path(request)
    with with_settings(COOKIE_PATH="/api/"):
        assert cookie_path(request) == "/api/"


def test_the_warning_fails_no_login(caplog: pytest.LogCaptureFixture) -> None:
    """If Django does not allow the request's Host, ``warn_if_dropped`` raises no error and logs nothing."""
    warn_if_dropped(factory.post("/", HTTP_HOST="evil.example"))
    assert caplog.text == ""


DROPPED: list[tuple[dict[str, Any], bool]] = [
    ({"HTTP_HOST": "192.168.1.20:8000"}, True),
    ({"HTTP_HOST": "testserver", "HTTP_ORIGIN": "http://testserver"}, True),
    ({"HTTP_HOST": "localhost.example"}, True),
    ({"HTTP_HOST": "testserver", "secure": True}, False),
    ({"HTTP_HOST": "testserver", "HTTP_ORIGIN": "https://testserver"}, False),  # behind a proxy that ends TLS
    ({"HTTP_HOST": "localhost:8000"}, False),
    ({"HTTP_HOST": "app.localhost"}, False),
    ({"HTTP_HOST": "127.0.0.1:8000"}, False),
    ({"HTTP_HOST": "[::1]:8000"}, False),
]


@pytest.mark.parametrize(("extra", "warns"), DROPPED)
@override_settings(ALLOWED_HOSTS=["*"])
def test_a_cookie_that_browsers_drop(
    browser: Caller, extra: dict[str, Any], warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A login over plain http logs one line that names COOKIE_SECURE, unless the host is the local machine."""
    origins = [extra["HTTP_ORIGIN"]] if "HTTP_ORIGIN" in extra else []
    with override_settings(CSRF_TRUSTED_ORIGINS=origins):
        assert browser.log_in(**extra).status_code == 200
        lines = [record.getMessage() for record in caplog.records if "COOKIE_SECURE" in record.getMessage()]
        assert len(lines) == int(warns)
        caplog.clear()
        with with_settings(COOKIE_SECURE=False):
            assert browser.log_in(**extra).status_code == 200
    assert "COOKIE_SECURE" not in caplog.text


def test_a_login_by_body_warns_of_no_cookie(script: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """A login by body sets no cookie, so it logs no warning."""
    assert script.log_in().status_code == 200
    assert "COOKIE_SECURE" not in caplog.text
