"""The admin's list of token families: its queries, filters and search."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import CharField, Max, Min, Q
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import UserFactory
from tests.staff import CHROME, LIST, text
from twotoken import families
from twotoken.admin import RefreshTokenAdmin
from twotoken.admin import pages as ours
from twotoken.admin.changelist import LISTED, CappedPaginator, ListQuerySet, StateFilter
from twotoken.admin.searching import begins, by_beginning
from twotoken.clients import Client
from twotoken.models import EventKind, FamilyEvent, RefreshToken

User: Any = get_user_model()
NAME: str = User.USERNAME_FIELD

pytestmark = [pytest.mark.urls("tests.test_admin"), pytest.mark.django_db]


def test_no_query_per_row_and_no_count_of_all(user: Any, viewer: Any) -> None:
    """The list makes the same number of queries for any number of families. Each COUNT stops at the list's limit."""
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
    """If there are more families than the limit, the list says that it shows only the first ones."""
    monkeypatch.setattr(CappedPaginator, "limit", 3)
    for _ in range(5):
        families.start(user)
    assert "Only the first 3 are counted and listed" in text(viewer.get(LIST))
    for family in RefreshToken.objects.all()[:3]:
        family.delete()
    assert "Only the first" not in text(viewer.get(LIST))


FILTERS: list[tuple[str, set[str]]] = [
    ("", {"live", "old", "idle", "stolen", "logged out"}),
    ("state=active", {"live"}),
    ("state=expired", {"old", "idle"}),
    ("state=revoked", {"stolen", "logged out"}),
    ("reason=reuse", {"stolen"}),
    ("reason=logout", {"logged out"}),
    ("reason=admin", set()),
    ("bound=yes", {"live"}),
    ("bound=no", {"old", "idle", "stolen", "logged out"}),
    ("bound=x", {"live", "old", "idle", "stolen", "logged out"}),
    ("q={name}", {"live", "old", "idle", "stolen", "logged out"}),
    ("q=nobody", set()),
    ("q={live}", {"live"}),
    ("q={live_hex}", {"live"}),
    ("q=%20192.0.2.9%20", {"stolen"}),
    ("q=192.0.2.10", set()),
    ("q=192.0.2.11", {"logged out"}),
    ("q=192.0.2.12", set()),
    ("q=*192.0.2.12*", {"live"}),
    ("q=*192.0.2.9*", {"stolen"}),
    ("user={user}", {"live", "old", "idle", "stolen", "logged out"}),
    ("created_at__year=1999", {"old"}),
    ("created_at__year=1999&created_at__month=5", {"old"}),
    ("created_at__year=1999&created_at__month=5&created_at__day=4", {"old"}),
]


def test_filters_and_search(user: Any, viewer: Any) -> None:
    """The list has filters for state, reason, binding and date. A search finds families by user, id and IP address."""
    now = timezone.now()
    made: dict[str, dict[str, Any]] = {
        "live": {"device_key": "dpop:a key", "ip_address": "192.0.2.12"},
        "old": {"expires_at": now, "created_at": now.replace(year=1999, month=5, day=4, hour=12)},
        "idle": {"refreshed_at": now - timedelta(days=8)},
        "stolen": {"revoked_at": now, "revoked_reason": "reuse", "login_ip_address": "192.0.2.9"},
        "logged out": {"revoked_at": now, "revoked_reason": "logout"},
    }
    names = {RefreshToken.objects.create(user=user, **values).pk: name for name, values in made.items()}
    live = next(pk for pk, name in names.items() if name == "live")
    out = next(pk for pk, name in names.items() if name == "logged out")
    FamilyEvent.objects.create(family_id=out, kind=EventKind.DEVICE, ip_address="192.0.2.11")
    for query, found in FILTERS:
        query = query.format(name=user.get_username(), live=live, live_hex=live.hex, user=user.pk)
        response = viewer.get(f"{LIST}?{query}")
        assert response.status_code == 200
        assert (query, {names[family.pk] for family in response.context["cl"].result_list}) == (query, found)


@pytest.mark.skipif(len(ours._user_names()) < 2, reason="this user model has one name only")
def test_search_by_e_mail(viewer: Any) -> None:
    """A search for the beginning of an e-mail address finds the user's families."""
    user: Any = UserFactory()
    User.objects.filter(pk=user.pk).update(email="ann@mail.example")
    families.start(user)
    assert viewer.get(f"{LIST}?q=ann@mail").context["cl"].result_count == 1
    assert viewer.get(f"{LIST}?q=bob@mail").context["cl"].result_count == 0


SPELLINGS = [
    ("Ann.Smith", "ann.smith", True),
    ("aNN.smith", "ann", False),
    ("Ann.Smith", "Ann", True),
    ("ann.smith", "ANN.S", True),
    ("ANN", "ann", True),
    ("Ann", "ANN", True),
    ("ann_smith", "ann.", False),
    ("ann.smith", "smith", False),
    ("ann.smith", "*SMITH*", True),
    ("ann.smith", "*smith", False),
    ("ann.smith", "**", False),
]


@pytest.mark.parametrize(("name", "term", "is_found"), SPELLINGS)
def test_search_by_a_name_s_beginning(viewer: Any, name: str, term: str, is_found: bool) -> None:
    """A term finds names that begin with it, as typed, lower, upper or capitalized. ``*term*`` finds other parts."""
    user: Any = UserFactory()
    User.objects.filter(pk=user.pk).update(**{NAME: name})
    families.start(user)
    is_found = is_found or (connection.vendor == "mysql" and name.lower().startswith(term.lower()))
    assert viewer.get(f"{LIST}?q={term}").context["cl"].result_count == is_found


def test_names_without_an_index_are_not_searched(viewer: Any, django_assert_num_queries: Any) -> None:
    """Name fields without an index are searched only if no name field has one, or if the term contains ``@``."""
    names = {"user__first_name", "user__last_name"} if hasattr(User, "first_name") else {"user__password"}
    every = (f"user__{NAME}", *names)
    conditions = [
        str(by_beginning(RefreshToken.objects.all(), fields, term).query)
        for fields, term in ((tuple(names), "ann"), (every, "ann"), (every, "ann@"))
    ]
    found = [sum(name.partition("__")[2] in sql for name in names) for sql in conditions]
    assert found == [len(names), 0, len(names)]


@pytest.mark.parametrize(
    ("vendor", "lookups"),
    [
        ("postgresql", {"user__name__startswith"}),
        ("sqlite", {"user__name__gte", "user__name__lt"}),
        ("mysql", {"user__name__istartswith"}),
    ],
)
def test_each_database_is_asked_in_the_form_that_uses_an_index(vendor: str, lookups: set[str]) -> None:
    """The search by a name's beginning uses LIKE on PostgreSQL, a range on SQLite, and ``istartswith`` on MariaDB."""
    assert {lookup for lookup, _ in leaves(begins("user__name", CharField(), "ann", vendor))} == lookups


def leaves(condition: Any) -> list[Any]:
    """Return the conditions of a Q object as a flat list."""
    return [leaf for child in condition.children for leaf in (leaves(child) if isinstance(child, Q) else [child])]


def test_a_name_that_is_no_text() -> None:
    """A search also works if the project's search field is a number."""
    assert not by_beginning(RefreshToken.objects.all(), (f"user__{User._meta.pk.name}",), "7").exists()


def test_counting_active_families_from_the_newest_on(user: Any, viewer: Any) -> None:
    """The COUNT has an order, newest first, only with the filter ``state=active`` and without a search."""
    families.start(user)
    for query, is_ordered in (
        ("state=active", True),
        ("state=expired", False),
        ("state=active&q=x", False),
        ("", False),
    ):
        with CaptureQueriesContext(connection) as queries:
            viewer.get(f"{LIST}?{query}")
        (count,) = [query["sql"] for query in queries if f"LIMIT {LISTED}" in query["sql"]]
        assert (query, "ORDER BY" in count) == (query, is_ordered)


def test_the_order_of_the_list(user: Any, viewer: Any) -> None:
    """The list starts with the newest login. With the filter ``state=expired`` it starts with the oldest login."""
    now = timezone.now()
    for days in (9, 8, 10):
        RefreshToken.objects.create(
            user=user, created_at=now - timedelta(days=days), refreshed_at=now - timedelta(days=days)
        )
    for query, ages in (("", [8, 9, 10]), ("?state=expired", [10, 9, 8])):
        listed = viewer.get(f"{LIST}{query}").context["cl"].result_list
        assert [(now - family.created_at).days for family in listed] == ages


def test_the_date_hierarchy_beside_other_filters(user: Any, viewer: Any) -> None:
    """The date hierarchy ignores filters on columns other than the date. Otherwise it could read the whole table."""
    now = timezone.now()
    for days in (0, 400):
        RefreshToken.objects.create(user=user, created_at=now - timedelta(days=days))
    rows = ListQuerySet(RefreshToken)
    span = rows.aggregate(first=Min("created_at"), last=Max("created_at"))
    assert span == rows.filter(~Q(secret=b"x"), Q(ip_address=None) | Q(pk=None)).filter(device_key="dpop:x").aggregate(
        first=Min("created_at"), last=Max("created_at")
    )
    late = rows.filter(created_at__gte=now - timedelta(days=1), device_key="dpop:x")
    assert len(late.datetimes("created_at", "month")) == 1
    assert rows.aggregate(Max("generation")) == {"generation__max": 0}


def test_the_date_hierarchy_reads_an_index_s_ends(user: Any, viewer: Any) -> None:
    """The date hierarchy offers all dates from the first family to the last, and reads only these two families."""
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
    span = timezone.localdate(now) - timezone.localdate(now - timedelta(days=400))  # days, also when summer time ends
    assert len(rows.datetimes("created_at", "day")) == span.days + 1
    assert rows.none().datetimes("created_at", "day") == []
    assert viewer.get(f"{LIST}?created_at__year={year}").status_code == 200


LOOKUPS = [
    "secret__startswith",
    "secret__gt",
    "secret",
    "auth_hash__startswith",
    "retry_key__gt",
    "device_key__startswith",
    "context__contains",
    "refreshed_at__gt",
    "ip_address__startswith",
    "created_at__year__gt",
    "user_id__gt",
    "user__password__startswith",
    "user__last_login__gt",
    "events__user_agent__contains",
    "pk__gt",
]


def test_lookups_that_no_page_links_to(user: Any, viewer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A lookup that no page links to is a 400, and the log names the lookup.

    Otherwise the counts of the results would reveal a secret letter by letter.
    """
    families.start(user)
    for lookup, value in product(LOOKUPS, ("x", "2026")):
        caplog.clear()
        assert viewer.get(f"{LIST}?{lookup}={value}").status_code == 400
        assert f"Filtering by {lookup} not allowed" in caplog.text


HUGE = "9" * 30


ODD = [
    "created_at__year=x",
    "created_at__year=99999999999999",
    "created_at__year=9999",
    "created_at__year=9999&created_at__month=12",
    "created_at__year=9999&created_at__month=12&created_at__day=31",
    "created_at__year=2026&created_at__month=13",
    "created_at__year=2026&created_at__month=2&created_at__day=30",
    f"created_at__year=2026&created_at__month={HUGE}",
    "created_at__month=x",
    f"created_at__gte={HUGE}",
    "created_at__gte=9999-12-31T23:59:59-23:59",
    "created_at__lt=x",
    "no_field=x",
    "no_field__gt=x",
    f"p={HUGE}",
    "p=-1",
]


def test_odd_values(user: Any, viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a parameter of the list's URL has an invalid value, Django redirects to the list without filters."""
    monkeypatch.setattr(RefreshTokenAdmin, "list_per_page", 1)
    families.start(user)
    families.start(user)
    for query in ODD:
        response = viewer.get(f"{LIST}?{query}")
        assert (query, response.status_code, response["Location"]) == (query, 302, f"{LIST}?e=1")
    assert viewer.get(LIST).context["cl"].result_count == 2


@pytest.mark.parametrize(
    "query", ["user=x", f"user={HUGE}", f"user=-{HUGE}", "user__exact=%00", "user__in=1,x", "user="]
)
def test_a_user_of_an_odd_key(user: Any, viewer: Any, query: str) -> None:
    """A filter by an odd user key gives a redirect, or an empty list if the user model accepts the key."""
    families.start(user)
    response = viewer.get(f"{LIST}?{query}")
    assert response.status_code == 302 or response.context["cl"].result_count == 0


@pytest.mark.parametrize(
    "query", ["p=x", f"o={HUGE}", "o=x", f"created_at__day={HUGE}", "created_at__year=0001", "reason=%00", "state=x"]
)
def test_odd_values_that_some_databases_take(user: Any, viewer: Any, query: str) -> None:
    """If only some databases accept a parameter's value, the answer is the list or a redirect, and never an error."""
    families.start(user)
    assert viewer.get(f"{LIST}?{query}").status_code in {200, 302}


@pytest.mark.parametrize("term", ["%00", "a " * 3000, "%22", "'%3B--", "%F0%9F%98%80", "9" * 5000])
def test_odd_terms(user: Any, viewer: Any, term: str) -> None:
    """No search term causes an error."""
    families.start(user)
    assert viewer.get(f"{LIST}?q={term}").status_code == 200


class FilteringAdmin(RefreshTokenAdmin):
    """A project's own admin, with filters of its own."""

    list_filter = (StateFilter, "ip_address", ("user", admin.RelatedOnlyFieldListFilter), "user__is_staff")


class BrokenAdmin(RefreshTokenAdmin):
    """A project's own admin whose code raises an error."""

    def get_queryset(self, request: HttpRequest) -> Any:
        raise ValueError("our own mistake")


@pytest.mark.parametrize(
    ("lookup", "allowed"),
    [
        ("state", True),
        ("ip_address", True),
        ("ip_address__isnull", True),
        ("user__exact", True),
        (f"user__{User._meta.pk.name}__exact", True),
        ("user__is_staff__exact", True),
        ("created_at__year", True),
        ("user__password", False),
        ("user__is_superuser__exact", False),
        ("created_at__lt", False),
        ("secret", False),
    ],
)
def test_a_project_s_own_filters(rf: Any, lookup: str, allowed: bool) -> None:
    """Only the lookups of the project's ``list_filter`` and of the date hierarchy are allowed."""
    model_admin = FilteringAdmin(RefreshToken, admin.site)
    assert model_admin.lookup_allowed(lookup, "x", rf.get(LIST)) is allowed


def test_an_error_that_no_address_causes(rf: Any, viewer: Any) -> None:
    """A ValueError in the project's own code is not hidden: the list does not answer it with a redirect."""
    model_admin = BrokenAdmin(RefreshToken, admin.site)
    for address in (LIST, f"{LIST}?e=1"):
        request = rf.get(address)
        request.user = viewer.user
        with pytest.raises(ValueError, match="our own mistake"):
            model_admin.changelist_view(request)
