"""The admin's list of token families, quick with millions of them: paginator, queryset and filters."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Max, Min
from django.http import HttpRequest
from django.utils.translation import pgettext_lazy

from twotoken.models import RefreshTokenQuerySet, RevokedReason, State
from twotoken.timeline import local_time

LISTED = 10_000  # families that the list counts and pages through: a COUNT of millions takes seconds
REUSED = "reused"


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not generic when it runs
    """Counts no further than LISTED."""

    limit = LISTED

    @cached_property
    def count(self) -> int:
        """How many families there are, or the limit."""
        rows: Any = self.object_list
        return int(rows.order_by()[: self.limit].count())


class ListQuerySet(RefreshTokenQuerySet):
    """Families as the list has them: its date hierarchy asks for all dates, which would read the whole table."""

    def datetimes(self, field_name: str, kind: str, *args: Any, **kwargs: Any) -> Any:
        """Return every year, month or day from the first family to the last: two look-ups in an index."""
        span = self.aggregate(first=Min(field_name), last=Max(field_name))
        if span["first"] is None:
            return []
        first, last = local_time(span["first"]), local_time(span["last"])
        return [day for day in _days(first, last) if day.date() == first.date() or _starts(day, kind)]


class StateFilter(admin.SimpleListFilter):
    """Active, ended, expired; reuse stands out."""

    title = pgettext_lazy("family", "state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, Any]]:
        return [*State.choices, (REUSED, pgettext_lazy("family", "reuse detected"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == State.ACTIVE:
            return queryset.active()
        if self.value() == State.EXPIRED:
            return queryset.expired()
        if self.value() == State.REVOKED:
            return queryset.filter(revoked_at__isnull=False)
        return queryset.filter(revoked_reason=RevokedReason.REUSE) if self.value() == REUSED else queryset


class ReasonFilter(admin.SimpleListFilter):
    """Our own reasons: those of the table would have to be looked for."""

    title = pgettext_lazy("family", "reason")
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, Any]]:
        return RevokedReason.choices

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(revoked_reason=self.value()) if self.value() else queryset


def _days(first: datetime, last: datetime) -> Iterable[datetime]:
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= last:
        yield day
        day += timedelta(days=1)


def _starts(day: datetime, kind: str) -> bool:
    return kind == "day" or (day.day == 1 and (kind == "month" or day.month == 1))
