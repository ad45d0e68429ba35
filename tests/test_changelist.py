"""The admin's list of token families: quick, filtered and searched."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import UserFactory
from tests.staff import CHROME, LIST, text
from twotoken import admin as ours
from twotoken import families
from twotoken.changelist import LISTED, CappedPaginator, ListQuerySet
from twotoken.clients import Client
from twotoken.models import RefreshToken

User = get_user_model()

pytestmark = [pytest.mark.urls("tests.test_admin"), pytest.mark.django_db]


def test_no_query_per_row_and_no_count_of_all(user: Any, viewer: Any) -> None:
    """However many there are; the count goes no further than what is listed."""
    counts = []
    for _ in range(2):
        for number in range(5):
            families.start(UserFactory(), Client(f"192.0.2.{number}", CHROME))  # type: ignore[arg-type]
        with CaptureQueriesContext(connection) as queries:
            assert viewer.get(LIST).status_code == 200
        counts.append(len(queries))
        found = [query["sql"] for query in queries.captured_queries if "COUNT(" in query["sql"]]
        assert found
        assert all(str(LISTED) in sql for sql in found)
    assert counts[0] == counts[1]


def test_more_than_are_listed(user: Any, viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list says that it ends."""
    monkeypatch.setattr(CappedPaginator, "limit", 3)
    for _ in range(5):
        families.start(user)
    assert "Only the first 3 are counted and listed" in text(viewer.get(LIST))
    for family in RefreshToken.objects.all()[:3]:
        family.delete()
    assert "Only the first" not in text(viewer.get(LIST))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"live", "old", "idle", "stolen", "logged out"}),
        ("state=active", {"live"}),
        ("state=expired", {"old", "idle"}),
        ("state=revoked", {"stolen", "logged out"}),
        ("state=reused", {"stolen"}),
        ("reason=logout", {"logged out"}),
        ("reason=admin", set()),
        ("q={name}", {"live", "old", "idle", "stolen", "logged out"}),
        ("q=nobody", set()),
        ("q={live}", {"live"}),
        ("q={live_hex}", {"live"}),
        ("q=%20192.0.2.9%20", {"stolen"}),
        ("q=192.0.2.10", set()),
        ("user={user}", {"live", "old", "idle", "stolen", "logged out"}),
        ("created_at__year=1999", {"old"}),
        ("created_at__year=1999&created_at__month=5", {"old"}),
        ("created_at__year=1999&created_at__month=5&created_at__day=4", {"old"}),
    ],
)
def test_filters_and_search(user: Any, viewer: Any, query: str, found: set[str]) -> None:
    """By state, reason, date, name, family id and address."""
    now = timezone.now()
    made: dict[str, dict[str, Any]] = {
        "live": {},
        "old": {"expires_at": now, "created_at": now.replace(year=1999, month=5, day=4)},
        "idle": {"refreshed_at": now - timedelta(days=8)},
        "stolen": {"revoked_at": now, "revoked_reason": "reuse", "ip_address": "192.0.2.9"},
        "logged out": {"revoked_at": now, "revoked_reason": "logout"},
    }
    names = {RefreshToken.objects.create(user=user, **values).pk: name for name, values in made.items()}
    live = next(pk for pk, name in names.items() if name == "live")
    query = query.format(name=user.get_username(), live=live, live_hex=live.hex, user=user.pk)
    response = viewer.get(f"{LIST}?{query}")
    assert response.status_code == 200
    assert {names[family.pk] for family in response.context["cl"].result_list} == found


@pytest.mark.skipif(len(ours._user_names()) < 2, reason="this user model has one name only")
def test_search_by_e_mail(viewer: Any) -> None:
    """A part of it is enough."""
    user: Any = UserFactory()
    User.objects.filter(pk=user.pk).update(email="ann@mail.example")
    families.start(user)
    assert viewer.get(f"{LIST}?q=ann@mail").context["cl"].result_count == 1
    assert viewer.get(f"{LIST}?q=bob@mail").context["cl"].result_count == 0


def test_the_date_hierarchy_reads_an_index_s_ends(user: Any, viewer: Any) -> None:
    """Years, months and days from the first family to the last, without reading all between."""
    now = timezone.now()
    for days in (0, 1, 400):
        RefreshToken.objects.create(user=user, created_at=now - timedelta(days=days))
    year = (now - timedelta(days=400)).year
    with CaptureQueriesContext(connection) as queries:
        shown = text(viewer.get(LIST))
    assert str(year) in shown
    assert not any("DISTINCT" in query["sql"] for query in queries.captured_queries)
    rows = ListQuerySet(RefreshToken)
    assert [day.year for day in rows.datetimes("created_at", "year")] == list(range(year, now.year + 1))
    assert 13 <= len(rows.datetimes("created_at", "month")) <= 15
    assert len(rows.datetimes("created_at", "day")) == 401
    assert rows.none().datetimes("created_at", "day") == []
    assert viewer.get(f"{LIST}?created_at__year={year}").status_code == 200
