"""The paginator, queryset and filters of the admin's list of token families. They are fast with millions of families.

The module ``pages`` defines the list's columns and their order.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ERROR_FLAG, ChangeList
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.core.paginator import Paginator
from django.db import DataError, connections, transaction
from django.db.models import Max, Min
from django.db.models.constants import LOOKUP_SEP
from django.db.models.sql.where import AND, WhereNode
from django.http import HttpRequest
from django.utils.translation import pgettext_lazy

from twotoken.admin.timeline import local_time
from twotoken.models import RefreshToken, RefreshTokenQuerySet, RevokedReason, State

LISTED = 10_000  # the list counts and shows at most so many families, because a COUNT of millions takes seconds
# The lookups that Django's own list filters use in their links.
LOOKUPS = ("", "__exact", "__in", "__isnull", "__isempty", "__gt", "__gte", "__lt", "__lte")


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not generic when it runs
    """A paginator that counts at most LISTED families, because a COUNT of millions takes seconds."""

    limit = LISTED
    newest_first = False

    @cached_property
    def count(self) -> int:
        """The number of families, but not more than ``limit``.

        If ``newest_first`` is True, the newest families are counted first. This is for a list of active families:
        without an order, the database would first read the oldest rows, few of which are active.
        """
        rows: Any = self.object_list if self.newest_first else self.object_list.order_by()  # type: ignore[attr-defined]
        return int(rows[: self.limit].count())


class FamilyList(ChangeList):
    """Django's ``ChangeList``, with one change: if any value in the URL is invalid, the list redirects to ``?e=1``.

    Django's own class redirects for most invalid values, and answers a 500 for the others.
    """

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        alias = RefreshToken.objects.primary().db
        # A value that only the database refuses must not break the transaction of ATOMIC_REQUESTS.
        savepoint = transaction.atomic(using=alias) if connections[alias].in_atomic_block else nullcontext()
        try:
            with savepoint:
                super().__init__(request, *args, **kwargs)
        except (ValueError, OverflowError, ValidationError, DataError) as exc:
            if not set(request.GET) - {ERROR_FLAG}:  # the URL has no parameter that could be the cause
                raise
            raise IncorrectLookupParameters from exc


class ListQuerySet(RefreshTokenQuerySet):
    """Token families for the admin's list and its date hierarchy (the links by year, month and day).

    For these links, Django's own queries read the whole table. The methods here read only the first and the last date.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._spans: dict[str, dict[str, Any]] = {}

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Aggregate as Django does, but find the first and last date for the date hierarchy with a faster query.

        This query needs two lookups in an index, as in ``datetimes``.
        """
        ends: list[Any] = [field for field in kwargs.values() if isinstance(field, Min | Max)]
        spans = {field.source_expressions[0].name for field in ends}
        return self._span(*spans) if len(spans) == 1 and not args else super().aggregate(*args, **kwargs)

    def datetimes(self, field_name: str, kind: str, *args: Any, **kwargs: Any) -> Any:
        """Return every year, month or day (``kind``) from the first family's date to the last family's date.

        Years, months and days without a family are included. So the query needs only two lookups in an index, for the
        first and the last family.
        """
        span = self._span(field_name)
        if span["first"] is None:
            return []
        first, last = local_time(span["first"]), local_time(span["last"])
        return [day for day in _days(first, last) if day.date() == first.date() or _starts(day, kind)]

    def _span(self, field_name: str) -> dict[str, Any]:
        """Return the first and the last date in a column. Of the list's filters, only those on this column apply.

        With the other filters the query would be slow. The result is cached, because Django asks for these dates twice.
        """
        if field_name not in self._spans:
            self._spans[field_name] = self._read_span(field_name)
        return self._spans[field_name]

    def _read_span(self, field_name: str) -> dict[str, Any]:
        if self.query.is_empty():
            return {"first": None, "last": None}
        rows = RefreshToken.objects.using(self.db)
        for condition in _leaves(self.query.where):
            if getattr(condition.lhs, "target", None) == RefreshToken._meta.get_field(field_name):
                rows.query.where.add(condition, AND)
        return rows.aggregate(first=Min(field_name), last=Max(field_name))


class StateFilter(admin.SimpleListFilter):
    """Filters token families by state: active, revoked or expired."""

    title = pgettext_lazy("family", "state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, Any]]:
        return State.choices

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == State.ACTIVE:
            return queryset.active()
        if self.value() == State.EXPIRED:
            return queryset.expired()
        return queryset.filter(revoked_at__isnull=False) if self.value() == State.REVOKED else queryset


class BoundFilter(admin.SimpleListFilter):
    """Filters token families by whether they are bound to a device."""

    title = pgettext_lazy("family", "bound to its device")
    parameter_name = "bound"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, Any]]:
        return [("yes", pgettext_lazy("bound", "yes")), ("no", pgettext_lazy("bound", "no"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "yes":
            return queryset.bound()
        return queryset.filter(device_key="") if self.value() == "no" else queryset


class ReasonFilter(admin.SimpleListFilter):
    """Filters by the reason of the revocation. The filter offers only twotoken's reasons, not a project's own reasons.

    To find out which reasons of a project occur, the filter would have to read the whole table.
    """

    title = pgettext_lazy("family", "reason")
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, Any]]:
        return RevokedReason.choices

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return revoked_because(queryset, self.value()) if self.value() else queryset


def revoked_because(families: Any, reason: Any) -> Any:
    """Return the families that were revoked for a reason.

    ``revoked_at__isnull=False`` lets the database use an index that has only revoked families.
    """
    return families.filter(revoked_reason=reason, revoked_at__isnull=False)


def allowed_lookups(model_admin: admin.ModelAdmin[Any], request: HttpRequest) -> set[str]:
    """Return the lookups that the URL of the list may use: those of the list's own links and filters."""
    allowed = {f"{model_admin.date_hierarchy}__{part}" for part in ("year", "month", "day")}
    for listed in ("user", "revoked_at", *model_admin.get_list_filter(request)):
        if isinstance(listed, type):
            allowed.add(str(getattr(listed, "parameter_name", "")))
            continue
        named = listed[0] if isinstance(listed, list | tuple) else listed
        path = str(getattr(named, "name", named))
        field: Any = get_fields_from_path(model_admin.model, path)[-1]
        allowed |= {path + lookup for lookup in LOOKUPS}
        if field.is_relation:
            allowed |= {f"{path}__{field.target_field.name}__{lookup}" for lookup in ("exact", "in")}
    return allowed


def is_no_field(lookup: str) -> bool:
    """Tell whether a URL parameter does not start with the name of a field.

    Django does not filter by such a parameter.
    """
    name = lookup.split(LOOKUP_SEP)[0]
    try:
        RefreshToken._meta.get_field(name)
    except FieldDoesNotExist:
        return name != "pk"
    return False


def _leaves(condition: Any) -> Iterable[Any]:
    """Return the conditions of a WHERE clause that every row must fulfil: those that are joined by AND."""
    if not isinstance(condition, WhereNode):
        return [condition] if hasattr(condition, "lhs") else []
    together = condition.connector == AND and not condition.negated
    return [leaf for child in condition.children for leaf in _leaves(child)] if together else []


def _days(first: datetime, last: datetime) -> Iterable[datetime]:
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= last:
        yield day
        day += timedelta(days=1)


def _starts(day: datetime, kind: str) -> bool:
    return kind == "day" or (day.day == 1 and (kind == "month" or day.month == 1))
