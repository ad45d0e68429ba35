"""Statements that are compiled once do the same as those of the ORM."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections, models
from django.db.models import DateTimeField, Value
from django.db.models.functions import Coalesce
from django.db.models.signals import post_save, pre_save
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import UserFactory
from tests.http import Caller
from tests.receivers import receiving
from twotoken import families
from twotoken.models import RefreshToken, RevokedReason
from twotoken.statements import CompiledSelect, Rotation, has_fixed_rows, write_revocation, write_rotation

User: Any = get_user_model()
VALUES = Rotation(1, timezone.now(), b"key", "hash", None, "")


def family(user: Any) -> RefreshToken:
    """Start a family and return its row."""
    return RefreshToken.objects.get(pk=families.start(user).family_id)


def columns(row: Any) -> dict[str, Any]:
    """Return all values of a row."""
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


@contextmanager
def another_connection() -> Iterator[None]:
    """Replace the connection by a new one for a while."""
    before = connections["default"]
    del connections["default"]
    try:
        yield
    finally:
        connections["default"].close()
        connections["default"] = before


def test_a_lookup_loads_what_the_orm_loads(user: Any) -> None:
    """CompiledSelect loads the row and its related row by one statement, with the same values as the ORM."""
    lookup = CompiledSelect(RefreshToken, "pk", "user")
    for expected in (family(user), family(UserFactory()), family(user)):
        found = lookup.get(expected.pk)
        assert found is not None
        assert columns(found) == columns(expected)
        with CaptureQueriesContext(connection) as queries:
            assert columns(found.user) == columns(User.objects.get(pk=expected.user_id))
        assert len(queries) == 1  # the query of the comparison itself
        assert found._state.db == found.user._state.db == "default"
        assert not found._state.adding


def test_time_zones_that_are_switched_off(user: Any) -> None:
    """A statement that was compiled with USE_TZ on converts times correctly with USE_TZ off."""
    lookup = CompiledSelect(RefreshToken, "pk", "user")
    key = family(user).pk
    for use_tz in (True, False, True):
        with override_settings(USE_TZ=use_tz):
            found = lookup.get(key)
            assert found is not None
            assert columns(found) == columns(RefreshToken.objects.get(pk=key))
            assert timezone.is_aware(found.created_at) is use_tz


@pytest.mark.usefixtures("db")
def test_a_lookup_of_nothing() -> None:
    """A lookup of a row that does not exist returns None. A lookup by an invalid value raises an error."""
    lookup = CompiledSelect(User, "pk")
    keys: dict[str, list[Any]] = {"AutoField": [0, "0", 10**30], "UUIDField": [uuid.uuid4()], "CharField": ["nobody"]}
    for key in keys[User._meta.pk.get_internal_type()]:
        assert lookup.get(key) is None
    families_by_id = CompiledSelect(RefreshToken, "pk")
    assert families_by_id.get(uuid.uuid4()) is None
    with pytest.raises(Exception, match="not a valid UUID"):
        families_by_id.get("no uuid")
    assert families_by_id.get(uuid.uuid4()) is None


def test_a_lookup_within_a_lookup(user: Any) -> None:
    """An execute wrapper that wraps a compiled SELECT may use the same SELECT."""
    lookup = CompiledSelect(RefreshToken, "pk", "user")
    outer, inner = family(user), family(UserFactory())
    seen: list[Any] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not seen:
            seen.append(None)
            seen.append(lookup.get(inner.pk))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        assert lookup.get(outer.pk) == outer
    assert seen[1] == inner


@pytest.mark.django_db(transaction=True)
def test_each_connection_has_its_own(user: Any) -> None:
    """Each connection compiles its own statement, even a connection that replaces another."""
    lookup = CompiledSelect(RefreshToken, "pk", "user")
    row = family(user)
    found: list[Any] = []

    def use() -> None:
        found.append(lookup.get(row.pk))
        found.append(write_rotation(found[-1], len(found) // 2, VALUES._replace(generation=len(found) // 2 + 1)))

    def use_and_close() -> None:
        use()
        connections.close_all()

    use()
    thread = threading.Thread(target=use_and_close)
    thread.start()
    thread.join()
    with another_connection():
        use()
    use()
    assert found == [row, True] * 4
    row.refresh_from_db()
    assert row.generation == 4


def test_a_rotation_writes_what_the_orm_would(user: Any) -> None:
    """``write_rotation`` writes the same values as the ORM, by one statement. Nullable values may be null."""
    for values in (VALUES, Rotation(2, timezone.now(), b"", "", "2001:db8::1", "agent")):
        ours, theirs = family(user), family(user)
        with CaptureQueriesContext(connection) as queries:
            assert write_rotation(ours, values.generation, values)
        (statement,) = [query["sql"] for query in queries]
        assert statement.startswith("UPDATE")
        assert RefreshToken.objects.filter(pk=theirs.pk).update(**values._asdict()) == 1
        ours.refresh_from_db()
        theirs.refresh_from_db()
        own = {name: getattr(theirs, name) for name in ("id", "secret", "created_at", "expires_at", "earliest_end")}
        assert {**columns(ours), **own} == columns(theirs)


def test_a_rotation_writes_only_what_changes(user: Any) -> None:
    """A rotation by the same client writes two columns. A changed key, client or auth hash is written too."""
    row = family(user)
    same = Rotation(1, timezone.now(), b"", row.auth_hash, row.ip_address, row.user_agent)
    always = {"generation", "refreshed_at"}
    for values, seldom in (
        (same, set()),
        (same._replace(retry_key=b"key"), {"retry_key"}),
        (same._replace(user_agent="agent"), {"user_agent"}),
        (same._replace(auth_hash="hash", ip_address="::1"), {"auth_hash", "ip_address"}),
    ):
        with CaptureQueriesContext(connection) as queries:
            assert write_rotation(row, 0, values)
        written = queries[0]["sql"].partition(" WHERE ")[0]
        assert {name for name in Rotation._fields if name in written} == always | seldom
        RefreshToken.objects.filter(pk=row.pk).update(auth_hash=row.auth_hash, generation=0, retry_key=b"")


def test_two_rotations_of_a_restored_row(user: Any) -> None:
    """If two tokens are newer than a restored row, the second rotation overwrites the first one's client and key."""
    row = family(user)
    assert write_rotation(row, 4, Rotation(5, timezone.now(), b"key", row.auth_hash, "198.51.100.66", "thief"))
    assert write_rotation(row, 6, Rotation(7, timezone.now(), b"", row.auth_hash, row.ip_address, row.user_agent))
    found = RefreshToken.objects.get(pk=row.pk)
    assert (found.generation, found.ip_address, found.user_agent) == (7, row.ip_address, row.user_agent)
    assert bytes(found.retry_key) == b""


@pytest.mark.parametrize("is_revoked", [True, False])
@pytest.mark.parametrize("presented", [0, 1, 2, 7])
def test_the_guard_of_a_rotation(user: Any, presented: int, is_revoked: bool) -> None:
    """The UPDATE of a rotation changes no row that is revoked or newer than the token."""
    row = family(user)
    RefreshToken.objects.filter(pk=row.pk).update(generation=1, revoked_at=timezone.now() if is_revoked else None)
    guarded = RefreshToken.objects.filter(pk=row.pk, generation__lte=presented, revoked_at=None)
    expected = guarded.exists()
    assert expected is (presented >= 1 and not is_revoked)
    assert write_rotation(row, presented, VALUES._replace(generation=presented + 1)) is expected
    row.refresh_from_db()
    assert row.generation == (presented + 1 if expected else 1)
    assert not write_rotation(RefreshToken(auth_hash=row.auth_hash), presented, VALUES)


def test_a_revocation_writes_what_the_orm_would(user: Any, time_machine: Any) -> None:
    """One statement writes the time and the reason as the ORM does. A second one changes nothing."""
    time_machine.move_to(timezone.now(), tick=False)
    ours, theirs = family(user), family(user)
    with CaptureQueriesContext(connection) as queries:
        assert write_revocation(ours.pk, RevokedReason.LOGOUT)
    assert [query["sql"].split()[0] for query in queries.captured_queries] == ["UPDATE"]
    assert RefreshToken.objects.filter(pk=theirs.pk).revoke(RevokedReason.LOGOUT) == 1
    ours.refresh_from_db()
    theirs.refresh_from_db()
    assert ours.revoked_at == theirs.revoked_at is not None
    assert ours.revoked_reason == theirs.revoked_reason == "logout"
    time_machine.shift(1)
    assert not write_revocation(ours.pk, "admin")
    assert not write_revocation(uuid.uuid4(), "admin")
    assert RefreshToken.objects.get(pk=ours.pk).revoked_reason == "logout"


def test_a_rotation_of_a_row_that_was_read_before_a_new_password(user: Any) -> None:
    """If the password was changed after the row was read, a rotation with the old hash updates no row."""
    row = family(user)
    user.set_password("another password")
    families.update_auth_hash(row.pk, user)
    assert not write_rotation(row, 0, VALUES)
    row.refresh_from_db()
    assert (row.generation, row.auth_hash) == (0, user.get_session_auth_hash())
    assert write_rotation(row, 0, VALUES)


def test_whose_rows_are_fixed() -> None:
    """``has_fixed_rows`` is false for a manager that may filter rows, so that its queryset is used each time."""

    class Choosing(models.Manager[Any]):
        def get_queryset(self) -> Any:
            return super().get_queryset()  # pragma: no cover - it is enough that it is there

    class OwnQuerySet(models.QuerySet[Any]):
        """A project's own queryset."""

    assert has_fixed_rows(models.Manager())
    assert has_fixed_rows(User._default_manager)
    assert not has_fixed_rows(Choosing())
    assert not has_fixed_rows(models.Manager.from_queryset(OwnQuerySet)())


def test_receivers_hear_of_a_login(user: Any) -> None:
    """Receivers of pre_save and post_save get each new family."""
    heard: list[Any] = []

    def receiver(**kwargs: Any) -> None:
        heard.append((kwargs["sender"], kwargs["instance"].pk, kwargs.get("created")))

    with receiving(receiver, pre_save), receiving(receiver, post_save):
        pair = families.start(user)
    ours = [call for call in heard if call[0] is RefreshToken]
    assert ours == [(RefreshToken, pair.family_id, None), (RefreshToken, pair.family_id, True)]


def test_a_select_with_parameters_of_its_own(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a column adds parameters to a query, the ORM runs the query. A default ordering is ignored."""
    monkeypatch.setattr(User._meta, "ordering", [Coalesce("last_login", Value("2000-01-01", DateTimeField()))])
    assert CompiledSelect(User, "pk").get(user.pk) == user
    field = User._meta.get_field("password")
    monkeypatch.setattr(field, "select_format", lambda compiler, sql, params: (f"COALESCE({sql}, %s)", (*params, "")))
    lookup = CompiledSelect(RefreshToken, "pk", "user")
    row = family(user)
    for _ in range(2):
        found = lookup.get(row.pk)
        assert found is not None
        assert columns(found.user) == columns(user)
    assert lookup.get(uuid.uuid4()) is None


@pytest.mark.django_db(transaction=True)
@override_settings(USE_TZ=False)
def test_times_without_a_zone(script: Caller) -> None:
    """With USE_TZ off, a login, a refresh and a reuse work on a new connection."""
    with another_connection():
        live_and_die(script)


def live_and_die(script: Caller) -> None:
    """Log in, refresh, and reuse a token."""
    pair = script.log_in().json()
    assert script.get("/api/revocable/", HTTP_AUTHORIZATION=f"Bearer {pair['access']}").status_code == 200
    again = script.refresh(pair["refresh"]).json()
    assert script.refresh(pair["refresh"]).json()["reason"] == "reused"
    assert script.refresh(again["refresh"]).json()["reason"] == "revoked"
