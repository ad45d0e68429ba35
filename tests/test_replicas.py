"""A replica that lags: logins, sessions, the admin and the commands read the write database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any, ClassVar

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.http import Caller
from tests.overrides import with_settings
from tests.staff import LIST, staff, text
from tests.test_databases import StaleReplica
from twotoken import families
from twotoken.exceptions import UserInactive
from twotoken.models import FamilyEvent, RefreshToken

User = get_user_model()
STALE = ["tests.test_databases.StaleReplica"]
OURS = ["tests.test_replicas.OursOnReplica"]


class OursOnReplica(StaleReplica):
    """Reads families, events and users from the replica, and Django's other tables from the write database."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read families, events and users from the replica."""
        return "replica" if model in {RefreshToken, FamilyEvent, User} else "default"


class Backend(ModelBackend):
    """Logs in one given user with the replica's data. Staff are read from the write database."""

    replicated: ClassVar[Any] = None

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **kwargs: Any) -> Any:
        """Check the password as the replica has it."""
        return self.replicated if self.replicated.check_password(password) else None

    def get_user(self, user_id: Any) -> Any:
        """Return the user of a Django session."""
        return User._default_manager.using("default").get(pk=user_id)


@pytest.fixture
def backend(user: Any) -> Iterator[None]:
    """Let logins read the user from a replica that misses all later changes."""
    Backend.replicated = User._default_manager.get(pk=user.pk)
    Backend.replicated._state.db = "replica"
    with override_settings(AUTHENTICATION_BACKENDS=["tests.test_replicas.Backend"]):
        yield


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("change", ["deactivated", "deleted", "another password"])
@pytest.mark.parametrize("api", ["login/", "families.start"])
def test_a_login_by_what_a_replica_believes(script: Caller, user: Any, change: str, api: str) -> None:
    """If a user is deactivated, deleted or gets a new password, a login by the lagging replica is refused."""
    rows = User._default_manager.filter(pk=user.pk)
    if change == "deactivated":
        rows.update(is_active=False)
    elif change == "deleted":
        rows.delete()
    else:
        rows.update(password=make_password(change))
    with override_settings(DATABASE_ROUTERS=STALE):
        if api == "login/":
            answer = script.log_in()
            assert (answer.status_code, answer.json()["code"]) == (401, "no_active_account")
        else:
            with pytest.raises(UserInactive):
                families.start(Backend.replicated)
    assert not RefreshToken.objects.exists()


class BetterHasher(PBKDF2PasswordHasher):
    """A hasher that Django prefers to the hasher of the tests, so that Django hashes the password again."""

    iterations = 1


@pytest.mark.usefixtures("backend")
def test_a_login_that_saves_the_user(script: Caller, user: Any) -> None:
    """A deactivated user is refused even if Django saves a better hash of the password at the login."""
    User._default_manager.filter(pk=user.pk).update(is_active=False)
    hashers = ["tests.test_replicas.BetterHasher", *settings.PASSWORD_HASHERS]
    with override_settings(DATABASE_ROUTERS=STALE, PASSWORD_HASHERS=hashers):
        assert script.log_in().json()["code"] == "no_active_account"
    user.refresh_from_db()
    assert user.password.startswith("pbkdf2")
    assert not RefreshToken.objects.exists()


@pytest.mark.usefixtures("backend")
def test_a_login_by_a_replica(script: Caller, user: Any) -> None:
    """A login by a lagging replica works if only other columns changed. The claims come from the write database."""
    User._default_manager.filter(pk=user.pk).update(email="new@example.com")
    with override_settings(DATABASE_ROUTERS=STALE), with_settings(ACCESS_CLAIMS="tests.test_replicas.email"):
        pair = script.log_in().json()
        claims = script.get("/api/stateless/", HTTP_AUTHORIZATION=f"Bearer {pair['access']}").json()["claims"]
        assert claims["email"] == "new@example.com"
        assert script.refresh(pair["refresh"]).status_code == 200


def email(user: Any, family: Any) -> dict[str, Any]:
    """Return the claim ``email`` of a user."""
    return {"email": user.email}


def test_a_login_without_replicas_reads_the_user_once(script: Caller, user: Any) -> None:
    """Without replicas a login makes three statements: the user, the last login, the family."""
    script.log_in()
    with CaptureQueriesContext(connections["default"]) as queries:
        assert script.log_in().status_code == 200
    assert [query["sql"].split()[0] for query in queries.captured_queries] == ["SELECT", "UPDATE", "INSERT"]


def test_sessions_are_listed_and_ended_where_they_are_written(script: Caller) -> None:
    """The list of sessions reads the write database, so it shows at once which ones were revoked."""
    access, other, third = (script.log_in().json()["access"] for _ in range(3))
    bearer: Any = {"HTTP_AUTHORIZATION": f"Bearer {access}"}
    with override_settings(DATABASE_ROUTERS=STALE):
        listed = script.get(f"{script.mount}sessions/", **bearer).json()
        assert len(listed) == 3
        (one, _) = (entry["id"] for entry in listed if not entry["current"])
        assert script.delete(f"{script.mount}sessions/{one}/", **bearer).status_code == 204
        assert len(script.get(f"{script.mount}sessions/", **bearer).json()) == 2
        assert script.delete(f"{script.mount}sessions/", **bearer).status_code == 204
        assert [entry["current"] for entry in script.get(f"{script.mount}sessions/", **bearer).json()] == [True]
        for ended in (other, third):
            answer = script.get("/api/revocable/", HTTP_AUTHORIZATION=f"Bearer {ended}")
            assert answer.json()["reason"] == "revoked"


@pytest.mark.usefixtures("backend")
def test_staff_see_what_was_written(user: Any) -> None:
    """The admin reads the write database, so list, page, action and buttons show a revocation at once."""
    first, second, third = (families.start(user).family_id for _ in range(3))
    revoker = staff("view_refreshtoken", "revoke_refreshtoken")
    with override_settings(DATABASE_ROUTERS=OURS):
        assert text(revoker.get(LIST)).count(" active ") >= 3
        assert "Revoke this family" in text(revoker.get(f"{LIST}{first}/change/"))
        chosen = {"action": "revoke_families", "_selected_action": [first], "post": "yes"}
        assert "Revoked 1 token family." in text(revoker.post(LIST, chosen, follow=True))
        assert "Revoked 1 token family." in text(revoker.post(f"{LIST}{second}/revoke/", follow=True))
        assert "Revoked revoked by staff, by" in text(revoker.get(f"{LIST}{second}/change/"))
        assert "Revoked 1 token family." in text(revoker.post(f"{LIST}revoke-user/{user.pk}/", follow=True))
    assert RefreshToken.objects.get(pk=third).revoked_reason == "admin"


def test_commands_read_where_is_written(user: Any) -> None:
    """The commands read users, families and what to purge from the write database."""
    families.start(user)
    long_ago = timezone.now() - timedelta(days=90)
    RefreshToken.objects.create(user=user, revoked_at=long_ago)
    said = StringIO()
    with override_settings(DATABASE_ROUTERS=STALE):
        call_command("revoke_token_families", user=user.get_username(), stdout=said)
        call_command("purge_token_families", stdout=said)
    assert said.getvalue().splitlines()[::2] == ["1 token family revoked.", "1 token family deleted."]


def test_families_to_revoke_are_read_where_is_written(user: Any) -> None:
    """``revoke_each`` ignores the queryset's database, because a replica may lag."""
    families.start(user)
    with override_settings(DATABASE_ROUTERS=STALE):
        chosen: Any = RefreshToken.objects.filter(user=user)
        assert families.revoke_each(chosen, "test") == 1
