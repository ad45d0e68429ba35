"""The admin's list and pages: what they show, and to whom."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import AutoField
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path, reverse
from django.utils import timezone

from tests.factories import UserFactory
from tests.http import Caller
from tests.overrides import with_settings
from tests.staff import CHROME, LIST, page, staff, text
from twotoken import families
from twotoken.admin import RefreshTokenAdmin, TokenFamiliesMixin
from twotoken.clients import Client
from twotoken.models import EventKind, FamilyEvent, RefreshToken, RevokedReason

User = get_user_model()


class SomeUserAdmin(TokenFamiliesMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    """A project's user admin that uses TokenFamiliesMixin."""

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


def test_the_list(user: Any, viewer: Any) -> None:
    """The admin's list shows each family's user, state, device and address. A tooltip has the raw user agent."""
    families.start(user, Client("192.0.2.7", CHROME))
    stolen = families.start(user)
    families.revoke(stolen.family_id, RevokedReason.REUSE)
    own = families.start(user)
    families.revoke(own.family_id, "our own reason")
    RefreshToken.objects.create(user=user, expires_at=timezone.now() - timedelta(hours=1))
    response = viewer.get(LIST)
    shown = text(response)
    for words in (
        str(user),
        "A token family is one login on one device",
        "Chrome 126 on Windows",
        "192.0.2.7",
        "active",
        "our own reason",
        "expired",
        "refresh token reused",
    ):
        assert words in shown
    assert f'title="{CHROME}"' in response.content.decode()
    columns = re.findall(r'scope="col" class="[^"]*column-(\w+)', response.content.decode())
    assert columns == ["user", "state", "sender", "last_used"]
    assert "reuse detected" not in shown
    assert "Add token family" not in shown
    assert "Revoke selected" not in shown


def test_nothing_of_a_token_is_shown(user: Any, revoker: Any) -> None:
    """No admin page shows a family's secret or hashes, or reads them from the database."""
    pair = families.start(user)
    families.rotate(families.verify(pair.refresh), Client(), "a-key-of-some-length")
    family = RefreshToken.objects.get()
    secrets = [bytes(family.secret), bytes(family.retry_key), family.auth_hash.encode()]
    with CaptureQueriesContext(connection) as queries:
        paths = ("overview/", f"{family.pk}/change/", f"{family.pk}/revoke/", f"{family.pk}/history/")
        pages = [revoker.get(url) for url in (LIST, *(LIST + path for path in paths))]
    for response in pages:
        assert response.status_code == 200
        for secret in secrets:
            assert secret.hex().encode() not in response.content
            assert secret not in response.content
    columns = [connection.ops.quote_name(name) for name in ("secret", "retry_key", "auth_hash")]
    assert not any(column in query["sql"] for query in queries.captured_queries for column in columns)


def test_a_family_s_page(viewer: Any, script: Caller) -> None:
    """A family's page shows a theft in order: start, change of device, reuse with its sender, revocation."""
    r0 = script.log_in(HTTP_USER_AGENT=CHROME).json()["refresh"]
    r1 = script.refresh(r0, HTTP_USER_AGENT=CHROME).json()["refresh"]
    script.refresh(r1, HTTP_USER_AGENT="curl/8.1", REMOTE_ADDR="192.0.2.66")
    script.refresh(r0, HTTP_USER_AGENT="stealer", REMOTE_ADDR="192.0.2.99")
    shown = text(viewer.get(page(RefreshToken.objects.get().pk)))
    what = ["Started", "Device changed", "from Chrome 126 on Windows to curl 8", "Refresh token reused"]
    what += ["2 generations behind, stealer", "192.0.2.99", "Revoked refresh token reused"]
    shown = shown[shown.index("No. Time Event Details") :]
    places = [shown.index(words) for words in what]
    assert places == sorted(places)
    assert "Revoke this family" not in shown
    assert "Save" not in shown


def test_the_fields_of_an_end(user: Any, viewer: Any) -> None:
    """The page of an active family shows when it expires. The page of an ended family shows when it ended instead."""
    pair = families.start(user, device_key="dpop:a key")
    shown = text(viewer.get(page(pair)))
    assert "DPoP" in shown
    assert "Expires if unused" in shown
    assert "Ended" not in shown
    families.revoke(pair.family_id)
    now = timezone.now()
    old = RefreshToken.objects.create(user=user, refreshed_at=now - timedelta(days=8))
    for ended in (pair.family_id, old.pk):
        shown = text(viewer.get(page(ended)))
        assert "Ended" in shown
        assert "Expires" not in shown


def test_statements(user: Any, viewer: Any) -> None:
    """The admin's list runs seven SQL statements, and a family's page nine, however many events the family has."""
    ContentType.objects.get_for_model(RefreshToken)  # Django caches the content type
    for events in (0, 40):
        pair = families.start(user, Client("192.0.2.7", CHROME))
        for _ in range(events):
            FamilyEvent.objects.create(family_id=pair.family_id, kind=EventKind.RETRIED)
        families.revoke(pair.family_id, RevokedReason.REUSE)
        for url, count in ((LIST, 7), (page(pair), 9)):
            with CaptureQueriesContext(connection) as queries:
                assert viewer.get(url).status_code == 200
            statements = [query["sql"] for query in queries.captured_queries if "SAVEPOINT" not in query["sql"]]
            assert len(statements) == count, statements


def test_nobody_adds_edits_or_deletes(user: Any) -> None:
    """Not even a superuser can add, edit or delete a family."""
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


def test_deleting_a_user(user: Any) -> None:
    """Staff who may delete users can delete a user with families. The families and events are deleted too."""
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


@override_settings(LANGUAGE_CODE="de", USE_THOUSAND_SEPARATOR=True)
def test_another_language(revoker: Any) -> None:
    """With the language German, dates, numbers and durations are German. The user's key in a link is not formatted."""
    user: Any = UserFactory(**({"pk": 1_234_567} if isinstance(User._meta.pk, AutoField) else {}))
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone.get_current_timezone())
    family = RefreshToken.objects.create(user=user, created_at=noon, generation=2345)
    response = revoker.get(page(family.pk))
    for words in ("1. März 2026 12:00", "1. März 2026, 12:00:00", "2.345"):
        assert words in text(response)
    assert f'?user={quote(str(user.pk), "")}"' in response.content.decode()
    with with_settings(ACCESS_LIFETIME=timedelta(hours=1)):
        assert "1 Stunde" in text(revoker.get(f"{LIST}{family.pk}/revoke/"))


def test_a_link_to_the_user(user: Any) -> None:
    """A family's user is a link if the admin site has the user model, and otherwise only a name."""
    pair = families.start(user)
    family = RefreshToken.objects.get(pk=pair.family_id)
    assert "<a href=" in RefreshTokenAdmin(RefreshToken, site).user_link(family)
    assert RefreshTokenAdmin(RefreshToken, admin.AdminSite()).user_link(family) == str(user)


@override_settings(USE_TZ=False)
def test_times_without_a_zone(user: Any, viewer: Any) -> None:
    """With USE_TZ off, the admin's list and a family's page show times unchanged."""
    family = RefreshToken.objects.create(user=user, created_at=datetime(2026, 3, 1, 12, 34))
    assert "March 1, 2026, 12:34 p.m." in viewer.get(LIST).content.decode()
    assert "March 1, 2026, 12:34:00" in text(viewer.get(page(family.pk)))
