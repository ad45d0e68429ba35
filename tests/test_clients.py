"""What a request says about its sender."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from django.test import RequestFactory, override_settings

from tests.http import Caller
from tests.overrides import with_settings
from twotoken.clients import USER_AGENT_LENGTH, Client, client_address, sent_by_browser, stored_address
from twotoken.models import RefreshToken

factory = RequestFactory()
ADDRESSES: list[tuple[str, str | None]] = [
    ("192.0.2.1", "192.0.2.1"),
    ("2001:DB8::1", "2001:db8::1"),
    ("::ffff:192.0.2.1", "192.0.2.1"),
    ("::1", "::1"),
    ("0000:0000:0000:0000:0000:0001:192.168.100.200", "::1:c0a8:64c8"),  # no address is longer
    ("fe80::1%eth0", None),
    ("192.0.2.1:8000", None),
    ("192.0.2.999", None),
    ("unix:", None),
    ("\x00", None),
    ("", None),
]


@pytest.mark.parametrize(("address", "stored"), ADDRESSES)
def test_what_is_stored_of_an_address(address: str, stored: str | None) -> None:
    """An invalid IP address, or one with a zone, is stored as null. IPv4 in IPv6 form is stored as IPv4."""
    assert Client.from_request(factory.get("/", REMOTE_ADDR=address)).ip_address == stored


def test_long_headers_are_not_kept() -> None:
    """Parsed addresses are cached, and long invalid ones are not, so that no client can fill the memory."""
    tracemalloc.start()
    try:
        for number in range(1024):
            assert stored_address(f"{number:0>64000}") is None
        assert tracemalloc.get_traced_memory()[0] < 2**22
    finally:
        tracemalloc.stop()


def test_no_address_at_all() -> None:
    """If REMOTE_ADDR is missing or None, as behind a Unix socket, the client's address is empty."""
    request = factory.get("/")
    del request.META["REMOTE_ADDR"]
    assert client_address(request) == ""
    request.META["REMOTE_ADDR"] = None
    assert client_address(request) == ""
    assert Client.from_request(request) == Client()


PROXIES: list[tuple[int | None, str | None, str]] = [
    (None, "6.6.6.6", "192.0.2.1"),
    (0, "6.6.6.6", "192.0.2.1"),
    (1, None, "192.0.2.1"),
    (1, "", "192.0.2.1"),
    (1, "198.51.100.7", "198.51.100.7"),
    (1, "6.6.6.6, 198.51.100.7", "198.51.100.7"),
    (2, "6.6.6.6,198.51.100.7 , 203.0.113.1", "198.51.100.7"),
    (5, "6.6.6.6, 198.51.100.7", "6.6.6.6"),
    (1, "6.6.6.6, unknown", "unknown"),
]


@pytest.mark.parametrize(("proxies", "forwarded", "address"), PROXIES)
def test_a_forwarded_address_is_believed_as_far_as_set(
    proxies: int | None, forwarded: str | None, address: str
) -> None:
    """NUM_PROXIES decides which address of X-Forwarded-For is read, if any: each client can send this header."""
    extra: dict[str, Any] = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    with override_settings(REST_FRAMEWORK={"NUM_PROXIES": proxies}):
        assert client_address(factory.get("/", REMOTE_ADDR="192.0.2.1", **extra)) == address


def test_a_forwarded_address_that_is_no_ip() -> None:
    """An invalid address in X-Forwarded-For is not stored, so a proxy's wrong header can't break a login."""
    request = factory.get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="<script>")
    with override_settings(REST_FRAMEWORK={"NUM_PROXIES": 1}):
        assert Client.from_request(request).ip_address is None


def test_what_is_stored_of_a_user_agent() -> None:
    """The user agent is cut to the column's length, and NUL is removed, because PostgreSQL refuses it."""
    request = factory.get("/", HTTP_USER_AGENT="a\x00" + "b" * 600)
    assert Client.from_request(request).user_agent == "a" + "b" * (USER_AGENT_LENGTH - 1)
    assert Client.from_request(factory.get("/")).user_agent == ""


BROWSERS: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"HTTP_SEC_FETCH_SITE": "same-origin"}, True),
    ({"HTTP_ORIGIN": "http://testserver"}, True),
    ({"HTTP_SEC_FETCH_SITE": "", "HTTP_ORIGIN": ""}, False),
    ({"HTTP_USER_AGENT": "Mozilla/5.0"}, False),
]


@pytest.mark.parametrize(("headers", "is_browser"), BROWSERS)
def test_what_a_browser_sends(headers: dict[str, Any], is_browser: bool) -> None:
    """``sent_by_browser`` is true only for a request with Sec-Fetch-Site or Origin. The user agent is not read."""
    assert sent_by_browser(factory.post("/", **headers)) is is_browser


def test_nothing_is_taken_where_so_set() -> None:
    """With RECORD_CLIENT off, ``Client.from_request`` has neither address nor user agent."""
    request = factory.get("/", HTTP_USER_AGENT="Mozilla/5.0", HTTP_ORIGIN="http://testserver")
    with with_settings(RECORD_CLIENT=False):
        assert Client.from_request(request) == Client(None, "")


@pytest.mark.parametrize(("record", "stored"), [(True, ("192.0.2.7", "tool/1")), (False, (None, ""))])
def test_a_login_stores_what_is_set(script: Caller, record: bool, stored: tuple[str | None, str]) -> None:
    """With RECORD_CLIENT a login stores the address and the user agent. Without RECORD_CLIENT it stores neither."""
    with with_settings(RECORD_CLIENT=record):
        script.log_in(REMOTE_ADDR="192.0.2.7", HTTP_USER_AGENT="tool/1")
    family = RefreshToken.objects.get()
    assert (family.ip_address, family.user_agent) == stored
