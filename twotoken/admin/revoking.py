"""The admin's pages that revoke one family, the selected families, or all families of a user."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import django
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from twotoken import families
from twotoken.admin.changelist import LISTED
from twotoken.admin.devices import describe
from twotoken.conf import conf
from twotoken.models import RefreshToken, RevokedReason

if TYPE_CHECKING:
    FamilyModelAdmin = admin.ModelAdmin[RefreshToken]
else:
    FamilyModelAdmin = admin.ModelAdmin

SIZE = 1000  # families read in one query
SHOWN = 50  # families that a confirmation lists
SECRETS = ("secret", "retry_key", "auth_hash")


class Batch(NamedTuple):
    """A batch of families: ``allowed`` has those that the logged-in user may revoke, ``refused`` has the others."""

    allowed: list[RefreshToken]
    refused: list[RefreshToken]


class RevokingAdmin(FamilyModelAdmin):
    """Adds pages to the admin that revoke token families.

    These pages revoke only families that ``get_queryset`` returns and ``has_revoke_permission`` allows.
    """

    actions = ("revoke_families", "revoke_all_of_users")

    def has_revoke_permission(self, request: HttpRequest, obj: RefreshToken | None = None) -> bool:
        """Tell whether the logged-in user may revoke the family ``obj``, or, without ``obj``, any family at all.

        Override this method to protect some families. The method is called without a family first, and then with each
        family before that family is revoked. The permission to view does not include the permission to revoke.
        """
        return bool(_staff(request).has_perm(f"{self.opts.app_label}.revoke_refreshtoken"))

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("revoke-user/<path:user_id>/", view(self.revoke_user_view), name=f"{name}_revoke_user"),
            path("<path:object_id>/revoke/", view(self.revoke_view), name=f"{name}_revoke"),
            *super().get_urls(),
        ]

    def revocable(self, request: HttpRequest, user_id: Any) -> Any:
        """Return the user's families that can still be revoked and that ``get_queryset`` returns for this request."""
        found: Any = self.get_queryset(request)
        return found.primary().revocable().filter(user_id=user_id)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for confirmation, then revoke one family."""
        self._check_may_revoke(request)  # before the lookup, so that a 403 does not tell whether the family exists
        family = self.get_object(request, unquote(object_id))
        if family is None:
            raise Http404
        self._check_may_revoke(request, family)
        back = self._url("change", quote(family.pk)) if self.has_view_permission(request, family) else self._home()
        if request.method == "POST":
            revoked = families.revoke(family.pk, RevokedReason.ADMIN, actor=_actor(request))
            self._report(request, int(revoked is not None), [family])
            return HttpResponseRedirect(back)
        rows = self.get_queryset(request).filter(pk=family.pk)
        return self._ask(request, [rows], {"back": back, "subject": family})

    def revoke_user_view(self, request: HttpRequest, user_id: str) -> HttpResponse:
        """Ask for confirmation, then revoke all of a user's families.

        Raises Http404 if ``get_queryset`` has no family of this user, or if the id is invalid.
        """
        self._check_may_revoke(request)
        try:
            key = get_user_model()._meta.pk.clean(unquote(user_id), None)
            found: Any = self.get_queryset(request)
            family = found.primary().select_related("user").filter(user_id=key).first()
        except (ValueError, TypeError, ValidationError, OverflowError, DataError) as exc:
            raise Http404 from exc
        if family is None:
            raise Http404
        rows, user = [self.revocable(request, key)], family.user
        named = self.has_view_permission(request, family) or self._may_view_user(request, user)
        listed = f"{self._url('changelist')}?{urlencode({'user': key})}"
        back = listed if self.has_view_permission(request) else self._home()
        if request.method == "POST":
            self._revoke(request, rows, [user] if named else [])
            return HttpResponseRedirect(back)
        return self._ask(request, rows, {"back": back, "subject": user if named else None})

    @admin.action(permissions=["revoke"], description=_("Revoke selected token families"))
    def revoke_families(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        """Ask for confirmation, then revoke the selected families."""
        return self._action(request, [queryset], "revoke_families")

    @admin.action(permissions=["revoke"], description=_("Revoke all token families of the users of the selected ones"))
    def revoke_all_of_users(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        """Ask for confirmation, then revoke every family of the selected families' users."""
        # The users are read once: when a family is revoked, it may drop out of the selection, and its user with it.
        users = list(queryset.order_by().values_list("user_id", flat=True).distinct())
        found = self.get_queryset(request)
        parts = [users[start : start + SIZE] for start in range(0, len(users), SIZE)]
        return self._action(request, [found.filter(user_id__in=part) for part in parts], "revoke_all_of_users")

    def response_action(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().response_action(request, queryset, *args, **kwargs)
        except ValidationError as exc:
            raise BadRequest("A selected key is not the id of a token family.") from exc

    def _action(self, request: HttpRequest, selected: list[Any], action: str) -> HttpResponse | None:
        if request.POST.get("post"):
            self._revoke(request, selected, [])
            return None
        keys = request.POST.getlist(ACTION_CHECKBOX_NAME)
        across = request.POST.get("select_across", "0")
        return self._ask(request, selected, {"action": action, "selected_keys": keys, "select_across": across})

    def _check_may_revoke(self, request: HttpRequest, family: RefreshToken | None = None) -> None:
        if not self.has_revoke_permission(request, family):
            raise PermissionDenied

    def _may_view_user(self, request: HttpRequest, user: Any) -> bool:
        users: Any = self.admin_site._registry.get(get_user_model())
        return users is not None and bool(users.has_view_permission(request, user))

    def _batches(self, request: HttpRequest, selected: Iterable[Any]) -> Iterator[Batch]:
        for families_read in _walk(selected):
            batch = Batch([], [])
            for family in families_read:
                (batch.allowed if self.has_revoke_permission(request, family) else batch.refused).append(family)
            yield batch

    def _ask(self, request: HttpRequest, selected: list[Any], extra: dict[str, Any]) -> HttpResponse:
        count, refused = 0, 0
        users: set[Any] = set()
        newest: list[RefreshToken] = []
        left_out: list[RefreshToken] = []
        for batch in self._batches(request, selected):
            count += len(batch.allowed)
            refused += len(batch.refused)
            users.update(family.user_id for family in batch.allowed)
            newest = self._newest(request, [*newest, *batch.allowed])
            left_out = self._newest(request, [*left_out, *batch.refused])
        if refused and not count:
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Revoke token families"),
            "opts": self.opts,
            "media": self.media,
            "count": count,
            "families": [(family, describe(family.user_agent)) for family in newest],
            "more": count - len(newest),
            "refused": refused,
            "left_out": [(family, describe(family.user_agent)) for family in left_out],
            "users": len(users),
            "access_lifetime": conf.access_lifetime,
            "changelist_url": self._url("changelist"),
            "breadcrumbs_are_a_list": django.VERSION >= (6,),
            **extra,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/twotoken/refreshtoken/revoke_confirmation.html", context)

    def _newest(self, request: HttpRequest, found: list[RefreshToken]) -> list[RefreshToken]:
        """Return the newest of the families ``found``, without those that ``request.user`` may revoke but not view."""
        visible = [family for family in found if self.has_view_permission(request, family)]
        return heapq.nlargest(SHOWN, visible, key=attrgetter("created_at"))

    def _revoke(self, request: HttpRequest, selected: list[Any], objects: list[Any]) -> None:
        """Revoke the selected families, and write entries to the admin's log.

        The log gets one entry for each of ``objects``, such as the user, and one for each of the first LISTED families.
        """
        count, refused = 0, 0
        logged: list[RefreshToken] = []
        for batch in self._batches(request, selected):
            refused += len(batch.refused)
            allowed = families.select().filter(pk__in=[family.pk for family in batch.allowed])
            count += families.revoke_each(allowed, RevokedReason.ADMIN, actor=_actor(request))
            logged += batch.allowed[: LISTED - len(logged)]
        if refused and not count:
            raise PermissionDenied
        self._report(request, count, [*objects, *logged])
        if refused:
            text = ngettext(
                "Left out %(count)d token family that you may not revoke.",
                "Left out %(count)d token families that you may not revoke.",
                refused,
            )
            self.message_user(request, text % {"count": refused}, messages.WARNING)

    def _report(self, request: HttpRequest, count: int, objects: list[Any]) -> None:
        text = ngettext("Revoked %(count)d token family.", "Revoked %(count)d token families.", count)
        text %= {"count": count}
        if count:
            LogEntry.objects.log_actions(_staff(request).pk, objects, CHANGE, text)
        self.message_user(request, text, messages.SUCCESS if count else messages.WARNING)

    def _home(self) -> str:
        return reverse("admin:index", current_app=self.admin_site.name)

    def _url(self, name: str, *args: str) -> str:
        full = f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"
        return reverse(full, args=args, current_app=self.admin_site.name)


def _walk(selected: Iterable[Any]) -> Iterator[list[RefreshToken]]:
    """Yield batches of the families that can still be revoked, with their users, in the order of the primary keys."""
    for rows in selected:
        page = ordered = rows.primary().revocable().select_related("user").defer(*SECRETS).order_by("pk")
        while batch := list(page[:SIZE]):
            yield batch
            page = ordered.filter(pk__gt=batch[-1].pk)


def _staff(request: HttpRequest) -> Any:
    return request.user


def _actor(request: HttpRequest) -> str:
    return str(_staff(request).get_username())
