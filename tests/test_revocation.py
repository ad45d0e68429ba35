"""Revoking and purging many families: the functions, the commands and their events."""

from __future__ import annotations

import io
import re
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import CASCADE, DateTimeField, ForeignKey, Manager, Model
from django.db.models.expressions import RawSQL
from django.db.models.signals import post_delete
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import UserFactory
from tests.overrides import with_settings
from tests.receivers import heard, receiving
from twotoken import families
from twotoken.clients import Client
from twotoken.families import purging, revocation
from twotoken.management import progress
from twotoken.management.arguments import duration
from twotoken.models import EventKind, FamilyEvent, RefreshToken, RevokedReason
from twotoken.signals import family_revoked
from twotoken.templatetags.twotoken_durations import in_words
from twotoken.tokens import family_digest


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def run(*arguments: str, **options: Any) -> str:
    """Run a command and return what it prints."""
    out = io.StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


def many(user: Any, count: int, **values: Any) -> None:
    """Make families of a user, in one statement."""
    RefreshToken.objects.bulk_create(RefreshToken(user=user, **values) for _ in range(count))


def test_revoking_in_batches(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch makes two statements, and one for its events. Each family sends a signal. The progress ends at 1."""
    monkeypatch.setattr(revocation, "BATCH", 10)
    many(user, 25)
    with CaptureQueriesContext(connection) as queries, heard(family_revoked) as calls:
        batches: list[families.Batch] = []
        families.revoke_each(families.select(), "test", actor="ann", on_batch=batches.append)
    assert [batch.changed for batch in batches] == [10, 10, 5]
    assert [0 <= batch.done <= 1 for batch in batches] == [True] * 3
    assert [batch.done for batch in batches] == sorted(batch.done for batch in batches)
    assert batches[-1].done == 1
    assert len([query for query in queries if "SAVEPOINT" not in query["sql"]]) == 9  # the test runs in a transaction
    assert len({kwargs["family_id"] for _, kwargs in calls}) == 25
    assert FamilyEvent.objects.filter(kind=EventKind.REVOKED, actor="ann").count() == 25
    assert families.revoke_each(families.select(), "test") == 0


def test_whose_are_revoked(user: Any) -> None:
    """``revoke_token_families`` chooses families by user, id, address or time, or by several of these."""
    other: Any = UserFactory()
    old = families.start(user, Client("192.0.2.1"))
    new = families.start(user, Client("2001:db8::1"))
    theirs = families.start(other, Client("192.0.2.1"))
    RefreshToken.objects.filter(pk=old.family_id).update(created_at=timezone.now() - timedelta(days=2))
    name = user.get_username()
    yesterday = (timezone.now() - timedelta(days=1)).isoformat()
    for options, expected in (
        (["--user", name], {old.family_id, new.family_id}),
        (["--user", name, "--before", yesterday], {old.family_id}),
        (["--before", yesterday[:10]], {old.family_id}),
        (["--address", "192.0.2.1"], {old.family_id, theirs.family_id}),
        (["--address", "2001:0db8:0::1"], {new.family_id}),
        (["--family", str(theirs.family_id)], {theirs.family_id}),
        (["--all", "--no-input"], {old.family_id, new.family_id, theirs.family_id}),
    ):
        text = run("revoke_token_families", *options, "--dry-run")
        assert text.startswith(f"{len(expected)} token famil")
        assert not RefreshToken.objects.exclude(revoked_at=None).exists()
        assert run("revoke_token_families", *options).startswith(f"{len(expected)} token famil")
        ended = RefreshToken.objects.filter(revoked_reason=RevokedReason.ADMIN)
        assert set(ended.values_list("pk", flat=True)) == expected
        ended.update(revoked_at=None, revoked_reason="")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "Give --all, or one"),
        (["--all", "--user", "x"], "can.t be combined with --user"),
        (["--all", "--inactive"], "can.t be combined with --user"),
        (["--user", "nobody"], "no user 'nobody'"),
        (["--family", "x"], "not the id of a token family"),
        (
            ["--family", "00000000-0000-4000-8000-000000000000"],
            "no token family '00000000-0000-4000-8000-000000000000'",
        ),
        (["--before", "yesterday"], "not a time"),
        (["--before", "2026-02-31"], "not a time"),
        (["--address", "localhost"], "not an IP address"),
    ],
)
def test_options_that_make_no_sense(user: Any, options: list[str], problem: str) -> None:
    """``revoke_token_families`` refuses wrong options with a reason, and revokes nothing."""
    families.start(user)
    with pytest.raises(CommandError, match=problem):
        run("revoke_token_families", *options)
    assert not RefreshToken.objects.exclude(revoked_at=None).exists()


def test_all_asks_first(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--all`` asks first. Any answer other than "yes" revokes nothing."""
    families.start(user)
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    with pytest.raises(CommandError, match="Nothing was revoked"):
        run("revoke_token_families", "--all")
    assert RefreshToken.objects.active().count() == 1
    monkeypatch.setattr("builtins.input", lambda prompt: "yes")
    assert run("revoke_token_families", "--all").splitlines() == [
        "This revokes 1 token family: its user has to log in again.",
        "1 token family revoked.",
        "Access tokens that were already issued stay valid for up to 15 minutes.",
    ]
    assert FamilyEvent.objects.get().actor == "manage.py revoke_token_families"


def test_inactive_users(user: Any) -> None:
    """``--inactive`` finds users who were deactivated by a queryset's update, which sends no signal."""
    stranger: Any = UserFactory()
    families.start(stranger)
    kept = families.start(user, Client("192.0.2.1"))
    get_user_model()._default_manager.filter(pk=stranger.pk).update(is_active=False)
    assert run("revoke_token_families", "--inactive", "--dry-run").startswith("1 token family would")
    assert run("revoke_token_families", "--inactive", "--address", "192.0.2.1").startswith("0 token families revoked")
    assert run("revoke_token_families", "--inactive").startswith("1 token family revoked")
    revoked = RefreshToken.objects.exclude(pk=kept.family_id).get()
    assert (revoked.user_id, revoked.revoked_reason) == (stranger.pk, RevokedReason.USER_INACTIVE)
    assert RefreshToken.objects.active().get().pk == kept.family_id
    with (
        override_settings(AUTH_USER_MODEL="accounts.StatusUser"),
        pytest.raises(CommandError, match="StatusUser has no column is_active"),
    ):
        run("revoke_token_families", "--inactive")


def test_nobody_is_there_to_ask(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal the command revokes nothing, and the error names the option that skips the question."""
    families.start(user)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CommandError, match=r"Nothing was revoked\. Without a terminal, use --no-input\."):
        run("revoke_token_families", "--all")
    assert RefreshToken.objects.active().count() == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (10.9, "10 seconds"),
        (900, "15 minutes"),
        (5_400, "1 hour, 30 minutes"),
        (86_400 + 3_600 + 61, "1 day, 1 hour, 1 minute, 1 second"),
        (30 * 86_400, "30 days"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    """A duration in words leaves out units that are zero."""
    assert in_words(timedelta(seconds=seconds)) == words


def test_a_login_during_the_command_stays(user: Any) -> None:
    """A family that starts while ``revoke_token_families`` runs is not revoked."""
    RefreshToken.objects.create(user=user, created_at=timezone.now() + timedelta(minutes=1))
    assert run("revoke_token_families", "--all", "--no-input") == "0 token families revoked.\n"


def test_the_progress_bar(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The progress bar is shown only on a terminal, and only if the command takes longer than a delay."""
    monkeypatch.setattr(revocation, "BATCH", 10)
    many(user, 25)
    assert run("revoke_token_families", "--all", "--no-input", stderr=(quiet := Terminal())).startswith("25 ")
    assert not quiet.getvalue()
    monkeypatch.setattr(progress, "DELAY", 0)
    RefreshToken.objects.update(revoked_at=None)
    assert run("revoke_token_families", "--all", "--no-input", stderr=(terminal := Terminal())).startswith("25 ")
    assert "100%" in terminal.getvalue()
    assert "25 token families" in terminal.getvalue()
    RefreshToken.objects.update(revoked_at=timezone.now() - timedelta(days=60))
    assert run("purge_token_families", stderr=(file := io.StringIO())) == "25 token families deleted.\n"
    assert not file.getvalue()


def test_no_progress_bar_without_its_library(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tqdm the command does its work and shows no bar."""
    monkeypatch.setattr(revocation, "BATCH", 10)
    monkeypatch.setattr(progress, "tqdm", None)
    many(user, 25)
    assert run("revoke_token_families", "--all", "--no-input", stderr=(quiet := Terminal())).startswith("25 ")
    assert not quiet.getvalue()


def test_a_purge_without_a_word(user: Any) -> None:
    """With verbosity 0 the purge prints nothing, so cron sends no mail."""
    many(user, 2, revoked_at=timezone.now() - timedelta(days=60))
    assert not run("purge_token_families", verbosity=0)
    assert not RefreshToken.objects.exists()


def test_what_is_purged(user: Any) -> None:
    """Families that ended more than RETENTION ago, by revocation or by expiry, are deleted with their events."""
    now = timezone.now()
    gone = timedelta(days=31)
    kept = {"live": RefreshToken.objects.create(user=user).pk}
    for name, values in {
        "just revoked": {"revoked_at": now - timedelta(days=29)},
        "just past its end": {"expires_at": now - timedelta(days=29)},
        "just idle": {"refreshed_at": now - timedelta(days=36)},
    }.items():
        kept[name] = RefreshToken.objects.create(user=user, earliest_end=now - gone, **values).pk
    dead = [
        RefreshToken.objects.create(user=user, earliest_end=now - gone, **values)
        for values in (
            {"revoked_at": now - gone},
            {"expires_at": now - gone},
            {"refreshed_at": now - gone - timedelta(days=7)},
        )
    ]
    for family in [*dead, *RefreshToken.objects.filter(pk__in=kept.values())]:
        FamilyEvent.objects.create(family=family, kind=EventKind.DEVICE)
    assert families.purge() == 3
    assert set(RefreshToken.objects.values_list("pk", flat=True)) == set(kept.values())
    assert set(FamilyEvent.objects.values_list("family", flat=True)) == set(kept.values())
    with with_settings(RETENTION=timedelta()):
        assert families.purge() == 3
    assert RefreshToken.objects.get().pk == kept["live"]


def test_a_purge_keeps_what_may_still_have_an_access_token(user: Any) -> None:
    """A purge keeps a revoked family while one of its access tokens is valid, however short RETENTION is."""
    now = timezone.now()
    kept = RefreshToken.objects.create(user=user, revoked_at=now - timedelta(minutes=14)).pk
    RefreshToken.objects.create(user=user, revoked_at=now - timedelta(minutes=17))
    with with_settings(RETENTION=timedelta()):
        assert families.purge() == 1
    assert RefreshToken.objects.get().pk == kept
    assert families.revoked_digests(now) == [family_digest(str(kept))]


def revoked_in_turn(user: Any, count: int, apart: timedelta) -> None:
    """Make families that were revoked two months ago, each ``apart`` from the one before it."""
    then = timezone.now() - timedelta(days=60)
    RefreshToken.objects.bulk_create(
        RefreshToken(user=user, revoked_at=then + number * apart) for number in range(count)
    )


@pytest.mark.parametrize(("apart", "selects"), [(timedelta(minutes=1), 8), (timedelta(), 12)])
def test_a_purge_in_batches(user: Any, apart: timedelta, selects: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purge's batches make no COUNT. They select keys only if all families were revoked at the same time."""
    monkeypatch.setattr(purging, "PURGE_BATCH", 10)
    revoked_in_turn(user, 25, apart)
    many(user, 5)
    for family in RefreshToken.objects.all():
        FamilyEvent.objects.create(family=family, kind=EventKind.DEVICE)
    batches: list[families.Batch] = []
    with CaptureQueriesContext(connection) as queries:
        assert families.purge(batches.append) == 25
    text = [query["sql"] for query in queries.captured_queries]
    assert len([sql for sql in text if sql.startswith("SELECT")]) == selects
    assert len([sql for sql in text if sql.startswith("DELETE")]) == 6
    assert len([sql for sql in text if sql.startswith("UPDATE")]) == 3
    assert not any("COUNT(" in sql for sql in text)
    assert max(map(len, text)) < 2000
    assert [batch.changed for batch in batches] == [10, 10, 5, 0]
    done = [batch.done for batch in batches]
    assert done == sorted(done)
    assert done[2:] == [0.5, 1]
    assert set(FamilyEvent.objects.values_list("family", flat=True)) == set(
        RefreshToken.objects.values_list("pk", flat=True)
    )


def test_a_purge_by_time_sends_no_keys(user: Any) -> None:
    """A purge of families without events sends no primary keys, because a driver takes microseconds for each key."""
    revoked_in_turn(user, 25, timedelta(minutes=1))
    with CaptureQueriesContext(connection) as queries:
        assert families.purge() == 25
    keys = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
    assert not any(keys.search(query["sql"]) for query in queries.captured_queries)


def test_a_purge_looks_at_a_family_again_when_it_may_have_expired(user: Any) -> None:
    """If a family is still active, the purge looks at it again only when it may have expired."""
    now, week = timezone.now(), timedelta(days=7)
    RefreshToken.objects.create(user=user, earliest_end=now - timedelta(days=60), refreshed_at=now)
    end = now + timedelta(days=1)
    RefreshToken.objects.create(user=user, earliest_end=now - timedelta(days=60), refreshed_at=now, expires_at=end)
    assert families.purge() == 0
    assert list(RefreshToken.objects.order_by("-earliest_end").values_list("earliest_end", flat=True)) == [
        now + week,
        end,
    ]
    with CaptureQueriesContext(connection) as queries:
        assert families.purge() == 0
    assert len(queries) == 2


def test_a_purge_in_the_hour_that_comes_twice(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without USE_TZ, families that were revoked in the hour that the clock repeats in autumn are deleted too."""
    monkeypatch.setattr(purging, "PURGE_BATCH", 10)
    # Only PostgreSQL can store the first of the two hours: the other databases store the time of the clock.
    stored = "2025-10-26 00:{:02}:00+00" if connection.vendor == "postgresql" else "2025-10-26 02:{:02}:00"
    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin"):
        many(user, 25, revoked_at=timezone.now())
        for minute, pk in enumerate(RefreshToken.objects.values_list("pk", flat=True)):
            RefreshToken.objects.filter(pk=pk).update(revoked_at=RawSQL("%s", [stored.format(minute)], DateTimeField()))
        while families.purge():
            pass
        assert not RefreshToken.objects.exists()


def keep_all(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """Delete no family, as a trigger of the database could."""
    return execute(sql + " AND 1 = 0" if sql.startswith("DELETE") else sql, params, many, context)


def test_a_purge_that_can_not_delete(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purge ends even if the database keeps more families with one time than a batch has."""
    monkeypatch.setattr(purging, "PURGE_BATCH", 10)
    revoked_in_turn(user, 25, timedelta())
    revoked_in_turn(user, 25, timedelta(minutes=1))
    batches: list[families.Batch] = []

    def stop(batch: families.Batch) -> None:
        batches.append(batch)
        assert len(batches) < 20

    with connection.execute_wrapper(keep_all):
        assert families.purge(stop) == 0
    assert families.purge() == 50


def test_the_share_of_a_purge() -> None:
    """The share is between 0 and 1, even if the clock that counts it goes back an hour."""
    hour = timedelta(hours=1)
    assert [purging._share(part * hour, whole * hour) for part, whole in ((1, 4), (-1, 4), (2, 1), (1, 0))] == [
        0.25,
        0,
        1,
        1,
    ]


def test_a_login_sets_when_the_purge_first_looks_at_the_family(user: Any) -> None:
    """The purge first looks at a family when the idle time or the family's lifetime ends, whichever is earlier."""
    for lifetime, end in ((timedelta(days=30), timedelta(days=7)), (timedelta(hours=1), timedelta(hours=1))):
        family = families.get(families.start(user, lifetime=lifetime).family_id)
        assert family is not None
        assert family.earliest_end - family.created_at == end


def test_a_purge_that_has_to_stop(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time limit a purge ends its batch, and the command says what is left. The next purge continues."""
    monkeypatch.setattr(purging, "PURGE_BATCH", 10)
    many(user, 25, revoked_at=timezone.now() - timedelta(days=60))
    assert families.purge(within=timedelta()) == 10
    said = run("purge_token_families", "--for", "0s")
    assert said == "10 token families deleted.\nThe time is over. 5 token families are left: run the command again.\n"
    assert run("purge_token_families", "--for", "10m") == "5 token families deleted.\n"
    long_ago = timezone.now() - timedelta(days=60)
    many(user, 1, refreshed_at=long_ago, earliest_end=long_ago)
    assert families.purge(within=timedelta()) == 1  # although there are no revoked families


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("2h", 7200), ("1.5h", 5400), ("90", None), ("m", None), ("-1m", None)],
)
def test_a_time_limit(text: str, seconds: float | None) -> None:
    """A time limit is a number with s, m or h. Other text raises an error that says what a duration is."""
    if seconds is None:
        with pytest.raises(ArgumentTypeError, match="is not a duration"):
            duration(text)
    else:
        assert duration(text) == timedelta(seconds=seconds)


def test_a_purge_where_somebody_listens(user: Any) -> None:
    """If post_delete has a receiver, it gets each family that a purge deletes, as with Django's ``delete``."""
    many(user, 3, revoked_at=timezone.now() - timedelta(days=60))
    FamilyEvent.objects.create(family=RefreshToken.objects.earliest("pk"), kind=EventKind.DEVICE)
    heard_of: list[UUID] = []

    def receiver(instance: Any, **kwargs: Any) -> None:
        if isinstance(instance, RefreshToken):
            heard_of.append(instance.pk)

    with receiving(receiver, post_delete):
        assert families.purge() == 3
    assert len(heard_of) == 3
    assert not FamilyEvent.objects.exists()


def test_the_place_of_a_key() -> None:
    """``place`` returns where a key lies in the database's order of keys, from 0 to 1. It measures progress."""
    key = UUID("40000000-0000-4000-8000-c00000000000")
    assert revocation.place(key, "postgresql") == pytest.approx(0.25)
    assert revocation.place(key, "mysql") == pytest.approx(0.75)


def test_a_user_who_has_no_key_has_no_families(user: Any) -> None:
    """A deleted user matches no family. Neither does None, as the user or as any argument of ``select``."""
    families.start(user)
    gone: Any = UserFactory()
    gone.delete()
    assert families.revoke_all(gone) == 0
    assert families.revoke_all(None) == 0
    for name in ("user_id", "family_id", "before", "address", "user_is_active"):
        nothing: Any = {name: None}
        assert families.revoke_each(families.select(**nothing), "test") == 0
    assert RefreshToken.objects.filter(revoked_at=None).count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", [RefreshToken, FamilyEvent])
def test_a_purge_with_rows_of_the_project_s_own(user: Any, model: Any) -> None:
    """If a project's model has a foreign key to families or events, the purge follows its ``on_delete``."""

    class Note(Model):  # noqa: DJ008 - nobody looks at it
        about = ForeignKey(model, CASCADE, related_name="+", null=True)
        objects: ClassVar[Manager[Any]] = Manager()

        class Meta:
            app_label = "accounts"

    try:
        assert not purging._may_delete_raw()
        with connection.schema_editor() as editor:
            editor.create_model(Note)
        try:
            many(user, 2, revoked_at=timezone.now() - timedelta(days=60))
            for family in RefreshToken.objects.all():
                event = FamilyEvent.objects.create(family=family, kind=EventKind.DEVICE)
                Note.objects.create(about=family if model is RefreshToken else event)
            assert families.purge() == 2
            assert not Note.objects.exists()
        finally:
            with connection.schema_editor() as editor:
                editor.delete_model(Note)
    finally:
        del apps.all_models["accounts"]["note"]
        apps.clear_cache()
    assert purging._may_delete_raw()


def test_an_address_as_it_is_stored(user: Any) -> None:
    """An IPv4 address in IPv6 form matches families of the IPv4 address. An invalid address is an error."""
    families.start(user, Client("192.0.2.1"))
    assert run("revoke_token_families", "--address", "::ffff:192.0.2.1").startswith("1 token family revoked")
    for address in ("fe80::1%eth0", "localhost"):
        with pytest.raises(CommandError, match="not an IP address"):
            run("revoke_token_families", "--address", address)


def test_a_time_that_is_too_far_away() -> None:
    """A time that the database can't hold is an error with a message."""
    with override_settings(TIME_ZONE="America/Chicago"), pytest.raises(CommandError, match="out of range"):
        run("revoke_token_families", "--before", "9999-12-31T23:59:59", "--dry-run")


@override_settings(USE_TZ=False)
def test_a_time_without_zones(user: Any) -> None:
    """With USE_TZ off, a time with an offset is converted to the project's zone. Other times are used unchanged."""
    families.start(user)
    for moment, count in (("2000-01-01", 0), ("2000-01-01T12:00Z", 0), ("2999-01-01T12:00+02:00", 1)):
        said = run("revoke_token_families", "--before", moment, "--dry-run")
        assert said.startswith(f"{count} token famil")
