"""Users that are deactivated, deleted or have a new password."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password

from tests.conformance.helpers import assert_refused, bearer, log_out, state, token_of
from tests.http import Caller


def test_a_deactivated_user(caller: Caller) -> None:
    """Case 21: a deactivated user is refused, except by the stateless class. Reactivation revives no family."""
    login = caller.log_in()
    r0, header = token_of(login), bearer(login.json()["access"])
    users = get_user_model()._default_manager.filter(pk=caller.user.pk)
    users.update(is_active=False)
    for route in ("/api/me/", "/api/revocable/"):
        assert_refused(caller.get(route, **header), "user_inactive")
    assert caller.get("/api/stateless/", **header).status_code == 200
    assert_refused(caller.send("logout/all/", **header), "user_inactive")
    assert_refused(caller.refresh(r0), "user_inactive")
    assert state(r0) == (0, "user_inactive")
    users.update(is_active=True)
    assert_refused(caller.refresh(r0), "revoked")


def test_a_user_saved_as_inactive(caller: Caller) -> None:
    """Case 38: saving a user as inactive revokes the families at once. Activating the user revives no family."""
    r0 = token_of(caller.log_in())
    for is_active in (False, True):
        caller.user.is_active = is_active
        caller.user.save()
        assert state(r0) == (0, "user_inactive")
    assert_refused(caller.refresh(r0), "revoked")


def test_a_deleted_user(caller: Caller) -> None:
    """Case 21: deleting a user deletes the families, and no request fails with a 5xx."""
    login = caller.log_in()
    header = bearer(login.json()["access"])
    caller.user.delete()
    assert_refused(caller.refresh(token_of(login)), "invalid")
    assert_refused(caller.get("/api/me/", **header), "user_inactive")
    assert_refused(caller.get("/api/revocable/", **header), "revoked")
    assert_refused(caller.send("logout/all/", **header), "revoked")
    assert log_out(caller, token_of(login)).status_code == 204


@pytest.mark.parametrize("path", ["set_password", "update"])
def test_a_changed_password(caller: Caller, path: str) -> None:
    """Case 22: after any change of the password the refresh token is refused."""
    login = caller.log_in()
    r0, header = token_of(login), bearer(login.json()["access"])
    if path == "set_password":
        changed = get_user_model()._default_manager.get(pk=caller.user.pk)
        changed.set_password("new")
        changed.save()
    else:
        get_user_model()._default_manager.update(password=make_password("new"))
    assert_refused(caller.get("/api/revocable/", **header), "password_changed")
    assert_refused(caller.refresh(r0), "password_changed")
    assert state(r0) == (0, "password_changed")
    assert_refused(caller.refresh(r0), "revoked")
