"""The admin's screens: what they show, to whom, and what they end."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client as Browser
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path, reverse
from django.utils import timezone

from tests.factories import UserFactory
from tests.http import Caller
from tests.overrides import with_settings
from tests.staff import CHROME, LIST, staff, text
from twotoken import admin as ours
from twotoken import families
from twotoken.admin import RefreshTokenAdmin, TokenFamiliesMixin
from twotoken.clients import Client
from twotoken.families import revocation
from twotoken.models import EventKind, FamilyEvent, RefreshToken, RevokedReason

User = get_user_model()


class SomeUserAdmin(TokenFamiliesMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    """A project's user admin, with our button."""

    fields = (User.USERNAME_FIELD,)


site = admin.AdminSite()
site.register(User, SomeUserAdmin)
site.register(RefreshToken, RefreshTokenAdmin)
bare = admin.AdminSite("bare")
bare.register(User, SomeUserAdmin)
urlpatterns = [
    path("admin/", site.urls),
    path("bare/", bare.urls),
    path("api/app/auth/", include("twotoken.urls", namespace="app"), {"delivery": "body"}),
]

pytestmark = [pytest.mark.urls("tests.test_admin"), pytest.mark.django_db]


def page(family: Any) -> str:
    """Return the address of a family's page."""
    return f"{LIST}{getattr(family, 'family_id', family)}/change/"


def test_the_list(user: Any, viewer: Any) -> None:
    """Who, what state and why, which device, from where; and the raw user agent behind the words."""
    families.start(user, Client("192.0.2.7", CHROME))
    stolen = families.start(user)
    families.revoke(stolen.family_id, RevokedReason.REUSE)
    own = families.start(user)
    families.revoke(own.family_id, "our own reason")
    RefreshToken.objects.create(user=user, expires_at=timezone.now() - timedelta(hours=1))
    response = viewer.get(LIST)
    shown = text(response)
    for words in (str(user), "Chrome 126 on Windows", "192.0.2.7", "active", "ended: our own reason", "expired"):
        assert words in shown
    assert f'title="{CHROME}"' in response.content.decode()
    assert '<strong class="twotoken-reuse">ended: refresh token reused</strong>' in response.content.decode()
    assert "Add token family" not in shown
    assert "Revoke selected" not in shown


def test_nothing_of_a_token_is_shown(user: Any, revoker: Any) -> None:
    """No secret, no digest, no hash, on no page; they are not even read."""
    pair = families.start(user)
    families.rotate(families.verify(pair.refresh), Client(), "a-key-of-some-length")
    family = RefreshToken.objects.get()
    secrets = [bytes(family.secret), bytes(family.retry_key), family.auth_hash.encode()]
    with CaptureQueriesContext(connection) as queries:
        pages = [
            revoker.get(url) for url in (LIST, page(pair), f"{LIST}{family.pk}/revoke/", f"{LIST}{family.pk}/history/")
        ]
    for response in pages:
        assert response.status_code == 200
        for secret in secrets:
            assert secret.hex().encode() not in response.content
            assert secret not in response.content
    assert not any('"secret"' in query["sql"] or "`secret`" in query["sql"] for query in queries.captured_queries)


def test_a_family_s_page(viewer: Any, script: Caller) -> None:
    """The timeline of a theft: started, another device, reuse from where and by what, ended."""
    r0 = script.log_in(HTTP_USER_AGENT=CHROME).json()["refresh"]
    r1 = script.refresh(r0, HTTP_USER_AGENT=CHROME).json()["refresh"]
    script.refresh(r1, HTTP_USER_AGENT="curl/8.1", REMOTE_ADDR="192.0.2.66")
    script.refresh(r0, HTTP_USER_AGENT="stealer", REMOTE_ADDR="192.0.2.99")
    shown = text(viewer.get(page(RefreshToken.objects.get().pk)))
    what = ["Started", "Device changed", "from Chrome 126 on Windows to curl 8", "Refresh token reused"]
    what += ["2 generations behind, stealer", "192.0.2.99", "Ended: refresh token reused"]
    places = [shown.index(words) for words in what]
    assert places == sorted(places)
    assert "Revoke this family" not in shown
    assert "Save" not in shown


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_may_not_revoke(user: Any, viewer: Any, method: str) -> None:
    """To view is not enough; no button, no action, no page."""
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


def test_nobody_adds_edits_or_deletes(user: Any) -> None:
    """Not a superuser either."""
    pair = families.start(user)
    root = staff(is_superuser=True)
    assert root.get(f"{LIST}add/").status_code == 403
    assert root.post(page(pair), {"generation": 7}).status_code == 403
    assert root.get(f"{LIST}{pair.family_id}/delete/").status_code == 403
    root.post(LIST, {"action": "delete_selected", "_selected_action": [pair.family_id], "post": "yes"})
    assert RefreshToken.objects.get().generation == 0
    codenames = Permission.objects.filter(content_type__app_label="twotoken").values_list("codename", flat=True)
    assert set(codenames) == {"view_refreshtoken", "revoke_refreshtoken"}
    assert "Delete" not in text(root.get(page(pair)))


def test_the_button_of_a_family(user: Any, revoker: Any) -> None:
    """It asks, says what that means, ends that one at once, and is logged."""
    pair, other = families.start(user, Client("192.0.2.7", CHROME)), families.start(user)
    url = f"{LIST}{pair.family_id}/revoke/"
    assert url in revoker.get(page(pair)).content.decode()
    asked = text(revoker.get(url))
    for words in (
        "revoke 1 token family",
        "live up to 15 minutes",
        "RevocableAccessTokenAuthentication",
        "Chrome 126 on Windows",
    ):
        assert words in asked
    assert RefreshToken.objects.active().count() == 2
    response = revoker.post(url, follow=True)
    assert response.redirect_chain[0][0] == page(pair)
    assert f"Ended: revoked by staff by {revoker.user.get_username()}" in text(response)
    assert "Revoked 1 token family." in text(response)
    assert [family.pk for family in RefreshToken.objects.active()] == [other.family_id]
    entry = LogEntry.objects.get()
    assert (entry.user_id, entry.object_id) == (revoker.user.pk, str(pair.family_id))
    assert entry.change_message == "Revoked 1 token family."
    assert "There is nothing to revoke" in text(revoker.get(url))
    revoker.post(url)
    assert LogEntry.objects.count() == 1


def test_the_button_of_a_user(user: Any) -> None:
    """On the user's own page, by one line in the project's user admin."""
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
    assert LogEntry.objects.get().object_id == str(user.pk)
    assert "Revoke 2" not in text(revoker.get(user_page))
    bystander = staff(f"change_{opts.model_name}")
    assert "oken famil" not in text(bystander.get(user_page))
    assert "oken famil" not in text(bystander.get(user_page.replace("/admin/", "/bare/")))


@pytest.mark.parametrize("across", ["0", "1"])
def test_the_action_for_families(user: Any, revoker: Any, across: str) -> None:
    """The selected ones, or all that were found; those that have ended already are not counted."""
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
    """Every family of the selected families' users, and nobody else's."""
    first = families.start(user)
    families.start(user)
    stranger: Any = UserFactory()
    families.start(stranger)
    data = {"action": "revoke_all_of_users", "_selected_action": [first.family_id]}
    assert "revoke 2 token families? It is one user" in text(revoker.post(LIST, data))
    revoker.post(LIST, {**data, "post": "yes"})
    assert [family.user_id for family in RefreshToken.objects.active()] == [stranger.pk]
    assert LogEntry.objects.count() == 2


def test_many_are_not_all_named(user: Any, revoker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A confirmation stays readable."""
    monkeypatch.setattr(ours, "SHOWN", 2)
    for _ in range(5):
        families.start(user)
    asked = text(revoker.get(f"{LIST}revoke-user/{user.pk}/"))
    assert "revoke 5 token families" in asked
    assert "and 3 more" in asked


@pytest.mark.parametrize(
    "address", ["{id}/revoke/", "x/revoke/", "revoke-user/x/", "revoke-user/999999/", "revoke-user/{id}/"]
)
def test_who_is_not_there(revoker: Any, address: str) -> None:
    """404, whatever the key looks like."""
    assert revoker.get(LIST + address.format(id=uuid4())).status_code == 404
    assert revoker.get(page(uuid4())).status_code == 302


def test_who_may_revoke_and_not_look(user: Any) -> None:
    """It is sent home afterwards."""
    pair = families.start(user)
    blind = staff("revoke_refreshtoken")
    response = blind.post(f"{LIST}{pair.family_id}/revoke/")
    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert not RefreshToken.objects.active().exists()


def test_deleting_a_user(user: Any) -> None:
    """By staff who may delete users, with no permission of ours; the families and their events go along."""
    pair = families.start(user)
    FamilyEvent.objects.create(family_id=pair.family_id, kind=EventKind.DEVICE)
    opts = User._meta
    url = reverse(f"admin:{opts.app_label}_{opts.model_name}_delete", args=[user.pk])
    index = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    deleter = staff(f"delete_{opts.model_name}", f"view_{opts.model_name}")
    shown = text(deleter.get(url))
    assert "t have permission" not in shown
    assert "Token families" not in text(deleter.get("/admin/"))
    asked = text(deleter.post(index, {"action": "delete_selected", "_selected_action": [user.pk]}))
    assert "Are you sure" in asked
    assert deleter.post(url, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=user.pk).exists()
    assert not RefreshToken.objects.exists()
    assert not FamilyEvent.objects.exists()
    assert staff(f"view_{opts.model_name}").get(url).status_code == 403


@override_settings(LANGUAGE_CODE="de")
def test_another_language(user: Any, revoker: Any) -> None:
    """Dates and numbers are the language's, keys stay keys."""
    with with_settings(ACCESS_LIFETIME=timedelta(hours=1)):
        pair = families.start(user)
        assert revoker.get(page(pair)).status_code == 200
        assert "1 Stunde" in text(revoker.get(f"{LIST}{pair.family_id}/revoke/"))


def test_a_link_to_the_user(user: Any) -> None:
    """Where the site has an admin for users, and else the name."""
    pair = families.start(user)
    family = RefreshToken.objects.get(pk=pair.family_id)
    assert "<a href=" in RefreshTokenAdmin(RefreshToken, site).user_link(family)
    assert RefreshTokenAdmin(RefreshToken, admin.AdminSite()).user_link(family) == str(user)


def test_the_action_for_users_on_a_filtered_list(user: Any, revoker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A family that is revoked leaves the filter, and still all of its user's are revoked."""
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
    """403 whether it is there or not."""
    assert viewer.get(address).status_code == 403


@override_settings(USE_TZ=False)
def test_times_without_a_zone(user: Any, viewer: Any) -> None:
    """List and page show them as they are."""
    pair = families.start(user)
    assert viewer.get(LIST).status_code == 200
    assert "Started" in text(viewer.get(page(pair)))
