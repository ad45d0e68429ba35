"""Cross-origin protection: the table of Go's CrossOriginProtection, and Django's trusted origins."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory, override_settings

from tests.http import Caller
from twotoken.exceptions import CrossOrigin
from twotoken.models import RefreshToken
from twotoken.origins import check_origin

factory = RequestFactory()


def verdict(method: str, site: str | None, origin: str | None, *, secure: bool = False, **extra: Any) -> bool:
    """Tell whether a request passes."""
    headers = {"HTTP_SEC_FETCH_SITE": site, "HTTP_ORIGIN": origin}
    sent: dict[str, Any] = {name: value for name, value in headers.items() if value is not None}
    try:
        check_origin(factory.generic(method, "/", secure=secure, **sent, **extra))
    except CrossOrigin:
        return False
    return True


GO: list[tuple[str, str | None, str | None, bool]] = [
    ("POST", "same-origin", None, True),
    ("POST", "none", None, True),
    ("POST", "cross-site", None, False),
    ("POST", "same-site", None, False),
    ("POST", None, None, True),
    ("POST", None, "http://testserver", True),
    ("POST", None, "http://attacker.example", False),
    ("POST", None, "null", False),
    ("GET", "cross-site", None, True),
    ("HEAD", "cross-site", None, True),
    ("OPTIONS", "cross-site", None, True),
    ("PUT", "cross-site", None, False),
    ("PATCH", "cross-site", None, False),
    ("DELETE", "cross-site", None, False),
    # Fetch Metadata is believed before Origin, which a proxy may spoil.
    ("POST", "same-origin", "http://attacker.example", True),
    ("POST", "same-origin", "null", True),
    ("POST", "cross-site", "http://testserver", False),
    ("POST", "same-site", "http://testserver", False),
    ("POST", "cross-site", "null", False),
    # What is no known word is not same-origin.
    ("POST", "Same-Origin", "http://testserver", False),
    ("POST", "nonsense", None, False),
    # Empty headers are none.
    ("POST", "", "", True),
    ("POST", "", "http://attacker.example", False),
]


@pytest.mark.parametrize(("method", "site", "origin", "passes"), GO)
def test_the_table(method: str, site: str | None, origin: str | None, passes: bool) -> None:
    """As in Go, where no origin is trusted."""
    assert verdict(method, site, origin) is passes


@pytest.mark.parametrize(
    ("origin", "secure", "passes"),
    [
        ("https://testserver", False, False),
        ("https://testserver", True, True),
        ("http://testserver", True, False),
        ("http://testserver:8000", False, False),
        ("http://testserver.example", False, False),
        ("http://testserver/", False, False),
        ("testserver", False, False),
    ],
)
def test_our_own_origin_is_scheme_host_and_port(origin: str, secure: bool, passes: bool) -> None:
    """Stricter than Go, which has no scheme to compare."""
    assert verdict("POST", None, origin, secure=secure) is passes


def test_our_own_port_counts() -> None:
    """A server beside ours on another port is another origin."""
    assert verdict("POST", None, "http://testserver:8000", HTTP_HOST="testserver:8000")
    assert not verdict("POST", None, "http://testserver", HTTP_HOST="testserver:8000")


TRUSTED = ["https://app.example.com", "https://*.example.org", "http://*.dev.example:3000"]
ORIGINS: list[tuple[str, bool]] = [
    ("https://app.example.com", True),
    ("http://app.example.com", False),
    ("https://app.example.com:8443", False),
    ("https://app.example.com.attacker.example", False),
    ("https://a.example.org", True),
    ("https://a.b.example.org", True),
    ("https://example.org", True),
    ("http://a.example.org", False),
    ("https://badexample.org", False),
    ("https://a.example.org:8443", False),
    ("https://attacker.example#.example.org", False),
    ("https://attacker.example/.example.org", False),
    ("http://a.dev.example:3000", True),
    ("http://a.dev.example", False),
    ("https://*.example.com", False),
    ("null", False),
    ("https://[", False),
    ("https://", False),
    ("//a.example.org", False),
    ("", False),
]


@override_settings(CSRF_TRUSTED_ORIGINS=TRUSTED)
@pytest.mark.parametrize(("origin", "passes"), ORIGINS)
def test_trusted_origins(origin: str, passes: bool) -> None:
    """Scheme, dot and port count as for Django itself; with Fetch Metadata or without."""
    assert verdict("POST", "cross-site", origin) is passes
    assert verdict("POST", "same-site", origin) is passes
    assert verdict("POST", None, origin) is (passes or not origin)


@pytest.mark.parametrize("site", [None, "cross-site"])
def test_a_host_that_is_not_allowed_is_not_ours(site: str | None) -> None:
    """Whatever Host and Origin agree on (DNS rebinding)."""
    assert not verdict("POST", site, "http://evil.example", HTTP_HOST="evil.example")
    assert not verdict("POST", site, "http://a_b!", HTTP_HOST="a_b!")
    with override_settings(CSRF_TRUSTED_ORIGINS=["http://evil.example"]):
        assert verdict("POST", site, "http://evil.example", HTTP_HOST="evil.example")


@pytest.mark.parametrize("path", ["login/", "refresh/", "logout/"])
def test_a_cross_site_request_changes_nothing(browser: Caller, path: str, django_assert_num_queries: Any) -> None:
    """A 403 by cookie before anything is read, and the cookie is left alone."""
    browser.log_in()
    with django_assert_num_queries(0):
        response = browser.send(path, HTTP_SEC_FETCH_SITE="cross-site")
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    assert response["Content-Type"] == "application/json"
    assert not response.cookies
    assert browser.refresh().status_code == 200
    assert RefreshToken.objects.get().revoked_at is None


def test_by_body_the_origin_does_not_count(script: Caller) -> None:
    """Nothing there goes along by itself."""
    assert script.log_in(HTTP_SEC_FETCH_SITE="cross-site", HTTP_ORIGIN="https://app.example").status_code == 200
    assert script.send("logout/", {"refresh": "x"}, HTTP_SEC_FETCH_SITE="cross-site").status_code == 204


def test_the_log_says_which_origin(caplog: pytest.LogCaptureFixture) -> None:
    """And where to name it; nothing that was sent can forge a line."""
    for origin in ("http://localhost:5173", "evil\nINFO all is well", "x" * 10_000):
        request = factory.post("/", HTTP_ORIGIN=origin, HTTP_SEC_FETCH_SITE="same-site")
        with pytest.raises(CrossOrigin):
            check_origin(request)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "Origin 'http://localhost:5173' is not in CSRF_TRUSTED_ORIGINS (Sec-Fetch-Site 'same-site')."
    assert "\n" not in lines[1]
    assert len(lines[2]) < 300
    assert {record.levelname for record in caplog.records} == {"WARNING"}  # as Django's own for a failed CSRF check


@pytest.mark.parametrize("debug", [True, False])
def test_the_answer_names_the_origin_with_debug(browser: Caller, debug: bool, settings: Any) -> None:
    """With DEBUG it says which origin to trust in which setting; without, a stranger learns nothing."""
    settings.DEBUG = debug
    response = browser.log_in(HTTP_SEC_FETCH_SITE="same-site", HTTP_ORIGIN="http://localhost:5173")
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    detail = response.json()["detail"]
    assert detail.startswith("Cross-origin requests are not allowed here.")
    assert ("'http://localhost:5173' is not in CSRF_TRUSTED_ORIGINS" in detail) is debug
