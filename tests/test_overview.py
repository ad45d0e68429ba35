"""The admin's overview page: its numbers, its links, who may see it, and its SQL statements."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import unescape
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection
from django.http import HttpRequest
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone, translation

from tests.factories import UserFactory
from tests.overrides import with_settings
from tests.staff import LIST, staff, text
from twotoken import families
from twotoken.admin import RefreshTokenAdmin, figures, overview
from twotoken.clients import Client
from twotoken.exceptions import ReusedToken
from twotoken.models import RefreshToken, RevokedReason

OVERVIEW = f"{LIST}overview/"
DAY = timedelta(days=1)
pytestmark = [pytest.mark.urls("tests.test_overview"), pytest.mark.django_db]


class OwnersAdmin(RefreshTokenAdmin):
    """A project's own admin: staff who may revoke see only their own families, and other staff see no family."""

    def get_queryset(self, request: HttpRequest) -> Any:
        found = super().get_queryset(request)
        return found.filter(user=request.user) if self.has_revoke_permission(request) else found.none()


site = admin.AdminSite()
site.register(RefreshToken, RefreshTokenAdmin)
own = admin.AdminSite("own")
own.register(RefreshToken, OwnersAdmin)
urlpatterns = [path("admin/", site.urls), path("own/", own.urls)]


def make(user: Any, **values: Any) -> RefreshToken:
    """Create a family."""
    return RefreshToken.objects.create(user=user, **values)


def everything(user: Any) -> Any:
    """Create families in each state for a user. Return a second user, who has reused tokens and has more families."""
    now = timezone.now()
    other: Any = UserFactory()
    make(user)
    make(user, created_at=now - 3 * DAY, refreshed_at=now - 2 * DAY)
    make(user, created_at=now - 40 * DAY, refreshed_at=now - DAY, expires_at=None)
    make(user, created_at=now - 20 * DAY, refreshed_at=now - 10 * DAY)
    make(user, created_at=now - 20 * DAY, refreshed_at=now - DAY, expires_at=now - 2 * DAY)
    make(user, created_at=now - 60 * DAY, refreshed_at=now - 50 * DAY)
    make(
        user, created_at=now - 60 * DAY, refreshed_at=now - 40 * DAY, revoked_at=now - 40 * DAY, revoked_reason="limit"
    )
    make(user, created_at=now - 5 * DAY, revoked_at=now - 4 * DAY, revoked_reason="logout")
    make(user, created_at=now - 5 * DAY, revoked_at=now, revoked_reason="logout")
    make(user, created_at=now, revoked_at=now, revoked_reason="our own reason")
    for _ in range(2):
        pair = families.start(other)
        families.rotate(families.verify(pair.refresh), Client())
        with pytest.raises(ReusedToken):
            families.rotate(families.verify(pair.refresh), Client("192.0.2.66", "stealer"))
    for _ in range(4):
        families.start(other)
    return other


def cards(response: Any) -> dict[str, tuple[str, str]]:
    """Return the number and the period of each of the page's cards, by the card's title."""
    return {card.title: (card.number.text, card.period) for card in response.context["cards"]}


def test_the_numbers(user: Any, viewer: Any) -> None:
    """Each card shows its number. Reuse has a card even if its number is 0."""
    assert cards(viewer.get(OVERVIEW)) == {
        "Active families": ("0", "now"),
        "Logins": ("0", "in the last 30 days"),
        "Refresh token reused": ("0", "in the last 30 days"),
    }
    cache.clear()
    everything(user)
    response = viewer.get(OVERVIEW)
    assert {title: number for title, (number, _) in cards(response).items()} == {
        "Active families": str(RefreshToken.objects.active().count()),
        "Logins": "13",
        "Refresh token reused": "2",
        "Logged out": "2",
        "Our own reason": "1",
    }
    assert RefreshToken.objects.active().count() == 7
    assert "≈" not in text(response)
    assert "Token families are deleted" not in text(response)


def test_each_number_links_to_the_list_that_shows_it(user: Any, viewer: Any) -> None:
    """The list behind each link has as many families as the number of the link says."""
    everything(user)
    content = viewer.get(OVERVIEW).content.decode()
    links = re.findall(rf'href="{LIST}\?([^"]+)">(\d+)</a>', content)
    assert len({query for query, _ in links}) > 12
    for query, number in links:
        response = viewer.get(f"{LIST}?{unescape(query)}")
        assert response.status_code == 200, query
        assert (query, response.context["cl"].result_count) == (query, int(number))
    assert text(viewer.get(f"{LIST}?reused_from=192.0.2.66")).count("192.0.2.66") == 1
    assert viewer.get(f"{LIST}?reused_from=x").context["cl"].result_count == RefreshToken.objects.count()
    assert OVERVIEW in viewer.get(LIST).content.decode()


def test_the_order_of_revocations(user: Any, viewer: Any) -> None:
    """A list filtered by time of revocation begins with the newest revocation, other lists with the newest login."""
    now = timezone.now()
    late = make(user, created_at=now - 5 * DAY, revoked_at=now, revoked_reason="logout")
    early = make(user, created_at=now - 4 * DAY, revoked_at=now - DAY, revoked_reason="logout")
    (query,) = [
        card.number.query for card in viewer.get(OVERVIEW).context["cards"] if "reason=logout" in card.number.query
    ]
    response, (sql,) = (
        viewer.get(f"{LIST}?{query}"),
        [sql for sql in statements(viewer, f"{LIST}?{query}") if "ORDER" in sql],
    )
    assert list(response.context["cl"].result_list) == [late, early]
    assert "created_at" not in sql.partition("ORDER BY")[2]  # or MariaDB would sort all of them
    assert list(viewer.get(f"{LIST}?reason=logout").context["cl"].result_list) == [early, late]


def test_the_days(user: Any, viewer: Any) -> None:
    """The table has a row for each day. The row's first number counts the families active at the end of the day."""
    now = timezone.now()
    start = figures.day_starts(now)[-3]
    make(user, created_at=start, refreshed_at=start, expires_at=start + 1.5 * DAY)
    make(user, created_at=start - timedelta(seconds=1), refreshed_at=now)
    make(user, created_at=start, refreshed_at=start, revoked_at=start + timedelta(hours=1), revoked_reason="logout")
    by_day = viewer.get(OVERVIEW).context["by_day"]
    rows = [[number.text for number in numbers] for _, numbers in by_day[:5]]
    assert rows == [
        ["1", "0", "0", "0"],
        ["1", "0", "0", "0"],
        ["2", "2", "0", "1"],
        ["1", "1", "0", "0"],
        ["0", "0", "0", "0"],
    ]
    assert len(by_day) == figures.DAYS
    assert [day.date() for day, _ in by_day[:2]] == [timezone.localdate(), timezone.localdate() - DAY]


def test_a_plot(user: Any, viewer: Any) -> None:
    """A plot is an image with a name, without script and style. The highest bar has full height; small bars show."""
    for _ in range(200):
        make(user)
    make(user, created_at=timezone.now() - 2 * DAY)
    response = viewer.get(OVERVIEW)
    plots = re.findall(r"<svg viewBox=.*?</svg>", response.content.decode(), re.DOTALL)
    assert len(plots) == 3
    for plot in plots:
        assert 'role="img" aria-label="' in plot
        assert not re.search(r"<script|style=|url\(|on\w+=", plot)
    logins = response.context["cards"][1]
    assert [(bar.y, bar.height) for bar in logins.bars[-3:]] == [(59, 1), (60, 0), (0, 60)]
    today = translation.gettext("Most: %(number)s on %(day)s") % {
        "number": "200",
        "day": timezone.localdate().strftime("%B %-d"),
    }
    assert logins.most == today
    assert logins.bars[-1].text.endswith(": 200")


def test_users_and_addresses(user: Any, viewer: Any) -> None:
    """The users with the most active families and the addresses with the most reused tokens come first."""
    other = everything(user)
    shown = viewer.get(OVERVIEW).context
    assert [(name, number.text) for name, number in shown["users"]] == [(str(other), "4"), (str(user), "3")]
    assert [(address, number.text) for address, number in shown["addresses"]] == [("192.0.2.66", "2")]
    other.delete()
    assert [name for name, _ in viewer.get(OVERVIEW).context["users"]] == [str(user)]  # from the cache


def test_large_numbers(user: Any, viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With very many families, large numbers are estimates from a sample, with two digits. Small numbers are exact."""
    monkeypatch.setattr(figures, "LIMIT", 100)
    monkeypatch.setattr(figures, "SMALL", 50)
    monkeypatch.setattr(overview, "LIMIT", 100)
    now = timezone.now()
    rare: Any = UserFactory()
    # Keys at equal distances, as random keys lie on average. MariaDB orders them by their last group.
    keys = [UUID(int=(number << 121) | (8 << 60) | (number << 41) | (4 << 76)) for number in range(128)]
    last = max(keys)
    stolen: Any = {"revoked_at": now, "revoked_reason": "reuse"}
    RefreshToken.objects.bulk_create(
        RefreshToken(pk=key, user=rare if key == last else user, **(stolen if key == last else {})) for key in keys
    )
    response = viewer.get(OVERVIEW)
    assert cards(response) == {
        "Active families": ("≈ 130", "now"),
        "Logins": ("≈ 130", "in the last 30 days"),
        "Refresh token reused": ("1", "in the last 30 days"),
    }
    assert [(name, number.text) for name, number in response.context["users"]] == [(str(user), "≈ 130")]
    assert "more than 100 token families" in text(response)


def test_small_numbers_of_many(user: Any, viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With very many families, a user's few families are counted exactly, and so are the logins up to LIMIT."""
    monkeypatch.setattr(figures, "LIMIT", 20)
    monkeypatch.setattr(figures, "SMALL", 20)
    old = timezone.now() - 50 * DAY
    others: list[Any] = [UserFactory() for _ in range(40)]
    RefreshToken.objects.bulk_create(RefreshToken(user=other, created_at=old, expires_at=None) for other in others)
    for _ in range(3):
        make(user)
    found = figures.count(RefreshToken.objects.primary())
    assert (found.logins.total, found.logins.is_estimate) == (3, False)
    assert all(ranked.count in {1, 3} and not ranked.is_estimate for ranked in found.users)
    for _ in range(30):
        make(user)
    monkeypatch.setattr(figures, "SMALL", 10_000)
    assert figures.count(RefreshToken.objects.primary()).logins.is_estimate


def statements(browser: Any, url: str = OVERVIEW) -> list[str]:
    """Return the page's SQL statements that read families or the names of their users."""
    with CaptureQueriesContext(connection) as queries:
        assert browser.get(url).status_code == 200
    found = [
        query["sql"] for query in queries.captured_queries if "twotoken" in query["sql"] or " IN (" in query["sql"]
    ]
    return [sql for sql in found if "auth_permission" not in sql]


def test_what_it_costs(user: Any, viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page makes three statements, or one if the numbers are cached, or twelve and one per reason of the project.

    A large table is read with LIMIT or IN.
    """
    everything(user)
    assert len(statements(viewer)) == 3
    assert len(statements(viewer)) == 1
    # The random sample lacks one family. A smaller sample could lack all active ones, and a statement would be missing.
    monkeypatch.setattr(figures, "LIMIT", RefreshToken.objects.count() - 1)
    cache.clear()
    found = statements(viewer)
    has_own = any("our own reason" in sql for sql in found)  # not if the sample lacks the family with this reason
    assert len(found) == 12 + has_own
    unlimited = [sql for sql in found if "LIMIT" not in sql]
    assert len(unlimited) == 2  # for the users with few families, and for the users' names
    assert all(" IN (" in sql for sql in unlimited)


def test_a_minute(user: Any, viewer: Any, time_machine: Any) -> None:
    """For a minute the page shows the same numbers. After that it shows new ones."""
    time_machine.move_to(timezone.now(), tick=False)
    assert cards(viewer.get(OVERVIEW))["Logins"][0] == "0"
    make(user)
    time_machine.shift(59)
    assert cards(viewer.get(OVERVIEW))["Logins"][0] == "0"
    time_machine.shift(2)
    assert cards(viewer.get(OVERVIEW))["Logins"][0] == "1"


def test_who_may_see_it(user: Any, client: Any, revoker: Any) -> None:
    """Staff with the view permission see the page. Other staff get a 403, and anonymous visitors the login page."""
    assert revoker.get(OVERVIEW).status_code == 200
    assert staff("revoke_refreshtoken").get(OVERVIEW).status_code == 403
    assert client.get(OVERVIEW).status_code == 302


def test_nobody_counts_families_that_the_list_hides(user: Any) -> None:
    """A project's ``get_queryset`` decides which families are counted, even if the numbers come from the cache."""
    url = OVERVIEW.replace("/admin/", "/own/", 1)
    one, two = (staff("view_refreshtoken", "revoke_refreshtoken") for _ in range(2))
    nobody = staff("view_refreshtoken")
    for _ in range(3):
        families.start(one.user)
    for browser, number in ((one, "3"), (two, "0"), (nobody, "0"), (one, "3")):
        shown = cards(browser.get(url))
        assert [value for value, _ in shown.values()] == [number, number, "0"]
    assert [str(name) for name, _ in one.get(url).context["users"]] == [str(one.user)]
    everything(user)
    assert not two.get(url).context["addresses"]
    assert cards(one.get(OVERVIEW))["Logins"][0] == "16"


def test_tenants_and_time_zones_have_numbers_of_their_own(user: Any, rf: Any, viewer: Any) -> None:
    """The cache has separate numbers for each issuer, time zone, staff member and condition of the queryset."""
    request = rf.get(OVERVIEW)
    request.user = viewer.user
    rows = RefreshToken.objects.primary()
    keys = [overview._cache_key(request, rows), overview._cache_key(request, rows.filter(user=user))]
    for issuer in ("https://a.example.com", "https://b.example.com"):
        with with_settings(ISSUER=lambda issuer=issuer: issuer):
            keys.append(overview._cache_key(request, rows))
    with timezone.override(ZoneInfo("Asia/Tokyo")):
        keys.append(overview._cache_key(request, rows))
    request.user = user
    keys.append(overview._cache_key(request, rows))
    assert len(set(keys)) == len(keys)
    assert overview._cache_key(request, rows) == keys[-1]


class Unwritable(LocMemCache):
    """A cache that refuses to write."""

    def set(self, *args: Any, **kwargs: Any) -> None:
        raise ConnectionError("the cache is full")


class Down(Unwritable):
    """A cache that does not answer."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("the cache is down")


@pytest.mark.parametrize("name", ["Unwritable", "Down"])
def test_a_cache_that_fails(user: Any, viewer: Any, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """If the cache fails, the page counts on each request, and the log says that the cache failed."""
    with override_settings(CACHES={"default": {"BACKEND": f"tests.test_overview.{name}"}}):
        for number in ("0", "1"):
            assert cards(viewer.get(OVERVIEW))["Logins"][0] == number
            make(user)
    found = [record for record in caplog.records if record.name == "twotoken"]
    assert [record.getMessage().startswith("The cache failed") for record in found] == [True, True]


def test_with_a_short_retention(user: Any, viewer: Any) -> None:
    """With a short RETENTION the page says that families are deleted, so numbers of earlier days are too small."""
    with with_settings(RETENTION=timedelta(days=3)):
        assert "are deleted 3 days after they end" in text(viewer.get(OVERVIEW))


@override_settings(USE_TZ=False)
def test_without_time_zones(user: Any, viewer: Any) -> None:
    """With USE_TZ off, a day begins at midnight of the stored times, which are naive."""
    make(user)
    assert cards(viewer.get(OVERVIEW))["Logins"][0] == "1"
    starts = figures.day_starts(timezone.now())
    assert starts[-1] == datetime.combine(timezone.now().date(), datetime.min.time())


def test_days_when_the_clocks_change() -> None:
    """A day begins at midnight of the current time zone, even if the day has 23 or 25 hours."""
    with timezone.override(ZoneInfo("Europe/Berlin")):
        starts = figures.day_starts(datetime(2026, 4, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")))
    lengths = {(later - earlier) / timedelta(hours=1) for earlier, later in pairwise(starts)}
    assert lengths == {23, 24}


def test_reasons_are_those_of_the_code() -> None:
    """The overview counts each reason of RevokedReason, even one that never occurred."""
    assert set(figures.count(RefreshToken.objects.primary()).revoked) == set(RevokedReason.values)
