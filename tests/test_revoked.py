"""Stateless authentication that refuses revoked families: it makes one query per interval and process."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.test import APIClient, APIRequestFactory

from tests import issuers
from tests.factories import UserFactory
from tests.overrides import with_settings
from twotoken import families
from twotoken.authentication import StatelessAccessTokenAuthentication
from twotoken.bearer import ServiceUnavailable
from twotoken.families import TokenPair
from twotoken.families.revoked import RevokedFamilies
from twotoken.models import RefreshToken, RevokedReason
from twotoken.polling import LONGEST_PAUSE
from twotoken.testing import poll_revocations, time_travel

LONG = timedelta(hours=1)  # no test lasts so long
INTERVAL = 0.5  # seconds
BROKEN = "SELECT no_such_column FROM no_such_table"


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    """Forget the list of revoked families, as in a process that has just started."""
    poll_revocations()


def ask(pair: TokenPair) -> Any:
    """Call the route of the stateless class with a pair's access token."""
    return APIClient().get("/api/stateless/", HTTP_AUTHORIZATION=f"Bearer {pair.access}")


def status(pair: TokenPair) -> int:
    """Call the route of the stateless class, return the status, and check the reason of a 401."""
    response = ask(pair)
    if response.status_code == 401:
        assert (response.json()["code"], response.json()["reason"]) == ("token_not_valid", "revoked")
        assert 'error_description="The token was revoked."' in response["WWW-Authenticate"]
    return int(response.status_code)


def revoked(user: Any, before: timedelta = timedelta()) -> TokenPair:
    """Return the token pair of a family that was revoked this long ago."""
    pair = families.start(user)
    RefreshToken.objects.filter(pk=pair.family_id).update(revoked_at=timezone.now() - before, revoked_reason="admin")
    return pair


def is_reading(sql: str) -> bool:
    """Tell whether a statement reads the list of revoked families."""
    return sql.startswith("SELECT") and re.search(r"revoked_at\W > ", sql) is not None


def readings(queries: CaptureQueriesContext) -> int:
    """Count the statements that read the list. The savepoint of a reading within a transaction does not count."""
    return sum(is_reading(query["sql"]) for query in queries.captured_queries)


@contextmanager
def broken_database() -> Iterator[list[str]]:
    """Make each reading of the list fail in the database, and yield the statements of these readings."""
    seen: list[str] = []

    def execute(call: Any, sql: str, params: Any, *rest: Any) -> Any:
        if not is_reading(sql):
            return call(sql, params, *rest)
        seen.append(sql)
        return call(BROKEN, None, *rest)

    with connection.execute_wrapper(execute):
        yield seen


@pytest.mark.parametrize("reason", [*RevokedReason.values, "a project's own"])
def test_a_revoked_family(user: Any, reason: str) -> None:
    """A family revoked for any reason is accepted until the next reading, and refused from then on."""
    pair, other = families.start(user), families.start(user)
    with with_settings(REVOCATION_INTERVAL=LONG):
        assert status(pair) == 200
        families.revoke(pair.family_id, reason)
        assert status(pair) == 200
        poll_revocations()
        assert [status(pair), status(other)] == [401, 200]


@pytest.mark.slow
def test_one_query_per_interval(user: Any) -> None:
    """Only the first request of an interval reads the list. Without requests there is no query."""
    pair = families.start(user)
    with with_settings(REVOCATION_INTERVAL=timedelta(seconds=INTERVAL)), CaptureQueriesContext(connection) as queries:
        assert [status(pair) for _ in range(3)] == [200, 200, 200]
        assert readings(queries) == 1
        families.revoke(pair.family_id)
        time.sleep(INTERVAL * 3)
        assert readings(queries) == 1
        assert [status(pair) for _ in range(3)] == [401, 401, 401]
        assert readings(queries) == 2


def test_off(user: Any, django_assert_num_queries: Any) -> None:
    """By default no list is read, and the stateless class accepts tokens of revoked families."""
    pair = revoked(user)
    with django_assert_num_queries(0):
        assert status(pair) == 200


def test_what_was_revoked_before_the_process_started(user: Any) -> None:
    """The first request of a process reads the families revoked within the life of an access token."""
    pairs = [revoked(user, timedelta(minutes=minutes)) for minutes in (0, 14, 17, 60)]
    with with_settings(REVOCATION_INTERVAL=LONG):
        assert [status(pair) for pair in pairs] == [401, 401, 200, 200]
        with with_settings(REVOCATION_INTERVAL=LONG, LEEWAY=120):
            poll_revocations()
            assert [status(pair) for pair in pairs] == [401, 401, 401, 200]


def test_late_commits_and_clocks_that_differ(user: Any) -> None:
    """The list has a family even if the family's row is committed up to a minute after its ``revoked_at``."""
    known = RevokedFamilies("default")
    assert known.read() == set()
    late, too_late = revoked(user, timedelta(seconds=50)), revoked(user, timedelta(seconds=70))
    assert known.read() == {late.family_id.int}
    assert too_late.family_id.int not in known.ids
    ahead = revoked(user, -timedelta(seconds=50))
    assert known.read() == {late.family_id.int, ahead.family_id.int}


def test_an_idle_process(user: Any) -> None:
    """After a pause of any length, new revocations are found, even if the monotonic or the wall clock stood still."""
    for passed, shift in ((600.0, 0), (0.0, 600), (600.0, -600), (36_000.0, 36_000)):
        now = 1000.0
        known = RevokedFamilies("default", lambda: now)  # noqa: B023 - used within the round
        known.read()
        now += passed
        with time_travel(timedelta(seconds=shift)):
            pair = revoked(user, timedelta(seconds=500))
            assert pair.family_id.int in known.read()


def test_memory_is_bounded(user: Any) -> None:
    """The list drops a family when none of its access tokens can be valid any more."""
    now = 1000.0
    known = RevokedFamilies("default", lambda: now)
    first = revoked(user)
    known.read()
    now += 600
    with time_travel(timedelta(seconds=600)):
        second = revoked(user)
        assert known.read() == {first.family_id.int, second.family_id.int}
    now += 361
    with time_travel(timedelta(seconds=961)):
        assert known.read() == {second.family_id.int}
        now += 601
    with time_travel(timedelta(seconds=1562)):
        assert known.read() == set()
        assert not known.batches


@pytest.mark.slow
def test_without_a_first_list(user: Any) -> None:
    """Until the first list is read, each request is a 503 with Retry-After. A later request reads it."""
    pair = families.start(user)
    with with_settings(REVOCATION_INTERVAL=LONG):
        with broken_database() as seen:
            response = ask(pair)
            assert (response.status_code, response["Retry-After"]) == (503, "1")
            assert response.json()["code"] == "unavailable"
            assert ask(pair).status_code == 503
            assert len(seen) == 1
        time.sleep(LONGEST_PAUSE)
        assert status(pair) == 200


@pytest.mark.slow
def test_a_failing_query(user: Any) -> None:
    """If the query for the list fails, the old list is used until it is two intervals old. Then requests are a 503."""
    pair, gone = families.start(user), revoked(user)
    with with_settings(REVOCATION_INTERVAL=timedelta(seconds=1)):
        assert [status(pair), status(gone)] == [200, 401]
        time.sleep(1)
        with broken_database() as seen:
            assert [status(pair), status(gone)] == [200, 401]
            assert seen
            time.sleep(1)
            assert [status(pair), status(gone)] == [503, 503]


def test_a_failing_query_in_a_transaction(user: Any) -> None:
    """If the query for the list fails in the caller's transaction, the transaction can still commit."""
    pair = families.start(user)
    with with_settings(REVOCATION_INTERVAL=LONG), transaction.atomic():
        before: Any = UserFactory()
        with broken_database() as seen, CaptureQueriesContext(connection) as queries:
            assert ask(pair).status_code == 503
        assert len(seen) == 1
        words = [query["sql"].split()[0] for query in queries.captured_queries]
        assert words[0] == "SAVEPOINT"  # SQLite's transactions would survive without it
        after: Any = UserFactory()
    assert type(user)._default_manager.filter(pk__in=[before.pk, after.pk]).count() == 2


def test_from_the_write_database(user: Any) -> None:
    """The list is read from the write database, because a replica may lag."""
    pair = revoked(user)
    with (
        with_settings(REVOCATION_INTERVAL=LONG),
        override_settings(DATABASE_ROUTERS=["tests.test_databases.StaleReplica"]),
    ):
        assert status(pair) == 401


class Elsewhere:
    """A database router that writes families to the database named by ``alias``."""

    alias = "default"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Return the ``alias`` that the test has set."""
        return self.alias


@pytest.mark.django_db(databases=["default", "replica"])
def test_each_database_and_each_tenant_has_its_own_list(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each combination of database, schema and issuer has its own list, which one request reads."""
    for alias in ("default", "replica"):  # as in the connections of django-tenants
        monkeypatch.setattr(connections[alias], "set_schema", None, raising=False)
    with (
        with_settings(REVOCATION_INTERVAL=LONG, ISSUER="tests.issuers.issuer"),
        override_settings(DATABASE_ROUTERS=["tests.test_revoked.Elsewhere"]),
        CaptureQueriesContext(connection) as queries,
        CaptureQueriesContext(connections["replica"]) as others,
    ):
        counts = []
        for tenant, schema, alias in (
            ("a", None, "default"),
            ("b", None, "default"),
            ("a", "one", "default"),
            ("a", "one", "replica"),
        ):
            monkeypatch.setattr(connections[alias], "schema_name", schema, raising=False)
            with issuers.tenant(tenant):
                pair = revoked(user)
                with monkeypatch.context() as elsewhere:
                    elsewhere.setattr(Elsewhere, "alias", alias)
                    # The other connection does not see what this test has not committed.
                    assert [status(pair), status(pair)] == ([401, 401] if alias == "default" else [200, 200])
                counts.append((readings(queries), readings(others)))
    assert counts == [(1, 0), (2, 0), (3, 0), (3, 1)]


class TestInAnEventLoop:
    """The stateless class in a thread with an event loop, where Django refuses queries."""

    @staticmethod
    async def ask(pair: TokenPair) -> Any:
        """Authenticate a request with a pair's access token."""
        request = APIRequestFactory().get("/", HTTP_AUTHORIZATION=f"Bearer {pair.access}")
        return StatelessAccessTokenAuthentication().authenticate(Request(request))

    async def ask_of_a_broken_database(self, pair: TokenPair) -> Any:
        """Authenticate in a task while the list can't be read: each task has its own connections to the database."""
        with broken_database():
            return await self.ask(pair)

    @pytest.mark.django_db(transaction=True)
    def test_the_list_is_read(self) -> None:
        """Under an event loop, another thread reads the list, and closes its connection afterwards."""
        user: Any = UserFactory()
        pair, gone = families.start(user), revoked(user)
        with with_settings(REVOCATION_INTERVAL=LONG):
            found, _ = asyncio.run(self.ask(pair))
            assert found.pk == user.pk
            with pytest.raises(AuthenticationFailed, match="revoked"):
                asyncio.run(self.ask(gone))

    @pytest.mark.django_db(transaction=True)
    def test_the_list_can_t_be_read(self) -> None:
        """Under an event loop, a failed reading of the list raises ServiceUnavailable."""
        user: Any = UserFactory()
        pair = families.start(user)
        with with_settings(REVOCATION_INTERVAL=LONG), pytest.raises(ServiceUnavailable):
            asyncio.run(self.ask_of_a_broken_database(pair))
