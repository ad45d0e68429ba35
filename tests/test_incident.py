"""The admin's panel about a theft: what it says, and what it links to."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.urls import path, reverse
from django.utils import timezone

from tests.factories import UserFactory
from tests.overrides import with_settings
from tests.staff import CHROME, LIST, page, staff, text
from twotoken import families
from twotoken.admin import RefreshTokenAdmin
from twotoken.admin.incident import Incident, incident
from twotoken.admin.timeline import timeline
from twotoken.clients import Client
from twotoken.exceptions import ReusedToken
from twotoken.models import FamilyEvent, RefreshToken, RevokedReason

User = get_user_model()
OWNER = Client("192.0.2.7", CHROME)
THIEF = Client("198.51.100.66", "curl/8.1")


class PasswordAdmin(UserAdmin):  # type: ignore[type-arg]
    """Django's user admin, with the form for a new password."""

    list_display = (User.USERNAME_FIELD,)
    list_filter = ()
    filter_horizontal = ()
    ordering = ("pk",)
    fieldsets = ((None, {"fields": (User.USERNAME_FIELD,)}),)


site = admin.AdminSite()
site.register(User, PasswordAdmin)
site.register(RefreshToken, RefreshTokenAdmin)
bare = admin.AdminSite("bare")
bare.register(RefreshToken, RefreshTokenAdmin)
urlpatterns = [path("admin/", site.urls), path("bare/", bare.urls)]

pytestmark = [pytest.mark.urls("tests.test_incident"), pytest.mark.django_db]


def steal(user: Any, *senders: Client) -> RefreshToken:
    """Log in, rotate once as each sender except the last, who then sends the first token again. Return the family."""
    with time_machine.travel("2026-03-01T12:00:00Z", tick=False) as clock:
        first = pair = families.start(user, OWNER)
        for sender in senders[:-1]:
            clock.shift(timedelta(seconds=61))
            pair = families.rotate(families.verify(pair.refresh), sender)
        clock.shift(timedelta(seconds=9))
        with pytest.raises(ReusedToken):
            families.rotate(families.verify(first.refresh), senders[-1])
    return RefreshToken.objects.get(pk=first.family_id)


def found(family: RefreshToken) -> Incident:
    """Return the theft panel's content for a family, with times in UTC."""
    with timezone.override("UTC"):
        said = incident(family, timeline(family))
    assert said is not None
    return said


def test_no_panel_without_reuse(user: Any, viewer: Any) -> None:
    """Active families, and families that were revoked for a reason other than reuse, have no theft panel."""
    active, ended = families.start(user), families.start(user)
    families.revoke(ended.family_id, RevokedReason.LOGOUT)
    for family in RefreshToken.objects.all():
        assert incident(family, timeline(family)) is None
    for pair in (active, ended):
        assert "What happened" not in text(viewer.get(page(pair)))


def test_who_came_first(user: Any) -> None:
    """The theft panel lists the login and both uses of the token, with time, device and address, and compares them."""
    said = found(steal(user, THIEF, OWNER))
    assert [(party.time, party.device, party.ip_address, party.compared) for party in said.parties] == [
        ("March 1, 2026, 12:00:00", "Chrome 126 on Windows", "192.0.2.7", "started the family"),
        ("March 1, 2026, 12:01:01", "curl 8", "198.51.100.66", "another device and another address than at login"),
        ("March 1, 2026, 12:01:10", "Chrome 126 on Windows", "192.0.2.7", "the device and the address of the login"),
    ]
    assert said.addresses == ["192.0.2.7", "198.51.100.66"]
    assert len(said.what) == 1


@pytest.mark.parametrize(
    ("second", "compared"),
    [
        (Client("198.51.100.66", CHROME.replace("126", "127")), "the device of the login, from another address"),
        (Client("192.0.2.7", "curl/8.1"), "another device than at login, from the same address"),
        (Client(), "neither device nor address is stored"),
    ],
)
def test_the_second_beside_the_login(user: Any, second: Client, compared: str) -> None:
    """The theft panel compares the second sender with the login. An updated browser counts as the same device."""
    assert found(steal(user, OWNER, second)).parties[-1].compared == compared


def test_what_is_certain(user: Any) -> None:
    """The theft panel says when the last access token expires (with LEEWAY), and not which sender is the user."""
    with with_settings(ACCESS_LIFETIME=timedelta(minutes=5), LEEWAY=timedelta(seconds=20)):
        family = steal(user, OWNER, THIEF)
        with time_machine.travel("2026-03-01T12:02:00Z", tick=False):
            said = found(family)
        later = found(family)
    assert "Access tokens that were issued before have expired." in later.certain
    assert any("until March 1, 2026, 12:06:30 at the latest" in sentence for sentence in said.certain)
    assert said.uncertain[0].startswith("Which of the two is the user.")
    assert "An app that sends a token twice looks the same" in said.uncertain[1]


def test_both_from_the_same_place(user: Any) -> None:
    """If both requests come from one address and device, the theft panel says that a lost answer looks the same."""
    said = found(steal(user, OWNER, OWNER))
    assert "Both requests came from the same address" in said.uncertain[1]


def test_an_old_token(user: Any) -> None:
    """If the reused token is several generations behind, the theft panel does not say who used it first."""
    said = found(steal(user, OWNER, OWNER, OWNER, THIEF))
    assert said.what[1].startswith(
        "The family had rotated 3 times since this token was issued. Who used the token first"
    )
    assert [party.what for party in said.parties][1:2] == ["Last of 3 rotations"]


def test_since_when_another_device_had_the_family(user: Any) -> None:
    """If the thief rotated more than once, the theft panel also shows when the device changed."""
    said = found(steal(user, OWNER, THIEF, THIEF, OWNER))
    assert [(party.what, party.device, party.time[-8:]) for party in said.parties] == [
        ("Login", "Chrome 126 on Windows", "12:00:00"),
        ("Device changed", "curl 8", "12:02:02"),
        ("Last of 3 rotations", "curl 8", "12:03:03"),
        ("Came last, with the used token", "Chrome 126 on Windows", "12:03:12"),
    ]


def test_an_old_token_of_one_place(user: Any) -> None:
    """If the reused token is several generations behind, the theft panel does not compare reuse and last rotation."""
    said = found(steal(user, OWNER, OWNER, OWNER))
    assert [party.what for party in said.parties[1:]] == ["Last of 2 rotations", "Came last, with the used token"]
    assert "An app that sends a token twice looks the same" in said.uncertain[1]


def test_a_thief_within_the_grace(user: Any) -> None:
    """The theft panel lists a thief who got a token by a retry, even if the reuse comes from the owner's address."""
    with time_machine.travel("2026-03-01T12:00:00Z", tick=False) as clock:
        first = families.start(user, OWNER, is_browser=True)
        clock.shift(timedelta(seconds=61))
        second = families.rotate(families.verify(first.refresh), OWNER)
        clock.shift(timedelta(seconds=61))
        third = families.rotate(families.verify(second.refresh), OWNER)
        clock.shift(timedelta(seconds=5))
        assert families.rotate(families.verify(second.refresh), THIEF).refresh == third.refresh
        clock.shift(timedelta(seconds=61))
        with pytest.raises(ReusedToken):
            families.rotate(families.verify(second.refresh), OWNER)
    said = found(RefreshToken.objects.get(pk=first.family_id))
    assert [(party.what, party.ip_address) for party in said.parties[1:]] == [
        ("Came first", "192.0.2.7"),
        ("Retried from another device or address", "198.51.100.66"),
        ("Came last, with the used token", "192.0.2.7"),
    ]
    assert said.addresses == ["192.0.2.7", "198.51.100.66"]
    assert said.certain[1].startswith("Each retry in this list was answered with the token that was valid then.")
    assert "An app that sends a token twice looks the same" in said.uncertain[1]


def test_a_login_without_an_address(user: Any) -> None:
    """If the login's address is not stored, the theft panel does not compare other addresses with it."""
    family = steal(user, OWNER, THIEF)
    RefreshToken.objects.filter(pk=family.pk).update(login_ip_address=None)
    said = found(RefreshToken.objects.get(pk=family.pk))
    assert {party.compared for party in said.parties[1:]} == {
        "the address of the login is not stored, so they can't be compared"
    }


def test_ended_by_the_reuse_of_another_family(user: Any, viewer: Any) -> None:
    """If REVOKE_ON_REUSE revokes other families of the user, their panels say that they have no reuse of their own."""
    other = families.start(user)
    with with_settings(REVOKE_ON_REUSE="user"):
        steal(user, OWNER, THIEF)
    family = RefreshToken.objects.get(pk=other.family_id)
    said = found(family)
    assert "no record of a reused token of its own" in said.what[0]
    assert (said.parties, said.uncertain) == ([], [])
    assert "What is not certain" not in text(viewer.get(page(family.pk)))


def links(response: Any) -> list[str]:
    """Return the URLs that the theft panel links to."""
    assert response.status_code == 200
    panel = re.search(r'<section class="module twotoken-incident".*?</section>', response.content.decode(), re.DOTALL)
    assert panel
    return re.findall(r'href="([^"]*)"', panel[0])


def test_the_next_steps_are_one_click_away(user: Any) -> None:
    """The theft panel links to e-mail, user, all families, password and IP addresses. Each link works."""
    name = User._meta.model_name
    revoker = staff("view_refreshtoken", "revoke_refreshtoken", f"change_{name}", f"view_{name}")
    User.objects.filter(pk=user.pk).update(email="ann+x@mail.example")
    family = steal(user, THIEF, OWNER)
    families.start(user)
    change = reverse(f"admin:{User._meta.app_label}_{name}_change", args=[user.pk])
    shown = links(revoker.get(page(family.pk)))
    assert shown == [
        "mailto:ann%2Bx@mail.example",
        change,
        f"{LIST}revoke-user/{user.pk}/",
        change.replace("/change/", "/password/"),
        f"{LIST}?q=192.0.2.7",
        f"{LIST}?q=198.51.100.66",
    ]
    for url in shown[1:]:
        assert revoker.get(url).status_code == 200


def test_only_links_that_may_be_followed(user: Any, viewer: Any) -> None:
    """In the theft panel, staff who may only view families get no link to the user and no e-mail address."""
    family = steal(user, THIEF, OWNER)
    families.start(user)
    addresses = [f"{LIST}?q=192.0.2.7", f"{LIST}?q=198.51.100.66"]
    assert links(viewer.get(page(family.pk))) == addresses
    root: Any = staff(is_superuser=True)
    without_users = root.get(page(family.pk).replace("/admin/", "/bare/"))
    assert links(without_users)[1:] == [url.replace("/admin/", "/bare/") for url in addresses]


def test_no_other_family(user: Any, revoker: Any) -> None:
    """If the user has no other active family, the theft panel says that there is nothing more to revoke."""
    assert "no other family that could be revoked" in text(revoker.get(page(steal(user, THIEF, OWNER).pk)))


def test_without_addresses(revoker: Any) -> None:
    """If no address is stored, the theft panel offers no search for addresses."""
    user: Any = UserFactory()
    family = steal(user, Client(), Client())
    RefreshToken.objects.filter(pk=family.pk).update(login_ip_address=None)
    assert not FamilyEvent.objects.exclude(ip_address=None).exists()
    shown = text(revoker.get(page(family.pk)))
    assert "from these addresses" not in shown
    assert "neither device nor address is stored" in shown
