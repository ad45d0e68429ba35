"""The admin's overview page of token families: plots of the last days, and the users and addresses that stand out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

import django
from django.contrib import admin
from django.core.cache import cache
from django.core.exceptions import EmptyResultSet, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import pgettext, pgettext_lazy

from twotoken import families
from twotoken.admin.cards import PLOT_HEIGHT, PLOT_WIDTH, address_numbers, make_cards, numbers_by_day, user_numbers
from twotoken.admin.figures import DAYS, LIMIT, Figures, count
from twotoken.admin.revoking import FamilyModelAdmin
from twotoken.clients import stored_address
from twotoken.conf import conf
from twotoken.models import EventKind, RefreshTokenQuerySet

SECONDS = 60  # how long the numbers are cached

logger = logging.getLogger("twotoken")


class ReuseAddressFilter(admin.SimpleListFilter):
    """Filters by the IP address from which a token was reused. The list shows this filter only if the URL uses it."""

    title = pgettext_lazy("family", "address of the reuse")
    parameter_name = "reused_from"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[Any, Any]]:
        address = stored_address(request.GET.get("reused_from", ""))
        return [(address, address)] if address else []

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        address = self.value()
        return queryset.filter(events__kind=EventKind.REUSE, events__ip_address=address) if address else queryset


class OverviewAdmin(FamilyModelAdmin):
    """Adds the overview page to the admin. The page counts only the families that ``get_queryset`` returns."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.overview_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_overview"
        return [path("overview/", view, name=name), *super().get_urls()]

    def get_ordering(self, request: HttpRequest) -> Any:
        """In a list that is filtered by ``revoked_at``, show the latest revocation first: an index has this order."""
        by_end = any(name.startswith("revoked_at") for name in request.GET)
        return ("-revoked_at", "-pk") if by_end else super().get_ordering(request)

    def overview_view(self, request: HttpRequest) -> HttpResponse:
        """Show the overview to staff who may view token families."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found: Any = self.get_queryset(request)
        found = found.primary()
        figures = _cached(_cache_key(request, found), lambda: count(found))
        cards = make_cards(figures)
        listed = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        context = {
            **self.admin_site.each_context(request),
            "title": pgettext("family", "Overview"),
            "opts": self.opts,
            "media": self.media,
            "changelist_url": reverse(listed, current_app=self.admin_site.name),
            "breadcrumbs_are_a_list": django.VERSION >= (6,),
            "counted_at": figures.now,
            "days": DAYS,
            "limit": number_format(LIMIT, force_grouping=True) if figures.active.is_estimate else "",
            "retention": conf.retention if conf.retention.days < DAYS else None,
            "cards": cards,
            "width": PLOT_WIDTH,
            "height": PLOT_HEIGHT,
            "by_day": numbers_by_day(figures, cards),
            "users": user_numbers(figures, found.db),
            "addresses": address_numbers(figures),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/twotoken/refreshtoken/overview.html", context)


def _cache_key(request: HttpRequest, found: RefreshTokenQuerySet) -> str:
    """Return a cache key for the overview's numbers, so that nobody sees numbers that were counted for somebody else.

    The SQL of ``get_queryset`` is part of the key, because a project may restrict which families a person finds. The
    key is a digest, because the SQL is too long for a cache key, and its parameters may name people.
    """
    try:
        statement: object = found.query.get_compiler(using=found.db).as_sql()
    except EmptyResultSet:  # get_queryset has returned none()
        statement = None
    staff: Any = request.user
    place = found.db, families.schema(found.db), conf.tenant_issuer, timezone.get_current_timezone_name()
    return f"twotoken_overview:{hashlib.sha256(repr((*place, staff.pk, statement)).encode()).hexdigest()}"


def _cached(key: str, make: Callable[[], Figures]) -> Figures:
    """Return the overview's numbers from the cache. If they are not there, or the cache fails, call ``make``."""
    try:
        figures: Figures | None = cache.get(key)
    except Exception:
        logger.exception("The cache failed, so the overview is counted anew.")
        return make()
    if figures is None:
        figures = make()
        try:
            cache.set(key, figures, SECONDS)
        except Exception:
            logger.exception("The cache failed, so the overview is not kept.")
    return figures
