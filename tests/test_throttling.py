"""The throttles: what they count, by which keys, and what they don't count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.management import call_command
from django.db import connection, transaction
from django.http import HttpRequest
from django.test import override_settings
from rest_framework.request import Request
from rest_framework.views import APIView

from tests.factories import PASSWORD, UserFactory
from tests.http import Caller
from tests.issuers import tenant
from tests.jar import COOKIE
from tests.overrides import with_settings
from twotoken.throttling import LoginThrottle, RefreshThrottle
from twotoken.tokens import RefreshClaims

User: Any = get_user_model()
WRONG = "not the password"
HERE = "tests.test_throttling"
TABLE = "throttle_counts"
CACHES = {
    "memory": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "throttles"},
    "places": {"BACKEND": f"{HERE}.Places", "LOCATION": "places"},
    "database": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": TABLE,
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    },
}
# On PostgreSQL only the transaction is read-only, because PgBouncer gives the connection to other clients later.
READ_ONLY: dict[str, tuple[Callable[[], AbstractContextManager[Any]], str]] = {
    "sqlite": (nullcontext, "PRAGMA query_only = ON"),
    "postgresql": (transaction.atomic, "SET TRANSACTION READ ONLY"),
    "mysql": (nullcontext, "SET SESSION TRANSACTION READ ONLY"),
}


class Places(LocMemCache):
    """A cache without an atomic ``incr``, so that the throttle stores a key per request instead of a number."""

    incr = BaseCache.incr


class Lagging(LocMemCache):
    """A cache that reads from an empty replica, and that has lost each key before ``decr``."""

    def get_many(self, keys: Any, version: Any = None) -> dict[Any, Any]:
        """Return no values."""
        return {}

    def decr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        """Fail as for a missing key."""
        raise ValueError("not found")


class LaggingPlaces(Lagging):
    """A Lagging cache without an atomic ``incr``, so that the throttle stores a key per request."""

    incr = BaseCache.incr


class Down(LocMemCache):
    """A cache server that does not answer."""

    def get_many(self, keys: Any, version: Any = None) -> dict[Any, Any]:
        """Raise an error."""
        raise ConnectionError("the cache is down")


class Quiet(LocMemCache):
    """A cache that ignores errors of its server, so that ``incr`` returns nothing."""

    def incr(self, key: Any, delta: int = 1, version: Any = None) -> Any:
        """Do nothing."""


class Full(LocMemCache):
    """A cache that stores nothing."""

    def add(self, key: Any, value: Any, timeout: Any = None, version: Any = None) -> bool:
        """Refuse to store a value."""
        return False


@contextmanager
def counting_in(name: str) -> Iterator[None]:
    """Let the throttles count in the cache of this name."""
    values = CACHES.get(name) or {"BACKEND": f"{HERE}.{name}", "LOCATION": name}
    with override_settings(CACHES={"default": values}):
        if name == "database":
            call_command("createcachetable")
        cache.clear()
        try:
            yield
        finally:
            if name == "database":
                with connection.cursor() as cursor:
                    cursor.execute(f"DROP TABLE {TABLE}")


def passes(throttle: Any) -> bool:
    """Count one request, and tell whether the throttle lets it pass."""
    passed: bool = throttle.allow_request(Request(HttpRequest()), APIView())
    return passed


def tries(name: str, count: int) -> int:
    """Send this many logins of a name, one after another, and return how many pass."""
    return sum(passes(LoginThrottle("192.0.2.1", name)) for _ in range(count))


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock that stands still at the start of a minute until it is shifted."""
    with time_machine.travel(datetime(2031, 5, 4, 12, 30, tzinfo=UTC), tick=False) as traveller:
        yield traveller


def attempt(caller: Caller, name: str, password: str = WRONG, **extra: Any) -> Any:
    """Try to log in."""
    return caller.send("login/", {caller.user.USERNAME_FIELD: name, "password": password}, **extra)


def assert_throttled(response: Any) -> None:
    """Check that an answer is a 429 with a code and a Retry-After, is not cached, and sets no cookie."""
    assert (response.status_code, response.json()["code"]) == (429, "throttled")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert response["Cache-Control"] == "no-store"
    assert COOKIE not in response.cookies


def test_too_many_logins(jar: Caller) -> None:
    """Too many logins are a 429 with Retry-After, even with the right password. The cookie stays."""
    with with_settings(LOGIN_THROTTLE="2/min"):
        jar.log_in()
        assert jar.cookie
        assert attempt(jar, jar.user.get_username()).status_code == 401
        assert_throttled(attempt(jar, jar.user.get_username()))
        assert_throttled(jar.log_in())
        assert jar.refresh().status_code == 200


def test_too_many_refreshes(jar: Caller) -> None:
    """Refreshes are counted per family. A throttled refresh token stays valid."""
    with with_settings(REFRESH_THROTTLE="2/min"):
        jar.log_in()
        assert [jar.refresh().status_code for _ in range(2)] == [200, 200]
        assert_throttled(jar.refresh())
        other = Caller(jar.user, mount=jar.mount)
        other.log_in()
        assert other.refresh().status_code == 200
    assert jar.refresh().status_code == 200


def test_a_rate_that_was_lowered(jar: Caller) -> None:
    """If the rate was lowered below the number of counted requests, a 429 still has Retry-After."""
    with with_settings(LOGIN_THROTTLE="5/min"):
        assert [attempt(jar, "ann").status_code for _ in range(4)] == [401] * 4
    with with_settings(LOGIN_THROTTLE="1/min"):
        assert_throttled(attempt(jar, "ann"))


def test_logins_count_by_address_and_name(script: Caller) -> None:
    """Logins are counted per address and name. Spellings of one name share a count."""
    with with_settings(LOGIN_THROTTLE="1/min"):
        assert attempt(script, "ann").status_code == 401
        for name in ("ann", "ANN", "änn", "Ann "):
            assert_throttled(attempt(script, name))
        assert attempt(script, "bob").status_code == 401
        assert attempt(script, "ann", REMOTE_ADDR="192.0.2.9").status_code == 401
        assert_throttled(attempt(script, "ann", HTTP_X_FORWARDED_FOR="192.0.2.10"))


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["memory", "places"])
def test_about_the_limit_in_any_minute(clock: Any, name: str) -> None:
    """The previous window counts in proportion to the part of it that lies within the last minute."""
    with counting_in(name), with_settings(LOGIN_THROTTLE="10/min"):
        clock.shift(timedelta(seconds=59))
        assert tries("ann", 64) == 10
        clock.shift(timedelta(seconds=2))
        assert tries("ann", 64) == 1
        clock.shift(timedelta(seconds=30))
        assert tries("ann", 64) == 5
        clock.shift(timedelta(seconds=59))
        assert tries("ann", 64) == 7
        clock.shift(timedelta(minutes=2))
        assert tries("ann", 64) == 10


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["memory", "places"])
@pytest.mark.parametrize("seconds", [0.25, 17, 59])
def test_when_to_come_back(clock: Any, name: str, seconds: float) -> None:
    """Retry-After is exact, whether the next request will pass in the current window or in a later one."""
    with counting_in(name), with_settings(LOGIN_THROTTLE="4/min"):
        throttle = LoginThrottle("192.0.2.1", "ann")
        clock.shift(timedelta(seconds=seconds))
        assert tries("ann", 4) == 4
        for _ in range(6):
            assert not passes(throttle)
            clock.shift(timedelta(seconds=throttle.wait() - 1))
            assert not passes(throttle)
            assert throttle.wait() == 1
            clock.shift(timedelta(seconds=1))
            assert tries("ann", 2) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("microseconds", "passed"), [(5, False), (20_000, True)])
def test_the_first_moment_of_a_long_window(clock: Any, microseconds: int, passed: bool) -> None:
    """Retry-After is exact at the start of a window too, and never 0."""
    with counting_in("memory"), with_settings(LOGIN_THROTTLE="1/day"):
        throttle = LoginThrottle("192.0.2.1", "ann")
        assert tries("ann", 2) == 1
        clock.move_to(datetime(2031, 5, 5, 0, 0, 0, microseconds, tzinfo=UTC))
        assert passes(throttle) is passed
        assert passed or throttle.wait() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["memory", "places"])
def test_refused_tries_are_not_counted(clock: Any, name: str) -> None:
    """Refused requests are not counted: a client that keeps trying gets as many logins as the rate allows."""
    passed = 0
    with counting_in(name), with_settings(LOGIN_THROTTLE="10/min"):
        for _ in range(600):
            passed += tries("ann", 1)
            clock.shift(timedelta(seconds=1))
    assert 90 <= passed <= 101


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["Lagging", "LaggingPlaces"])
def test_a_read_that_is_behind(name: str) -> None:
    """If the cache returns old values, still only as many requests pass as the rate allows."""
    with counting_in(name), with_settings(LOGIN_THROTTLE="3/hour"):
        assert tries("ann", 8) == 3


@pytest.mark.parametrize("name", ["Down", "Quiet", "Full"])
def test_a_cache_that_fails(script: Caller, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """If the cache fails, requests pass, and the log has an error."""
    with counting_in(name), with_settings(LOGIN_THROTTLE="1/min", REFRESH_THROTTLE="1/min"):
        tokens = [script.log_in().json()["refresh"] for _ in range(3)]
        token = script.refresh(tokens[-1]).json()["refresh"]
        assert script.refresh(token).status_code == 200
    said = [record for record in caplog.records if record.name == "twotoken" and record.levelname == "ERROR"]
    assert {record.getMessage() for record in said} >= {
        "The cache failed, so LoginThrottle did not count a request and let it pass.",
        "The cache failed, so RefreshThrottle did not count a request and let it pass.",
    }
    assert all(record.exc_info for record in said)


@pytest.mark.django_db(transaction=True)
def test_a_cache_whose_table_is_missing(script: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """If the table of the cache is missing, requests pass, and the log has an error."""
    with override_settings(CACHES={"default": CACHES["database"]}), with_settings(LOGIN_THROTTLE="1/min"):
        assert [script.log_in().status_code for _ in range(2)] == [200] * 2
    assert "LoginThrottle did not count a request" in caplog.text


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_cache_in_a_database_that_only_reads(caplog: pytest.LogCaptureFixture) -> None:
    """If the cache's database is read-only, Django's cache says that a new key exists. Requests pass nevertheless."""
    with counting_in("database"), with_settings(REFRESH_THROTTLE="1/min"):
        block, statement = READ_ONLY[connection.vendor]
        try:
            with block(), connection.cursor() as cursor:
                cursor.execute(statement)
                assert passes(RefreshThrottle(RefreshClaims(uuid4(), 0, "")))
        finally:
            connection.close()
    assert "CacheRefuses" in caplog.text


def test_another_account_s_success_does_not_reset(script: Caller) -> None:
    """A login to another account does not reset the count, so a thief gets no more guesses at the victim's password."""
    with with_settings(LOGIN_THROTTLE="2/min"):
        user: Any = UserFactory()
        victim = user.get_username()
        assert attempt(script, victim).status_code == 401
        assert script.log_in().status_code == 200
        assert attempt(script, victim).status_code == 401
        assert_throttled(attempt(script, victim, PASSWORD))


def test_what_is_no_login_is_not_counted(script: Caller) -> None:
    """A request without a name or password is a 400, however often it is sent."""
    with with_settings(LOGIN_THROTTLE="1/min"):
        for _ in range(3):
            assert script.send("login/", {}).status_code == 400
        assert script.log_in().status_code == 200


def test_a_token_that_we_did_not_sign_is_not_counted(script: Caller) -> None:
    """A token with a wrong signature is not counted. Otherwise anybody could use up a family's share."""
    with with_settings(REFRESH_THROTTLE="1/min"):
        token = script.log_in().json()["refresh"]
        for _ in range(3):
            assert script.refresh(token[:-1]).json()["reason"] == "invalid"
        assert script.refresh(token).status_code == 200


def test_none_is_off(script: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """If the throttle settings are None, no request is counted, and the cache is not used."""
    with counting_in("Down"), with_settings(LOGIN_THROTTLE=None, REFRESH_THROTTLE=None):
        assert LoginThrottle("192.0.2.1", "ann").get_rate() is None
        assert RefreshThrottle(RefreshClaims(uuid4(), 0, "")).get_rate() is None
        for _ in range(15):
            assert attempt(script, "ann").status_code == 401
        assert script.refresh(script.log_in().json()["refresh"]).status_code == 200
    assert "The cache failed" not in caplog.text


@pytest.mark.django_db
def test_no_cache_holds_a_name() -> None:
    """The cache key is a digest of scope, address and name. Different values make different keys."""
    request: Any = None
    throttles: list[Any] = [
        LoginThrottle("192.0.2.1", "ann"),
        LoginThrottle("192.0.2.2", "ann"),
        LoginThrottle("192.0.2.1", "bob"),
        LoginThrottle("192.0.2.1\nann", ""),
        RefreshThrottle(RefreshClaims(uuid4(), 0, "")),
        LoginThrottle("", "\ud800"),
    ]
    keys = [throttle.get_cache_key(request, request) for throttle in throttles]
    assert len(set(keys)) == len(keys)
    assert not any("ann" in key or "192.0" in key for key in keys)
    assert all(cache.get(key) is None for key in keys)
    assert keys[4].startswith("throttle_twotoken_refresh_")


def test_each_tenant_has_its_own_count(script: Caller) -> None:
    """Tenants that share a cache have their own counts of names and families."""
    with with_settings(LOGIN_THROTTLE="1/min", REFRESH_THROTTLE="1/min", ISSUER="tests.issuers.issuer"):
        throttles: list[Any] = [LoginThrottle("192.0.2.1", "ann"), RefreshThrottle(RefreshClaims(uuid4(), 0, ""))]
        request: Any = None
        keys = [throttle.get_cache_key(request, request) for throttle in throttles]
        assert attempt(script, "ann").status_code == 401
        with tenant("b"):
            assert not {throttle.get_cache_key(request, request) for throttle in throttles}.intersection(keys)
            assert attempt(script, "ann").status_code == 401
            assert_throttled(attempt(script, "ann"))
        assert_throttled(attempt(script, "ann"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.1:4711", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("[2001:db8::1]:80", "[2001:db8::2]", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix:", "unix:", True),
    ],
)
@pytest.mark.django_db
def test_what_one_client_has_to_itself(one: str, other: str, same: bool) -> None:
    """All addresses of an IPv6 /64 share one count. A port that a proxy adds does not matter."""
    assert (LoginThrottle(one, "ann").ident() == LoginThrottle(other, "ann").ident()) is same
