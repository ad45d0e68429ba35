"""django-cors-headers with the docs' settings lets a page of another origin log in, refresh and read answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from corsheaders.defaults import default_headers
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

from tests.factories import PASSWORD
from tests.http import Caller
from tests.integrations.pages import settings_of
from tests.jar import COOKIE
from tests.overrides import with_settings
from tests.proofs import Device

pytestmark = pytest.mark.django_db
ORIGIN = "https://app.example.com"
AXES, CORS = "axes.middleware.AxesMiddleware", "corsheaders.middleware.CorsMiddleware"
PATHS = ["login/", "refresh/", "logout/", "logout/all/", "sessions/"]


@pytest.fixture(autouse=True)
def _as_the_page_says() -> Iterator[None]:
    lists = {name: list(getattr(settings, name)) for name in ("INSTALLED_APPS", "MIDDLEWARE")}
    found = settings_of("cors", "corsheaders.defaults", **lists)
    del found["INSTALLED_APPS"]  # corsheaders is installed already
    with override_settings(**found):
        yield


@pytest.fixture
def page(user: Any) -> Caller:
    """A client that sends the headers of a page with another origin on the same site."""
    return Caller(user, mount="/api/auth/", HTTP_ORIGIN=ORIGIN, HTTP_SEC_FETCH_SITE="same-site")


def preflight(page: Caller, path: str, headers: str = "content-type,idempotency-key", method: str = "POST") -> Any:
    """Send the preflight request (OPTIONS) that a browser would send."""
    return page.options(path, HTTP_ACCESS_CONTROL_REQUEST_METHOD=method, HTTP_ACCESS_CONTROL_REQUEST_HEADERS=headers)


def assert_open(response: Any) -> None:
    """Assert that an answer has the CORS headers that a browser requires for a request with cookies."""
    assert response["Access-Control-Allow-Origin"] == ORIGIN
    assert response["Access-Control-Allow-Credentials"] == "true"
    assert "origin" in response["Vary"].lower()


def test_the_checks_have_nothing_to_say(capsys: Any) -> None:
    """``manage.py check`` has no message about the docs' CORS settings. Two checks of django-axes are silenced."""
    with override_settings(SILENCED_SYSTEM_CHECKS=["axes.W002", "axes.W003"]):
        call_command("check", fail_level="INFO")
    assert "no issues" in capsys.readouterr().out


@pytest.mark.parametrize("path", PATHS)
def test_a_preflight(page: Caller, path: str) -> None:
    """A preflight for each endpoint allows POST, DELETE, and the headers that the client sends."""
    response = preflight(page, page.mount + path, "authorization,content-type,idempotency-key")
    assert response.status_code == 200
    assert_open(response)
    allowed = {name.strip() for name in response["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "content-type", "idempotency-key"} <= allowed
    assert {"POST", "DELETE"} <= {name.strip() for name in response["Access-Control-Allow-Methods"].split(",")}


def test_a_session_from_another_origin(page: Caller) -> None:
    """The answers to login, refresh, API, logout and a refused refresh have CORS headers, so the page can read them."""
    login = page.log_in()
    refresh = page.refresh(key="a-key-of-some-length")
    access: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Bearer {refresh.json()['access']}"}
    me = page.get("/api/me/", **access)
    logout = page.send("logout/")
    refused = page.refresh()
    answers = [login, refresh, me, logout, refused]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 204, 401]
    for answer in answers:
        assert_open(answer)
        assert answer["Access-Control-Expose-Headers"] == "Retry-After"


def test_bound_tokens_from_another_origin(page: Caller) -> None:
    """With the docs' settings for bound tokens, the page may send DPoP proofs, and read nonces and challenges."""
    assert "dpop" not in preflight(page, "/api/me/", "authorization,dpop")["Access-Control-Allow-Headers"]
    before = {name: list(getattr(settings, name)) for name in ("CORS_ALLOW_HEADERS", "CORS_EXPOSE_HEADERS")}
    device = Device()
    with override_settings(**settings_of("cors", "DPoP-Nonce", **before)), with_settings(DPOP_NONCE=True):
        assert "dpop" in preflight(page, "/api/me/", "authorization,dpop")["Access-Control-Allow-Headers"]
        response = page.log_in(**device.headers("/api/auth/login/"))
        assert_open(response)
        assert response["Access-Control-Expose-Headers"] == "Retry-After, DPoP-Nonce, WWW-Authenticate, Date"
        device.nonce = response["DPoP-Nonce"]
        response = page.log_in(**device.headers("/api/auth/login/"))
        assert response.json()["token_type"] == "DPoP"


def test_an_origin_that_is_not_named(page: Caller) -> None:
    """A login from an origin that is not listed is a 403 ``cross_origin`` without CORS headers."""
    page.defaults["HTTP_ORIGIN"] = "https://app.example.org"
    page.defaults["HTTP_SEC_FETCH_SITE"] = "cross-site"
    assert "Access-Control-Allow-Origin" not in preflight(page, "/api/auth/login/")
    response = page.log_in()
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    assert "Access-Control-Allow-Origin" not in response


def test_without_trust(page: Caller) -> None:
    """If CSRF_TRUSTED_ORIGINS lacks the origin, a login is a 403 ``cross_origin``, which the page can read."""
    with override_settings(CSRF_TRUSTED_ORIGINS=[]):
        response = page.log_in()
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    assert_open(response)


def test_without_the_key_among_the_headers(page: Caller) -> None:
    """With the default CORS_ALLOW_HEADERS, the preflight of a refresh does not allow Idempotency-Key."""
    with override_settings(CORS_ALLOW_HEADERS=default_headers):
        response = preflight(page, "/api/auth/refresh/")
    assert "idempotency-key" not in response["Access-Control-Allow-Headers"]


def test_retry_after(page: Caller) -> None:
    """The answer to a throttled refresh exposes Retry-After to the page."""
    page.log_in()
    with with_settings(REFRESH_THROTTLE="1/min"):
        page.refresh()
        response = page.refresh()
    assert (response.status_code, response["Access-Control-Expose-Headers"]) == (429, "Retry-After")
    assert int(response["Retry-After"]) > 0


def test_another_site(user: Any) -> None:
    """With the docs' settings for another site, the refresh cookie has SameSite=None, and a refresh works."""
    namespace = settings_of("cors", "COOKIE_SAMESITE", TWOTOKEN={**settings.TWOTOKEN})
    page = Caller(user, mount="/api/auth/", HTTP_ORIGIN=ORIGIN, HTTP_SEC_FETCH_SITE="cross-site")
    with override_settings(TWOTOKEN=namespace["TWOTOKEN"]):
        call_command("check")
        cookie = page.log_in().cookies[COOKIE]
        assert (cookie["samesite"], cookie["secure"]) == ("None", True)
        assert page.refresh().status_code == 200


def last(*names: str) -> Any:
    """Move these middlewares to the end of MIDDLEWARE, in this order."""
    others = [name for name in settings.MIDDLEWARE if name not in names]
    return override_settings(MIDDLEWARE=[*others, *names])


def test_the_order_and_a_lockout(page: Caller) -> None:
    """If CorsMiddleware is before axes' middleware, a lockout has CORS headers. In the other order, it has none."""
    lockout: dict[str, Any] = {"AXES_ENABLED": True, "AXES_FAILURE_LIMIT": 1, "AXES_DISABLE_ACCESS_LOG": True}
    lockout["AUTHENTICATION_BACKENDS"] = [
        "axes.backends.AxesStandaloneBackend",
        "django.contrib.auth.backends.ModelBackend",
    ]
    body = {page.user.USERNAME_FIELD: page.user.get_username(), "password": f"not {PASSWORD}"}
    with override_settings(**lockout), last(AXES):
        response = page.send("login/", body)
        assert response.status_code == 429
        assert_open(response)
    wrong = Caller(page.user, mount=page.mount, **page.defaults)
    with override_settings(**lockout), last(AXES, CORS):
        response = wrong.send("login/", body)
        assert response.status_code == 429
        assert "Access-Control-Allow-Origin" not in response


def test_the_order_and_a_missing_slash(page: Caller) -> None:
    """If CorsMiddleware is before CommonMiddleware, the redirect to a final slash has CORS headers, otherwise none."""
    response = page.get("/api/me")
    assert (response.status_code, response["Location"]) == (301, "/api/me/")
    assert_open(response)
    wrong = Caller(page.user, mount=page.mount, **page.defaults)
    with last(CORS):
        response = wrong.get("/api/me")
    assert response.status_code == 301
    assert "Access-Control-Allow-Origin" not in response
