"""The events of a family's timeline, as they are written."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from tests.http import Caller
from tests.receivers import heard
from twotoken import families
from twotoken.clients import Client
from twotoken.exceptions import WrongDevice
from twotoken.models import EventKind, FamilyEvent, RefreshToken
from twotoken.signals import family_revoked, reuse_detected, token_retried, wrong_device_refused

DEVICE, OTHER_DEVICE = "dpop:the device's key", "dpop:another device's key"


def test_reuse_is_on_the_timeline(script: Caller) -> None:
    """A reuse makes one event, with the sender's address and user agent, and the token's age in generations."""
    r0 = script.log_in().json()["refresh"]
    r1 = script.refresh(r0).json()["refresh"]
    r2 = script.refresh(r1).json()["refresh"]
    script.refresh(r2)
    for _ in range(3):
        script.refresh(r1, HTTP_USER_AGENT="thief", REMOTE_ADDR="192.0.2.66")
    event = FamilyEvent.objects.get()
    assert (event.kind, event.generations_behind) == (EventKind.REUSE, 2)
    assert (event.ip_address, event.user_agent, event.actor) == ("192.0.2.66", "thief", "")
    assert str(event) == "refresh token reused"


def test_a_change_of_device_is_on_the_timeline(script: Caller) -> None:
    """A refresh from another device makes an event, an updated browser none. A family has at most 18 such events."""
    token = script.log_in(HTTP_USER_AGENT="Mozilla/5.0 Chrome/126.0.1").json()["refresh"]
    with CaptureQueriesContext(connection) as queries:
        token = script.refresh(token, HTTP_USER_AGENT="Mozilla/5.0 Chrome/127.0.0").json()["refresh"]
    assert len(queries) == 2
    assert not FamilyEvent.objects.exists()
    token = script.refresh(token, HTTP_USER_AGENT="curl/8", REMOTE_ADDR="192.0.2.7").json()["refresh"]
    event = FamilyEvent.objects.get()
    assert (event.kind, event.user_agent, event.ip_address) == (EventKind.DEVICE, "curl/8", "192.0.2.7")
    assert event.previous_user_agent == "Mozilla/5.0 Chrome/127.0.0"
    for number in range(25):
        token = script.refresh(token, HTTP_USER_AGENT=f"agent {'x' * number}").json()["refresh"]
    assert FamilyEvent.objects.count() == 18
    other = script.log_in(HTTP_USER_AGENT="Mozilla/5.0").json()["refresh"]
    script.refresh(other, HTTP_USER_AGENT="curl/8")
    assert FamilyEvent.objects.count() == 19


def test_a_retry_from_elsewhere_is_on_the_timeline(browser: Caller) -> None:
    """A retry from another address or user agent makes an event, a signal and a log line.

    A family has at most ten such events.
    """
    browser.log_in(HTTP_USER_AGENT="owner")
    r0 = browser.cookie
    assert browser.refresh(r0, HTTP_USER_AGENT="owner").status_code == 200
    r1 = browser.cookie
    with heard(token_retried) as calls:
        for _ in range(2):
            browser.refresh(r0, HTTP_USER_AGENT="owner")
        assert not calls
        assert not FamilyEvent.objects.exists()
        browser.refresh(r1, HTTP_USER_AGENT="owner", REMOTE_ADDR="192.0.2.66")
        for _ in range(12):
            assert browser.refresh(r0, HTTP_USER_AGENT="thief").status_code == 200
    assert len(calls) == 13
    assert [
        (kwargs["generation"], kwargs["current_generation"], kwargs["ip_address"], kwargs["user_agent"])
        for _, kwargs in calls[:2]
    ] == [(1, 1, "192.0.2.66", "owner"), (0, 1, "127.0.0.1", "thief")]
    events = FamilyEvent.objects.order_by("pk")
    assert [(event.kind, event.ip_address, event.user_agent) for event in events[:2]] == [
        (EventKind.RETRIED, "192.0.2.66", "owner"),
        (EventKind.RETRIED, "127.0.0.1", "thief"),
    ]
    assert len(events) == 10


def test_another_device_is_on_the_timeline(user: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal for the wrong device makes an event, a signal and a log line, and revokes nothing.

    A family has at most ten such events, so a thief can't fill the table.
    """
    pair = families.start(user, device_key=DEVICE)
    claims, row = families.verify(pair.refresh), RefreshToken.objects.values().get()
    with heard(wrong_device_refused, family_revoked, reuse_detected) as calls:
        for proven in ["", OTHER_DEVICE, *[""] * 11]:
            with pytest.raises(WrongDevice):
                families.rotate(claims, Client("192.0.2.66", "thief"), device_key=proven)
    assert [signal for signal, _ in calls] == [wrong_device_refused] * 13
    details = {"generation": 0, "current_generation": 0, "ip_address": "192.0.2.66", "user_agent": "thief"}
    assert calls[0][1] == {"sender": RefreshToken, "family_id": pair.family_id, "user_id": user.pk, **details}
    events = FamilyEvent.objects.all()
    assert {(event.kind, event.ip_address, event.user_agent) for event in events} == {
        (EventKind.WRONG_DEVICE, "192.0.2.66", "thief")
    }
    assert len(events) == 10
    assert caplog.text.count("did not prove the key of its device") == 13
    assert RefreshToken.objects.values().get() == row
    assert families.rotate(claims, Client(), device_key=DEVICE).generation == 1


def test_a_retry_from_elsewhere_that_can_t_be_written(browser: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """If the event of a retry can't be written, the client still gets the current token."""
    browser.log_in(HTTP_USER_AGENT="owner")
    r0 = browser.cookie
    browser.refresh(r0, HTTP_USER_AGENT="owner")
    r1 = browser.cookie
    with connection.execute_wrapper(Failing(DatabaseError("gone"))):
        assert browser.refresh(r0, HTTP_USER_AGENT="thief").status_code == 200
    assert browser.cookie == r1
    assert "retried from another device" in caplog.text


def test_an_event_that_can_t_be_written(script: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """If the event of a refresh can't be written, the client still gets its answer. The log has the error."""

    def no_insert(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT"):
            raise DatabaseError("disk full")
        return execute(sql, params, many, context)

    token = script.log_in(HTTP_USER_AGENT="a").json()["refresh"]
    with connection.execute_wrapper(no_insert):
        assert script.refresh(token, HTTP_USER_AGENT="b").status_code == 200
    assert "could not be written" in caplog.text


def test_who_revoked(user: Any) -> None:
    """The event of a revocation has the actor, cut to the column's length. Without an actor there is no event."""
    pairs = [families.start(user) for _ in range(3)]
    for _ in range(2):
        families.revoke(pairs[0].family_id, actor="x" * 200)
    assert FamilyEvent.objects.get().actor == "x" * 150
    families.revoke(pairs[1].family_id)
    assert families.revoke(uuid4(), actor="ann") is None
    families.revoke_all(user, actor="ann")
    assert list(FamilyEvent.objects.values_list("family", flat=True).order_by("pk")) == [
        pairs[0].family_id,
        pairs[2].family_id,
    ]


class Failing:
    """An execute wrapper that raises an error for statements on the table of events."""

    def __init__(self, error: Exception, start: str = "") -> None:
        self.error = error
        self.start = start
        self.count = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if FamilyEvent._meta.db_table in sql and sql.startswith(self.start):
            self.count += 1
            raise self.error
        return execute(sql, params, many, context)


@pytest.mark.slow
@pytest.mark.parametrize("error", [DatabaseError("gone"), InterfaceError("gone"), OperationalError(1205, "busy")])
def test_a_rotation_survives_its_event(script: Caller, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """If a rotation's event can't be written, the client gets its new token, and the rotation is not retried."""
    pair = script.log_in(HTTP_USER_AGENT="one").json()
    failing = Failing(error)
    with connection.execute_wrapper(failing):
        answer = script.refresh(pair["refresh"], HTTP_USER_AGENT="two")
    assert failing.count
    assert answer.status_code == 200
    assert script.refresh(answer.json()["refresh"], HTTP_USER_AGENT="two").status_code == 200
    assert RefreshToken.objects.get().revoked_at is None
    assert "could not be written" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_an_event_that_fails_in_a_transaction_of_the_caller_s(user: Any) -> None:
    """If an event can't be written, the project's transaction keeps what it wrote before."""
    pair = families.start(user)
    with transaction.atomic():
        with connection.execute_wrapper(Failing(DatabaseError("gone"), "INSERT")):
            assert families.revoke(pair.family_id, actor="ann")
        assert RefreshToken.objects.get().revoked_at is not None
    assert RefreshToken.objects.get().revoked_at is not None


def test_an_actor_whose_name_is_no_text(user: Any) -> None:
    """An actor's user name may be a number or any other type."""
    families.start(user)
    assert families.revoke_all(user, actor=17) == 1  # type: ignore[arg-type]
    assert FamilyEvent.objects.get().actor == "17"
