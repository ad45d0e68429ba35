"""Django admin: look at token families and revoke them. Nothing of a token is ever shown, nothing is edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import django
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_permission_codename, get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import select_template
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext, ngettext, pgettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from twotoken import families
from twotoken.changelist import LISTED, CappedPaginator, ListQuerySet, ReasonFilter, StateFilter
from twotoken.clients import stored_address
from twotoken.conf import conf
from twotoken.devices import describe
from twotoken.models import RefreshToken, RevokedReason, State
from twotoken.timeline import device_label, distance_label, reason_label, time_label, timeline

if TYPE_CHECKING:
    FamilyModelAdmin = admin.ModelAdmin[RefreshToken]
    UserModelAdmin = admin.ModelAdmin[Any]
else:
    FamilyModelAdmin = admin.ModelAdmin
    UserModelAdmin = object

SHOWN = 50  # families that a confirmation names
USERS = 1000  # whose families are revoked at once
SECRETS = ("secret", "retry_key", "auth_hash")


@admin.register(RefreshToken)
class RefreshTokenAdmin(FamilyModelAdmin):
    """Token families: list, page and timeline; revoking, with a permission of its own."""

    actions = ("revoke_families", "revoke_all_of_users")
    change_form_template = "admin/twotoken/refreshtoken/change_form.html"
    change_list_template = "admin/twotoken/refreshtoken/change_list.html"
    date_hierarchy = "created_at"
    fields: ClassVar[Any] = (
        ("user_link", "state"),
        "id",
        ("device", "ip_address"),
        "user_agent",
        ("created_at", "refreshed_at", "generation"),
        ("idle_end", "expires_at"),
    )
    list_display = ("user", "state", "device", "ip_address", "created_at", "last_used", "ends", "generation")
    list_filter = (StateFilter, ReasonFilter, "created_at")
    list_select_related = ("user",)
    ordering = ("-created_at",)
    paginator = CappedPaginator
    search_help_text = _("User name, e-mail address, address, or the id of a token family")
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ("created_at",)

    # What staff may do.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Our own pages delete nothing. A user's page does: who may delete users may delete what is theirs."""
        match = request.resolver_match
        ours = f"{self.opts.app_label}_{self.opts.model_name}_"
        if obj is None or match is None or (match.url_name or "").startswith(ours):
            return False
        user_opts = get_user_model()._meta
        codename = get_permission_codename("delete", user_opts)
        return bool(_staff(request).has_perm(f"{user_opts.app_label}.{codename}"))

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Apart from the permission to view."""
        return bool(_staff(request).has_perm(f"{self.opts.app_label}.revoke_refreshtoken"))

    # The list.

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = ListQuerySet(RefreshToken, using=RefreshToken.objects.primary().db)
        return rows.select_related("user").defer(*SECRETS).order_by(*(self.ordering or ()))

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return tuple(f"user__{name}" for name in _user_names())

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find by family id, by address, or by parts of the user's name and e-mail address."""
        term = search_term.strip()
        try:
            return queryset.filter(pk=UUID(term)), False
        except ValueError:
            pass  # no id
        if address := stored_address(term):
            return queryset.filter(ip_address=address), False
        return super().get_search_results(request, queryset, search_term)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for row in self.fields for name in ([row] if isinstance(row, str) else row)]

    @admin.display(description=pgettext_lazy("family", "user"))
    def user_link(self, family: RefreshToken) -> str:
        """The user, as a link where its admin is there."""
        opts = get_user_model()._meta
        if not self.admin_site.is_registered(get_user_model()):
            return str(family.user)
        url = reverse(
            f"admin:{opts.app_label}_{opts.model_name}_change",
            args=[quote(family.user_id)],
            current_app=self.admin_site.name,
        )
        return format_html('<a href="{}">{}</a>', url, family.user)

    @admin.display(description=pgettext_lazy("family", "state"))
    def state(self, family: RefreshToken) -> str:
        """Active, expired, or ended and why."""
        state = family.state()
        if state is not State.REVOKED:
            return str(state.label)
        text = pgettext("family", "ended: %(reason)s") % {"reason": reason_label(family)}
        if family.revoked_reason == RevokedReason.REUSE:
            return format_html('<strong class="twotoken-reuse">{}</strong>', text)
        return text

    @admin.display(description=pgettext_lazy("family", "device"))
    def device(self, family: RefreshToken) -> str:
        """Browser and system in words, with the raw user agent behind it."""
        return device_label(family.user_agent)

    @admin.display(description=pgettext_lazy("family", "last used"))
    def last_used(self, family: RefreshToken) -> str:
        """How long ago it was refreshed."""
        return distance_label(family.refreshed_at)

    @admin.display(description=pgettext_lazy("family", "ends"))
    def ends(self, family: RefreshToken) -> str:
        """How long ago it ended, or how soon it ends unless it is refreshed before."""
        return distance_label(family.revoked_at or family.idle_end())

    @admin.display(description=pgettext_lazy("family", "ends if unused"))
    def idle_end(self, family: RefreshToken) -> str:
        """When it ends unless it is refreshed before."""
        return time_label(family.idle_end())

    # A family's page, and its buttons.

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("revoke-user/<path:user_id>/", view(self.revoke_user_view), name=f"{name}_revoke_user"),
            path("<path:object_id>/revoke/", view(self.revoke_view), name=f"{name}_revoke"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        family = self.get_object(request, unquote(object_id))
        context = dict(extra_context or {})
        if family is not None and self.has_view_permission(request, family):
            live = families.select(user_id=family.user_id)
            context |= {
                "subtitle": str(family.user),  # the buttons would run into Django's, the id
                "timeline": timeline(family),
                "may_revoke": self.has_revoke_permission(request, family),
                "is_revocable": live.filter(pk=family.pk).exists(),
                "revocable_of_user": live.count(),
                "quoted_user_id": quote(family.user_id),
            }
        return super().change_view(request, object_id, form_url, context)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then revoke one family."""
        self._check_may_revoke(request)
        family = self._object(request, object_id)
        url = self._url("change", quote(family.pk))
        return self._confirm(request, families.select(family_id=family.pk), url, [family])

    def revoke_user_view(self, request: HttpRequest, user_id: str) -> HttpResponse:
        """Ask, then revoke all families of a user."""
        self._check_may_revoke(request)
        model = get_user_model()
        try:
            manager = model._default_manager.using(router.db_for_write(model))  # as the families that it names
            user = manager.get(pk=model._meta.pk.to_python(unquote(user_id)))
        except (model.DoesNotExist, ValueError, TypeError, ValidationError) as exc:
            raise Http404 from exc
        url = f"{self._url('changelist')}?{urlencode({'user': user.pk})}"
        return self._confirm(request, families.select(user_id=user.pk), url, [user])

    @admin.action(permissions=["revoke"], description=_("Revoke selected token families"))
    def revoke_families(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        """Ask, then revoke the selected ones."""
        return self._action(request, [queryset.revocable()], "revoke_families")

    @admin.action(permissions=["revoke"], description=_("Revoke all token families of the selected ones' users"))
    def revoke_all_of_users(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        """Ask, then revoke every family of these users."""
        # Read once: a family that is revoked may leave the selection, and its user with it.
        users = list(queryset.order_by().values_list("user_id", flat=True).distinct())
        parts = [users[start : start + USERS] for start in range(0, len(users), USERS)]
        selected = [families.select().filter(user_id__in=part) for part in parts]
        return self._action(request, selected, "revoke_all_of_users")

    def _action(self, request: HttpRequest, selected: list[Any], action: str) -> HttpResponse | None:
        if request.POST.get("post"):
            self._revoke(request, selected, None)
            return None
        keys = request.POST.getlist(ACTION_CHECKBOX_NAME)
        across = request.POST.get("select_across", "0")
        return self._ask(request, selected, {"action": action, "selected_keys": keys, "select_across": across})

    def _object(self, request: HttpRequest, object_id: str) -> RefreshToken:
        family = self.get_object(request, unquote(object_id))
        if family is None:
            raise Http404
        return family

    def _check_may_revoke(self, request: HttpRequest) -> None:
        if not self.has_revoke_permission(request):
            raise PermissionDenied

    def _confirm(self, request: HttpRequest, selected: Any, url: str, objects: list[Any]) -> HttpResponse:
        if request.method == "POST":
            self._revoke(request, [selected], objects)
            # Who may revoke need not be allowed to view.
            return HttpResponseRedirect(
                url if self.has_view_permission(request) else reverse("admin:index", current_app=self.admin_site.name)
            )
        return self._ask(request, [selected], {"back": url, "subject": objects[0]})

    def _ask(self, request: HttpRequest, selected: list[Any], extra: dict[str, Any]) -> HttpResponse:
        count = sum(part.count() for part in selected)
        named = [family for part in selected for family in _named(part).order_by("-created_at")[:SHOWN]]
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Revoke token families"),
            "opts": self.opts,
            "media": self.media,
            "count": count,
            "families": [(family, describe(family.user_agent)) for family in named[:SHOWN]],
            "more": max(count - SHOWN, 0),
            "users": sum(part.order_by().values("user_id").distinct().count() for part in selected),
            "access_lifetime": conf.access_lifetime,
            "changelist_url": self._url("changelist"),
            "breadcrumbs_are_a_list": django.VERSION >= (6,),
            **extra,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/twotoken/refreshtoken/revoke_confirmation.html", context)

    def _revoke(self, request: HttpRequest, selected: list[Any], objects: list[Any] | None) -> None:
        """Revoke, say how many, and write the log: for the given objects, or for each family."""
        staff = _staff(request)
        named = [] if objects else [family for part in selected for family in _named(part)[:LISTED]]
        actor = str(staff.get_username())
        count = sum(families.revoke_each(part, RevokedReason.ADMIN, actor=actor) for part in selected)
        text = ngettext("Revoked %(count)d token family.", "Revoked %(count)d token families.", count)
        text %= {"count": count}
        if count:
            LogEntry.objects.log_actions(staff.pk, objects or named[:LISTED], CHANGE, text)
        self.message_user(request, text, messages.SUCCESS if count else messages.WARNING)

    def _url(self, name: str, *args: str) -> str:
        full = f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"
        return reverse(full, args=args, current_app=self.admin_site.name)


class TokenFamiliesMixin(UserModelAdmin):
    """For a project's own user admin: ``class UserAdmin(TokenFamiliesMixin, BaseUserAdmin)`` adds the button."""

    change_form_template = "admin/twotoken/user_change_form.html"

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        user = kwargs.get("obj")
        ours: Any = self.admin_site._registry.get(RefreshToken)
        if user is not None and ours is not None:
            app, name = self.opts.app_label, self.opts.model_name
            names = [f"admin/{app}/{name}/change_form.html", f"admin/{app}/change_form.html", "admin/change_form.html"]
            context["user_change_form"] = select_template(names)
            context["may_view_families"] = ours.has_view_permission(request)
            context["may_revoke_families"] = ours.has_revoke_permission(request)
            context["revocable_families"] = families.select(user_id=user.pk).count()
            context["quoted_user_id"] = quote(user.pk)
        return super().render_change_form(request, context, *args, **kwargs)


def _user_names() -> list[str]:
    """Return the user's fields that people know it by."""
    model: Any = get_user_model()
    there = {field.name for field in model._meta.get_fields()}
    return [name for name in dict.fromkeys([model.USERNAME_FIELD, model.get_email_field_name()]) if name in there]


def _named(selected: Any) -> Any:
    """Return families with what names them."""
    return selected.select_related("user").defer(*SECRETS)


def _staff(request: HttpRequest) -> Any:
    return request.user
