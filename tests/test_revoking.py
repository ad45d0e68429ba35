"""The admin's pages that revoke: who may revoke what, and what they show to whom."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.test import Client as Browser
from django.urls import path, reverse

from tests.factories import UserFactory
from tests.staff import CHROME, LIST, page, staff, text
from tests.test_admin import SomeUserAdmin, bare, site
from twotoken import families
from twotoken.admin import RefreshTokenAdmin, revoking
from twotoken.clients import Client
from twotoken.families import revocation
from twotoken.models import EventKind, FamilyEvent, RefreshToken, RevokedReason

User = get_user_model()


class GuardedAdmin(RefreshTokenAdmin):
    """A project's own admin: it protects superusers and hides some families."""

    def has_revoke_permission(self, request: HttpRequest, obj: RefreshToken | None = None) -> bool:
        return super().has_revoke_permission(request, obj) and not (obj and obj.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and not (obj and obj.user_agent == "private")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).exclude(user_agent="hidden")


guarded = admin.AdminSite("guarded")
guarded.register(RefreshToken, GuardedAdmin)
guarded.register(User, SomeUserAdmin)
urlpatterns = [path("admin/", site.urls), path("bare/", bare.urls), path("guarded/", guarded.urls)]
GUARDED = LIST.replace("/admin/", "/guarded/")

pytestmark = [pytest.mark.urls("tests.test_revoking"), pytest.mark.django_db]


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_may_not_revoke(user: Any, viewer: Any, method: str) -> None:
    """Staff with only the view permission see no button, no action and no confirmation page."""
    pair = families.start(user)
    for url in (f"{LIST}{pair.family_id}/revoke/", f"{LIST}revoke-user/{user.pk}/"):
        assert getattr(viewer, method)(url).status_code == 403
    viewer.post(LIST, {"action": "revoke_families", "_selected_action": [pair.family_id], "post": "yes"})
    assert RefreshToken.objects.active().count() == 1
    anybody = staff()
    for url in (LIST, page(pair)):
        assert anybody.get(url).status_code == 403
    outsider = Browser()
    assert outsider.get(f"{LIST}{pair.family_id}/revoke/").status_code == 302


def test_the_button_of_a_family(user: Any, revoker: Any) -> None:
    """The button on a family's page asks for confirmation, revokes the family, and adds an entry to Django's log."""
    pair, other = families.start(user, Client("192.0.2.7", CHROME)), families.start(user)
    url = f"{LIST}{pair.family_id}/revoke/"
    assert url in revoker.get(page(pair)).content.decode()
    asked = text(revoker.get(url))
    for words in (
        "revoke 1 token family",
        "still work for up to 15 minutes",
        "RevocableAccessTokenAuthentication",
        "Chrome 126 on Windows",
    ):
        assert words in asked
    assert RefreshToken.objects.active().count() == 2
    response = revoker.post(url, follow=True)
    assert response.redirect_chain[0][0] == page(pair)
    assert f"Revoked revoked by staff, by {revoker.user.get_username()}" in text(response)
    assert "Revoked 1 token family." in text(response)
    assert [family.pk for family in RefreshToken.objects.active()] == [other.family_id]
    entry = LogEntry.objects.get()
    assert (entry.user_id, entry.object_id) == (revoker.user.pk, str(pair.family_id))
    assert entry.change_message == "Revoked 1 token family."
    assert "There is nothing to revoke" in text(revoker.get(url))
    revoker.post(url)
    assert LogEntry.objects.count() == 1


def test_the_histories_after_all_were_revoked(user: Any, revoker: Any) -> None:
    """After all families of a user were revoked, the histories of user and families say who revoked them."""
    first, second, over = (families.start(user) for _ in range(3))
    families.revoke(over.family_id, RevokedReason.LOGOUT)
    revoker.post(f"{LIST}revoke-user/{user.pk}/")
    logged = dict(LogEntry.objects.values_list("object_id", "user_id"))
    assert logged == dict.fromkeys(map(str, (user.pk, first.family_id, second.family_id)), revoker.user.pk)
    for pair in (first, second):
        history = text(revoker.get(f"{LIST}{pair.family_id}/history/"))
        assert "Revoked 2 token families." in history
        assert revoker.user.get_username() in history
        assert f"by {revoker.user.get_username()}" in text(revoker.get(page(pair)))


def test_the_button_of_a_user(user: Any) -> None:
    """One line in a project's user admin gives each user's page a button, which revokes the user's families."""
    opts = User._meta
    revoker = staff("view_refreshtoken", "revoke_refreshtoken", f"change_{opts.model_name}")
    for _ in range(3):
        pair = families.start(user)
    families.revoke(pair.family_id)
    families.start(revoker.user)
    user_page = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[user.pk])
    url = f"{LIST}revoke-user/{user.pk}/"
    response = revoker.get(user_page)
    assert "Revoke 2 token families" in text(response)
    assert url in response.content.decode()
    assert "revoke 2 token families" in text(revoker.get(url))
    assert "Revoked 2 token families" in text(revoker.post(url, follow=True))
    assert not RefreshToken.objects.active().filter(user=user).exists()
    assert RefreshToken.objects.active().filter(user=revoker.user).count() == 1
    assert "Revoke 2" not in text(revoker.get(user_page))
    bystander = staff(f"change_{opts.model_name}")
    assert "oken famil" not in text(bystander.get(user_page))
    assert "oken famil" not in text(bystander.get(user_page.replace("/admin/", "/bare/")))


@pytest.mark.parametrize("across", ["0", "1"])
def test_the_action_for_families(user: Any, revoker: Any, across: str) -> None:
    """The action revokes the selected families, or all families of the list. It counts only active families."""
    pairs = [families.start(user) for _ in range(3)]
    families.revoke(pairs[0].family_id, RevokedReason.LOGOUT)
    data = {
        "action": "revoke_families",
        "_selected_action": [pairs[0].family_id, pairs[1].family_id],
        "select_across": across,
    }
    left = 1 if across == "0" else 0
    asked = revoker.post(LIST, data)
    assert f"revoke {2 - left} token famil" in text(asked)
    assert RefreshToken.objects.active().count() == 2
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', asked.content.decode()))
    assert fields["action"] == "revoke_families"
    assert fields["select_across"] == across
    assert f"Revoked {2 - left} token famil" in text(revoker.post(LIST, {**data, "post": "yes"}, follow=True))
    assert RefreshToken.objects.active().count() == left
    assert RefreshToken.objects.get(pk=pairs[0].family_id).revoked_reason == RevokedReason.LOGOUT
    assert set(FamilyEvent.objects.values_list("kind", "actor")) == {(EventKind.REVOKED, revoker.user.get_username())}
    assert LogEntry.objects.count() == 2 - left


def test_the_action_for_users(user: Any, revoker: Any) -> None:
    """The action for users revokes every family of the selected families' users, and no other family."""
    first = families.start(user)
    families.start(user)
    stranger: Any = UserFactory()
    families.start(stranger)
    data = {"action": "revoke_all_of_users", "_selected_action": [first.family_id]}
    assert "revoke 2 token families? The user has to log in again." in text(revoker.post(LIST, data))
    revoker.post(LIST, {**data, "post": "yes"})
    assert [family.user_id for family in RefreshToken.objects.active()] == [stranger.pk]
    assert LogEntry.objects.count() == 2


def test_many_are_not_all_named(user: Any, revoker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A confirmation lists the first families, and only counts the rest."""
    monkeypatch.setattr(revoking, "SHOWN", 2)
    for _ in range(5):
        families.start(user)
    asked = text(revoker.get(f"{LIST}revoke-user/{user.pk}/"))
    assert "revoke 5 token families" in asked
    assert "and 3 more" in asked


@pytest.mark.parametrize(
    "address",
    [
        "{id}/revoke/",
        "x/revoke/",
        "revoke-user/x/",
        "revoke-user/999999/",
        f"revoke-user/{'9' * 30}/",
        "revoke-user/%00/",
        "revoke-user/{id}/",
    ],
)
def test_who_is_not_there(revoker: Any, address: str) -> None:
    """A page for an unknown or invalid primary key of a family is a 404."""
    assert revoker.get(LIST + address.format(id=uuid4())).status_code == 404
    assert revoker.get(page(uuid4())).status_code == 302


def test_the_action_for_users_on_a_filtered_list(user: Any, revoker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The action for users revokes all of a user's families, although revoked ones drop out of the filtered list."""
    monkeypatch.setattr(revocation, "BATCH", 2)
    RefreshToken.objects.bulk_create(RefreshToken(user=user) for _ in range(7))
    first = RefreshToken.objects.earliest("pk")
    data = {"action": "revoke_all_of_users", "_selected_action": str(first.pk)}
    assert "revoke 7 token families" in text(revoker.post(f"{LIST}?state=active", data))
    response = revoker.post(f"{LIST}?state=active", {**data, "post": "yes"}, follow=True)
    assert "Revoked 7 token families" in text(response)
    assert not families.select().exists()


@pytest.mark.parametrize("address", [f"{LIST}{UUID(int=7)}/revoke/", f"{LIST}revoke-user/no-one/"])
def test_who_may_not_revoke_learns_nothing(user: Any, viewer: Any, address: str) -> None:
    """A staff member who may not revoke gets a 403, whether or not the family exists."""
    assert viewer.get(address).status_code == 403


def select(action: str, *selected: Any) -> dict[str, Any]:
    """Return the form data of an action on these families."""
    return {"action": action, "_selected_action": [pair.family_id for pair in selected]}


def revoked() -> set[Any]:
    """Return the ids of the revoked families."""
    return set(RefreshToken.objects.exclude(revoked_at=None).values_list("pk", flat=True))


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_protected_user(revoker: Any, method: str) -> None:
    """If a project's permission method protects a user, each button and action is a 403, and nothing is revoked."""
    chief: Any = UserFactory(is_superuser=True)
    pair = families.start(chief)
    for address in (f"{pair.family_id}/revoke/", f"revoke-user/{chief.pk}/"):
        assert getattr(revoker, method)(GUARDED + address).status_code == 403
    for action in ("revoke_families", "revoke_all_of_users"):
        data = select(action, pair) | ({"post": "yes"} if method == "post" else {})
        assert revoker.post(GUARDED, data).status_code == 403
    assert not revoked()
    assert "Revoke" not in text(revoker.get(f"{GUARDED}{pair.family_id}/change/"))


def test_no_button_for_a_protected_user(user: Any) -> None:
    """The admin page of a protected user has no button that revokes."""
    opts = User._meta
    revoker = staff("view_refreshtoken", "revoke_refreshtoken", f"change_{opts.model_name}")
    chief: Any = UserFactory(is_superuser=True)
    for owner, shown in ((chief, False), (user, True)):
        families.start(owner)
        user_page = f"/guarded/{opts.app_label}/{opts.model_name}/{owner.pk}/change/"
        assert ("Revoke 1 token family" in text(revoker.get(user_page))) is shown


@pytest.mark.parametrize("action", ["revoke_families", "revoke_all_of_users"])
def test_protected_users_are_left_out_of_a_selection(user: Any, revoker: Any, action: str) -> None:
    """In a selection, families of protected users are named and left out. The others are revoked."""
    chief: Any = UserFactory(is_superuser=True)
    theirs, one = families.start(chief), families.start(user)
    asked = revoker.post(GUARDED, select(action, theirs, one))
    assert "revoke 1 token family?" in text(asked)
    left_out = asked.content.decode().split('id="left-out"')[1]
    assert str(chief) in left_out
    assert str(user) not in left_out
    done = revoker.post(GUARDED, select(action, theirs, one) | {"post": "yes"}, follow=True)
    assert "Revoked 1 token family." in text(done)
    assert "Left out 1 token family that you may not revoke." in text(done)
    assert revoked() == {one.family_id}
    assert LogEntry.objects.get().object_id == str(one.family_id)


def test_hidden_families_are_not_found(user: Any, revoker: Any) -> None:
    """Families that ``get_queryset`` leaves out can't be revoked by button, URL or selection."""
    stranger: Any = UserFactory()
    hidden, theirs = families.start(user, Client(None, "hidden")), families.start(stranger, Client(None, "hidden"))
    for method in (revoker.get, revoker.post):
        assert method(f"{GUARDED}{hidden.family_id}/revoke/").status_code == 404
        assert method(f"{GUARDED}revoke-user/{stranger.pk}/").status_code == 404
    for action in ("revoke_families", "revoke_all_of_users"):
        revoker.post(GUARDED, select(action, hidden, theirs) | {"post": "yes"})
        revoker.post(GUARDED, select(action, hidden, theirs) | {"post": "yes", "select_across": "1"})
    assert not revoked()
    found = families.start(user)
    assert "revoke 1 token family?" in text(revoker.get(f"{GUARDED}revoke-user/{user.pk}/"))
    revoker.post(GUARDED, select("revoke_all_of_users", found) | {"post": "yes"})
    assert revoked() == {found.family_id}
    again = families.start(user)
    revoker.post(f"{GUARDED}revoke-user/{user.pk}/")
    assert revoked() == {found.family_id, again.family_id}


def test_who_may_not_view_reads_nothing(user: Any) -> None:
    """Without the view permission no confirmation and no log has a name, an address or a device."""
    pair = families.start(user, Client("192.0.2.7", CHROME))
    families.start(user, Client("192.0.2.7", CHROME))
    blind = staff("revoke_refreshtoken")
    pages = [blind.get(f"{LIST}{pair.family_id}/revoke/"), blind.get(f"{LIST}revoke-user/{user.pk}/")]
    for url in (f"{LIST}{pair.family_id}/revoke/", f"{LIST}revoke-user/{user.pk}/"):
        response = blind.post(url)
        assert (response.status_code, response["Location"]) == (302, "/admin/")
        pages.append(blind.get("/admin/"))
    for shown in pages:
        for secret in (user.get_username(), "192.0.2.7", "Chrome"):
            assert secret not in text(shown)
    assert not RefreshToken.objects.active().exists()
    for url in (LIST, f"{LIST}?user={user.pk}", page(pair), f"{LIST}{pair.family_id}/history/"):
        assert blind.get(url).status_code == 403


def test_a_confirmation_lists_what_may_be_viewed(user: Any, revoker: Any) -> None:
    """A confirmation lists only the families that the staff member may view."""
    families.start(user, Client("192.0.2.7", "private"))
    families.start(user, Client("192.0.2.8", "common"))
    shown = text(revoker.get(f"{GUARDED}revoke-user/{user.pk}/"))
    assert "revoke 2 token families?" in shown
    assert "192.0.2.8" in shown
    assert "192.0.2.7" not in shown


def test_who_may_view_the_user_reads_the_name(user: Any) -> None:
    """Without the permission to view families, the user's button leads to a confirmation with the name alone."""
    pair = families.start(user, Client("192.0.2.7", CHROME))
    half_blind = staff("revoke_refreshtoken", f"view_{User._meta.model_name}")
    url = f"{LIST}revoke-user/{user.pk}/"
    shown = text(half_blind.get(url))
    assert str(user) in shown
    assert "192.0.2.7" not in shown
    half_blind.post(url)
    assert set(LogEntry.objects.values_list("object_id", flat=True)) == {str(user.pk), str(pair.family_id)}


def test_a_selected_key_that_is_no_id(revoker: Any) -> None:
    """A selection with an invalid family id is a 400."""
    assert revoker.post(LIST, {"action": "revoke_families", "_selected_action": "x"}).status_code == 400
