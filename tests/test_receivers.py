"""The receiver that revokes families when a user is saved as inactive."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core import serializers
from django.core.management import call_command
from django.db import transaction
from django.db.models.signals import post_save
from django.test import override_settings

from tests.accounts.models import StatusUser
from tests.factories import UserFactory
from tests.http import Caller
from tests.receivers import heard
from twotoken import families
from twotoken.models import RefreshToken, RevokedReason
from twotoken.signals import family_revoked

User = get_user_model()

pytestmark = pytest.mark.django_db


def reasons() -> list[str]:
    """Return the reason of each family's revocation, or an empty string for an active family."""
    return list(RefreshToken.objects.order_by("created_at").values_list("revoked_reason", flat=True))


def test_a_deactivated_user_s_families_are_revoked(script: Caller) -> None:
    """Saving a user as inactive revokes only this user's families. Activating the user revives no family."""
    script.log_in()
    token = script.log_in().json()["refresh"]
    families.start(UserFactory())  # type: ignore[arg-type]
    with heard(family_revoked) as calls:
        script.user.is_active = False
        script.user.save()
    assert [call["reason"] for _, call in calls] == [RevokedReason.USER_INACTIVE] * 2
    assert reasons() == [RevokedReason.USER_INACTIVE, RevokedReason.USER_INACTIVE, ""]
    script.user.is_active = True
    script.user.save()
    answer = script.refresh(token)
    assert (answer.status_code, answer.json()["reason"]) == (401, "revoked")


def test_an_active_user_costs_no_statement(user: Any, django_assert_num_queries: Any) -> None:
    """Saving an active user, or a row of another model, makes only Django's own statement, and revokes nothing."""
    families.start(user)
    group: Any = Group.objects.create(name="staff")
    group.is_active = False
    for saved in (user, group):
        with django_assert_num_queries(1):
            saved.save()
    assert reasons() == [""]


@pytest.mark.parametrize(("fields", "expected"), [(["is_active"], RevokedReason.USER_INACTIVE), (["password"], "")])
def test_only_what_was_written_counts(user: Any, fields: list[str], expected: str) -> None:
    """A save with ``update_fields`` revokes only if ``is_active`` is one of the fields."""
    families.start(user)
    user.is_active = False
    user.save(update_fields=fields)
    assert reasons() == [expected]


def test_a_user_that_was_read_in_part(user: Any, django_assert_num_queries: Any) -> None:
    """If ``is_active`` is deferred, saving the user makes only Django's own statement, and revokes nothing."""
    families.start(user)
    User._default_manager.filter(pk=user.pk).update(is_active=False)
    part = User._default_manager.only(User.USERNAME_FIELD).get(pk=user.pk)
    with django_assert_num_queries(1):
        part.save()
    assert reasons() == [""]


def test_a_new_user_and_a_fixture(user: Any, tmp_path: Any, django_assert_max_num_queries: Any) -> None:
    """Saving a new user does not look for families, and loading a fixture revokes nothing."""
    families.start(user)
    with django_assert_max_num_queries(1):
        UserFactory(is_active=False)
    user.is_active = False
    fixture = tmp_path / "users.json"
    fixture.write_text(serializers.serialize("json", [user]))
    call_command("loaddata", str(fixture), verbosity=0)
    assert not User._default_manager.get(pk=user.pk).is_active
    assert reasons() == [""]


def test_a_save_that_is_rolled_back(user: Any) -> None:
    """If the save of an inactive user is rolled back, the revocation of the families is rolled back too."""
    families.start(user)
    user.is_active = False
    with transaction.atomic():
        user.save()
        assert reasons() == [RevokedReason.USER_INACTIVE]
        transaction.set_rollback(True)
    assert reasons() == [""]


@override_settings(AUTH_USER_MODEL="accounts.StatusUser")
@pytest.mark.parametrize(("status", "expected"), [("member", ""), ("banned", RevokedReason.USER_INACTIVE)])
def test_a_user_model_without_the_column(user: Any, status: str, expected: str) -> None:
    """If ``is_active`` is a property of the user, each save of an inactive user revokes, whichever fields it writes."""
    families.start(user)
    saved = StatusUser(pk=user.pk, status=status)
    post_save.send(
        StatusUser, instance=saved, created=False, raw=False, using="default", update_fields=frozenset({"status"})
    )
    assert reasons() == [expected]
