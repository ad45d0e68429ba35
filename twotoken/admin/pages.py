"""The admin's list of token families, and a page for each family. These pages are read-only and show no tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import flatten, quote, unquote
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.auth import get_permission_codename, get_user_model
from django.http import HttpRequest, HttpResponse
from django.template.loader import select_template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext, pgettext_lazy

from twotoken.admin.changelist import (
    BoundFilter,
    CappedPaginator,
    FamilyList,
    ListQuerySet,
    ReasonFilter,
    StateFilter,
    allowed_lookups,
    is_no_field,
)
from twotoken.admin.incident import Incident, incident
from twotoken.admin.overview import OverviewAdmin, ReuseAddressFilter
from twotoken.admin.picture import draw, numbered_mark, state_mark
from twotoken.admin.revoking import SECRETS, RevokingAdmin
from twotoken.admin.searching import TERM_LENGTH, by_beginning, by_key, part
from twotoken.admin.timeline import device_label, distance_label, reason_label, time_label, timeline
from twotoken.models import RefreshToken, RevokedReason, State

if TYPE_CHECKING:
    UserModelAdmin = admin.ModelAdmin[Any]
else:
    UserModelAdmin = object


@admin.register(RefreshToken)
class RefreshTokenAdmin(OverviewAdmin, RevokingAdmin):
    """The admin of token families: overview, list, and a page with a timeline. Revoking needs a separate permission."""

    change_form_template = "admin/twotoken/refreshtoken/change_form.html"
    change_list_template = "admin/twotoken/refreshtoken/change_list.html"
    date_hierarchy = "created_at"
    fields: ClassVar[Any] = (
        ("user_link", "state", "id"),
        ("device", "bound", "ip_address"),
        "user_agent",
        ("created_at", "refreshed_at", "generation"),
    )
    list_display: Any = ("user", "state", "sender", "last_used")
    list_filter: ClassVar[Any] = (StateFilter, ReasonFilter, BoundFilter, ReuseAddressFilter, "created_at")
    list_select_related = ("user",)
    ordering = ("-created_at",)
    paginator = CappedPaginator
    search_help_text = _(
        "The beginning of a user name, the address of a login or an event, or the id of a token family. *part* finds "
        "any part of a name, and *address* also the last refresh: slow with millions of families."
    )
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()  # no column of the list has an index

    # Permissions.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Forbid deleting on the pages of families. Staff who may delete a user may delete the user's families too."""
        match = request.resolver_match
        ours = f"{self.opts.app_label}_{self.opts.model_name}_"
        if obj is None or match is None or (match.url_name or "").startswith(ours):
            return False
        user_opts = get_user_model()._meta
        codename = get_permission_codename("delete", user_opts)
        staff: Any = request.user
        return bool(staff.has_perm(f"{user_opts.app_label}.{codename}"))

    # The list.

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = ListQuerySet(RefreshToken, using=RefreshToken.objects.primary().db)
        return rows.select_related("user").defer(*SECRETS).order_by(*self.get_ordering(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FamilyList]:
        return FamilyList

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow only lookups of the list's links and filters. By others, staff could guess a secret bit by bit."""
        return lookup in allowed_lookups(self, request) or is_no_field(lookup)

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return tuple(f"user__{name}" for name in _user_names())

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find families by id, by IP address, or by the beginning of the user's name.

        The term "*part*" finds a user's name that contains "part" anywhere.
        """
        term = search_term.strip()
        if len(term) > TERM_LENGTH:  # a term of thousands of words would make a query that every database refuses
            return queryset.none(), False
        if not term:
            return queryset, False
        if (found := by_key(queryset, term)) is not None:
            return found, False
        if inside := part(term):
            return super().get_search_results(request, queryset, inside)
        return by_beginning(queryset, tuple(self.get_search_fields(request)), term), False

    def get_ordering(self, request: HttpRequest) -> Any:
        """Show expired families with the oldest login first.

        In the usual order, the newest login first, the database would read all active families before the expired ones.
        """
        is_expired = request.GET.get(str(StateFilter.parameter_name)) == State.EXPIRED
        return ("created_at", "pk") if is_expired else super().get_ordering(request)

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        paginator: Any = super().get_paginator(request, *args, **kwargs)
        state = request.GET.get(str(StateFilter.parameter_name))
        paginator.newest_first = state == State.ACTIVE and not request.GET.get(SEARCH_VAR)
        return paginator

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Add the times at which an active family will expire, or the time at which it was revoked or expired."""
        is_over = obj is not None and obj.state() is not State.ACTIVE
        return [*self.fields, ("ended_at",) if is_over else ("idle_end", "expires_at")]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return flatten(self.get_fields(request, obj))

    @admin.display(description=pgettext_lazy("family", "user"))
    def user_link(self, family: RefreshToken) -> str:
        """The user's name. It is a link if the admin site has an admin for users."""
        if not self.admin_site.is_registered(get_user_model()):
            return str(family.user)
        return format_html('<a href="{}">{}</a>', self._user_url(family), family.user)

    @admin.display(description=pgettext_lazy("family", "state"))
    def state(self, family: RefreshToken) -> str:
        """The state of the family with a mark: active, expired, or the reason of its revocation."""
        state = family.state()
        text = reason_label(family) if state is State.REVOKED else str(state.label)
        tag = "strong" if family.revoked_reason == RevokedReason.REUSE else "span"
        return format_html('<{0} class="twotoken-state">{1} {2}</{0}>', tag, state_mark(family), text)

    @admin.display(description=pgettext_lazy("family", "device"))
    def device(self, family: RefreshToken) -> str:
        """The browser and operating system in words; a tooltip shows the raw user agent."""
        return device_label(family.user_agent)

    @admin.display(description=pgettext_lazy("family", "device"))
    def sender(self, family: RefreshToken) -> str:
        """The device, and below it the IP address."""
        return _two_lines(device_label(family.user_agent), family.ip_address or "")

    @admin.display(description=pgettext_lazy("family", "bound to its device"))
    def bound(self, family: RefreshToken) -> str:
        """The protocol that binds the family to its device, or "no" if the family is not bound."""
        return family.bound_by or pgettext("bound", "no")

    @admin.display(description=pgettext_lazy("family", "last used"))
    def last_used(self, family: RefreshToken) -> str:
        """How long ago the family was refreshed, and below it how long ago it started."""
        words = pgettext("family", "login %(time)s") % {"time": "{}"}
        started = format_html(words, distance_label(family.created_at))
        return _two_lines(distance_label(family.refreshed_at), started)

    @admin.display(description=pgettext_lazy("family", "expires if unused"))
    def idle_end(self, family: RefreshToken) -> str:
        """When the family expires if it is not refreshed before."""
        return time_label(family.idle_end())

    @admin.display(description=pgettext_lazy("family", "ended"))
    def ended_at(self, family: RefreshToken) -> str:
        """When the family was revoked or expired."""
        return time_label(family.revoked_at or family.idle_end())

    # A family's page.

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        family = self.get_object(request, unquote(object_id))
        context = dict(extra_context or {})
        if family is not None and self.has_view_permission(request, family):
            revocable = self.revocable(request, family.user_id)
            moments = timeline(family)
            found = incident(family, moments)
            context |= {
                "subtitle": str(family.user),  # Django's own subtitle, the id, is so long that it touches the buttons
                "timeline": [(numbered_mark(moment, number), moment) for number, moment in enumerate(moments, 1)],
                "picture": draw(family, moments),
                "time_zone": get_current_timezone_name(),
                "incident": found,
                "links": self._links(request, family, found) if found else None,
                "may_revoke": self.has_revoke_permission(request, family),
                "is_revocable": revocable.filter(pk=family.pk).exists(),
                "revocable_of_user": revocable.count(),
                "quoted_user_id": quote(family.user_id),
            }
        return super().change_view(request, object_id, form_url, context)

    def _links(self, request: HttpRequest, family: RefreshToken, found: Incident) -> dict[str, Any]:
        """Return the links for the panel about a reused token: only those that ``request.user`` may follow."""
        users: Any = self.admin_site._registry.get(get_user_model())
        user: Any = family.user
        addresses = [(address, f"{self._url('changelist')}?{urlencode({'q': address})}") for address in found.addresses]
        links: dict[str, Any] = {"addresses": addresses}
        if self._may_view_user(request, user):
            links["user"] = self._user_url(family)
            links["email"] = getattr(user, user.get_email_field_name(), "")
        if users is not None and users.has_change_permission(request, user) and hasattr(users, "user_change_password"):
            links["password"] = self._user_url(family).removesuffix("change/") + "password/"  # as in Django's UserAdmin
        return links

    def _user_url(self, family: RefreshToken) -> str:
        opts = get_user_model()._meta
        name = f"admin:{opts.app_label}_{opts.model_name}_change"
        return reverse(name, args=[quote(family.user_id)], current_app=self.admin_site.name)


class TokenFamiliesMixin(UserModelAdmin):
    """Adds buttons to a project's own user admin: one lists the user's token families, one revokes them.

    Use it as ``class UserAdmin(TokenFamiliesMixin, BaseUserAdmin)``.
    """

    change_form_template = "admin/twotoken/user_change_form.html"

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        user = kwargs.get("obj")
        ours: Any = self.admin_site._registry.get(RefreshToken)
        if user is not None and ours is not None:
            app, name = self.opts.app_label, self.opts.model_name
            names = [f"admin/{app}/{name}/change_form.html", f"admin/{app}/change_form.html", "admin/change_form.html"]
            revocable = ours.revocable(request, user.pk)
            newest = revocable.first()
            context["user_change_form"] = select_template(names)
            context["may_view_families"] = ours.has_view_permission(request)
            # Only the newest family is checked here. The page that the button opens checks each family.
            context["may_revoke_families"] = newest is not None and ours.has_revoke_permission(request, newest)
            context["revocable_families"] = revocable.count()
            context["quoted_user_id"] = quote(user.pk)
        return super().render_change_form(request, context, *args, **kwargs)


def _two_lines(first: str, second: str) -> str:
    return format_html('{}<div class="twotoken-second">{}</div>', first, second) if second else first


def _user_names() -> list[str]:
    """Return the names of the USERNAME_FIELD and of the e-mail field, as far as the user model has these fields."""
    model: Any = get_user_model()
    there = {field.name for field in model._meta.get_fields()}
    return [name for name in dict.fromkeys([model.USERNAME_FIELD, model.get_email_field_name()]) if name in there]
