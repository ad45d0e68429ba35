"""Device Bound Session Credentials in Chromium. Here Chromium keeps the key in software instead of a TPM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from tests.browser.conftest import Certificate, SecureServer, launched
from tests.browser.test_client import ME, READY, REFRESH, log_in, open_page, until

DEVICE, RENEW = "/api/auth/device/", "/api/auth/device/refresh/"
DEVICE_COOKIE = "__Secure-device_token"
DEVICE_SECONDS = 4
FEATURES = "--enable-features=DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting"
SEND = """(path) => fetch(path, { method: "POST" }).then((response) => response.status)"""


class DeviceServer(SecureServer):
    """The example project without a grace. A cookie mount binds sessions, and access tokens live for two seconds."""

    def keys(self) -> list[Any]:
        """Return the device key of each active family."""
        rows = self.rows("SELECT device_key FROM twotoken_refreshtoken WHERE revoked_at IS NULL")
        return [key for (key,) in rows]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[DeviceServer]:
    """The server of all tests in this module."""
    server = DeviceServer(
        tmp_path_factory.mktemp("server"),
        certificate,
        TEST_URLCONF="tests.browser.device_urls",
        TEST_DEVICE_SECONDS=str(DEVICE_SECONDS),
        TEST_ACCESS_SECONDS="2",
        TEST_BROWSER_GRACE="0",
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _no_families(server: DeviceServer) -> None:
    """Start without token families and without faults."""
    server.clear()


@pytest.fixture
def bound_chromium(driver: Playwright, certificate: Certificate) -> Iterator[Browser]:
    """A Chromium for one test only, because Chromium allows only a few signatures in some minutes."""
    with launched(driver, FEATURES, f"--ignore-certificate-errors-spki-list={certificate.digest}") as browser:
        yield browser


@pytest.fixture
def owner(bound_chromium: Browser, server: DeviceServer) -> tuple[BrowserContext, Page]:
    """A profile and its page, which has logged in by a ``fetch``. Chromium has registered a key for the session."""
    context = bound_chromium.new_context()
    page = open_page(context, server)
    log_in(page)
    wait_for_cookie(context, page)
    (key,) = server.keys()
    assert key.startswith('dbsc:{"crv":"P-256","kty":"EC","x":')
    return context, page


def wait_for_cookie(context: BrowserContext, page: Page) -> None:
    """Wait until the browser has a device cookie."""
    for _ in range(100):
        if DEVICE_COOKIE in names(context):
            return
        page.wait_for_timeout(50)
    raise AssertionError("no device cookie")


def names(context: BrowserContext) -> set[str]:
    """Return the names of a profile's cookies."""
    return {cookie.get("name", "") for cookie in context.cookies()}


def wait_for_expiry(context: BrowserContext, page: Page) -> None:
    """Wait until the device cookie has expired."""
    page.wait_for_timeout(1000 * DEVICE_SECONDS + 500)
    assert DEVICE_COOKIE not in names(context)


def test_a_device_cookie_is_renewed_unseen(server: DeviceServer, owner: tuple[BrowserContext, Page]) -> None:
    """Chromium renews the device cookie at about its expiry, and all refreshes of the page succeed."""
    context, page = owner
    answers: list[int] = []
    context.on("response", lambda response: answers.append(response.status) if REFRESH in response.url else None)
    renewed = 1  # the first request is answered with a challenge
    for _ in range(2):
        page.wait_for_timeout(1000 * DEVICE_SECONDS + 500)
        assert page.evaluate(ME, "/api/me/") == 200
        assert server.calls()[RENEW] > renewed
        renewed = server.calls()[RENEW]
    assert set(answers) == {200}
    assert page.evaluate("ended") == []
    assert server.calls()[DEVICE] == 1


def test_a_copied_jar_in_a_second_profile(
    server: DeviceServer, owner: tuple[BrowserContext, Page], bound_chromium: Browser
) -> None:
    """When the device cookie expires, a thief with all cookies and storage is refused. The owner stays logged in."""
    context, page = owner
    page.wait_for_timeout(2100)
    assert page.evaluate(ME, "/api/me/") == 200
    thief = bound_chromium.new_context()
    thief.add_cookies(context.cookies())  # type: ignore[arg-type]  # what cookies() returns is what add_cookies() takes
    items = page.evaluate("() => JSON.stringify(Object.entries(localStorage))")
    thief.add_init_script(f"for (const [name, value] of {items}) localStorage.setItem(name, value);")
    wait_for_expiry(thief, page)
    answers: list[Any] = []
    thief.on("response", lambda response: answers.append(response) if REFRESH in response.url else None)
    robbed = open_page(thief, server)
    assert robbed.evaluate("[client.isAuthenticated, ...ended]") == [False, "wrong_device"]
    assert [(answer.status, answer.json()["reason"]) for answer in answers] == [(401, "wrong_device")]
    assert page.evaluate(ME, "/api/me/") == 200
    page.reload()
    until(page, READY)
    assert page.evaluate(ME, "/api/me/") == 200
    assert page.evaluate("ended") == []
    assert len(server.keys()) == 1


def test_logout(server: DeviceServer, owner: tuple[BrowserContext, Page]) -> None:
    """A logout revokes the family, Chromium deletes its session, and the next login is bound to a new key."""
    context, page = owner
    (first,) = server.keys()
    page.evaluate("client.logout()")
    assert server.keys() == []
    wait_for_expiry(context, page)
    for _ in range(2):
        assert page.evaluate(SEND, REFRESH) == 401
    assert server.calls()[RENEW] == 2  # a challenge, and the order to forget the session
    log_in(page)
    page.wait_for_timeout(2500)
    assert page.evaluate(ME, "/api/me/") == 200
    (second,) = server.keys()
    assert second.startswith("dbsc:")
    assert second != first


def test_a_server_that_restarts(server: DeviceServer, owner: tuple[BrowserContext, Page]) -> None:
    """While the server is down, the page stays logged in. After a restart of the server the session continues."""
    context, page = owner
    server.stop()
    wait_for_expiry(context, page)
    assert page.evaluate("ended") == []
    server.start()
    assert page.evaluate(ME, "/api/me/") == 200
    assert page.evaluate("ended") == []
    assert len(server.keys()) == 1


def test_a_reload_before_the_registration_is_answered(server: DeviceServer, bound_chromium: Browser) -> None:
    """A page that reloads before the server has answered the registration waits a moment, and stays logged in."""
    context = bound_chromium.new_context()
    page = open_page(context, server)
    server.faults({"path": DEVICE, "what": "delay answer", "seconds": 2})
    statuses: list[int] = []
    context.on("response", lambda response: statuses.append(response.status) if REFRESH in response.url else None)
    log_in(page)
    while not any(server.keys()):
        page.wait_for_timeout(50)
    page.reload()
    until(page, READY)
    assert page.evaluate(ME, "/api/me/") == 200
    assert page.evaluate("ended") == []
    assert (statuses[0], statuses[-1]) == (503, 200)
    assert DEVICE_COOKIE in names(context)


@pytest.mark.parametrize(
    ("fault", "word"), [({"what": "status", "status": 500}, "server_error"), ({"what": "cut"}, "unreachable")]
)
def test_a_renewal_that_fails(
    server: DeviceServer, owner: tuple[BrowserContext, Page], fault: dict[str, Any], word: str
) -> None:
    """If a renewal of the device cookie fails, Chromium says so. The page waits until a renewal works."""
    context, page = owner
    skipped: list[str] = []
    name = "secure-session-skipped"
    context.on("response", lambda response: skipped.append(response.request.all_headers().get(name, "")))
    server.faults({"path": RENEW, "times": 1000, **fault})
    wait_for_expiry(context, page)
    page.evaluate("() => { window.asking = client.fetch('/api/me/').then((response) => response.status); }")
    for _ in range(200):
        if any(skipped):
            break
        page.wait_for_timeout(50)
    server.faults()
    assert page.evaluate("asking") == 200
    assert page.evaluate("ended") == []
    (family,) = server.rows("SELECT id FROM twotoken_refreshtoken WHERE revoked_at IS NULL")
    assert {header.replace("-", "") for header in skipped if header} == {f'{word};session_identifier="{family[0]}"'}


def test_switched_off(server: DeviceServer, owner: tuple[BrowserContext, Page]) -> None:
    """After ``unbind_token_families`` the session continues, and the server tells Chromium to forget the key."""
    context, page = owner
    server.manage("unbind_token_families", "--protocol", "dbsc")
    wait_for_expiry(context, page)
    assert page.evaluate(ME, "/api/me/") == 200
    assert server.keys() == [""]
    assert server.calls()[RENEW] == 2  # a challenge, and the order to forget the session
    page.wait_for_timeout(2100)
    assert page.evaluate(ME, "/api/me/") == 200
    assert server.calls()[RENEW] == 2
    assert page.evaluate("ended") == []
    ((family,),) = server.rows("SELECT id FROM twotoken_refreshtoken")
    headers = {"Sec-Secure-Session-Id": str(UUID(family)), "Secure-Session-Response": "x"}
    answer = page.request.post(server.url + RENEW, headers=headers, ignore_https_errors=True)
    assert answer.json() == {"session_identifier": str(UUID(family)), "continue": False}


def test_a_browser_without_it(server: DeviceServer, chromium: Browser) -> None:
    """A browser without DBSC registers no key, gets no device cookie, and stays logged in."""
    context = chromium.new_context(ignore_https_errors=True)
    page = open_page(context, server)
    log_in(page)
    page.wait_for_timeout(2100)
    assert page.evaluate(ME, "/api/me/") == 200
    assert server.keys() == [""]
    assert DEVICE not in server.calls()
    context.close()
