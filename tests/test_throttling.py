"""The throttles: what is counted, by what, and what is not."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache

from tests.factories import PASSWORD, UserFactory
from tests.http import Caller
from tests.issuers import tenant
from tests.jar import COOKIE
from tests.overrides import with_settings
from twotoken.throttling import LoginThrottle, RefreshThrottle, fold

WRONG = "not the password"


def attempt(caller: Caller, name: str, password: str = WRONG, **extra: Any) -> Any:
    """Try to log in."""
    return caller.send("login/", {caller.user.USERNAME_FIELD: name, "password": password}, **extra)


def assert_throttled(response: Any) -> None:
    """Hold an answer to what a throttled client needs."""
    assert (response.status_code, response.json()["code"]) == (429, "throttled")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert response["Cache-Control"] == "no-store"
    assert COOKIE not in response.cookies


def test_too_many_logins(jar: Caller) -> None:
    """A 429 that says when to come back, the right password included, and the cookie is left alone."""
    with with_settings(LOGIN_THROTTLE="2/min"):
        jar.log_in()
        assert jar.cookie
        assert attempt(jar, jar.user.get_username()).status_code == 401
        assert_throttled(attempt(jar, jar.user.get_username()))
        assert_throttled(jar.log_in())
        assert jar.refresh().status_code == 200


def test_too_many_refreshes(jar: Caller) -> None:
    """The same, per family: the token that was refused is good later, and another family's is good now."""
    with with_settings(REFRESH_THROTTLE="2/min"):
        jar.log_in()
        assert [jar.refresh().status_code for _ in range(2)] == [200, 200]
        assert_throttled(jar.refresh())
        other = Caller(jar.user, mount=jar.mount)
        other.log_in()
        assert other.refresh().status_code == 200
    assert jar.refresh().status_code == 200


def test_a_rate_that_was_lowered(jar: Caller) -> None:
    """It still says when to come back where more is counted than it allows."""
    with with_settings(LOGIN_THROTTLE="5/min"):
        assert [attempt(jar, "ann").status_code for _ in range(4)] == [401] * 4
    with with_settings(LOGIN_THROTTLE="1/min"):
        assert_throttled(attempt(jar, "ann"))


def test_logins_count_by_address_and_name(script: Caller) -> None:
    """Another name from here and this name from elsewhere are not held up; another spelling is."""
    with with_settings(LOGIN_THROTTLE="1/min"):
        assert attempt(script, "ann").status_code == 401
        for name in ("ann", "ANN", "änn", " Ann ", "a\u200bnn"):
            assert_throttled(attempt(script, name))
        assert attempt(script, "bob").status_code == 401
        assert attempt(script, "ann", REMOTE_ADDR="192.0.2.9").status_code == 401
        assert_throttled(attempt(script, "ann", HTTP_X_FORWARDED_FOR="192.0.2.10"))


def test_another_account_s_success_does_not_reset(script: Caller) -> None:
    """Who has an account of the own can't buy guesses at another with it."""
    with with_settings(LOGIN_THROTTLE="2/min"):
        user: Any = UserFactory()
        victim = user.get_username()
        assert attempt(script, victim).status_code == 401
        assert script.log_in().status_code == 200
        assert attempt(script, victim).status_code == 401
        assert_throttled(attempt(script, victim, PASSWORD))


def test_what_is_no_login_is_not_counted(script: Caller) -> None:
    """A request without a name or password is a 400, again and again."""
    with with_settings(LOGIN_THROTTLE="1/min"):
        for _ in range(3):
            assert script.send("login/", {}).status_code == 400
        assert script.log_in().status_code == 200


def test_an_office_behind_one_address(script: Caller) -> None:
    """Seventy families refresh within a minute from there, at the default rates."""
    with with_settings(LOGIN_THROTTLE=None, REFRESH_THROTTLE="60/min"):
        tokens = [script.log_in().json()["refresh"] for _ in range(70)]
        assert {script.refresh(token).status_code for token in tokens} == {200}


@pytest.mark.parametrize("path", ["login/", "refresh/"])
def test_cross_site_requests_are_not_counted(browser: Caller, path: str) -> None:
    """A page that a person visits can't lock that person out."""
    with with_settings(LOGIN_THROTTLE="10/min", REFRESH_THROTTLE="60/min"):
        browser.log_in()
        credentials = {browser.user.USERNAME_FIELD: browser.user.get_username(), "password": WRONG}
        for _ in range(61):
            response = browser.send(path, credentials, HTTP_SEC_FETCH_SITE="cross-site")
            assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
        assert browser.refresh().status_code == 200
        assert browser.log_in().status_code == 200


def test_a_token_that_we_did_not_sign_is_not_counted(script: Caller) -> None:
    """Or anybody could use up a family's share by its id."""
    with with_settings(REFRESH_THROTTLE="1/min"):
        token = script.log_in().json()["refresh"]
        for _ in range(3):
            assert script.refresh(token[:-1]).json()["reason"] == "invalid"
        assert script.refresh(token).status_code == 200


def test_none_is_off(script: Caller) -> None:
    """No request is counted, and the cache is not touched."""
    with with_settings(LOGIN_THROTTLE=None, REFRESH_THROTTLE=None):
        assert LoginThrottle("192.0.2.1", "ann").get_rate() is None
        assert RefreshThrottle(uuid4()).get_rate() is None
        for _ in range(15):
            assert attempt(script, "ann").status_code == 401


def test_no_cache_holds_a_name() -> None:
    """The key is a digest, another for each job, address and name, and none can be made to look like another."""
    request: Any = None
    throttles: list[Any] = [
        LoginThrottle("192.0.2.1", "ann"),
        LoginThrottle("192.0.2.2", "ann"),
        LoginThrottle("192.0.2.1", "bob"),
        LoginThrottle("192.0.2.1\nann", ""),
        RefreshThrottle(uuid4()),
        LoginThrottle("", "\ud800"),
    ]
    keys = [throttle.get_cache_key(request, request) for throttle in throttles]
    assert len(set(keys)) == len(keys)
    assert not any("ann" in key or "192.0" in key for key in keys)
    assert all(cache.get(key) is None for key in keys)
    assert keys[4].startswith("throttle_twotoken_refresh_")


def test_each_tenant_has_its_own_count(script: Caller) -> None:
    """Tenants may share a cache, but not the count of a name, nor that of a family."""
    with with_settings(LOGIN_THROTTLE="1/min", REFRESH_THROTTLE="1/min", ISSUER="tests.issuers.issuer"):
        throttles: list[Any] = [LoginThrottle("192.0.2.1", "ann"), RefreshThrottle(uuid4())]
        request: Any = None
        keys = [throttle.get_cache_key(request, request) for throttle in throttles]
        assert attempt(script, "ann").status_code == 401
        with tenant("b"):
            assert not {throttle.get_cache_key(request, request) for throttle in throttles}.intersection(keys)
            assert attempt(script, "ann").status_code == 401
            assert_throttled(attempt(script, "ann"))
        assert_throttled(attempt(script, "ann"))


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("ann", "ANN"),
        ("ann", " a n n\t"),
        ("ann", "änn"),
        ("ann", "a\u200bnn"),
        ("ann", "\uff41nn"),
        ("strasse", "STRAßE"),
    ],
)
def test_one_name_in_many_spellings(name: str, variant: str) -> None:
    """What a database's collation may take for the same name counts as one."""
    assert fold(variant) == fold(name)


def test_names_that_differ() -> None:
    """Folding does not make one of two people."""
    assert len({fold(name) for name in ("ann", "anna", "anne", "a.nn", "ann1", "анн", "")}) == 7


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.1:4711", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("[2001:db8::1]:80", "[2001:db8::2]", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix:", "unix:", True),
    ],
)
def test_what_one_client_has_to_itself(one: str, other: str, same: bool) -> None:
    """The whole /64 of an IPv6 address, or changing it would be a way around; not the port of a proxy's making."""
    assert (LoginThrottle(one, "ann").ident() == LoginThrottle(other, "ann").ident()) is same
