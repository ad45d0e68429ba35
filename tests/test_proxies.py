"""Proxy models of the user model: as the user of a login, as a sender of signals, and as AUTH_USER_MODEL itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.test import override_settings
from django.utils import timezone

from tests.http import Caller
from tests.overrides import with_settings
from twotoken import families
from twotoken.conf import conf
from twotoken.models import RefreshToken, RevokedReason
from twotoken.tokens import decode_access
from twotoken.users import ClaimsUser, load_user

User = get_user_model()

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def member() -> Iterator[Any]:
    """A proxy of the user model, as projects have for a second admin or a kind of user."""

    class Member(User):  # type: ignore[misc, valid-type]
        class Meta:
            app_label = "accounts"
            proxy = True

    yield Member
    del apps.all_models["accounts"]["member"]
    apps.clear_cache()


class MemberBackend(ModelBackend):
    """An authentication back end that logs users in as members, which are proxies."""

    def authenticate(self, request: Any, **credentials: Any) -> Any:  # type: ignore[override]
        """Return the user as a member."""
        user: Any = super().authenticate(request, **credentials)
        return apps.get_registered_model("accounts", "Member")._default_manager.get(pk=user.pk)


def reason() -> str:
    """Return why the only family is revoked, or an empty string if it is active."""
    return RefreshToken.objects.get().revoked_reason


@override_settings(AUTHENTICATION_BACKENDS=["tests.test_proxies.MemberBackend"])
def test_a_back_end_that_returns_members(script: Caller) -> None:
    """If a back end returns a proxy of the user, login, refresh, requests and logout work."""
    with with_settings(MAX_FAMILIES_PER_USER=1):
        families.start(script.user)
        token = script.log_in().json()["refresh"]
    pair = script.refresh(token).json()
    bearer: Any = {"HTTP_AUTHORIZATION": f"Bearer {pair['access']}"}
    for route in ("me", "stateless", "revocable"):
        assert script.get(f"/api/{route}/", **bearer).json()["id"] == str(script.user.pk)
    assert script.send("logout/all/", **bearer).status_code == 204
    reasons = RefreshToken.objects.order_by("created_at").values_list("revoked_reason", flat=True)
    assert list(reasons) == [RevokedReason.LIMIT, RevokedReason.LOGOUT]


def test_a_member_is_saved(user: Any, member: Any) -> None:
    """Saving a user as inactive by a proxy model revokes the user's families too."""
    families.start(user)
    saved = member._default_manager.get(pk=user.pk)
    saved.is_active = False
    saved.save()
    assert reason() == RevokedReason.USER_INACTIVE


@override_settings(AUTH_USER_MODEL="accounts.Member")
def test_members_are_the_users(user: Any, member: Any) -> None:
    """With a proxy as AUTH_USER_MODEL, users are loaded as the proxy. Saving one by the base model still revokes."""
    access = decode_access(families.start(user).access, conf.access_policy, timezone.now())
    assert type(load_user(access)) is member
    claimed = ClaimsUser(access)
    assert claimed == user
    assert isinstance(claimed, member)
    user.is_active = False
    user.save()
    assert reason() == RevokedReason.USER_INACTIVE
