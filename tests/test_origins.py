"""Cross-origin protection: the rules of Go's CrossOriginProtection, with Django's trusted origins."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory, override_settings

from tests.http import Caller
from twotoken.exceptions import CrossOrigin
from twotoken.views import check_origin

factory = RequestFactory()


def verdict(method: str, site: str | None, origin: str | None, *, secure: bool = False, **extra: Any) -> bool:
    """Tell whether a request with these headers is allowed."""
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
    # Fetch Metadata counts more than Origin, which a proxy may change.
    ("POST", "same-origin", "http://attacker.example", True),
    ("POST", "same-origin", "null", True),
    ("POST", "cross-site", "http://testserver", False),
    ("POST", "same-site", "http://testserver", False),
    ("POST", "cross-site", "null", False),
    # An unknown value of Sec-Fetch-Site does not count as same-origin.
    ("POST", "Same-Origin", "http://testserver", False),
    ("POST", "nonsense", None, False),
    # Empty headers count as missing.
    ("POST", "", "", True),
    ("POST", "", "http://attacker.example", False),
]


@pytest.mark.parametrize(("method", "site", "origin", "passes"), GO)
def test_the_table(method: str, site: str | None, origin: str | None, passes: bool) -> None:
    """Without trusted origins, requests are allowed and refused as by Go's CrossOriginProtection."""
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
    """An origin is ours only if scheme, host and port match. Go's CrossOriginProtection can't compare the scheme."""
    assert verdict("POST", None, origin, secure=secure) is passes


def test_our_own_port_counts() -> None:
    """The same host on another port is another origin."""
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
    """An origin must match CSRF_TRUSTED_ORIGINS in scheme, domain and port, with or without Fetch Metadata."""
    assert verdict("POST", "cross-site", origin) is passes
    assert verdict("POST", "same-site", origin) is passes
    assert verdict("POST", None, origin) is (passes or not origin)


@pytest.mark.parametrize("site", [None, "cross-site"])
def test_a_host_that_is_not_allowed_is_not_ours(site: str | None) -> None:
    """If Django does not allow the Host header, an Origin with the same host is refused too (DNS rebinding)."""
    assert not verdict("POST", site, "http://evil.example", HTTP_HOST="evil.example")
    assert not verdict("POST", site, "http://a_b!", HTTP_HOST="a_b!")
    with override_settings(CSRF_TRUSTED_ORIGINS=["http://evil.example"]):
        assert verdict("POST", site, "http://evil.example", HTTP_HOST="evil.example")


def test_the_log_says_which_origin(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the refused origin and CSRF_TRUSTED_ORIGINS. A line break in the Origin can't forge a log line."""
    for origin in ("http://localhost:5173", "evil\nINFO all is well", "x" * 10_000):
        request = factory.post("/", HTTP_ORIGIN=origin, HTTP_SEC_FETCH_SITE="same-site")
        with pytest.raises(CrossOrigin):
            check_origin(request)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "Origin 'http://localhost:5173' is not in CSRF_TRUSTED_ORIGINS (Sec-Fetch-Site 'same-site')."
    assert "\n" not in lines[1]
    assert len(lines[2]) < 300
    assert {record.levelname for record in caplog.records} == {"WARNING"}  # as Django logs a failed CSRF check


@pytest.mark.parametrize("debug", [True, False])
def test_the_answer_names_the_origin_with_debug(browser: Caller, debug: bool, settings: Any) -> None:
    """With DEBUG a refusal names the origin and CSRF_TRUSTED_ORIGINS. Without DEBUG it does not."""
    settings.DEBUG = debug
    response = browser.log_in(HTTP_SEC_FETCH_SITE="same-site", HTTP_ORIGIN="http://localhost:5173")
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    detail = response.json()["detail"]
    assert detail.startswith("Cross-origin requests are not allowed here.")
    assert ("'http://localhost:5173' is not in CSRF_TRUSTED_ORIGINS" in detail) is debug
