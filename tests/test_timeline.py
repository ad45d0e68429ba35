"""The timeline of a token family, in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from tests.staff import CHROME
from twotoken import families
from twotoken.admin.timeline import device_label, distance_label, reason_label, timeline
from twotoken.clients import Client
from twotoken.exceptions import WrongDevice
from twotoken.models import EventKind, FamilyEvent, RefreshToken


def test_the_timeline_of_an_end(user: Any) -> None:
    """A revoked family's timeline ends with the actor and the reason, and an expired family's with the expiry."""
    pair = families.start(user)
    family = RefreshToken.objects.get()
    assert [moment.what for moment in timeline(family)] == ["started"]
    families.revoke(pair.family_id, actor="ann")
    family.refresh_from_db()
    assert timeline(family)[-1].details == "revoked by staff, by ann"
    expired = RefreshToken.objects.create(
        user=user, created_at=timezone.now() - timedelta(9), refreshed_at=timezone.now() - timedelta(8)
    )
    assert [moment.what for moment in timeline(expired)] == ["started", "expired"]


def test_the_login_and_the_last_rotation(user: Any) -> None:
    """The login and the last rotation have address and device. Later refreshes don't change those of the login."""
    with time_machine.travel("2026-03-01T12:00:00Z", tick=False) as clock:
        pair = families.start(user, Client("192.0.2.7", CHROME))
        for sender in (Client("192.0.2.7", CHROME), Client("192.0.2.66", "curl/8.1"), Client("192.0.2.99", "x")):
            clock.shift(timedelta(seconds=61))
            pair = families.rotate(families.verify(pair.refresh), sender)
        moments = timeline(RefreshToken.objects.get())
    started, first_change, last, _next_change = moments
    assert (started.details, started.ip_address) == ("Chrome 126 on Windows", "192.0.2.7")
    assert first_change.details == "from Chrome 126 on Windows to curl 8"
    assert (last.what, last.details, last.ip_address) == ("last of 3 rotations", "x", "192.0.2.99")
    with timezone.override("UTC"):
        assert last.time_label == "March 1, 2026, 12:03:03"


def test_a_retry_from_elsewhere(user: Any) -> None:
    """The timeline shows the address and device of a retry."""
    pair = families.start(user)
    FamilyEvent.objects.create(
        family_id=pair.family_id, kind=EventKind.RETRIED, ip_address="192.0.2.66", user_agent="curl/8.1"
    )
    moment = timeline(RefreshToken.objects.get())[-1]
    assert moment.what == "retried from another device or address"
    assert (moment.details, moment.user_agent, moment.ip_address) == ("curl 8", "curl/8.1", "192.0.2.66")


def test_a_bound_family(user: Any) -> None:
    """The timeline shows a request that was refused because it had no proof, and who unbound the family."""
    pair = families.start(user, device_key="dpop:a key")
    with pytest.raises(WrongDevice):
        families.rotate(families.verify(pair.refresh), Client("192.0.2.66", "curl/8.1"))
    families.unbind_each(families.select(), actor="ann")
    refused, unbound = timeline(RefreshToken.objects.get())[1:]
    assert (refused.what, refused.details) == ("refused on another device", "curl 8")
    assert refused.ip_address == "192.0.2.66"
    assert (unbound.what, unbound.details) == ("unbound from its device", "by ann")


def test_a_reason_of_the_projects_own() -> None:
    """A project's own reason is shown unchanged, and a reason of ours in words."""
    assert reason_label(RefreshToken(revoked_reason="limit")) == "too many logins"
    assert reason_label(RefreshToken(revoked_reason="house rule")) == "house rule"


def test_a_device_has_its_user_agent_behind_it() -> None:
    """A device's tooltip shows the user agent, escaped, because a client may send any text."""
    assert device_label("") == "-"
    assert device_label("<b>&'") == '<span title="&lt;b&gt;&amp;&#x27;">&lt;b&gt;&amp;&#x27;</span>'


@time_machine.travel("2026-03-01T12:00:00Z", tick=False)
def test_a_distance_has_its_time_behind_it() -> None:
    """A relative time, such as "2 hours ago", has a tooltip with the exact time."""
    with timezone.override("UTC"):
        now = timezone.now()
        assert distance_label(now - timedelta(hours=3, minutes=5)) == (
            '<span title="March 1, 2026, 8:55 a.m.">3\xa0hours ago</span>'
        )
        assert (
            distance_label(now + timedelta(days=2, hours=1))
            == '<span title="March 3, 2026, 1 p.m.">in 2\xa0days</span>'
        )
        assert distance_label(now) == '<span title="March 1, 2026, noon">0\xa0minutes ago</span>'
