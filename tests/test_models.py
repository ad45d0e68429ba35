"""The table: one row per token family."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from tests.overrides import with_settings
from twotoken.admin.changelist import revoked_because
from twotoken.models import NOTHING, OptionalIndex, RefreshToken, RevokedReason, State, new_secret


def make(user: Any, **values: Any) -> RefreshToken:
    """Create a family with these values of its fields."""
    return RefreshToken.objects.create(user=user, **values)


def families() -> Any:
    """Return the query set of all families."""
    return RefreshToken.objects.all()


def test_every_field_but_the_user_has_a_default(user: Any) -> None:
    """With defaults alone, a row is an active family. It has not rotated, and its client is no browser."""
    before = timezone.now()
    row = make(user)
    row.refresh_from_db()
    assert (row.generation, bytes(row.retry_key), row.is_browser, row.auth_hash) == (0, b"", False, "")
    assert (row.expires_at, row.revoked_at, row.revoked_reason) == (None, None, "")
    assert (row.ip_address, row.user_agent) == (None, "")
    assert len(bytes(row.secret)) == 16
    assert before <= row.created_at <= timezone.now()
    assert row.refreshed_at >= before
    assert list(families().active()) == [row]


def test_keys_and_secrets_are_random(user: Any) -> None:
    """No two rows have the same primary key or secret."""
    rows = [make(user) for _ in range(3)]
    assert len({row.pk for row in rows}) == len({row.secret for row in rows}) == 3
    assert len({new_secret() for _ in range(10)}) == 10


def test_names(user: Any) -> None:
    """The name of a row is its id, which is not secret. The model is called "token family"."""
    row = make(user)
    assert str(row) == str(row.pk)
    assert str(RefreshToken._meta.verbose_name) == "token family"
    assert str(RefreshToken._meta.verbose_name_plural) == "token families"


def test_a_user_knows_its_families_and_takes_them_along(user: Any) -> None:
    """``user.token_families`` has the user's families. Deleting the user deletes them."""
    row = make(user)
    assert list(user.token_families.all()) == [row]
    user.delete()
    assert not families().exists()


NOW = datetime(2026, 1, 1, tzinfo=timezone.get_default_timezone())
WEEK, SECOND, TICK = timedelta(days=7), timedelta(seconds=1), timedelta(milliseconds=1)
STATES: list[tuple[dict[str, Any], bool]] = [
    ({"refreshed_at": NOW}, True),
    ({"refreshed_at": NOW - WEEK + TICK}, True),
    ({"refreshed_at": NOW - WEEK}, False),
    ({"refreshed_at": NOW, "expires_at": NOW + SECOND}, True),
    ({"refreshed_at": NOW, "expires_at": NOW + SECOND - TICK}, False),
    ({"refreshed_at": NOW, "expires_at": NOW}, False),
    ({"refreshed_at": NOW - WEEK, "expires_at": NOW + WEEK}, False),
    ({"refreshed_at": NOW, "revoked_at": NOW - TICK}, False),
    ({"refreshed_at": NOW, "expires_at": NOW + WEEK, "revoked_at": NOW + WEEK}, False),
]


@pytest.mark.parametrize(("values", "is_active"), STATES)
def test_a_family_is_active_or_not(user: Any, values: dict[str, Any], is_active: bool) -> None:
    """``active``, ``expired`` and ``state`` agree on each family, even in its last second."""
    row = make(user, **values)
    is_revoked = row.revoked_at is not None
    assert list(families().active(NOW)) == ([row] if is_active else [])
    assert list(families().expired(NOW)) == ([] if is_active or is_revoked else [row])
    assert (row.state(NOW) == State.ACTIVE) is is_active


@pytest.mark.parametrize(
    ("values", "is_inactive"),
    [
        ({}, False),
        ({"refreshed_at": NOW - WEEK}, False),
        ({"refreshed_at": NOW - WEEK - TICK}, True),
        ({"expires_at": NOW}, False),
        ({"expires_at": NOW - TICK}, True),
        ({"revoked_at": NOW}, False),
        ({"revoked_at": NOW - TICK}, True),
    ],
)
def test_what_was_inactive_before(user: Any, values: dict[str, Any], is_inactive: bool) -> None:
    """``inactive_before`` finds families that were revoked or expired before a time, not at exactly that time."""
    row = make(user, **{"refreshed_at": NOW, **values})
    assert list(families().inactive_before(NOW)) == ([row] if is_inactive else [])


def test_states_are_of_now_and_of_the_setting(user: Any) -> None:
    """Without a time, ``active`` takes the current time. It reads REFRESH_LIFETIME on each use."""
    row = make(user, refreshed_at=timezone.now() - timedelta(hours=2))
    assert list(families().active()) == [row]
    with with_settings(REFRESH_LIFETIME=timedelta(hours=1)):
        assert not families().active()


def test_revoking_ends_what_is_not_revoked_yet(user: Any, django_assert_num_queries: Any) -> None:
    """``revoke`` revokes families by one UPDATE. A family that is already revoked keeps its time and reason."""
    old = make(user, revoked_at=NOW, revoked_reason=RevokedReason.LOGOUT)
    new = make(user)
    with django_assert_num_queries(1):
        assert families().revoke("of the project's own", NOW + WEEK) == 1
    new.refresh_from_db()
    old.refresh_from_db()
    assert (new.revoked_at, new.revoked_reason) == (NOW + WEEK, "of the project's own")
    assert (old.revoked_at, old.revoked_reason) == (NOW, "logout")
    assert families().revoke(RevokedReason.ADMIN) == 0


def test_revoking_is_of_now(user: Any) -> None:
    """Without a time, ``revoke`` takes the current time."""
    row, before = make(user), timezone.now()
    assert families().filter(pk=row.pk).revoke(RevokedReason.ADMIN) == 1
    row.refresh_from_db()
    assert row.revoked_at is not None
    assert row.revoked_at >= before
    assert row.revoked_reason == "admin"


def test_reads_go_where_is_written() -> None:
    """``primary`` reads from the write database, because a replica may lag."""
    assert families().using("replica").primary().db == "default"


def test_the_idle_end(user: Any) -> None:
    """``idle_end`` is a week after the last refresh, or the absolute end if that end comes first."""
    assert make(user, refreshed_at=NOW).idle_end() == NOW + WEEK
    assert make(user, refreshed_at=NOW, expires_at=NOW + 2 * WEEK).idle_end() == NOW + WEEK
    assert make(user, refreshed_at=NOW, expires_at=NOW + TICK).idle_end() == NOW + TICK


def test_reasons_are_stable_words_that_fit_the_column() -> None:
    """Reasons are stored in rows, logs and signals, so they never change. They fit the column."""
    assert RevokedReason.values == [
        "logout",
        "admin",
        "reuse",
        "password_changed",
        "user_inactive",
        "limit",
        "replaced",
    ]
    column: Any = RefreshToken._meta.get_field("revoked_reason")
    assert max(map(len, RevokedReason.values)) <= column.max_length


def test_rotation_touches_no_indexed_column() -> None:
    """A rotation writes no indexed column. Otherwise PostgreSQL's updates would not be heap-only."""
    written = {"generation", "refreshed_at", "retry_key", "auth_hash", "ip_address", "user_agent"}
    indexed = {
        field.name
        for field in RefreshToken._meta.get_fields()
        if getattr(field, "db_index", False) or getattr(field, "unique", False)
    }
    assert indexed == {"id", "user", "created_at", "earliest_end", "login_ip_address"}
    # For PostgreSQL, columns in an index's condition count as indexed.
    indexed |= {name for index in RefreshToken._meta.indexes for name in index.fields} | {"device_key", "revoked_at"}
    assert not indexed & written
    assert not RefreshToken._meta.constraints


OPTIONAL = [index for index in RefreshToken._meta.indexes if isinstance(index, OptionalIndex)]


@pytest.mark.parametrize("index", OPTIONAL, ids=lambda index: index.name)
def test_an_optional_index(index: Any) -> None:
    """An optional index has SQL only for a database with partial indexes."""
    without: Any = SimpleNamespace(connection=SimpleNamespace(features=SimpleNamespace(supports_partial_indexes=False)))
    assert index.create_sql(RefreshToken, without) == index.remove_sql(RefreshToken, without) == NOTHING
    if connection.features.supports_partial_indexes:  # pragma: no branch - SQLite has them
        editor: Any = connection.schema_editor(collect_sql=True)
        editor.deferred_sql = []  # ``__enter__`` would set it, and SQLite refuses this in a transaction
        assert " WHERE " in str(index.create_sql(RefreshToken, editor))
        assert index.name in str(index.remove_sql(RefreshToken, editor))


LONG_AGO = NOW - 60 * WEEK
FOUND_BY: dict[str, Any] = {
    "twotoken_revoked": lambda: families().filter(revoked_at__lt=LONG_AGO).order_by("revoked_at"),
    "earliest_end": lambda: families().filter(earliest_end__lt=LONG_AGO).order_by("earliest_end"),
    "twotoken_reason": lambda: revoked_because(families(), "reuse"),
    "twotoken_bound": lambda: families().bound().order_by("-created_at"),
    "twotoken_unrevoked": lambda: families().active(NOW).order_by("-created_at"),
    "login_ip_address": lambda: families().filter(login_ip_address="192.0.2.1"),
}


@pytest.mark.parametrize("index", FOUND_BY)
@pytest.mark.django_db
def test_a_search_uses_its_index(index: str) -> None:
    """The purge, and the admin's filters and searches, find their families by an index."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # for an empty table PostgreSQL would choose them
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
    if connection.vendor != "mysql":
        assert index in FOUND_BY[index]()[:100].explain()


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    """The migrations make exactly the model's tables."""
    call_command("makemigrations", "twotoken", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
def test_postgresql_leaves_room_for_updates() -> None:
    """On PostgreSQL each page of the table keeps a fifth of its space for new versions of its rows."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [RefreshToken._meta.db_table])
            assert cursor.fetchone() == (["fillfactor=80"],)
