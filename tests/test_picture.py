"""The SVG picture of a family's timeline, and the marks for the states of families."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import time_machine
from django.utils import timezone

from tests.staff import CHROME
from twotoken import families
from twotoken.admin.picture import MARKS, STACK, TICKS, draw, numbered_mark, state_mark
from twotoken.admin.timeline import EXPIRED, ROTATED, STARTED, timeline
from twotoken.clients import Client
from twotoken.models import EventKind, FamilyEvent, RefreshToken, RevokedReason

NOW = datetime.fromisoformat("2026-03-11T12:00:00+00:00")


def at(days: float) -> datetime:
    """Return the time that is this many days after the login of the ``family`` fixture."""
    return NOW + timedelta(days=days - 10)


@pytest.fixture
def family(user: Any) -> RefreshToken:
    """An active family that started ten days ago, and was last refreshed four days ago."""
    return RefreshToken.objects.create(
        user=user,
        created_at=at(0),
        refreshed_at=at(6),
        generation=3,
        login_ip_address="192.0.2.7",
        ip_address="192.0.2.8",
        user_agent=CHROME,
    )


def event(family: RefreshToken, kind: str, days: float, **values: Any) -> None:
    """Record an event of a family, this many days after the login."""
    FamilyEvent.objects.create(family=family, kind=kind, created_at=at(days), **values)


def drawn(family: RefreshToken) -> ET.Element:
    """Return the picture as XML."""
    with time_machine.travel(NOW, tick=False), timezone.override("UTC"):
        return ET.fromstring(draw(family, timeline(family)))  # noqa: S314 - our own


def places(picture: ET.Element) -> list[tuple[str, str, str]]:
    """Return the number, the x and the y of each mark in the picture."""
    return [
        ("".join(mark.itertext()).split(":")[0], mark.get("x", ""), mark.get("y", "")) for mark in picture.iter("svg")
    ][1:]


def test_places_are_true_to_time(family: RefreshToken) -> None:
    """A mark's distance from the login is proportional to its time. An active family's line ends at the present."""
    event(family, EventKind.DEVICE, 2.5)
    picture = drawn(family)
    assert [(number, x) for number, x, _ in places(picture)] == [("1", "4.0%"), ("2", "27.0%"), ("3", "59.2%")]
    assert len({y for _, _, y in places(picture)}) == 1
    assert [text.text for text in picture.findall("text")] == ["03/01/2026 noon", "now"]
    assert picture.find("circle") is not None


def test_each_mark_says_what_it_is(family: RefreshToken) -> None:
    """The tooltip of a mark has the event, the time to the second, the device and the address."""
    event(family, EventKind.RETRIED, 8, ip_address="192.0.2.66", user_agent="curl/8.1")
    titles = [title.text for title in drawn(family).iter("title")]
    assert titles == [
        "Timeline",
        "1: started, March 1, 2026, 12:00:00, Chrome 126 on Windows, 192.0.2.7",
        "2: last of 3 rotations, March 7, 2026, 12:00:00, Chrome 126 on Windows, 192.0.2.8",
        "3: retried from another device or address, March 9, 2026, 12:00:00, curl 8, 192.0.2.66",
    ]


def test_it_is_read_aloud_as_one_sentence(family: RefreshToken) -> None:
    """Screen readers get the picture as one image with a name and a short description, which refers to the table."""
    picture = drawn(family)
    assert picture.get("role") == "img"
    assert picture.get("aria-labelledby") == "picture-title picture-text"
    described = picture.findtext("desc")
    assert described == "2 events from March 1, 2026, 12:00:00 to now. The table below describes each of them."


def test_a_tick_for_each_rotation(family: RefreshToken) -> None:
    """Each rotation has a tick, up to the last rotation. The number of ticks is limited."""
    ticks = [line.get("x1") for line in drawn(family).iter("line") if line.get("class") == "twotoken-tick"]
    assert ticks == ["22.4%", "40.8%", "59.2%"]
    family.generation = 10_000
    ticks = [line.get("x1") for line in drawn(family).iter("line") if line.get("class") == "twotoken-tick"]
    assert len(ticks) == TICKS
    family.generation = 0
    assert not [line for line in drawn(family).iter("line") if line.get("class") == "twotoken-tick"]


def test_marks_that_are_near_are_stacked(family: RefreshToken) -> None:
    """Marks that would overlap are stacked, with the earliest at the bottom."""
    event(family, EventKind.DEVICE, 6.001)
    event(family, EventKind.RETRIED, 6.002)
    (_, start, _), *stack = places(drawn(family))
    assert {x for _, x, _ in stack} == {"59.2%"} != {start}
    heights = [int(y) for _, _, y in stack]
    assert [number for number, _, _ in stack] == ["2", "3", "4"]
    assert heights == sorted(heights, reverse=True)


def test_a_crowd_keeps_its_most_important_marks(family: RefreshToken) -> None:
    """A stack has a limit. It keeps the marks of reuse and revocation, and says how many marks it leaves out."""
    for number in range(9):
        event(family, EventKind.RETRIED, 9.9 + number / 1000)
    event(family, EventKind.REUSE, 10, generations_behind=1)
    family.revoked_at, family.revoked_reason = NOW, RevokedReason.REUSE
    picture = drawn(family)
    stack = places(picture)[2:]
    assert [number for number, _, _ in stack] == ["3", "4", "5", "12", "13"]
    assert len(stack) == STACK
    assert "+6" in [text.text for text in picture.findall("text")]


@pytest.mark.parametrize("days", [0.0, 10.0])
def test_an_end(family: RefreshToken, days: float) -> None:
    """The line of a revoked family ends at the revocation, even if that was at the moment of the login."""
    family.refreshed_at = at(0)
    family.generation = 0
    family.revoked_at = at(days)
    picture = drawn(family)
    assert picture.find("circle") is None
    shown = [text.text for text in picture.findall("text")]
    assert shown == ["03/01/2026 noon", "03/11/2026 noon" if days else "03/01/2026 noon"]
    assert [number for number, _, _ in places(picture)] == ["1", "2"]


def test_nothing_but_the_login(family: RefreshToken) -> None:
    """The description of a new family's picture says that there is one event."""
    family.generation = 0
    assert (drawn(family).findtext("desc") or "").startswith("One event from")


def test_what_clients_send_is_escaped(family: RefreshToken) -> None:
    """A user agent can't add elements to the picture."""
    event(family, EventKind.RETRIED, 8, user_agent='</title><script>"')
    shown = draw(family, timeline(family))
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_it_works_under_a_strict_policy(family: RefreshToken) -> None:
    """The picture has no script and no inline style, because a Content-Security-Policy may forbid them."""
    assert not re.search(r"<script|<style|style=| on\w+=", draw(family, timeline(family)))


def test_every_event_has_a_mark() -> None:
    """Each kind of event has a mark in the picture."""
    assert set(MARKS) == {*EventKind.values, STARTED, ROTATED, EXPIRED}
    assert len(set(MARKS.values())) >= 6


def test_a_numbered_mark(family: RefreshToken) -> None:
    """A row of the table has the same numbered mark as the picture. Screen readers skip the mark."""
    mark = ET.fromstring(numbered_mark(timeline(family)[0], 12))  # noqa: S314 - our own
    assert mark.get("aria-hidden") == "true"
    assert "".join(mark.itertext()) == "12"


@pytest.mark.parametrize(
    ("reason", "tone"),
    [
        ("", "good"),
        (RevokedReason.REUSE, "bad"),
        (RevokedReason.ADMIN, "warn"),
        ("our own reason", "warn"),
        (RevokedReason.LOGOUT, "quiet"),
        ("expired", "quiet"),
    ],
)
def test_the_mark_of_a_state(reason: str, tone: str) -> None:
    """There are different marks for active families, for reuse, for other revocations, and for logout or expiry."""
    now = timezone.now()
    family = RefreshToken(refreshed_at=now)
    if reason == "expired":
        family.refreshed_at = now - timedelta(days=8)
    elif reason:
        family.revoked_at, family.revoked_reason = now, reason
    assert f"twotoken-{tone}" in state_mark(family)


def test_a_family_that_was_rotated(user: Any) -> None:
    """The picture of a family that rotated once has one tick."""
    pair = families.start(user, Client("192.0.2.7", CHROME))
    families.rotate(families.verify(pair.refresh), Client("192.0.2.7", CHROME))
    family = RefreshToken.objects.get()
    assert draw(family, timeline(family)).count("twotoken-tick") == 1
