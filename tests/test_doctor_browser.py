"""What the doctor knows about browsers: sites, and cookies that browsers drop or do not send."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from twotoken.management.doctor.browser import Cookie, fault_of, is_third_party
from twotoken.management.doctor.sites import is_suffix, origin_of, relation, site_of

API, PAGE = "https://api.example.com/api/auth/", "https://app.example.com"
FINE = "__Secure-refresh_token=x; HttpOnly; Max-Age=604800; Path=/api/auth/; SameSite=Strict; Secure"


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("app.example.com", "example.com"),
        ("a.b.example.com", "example.com"),
        ("app.example.co.uk", "example.co.uk"),
        ("shop.github.io", "shop.github.io"),
        ("a.up.railway.app", "a.up.railway.app"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
    ],
)
def test_sites(host: str, site: str) -> None:
    """The site of a host is its registrable domain, or the host itself for an IP address or a name without dots."""
    assert site_of(host) == site


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("https://api.example.com:443/", "same-origin"),
        ("https://app.example.com", "same-site"),
        ("https://api.example.com:8443", "same-site"),
        ("http://app.example.com", "cross-site"),
        ("https://app.example.net", "cross-site"),
    ],
)
def test_what_a_page_is_to_the_api(page: str, expected: str) -> None:
    """A page with another scheme is cross-site to the API. A page with another port is same-site, not same-origin."""
    assert relation(urlsplit(page), urlsplit(API)) == expected


def test_origins() -> None:
    """An origin has no default port, and keeps the brackets of an IPv6 address."""
    assert origin_of("http://[::1]:8000/x") == "http://[::1]:8000"
    assert origin_of("http://example.com:80/") == "http://example.com"


def test_suffixes() -> None:
    """``is_suffix`` is true for a suffix that many owners share. No cookie can have such a suffix as its Domain."""
    assert [is_suffix(name) for name in ("com", "co.uk", "vercel.app", "example.com")] == [True, True, True, False]


@pytest.mark.parametrize(
    ("header", "page", "api", "remedy"),
    [
        (FINE, PAGE, API, ""),
        (FINE, PAGE, API.replace("https", "http"), "Use https."),
        (FINE, "http://localhost:5173", "http://localhost:8000/api/auth/", ""),
        (FINE, "http://localhost:5173", "http://[::1]:8000/api/auth/", "open the page at http://[::1]:5173."),
        (FINE, "http://localhost", "http://127.0.0.1/api/auth/", "open the page at http://127.0.0.1."),
        (FINE, "http://app.example.com", API, "Serve both over https."),
        (FINE, "http://app.example.net", API, "Serve both under one registrable domain"),
        (FINE, "https://app.example.net", API, "TWOTOKEN['COOKIE_SAMESITE'] to 'None'"),
        (FINE.replace("Strict", "Lax"), "https://app.example.net", API, "COOKIE_SAMESITE"),
        (FINE.replace("Strict", "None"), "https://app.example.net", API, ""),
        (FINE.replace("SameSite=Strict; ", ""), "https://app.example.net", API, "COOKIE_SAMESITE"),
        ("a=x; SameSite=None; Path=/api/auth/", PAGE, API, "COOKIE_SECURE"),
        ("__Secure-a=x; Path=/api/auth/", PAGE, API, "COOKIE_NAME"),
        ("__host-a=x; Secure; Path=/api/", PAGE, API, "COOKIE_NAME"),
        ("__Host-a=x; Secure; Path=/; Domain=example.com", PAGE, API, "COOKIE_NAME"),
        ("__Host-a=x; Secure; Path=/", PAGE, API, ""),
        ("a=x; Domain=.Example.com; Path=/api/auth/", PAGE, API, ""),
        ("a=x; Domain=api.example.com; Path=/", PAGE, API, ""),
        ("a=x; Domain=le.com", PAGE, API, "COOKIE_DOMAIN"),
        ("a=x; Domain=com", PAGE, API, "COOKIE_DOMAIN"),
        ("a=x; Path=/auth/", PAGE, API, "FORCE_SCRIPT_NAME = '/api'"),
        ("a=x; Path=/other", PAGE, API, "COOKIE_PATH"),
        ("a=x; Path=/api/aut", PAGE, API, "COOKIE_PATH"),
        ("a=x; Path=/api", PAGE, API, ""),
        ("a=x; Path=relative", PAGE, API, "COOKIE_PATH"),
    ],
)
def test_cookies(header: str, page: str, api: str, remedy: str) -> None:
    """``fault_of`` returns fault and remedy for a cookie that browsers drop or do not send, and None for any other."""
    cookie = Cookie.parse(header, "/api/auth/refresh/")
    fault = fault_of(cookie, urlsplit(page), urlsplit(api))
    assert (fault is None) == (remedy == "")
    assert fault is None or remedy in fault.remedy


def test_third_party_cookies() -> None:
    """Only a cookie with SameSite=None that goes to another site is a third-party cookie."""
    cookie = Cookie.parse(FINE.replace("Strict", "None"), "/")
    assert is_third_party(cookie, urlsplit("https://app.example.net"), urlsplit(API))
    assert not is_third_party(cookie, urlsplit(PAGE), urlsplit(API))
