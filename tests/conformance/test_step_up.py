"""Step-up: wrong, right and foreign proofs of identity, and what a refresh does after a step-up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model, user_logged_in, user_login_failed
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.conformance.helpers import (
    BODY_MOUNT,
    TOOL_MOUNT,
    URLENCODED,
    assert_refused,
    bearer,
    claims_of,
    new_user,
    post_form,
    rotate,
    row,
    state,
    statements,
    token_of,
    unchanged,
)
from tests.factories import PASSWORD
from tests.http import Caller
from tests.jar import COOKIE_MOUNT
from tests.overrides import with_settings
from tests.proofs import OTHER_KEY, Device
from tests.receivers import heard
from twotoken.models import RefreshToken, RevokedReason


@pytest.fixture
def tool(user: Any) -> Caller:
    """A client of a mount with the delivery ``none``, which gives out no refresh token."""
    return Caller(user, mount=TOOL_MOUNT)


@pytest.fixture(params=["script", "browser", "jar", "tool"])
def anyone(request: pytest.FixtureRequest) -> Any:
    """A client of each kind, at a mount with the client's delivery."""
    return request.getfixturevalue(request.param)


def step_up(caller: Caller, access: str | None, password: Any = PASSWORD, **extra: Any) -> Any:
    """Send a password with an access token."""
    headers = {} if access is None else bearer(access)
    return caller.send("reauthenticate/", {"password": password}, **headers, **extra)


def assert_wrong(response: Any) -> None:
    """Assert that an answer is the 401 of a failed login."""
    assert (response.status_code, response.json()["code"]) == (401, "no_active_account")
    assert set(response.json()) == {"detail", "code"}
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'
    assert not response.cookies


def test_step_up(anyone: Caller, clock: Any) -> None:
    """Case 39: a step-up with the right password gives an access token with a new ``auth_time``. Nothing is written."""
    access = anyone.log_in().json()["access"]
    before = claims_of(access)
    clock.shift(600)
    with unchanged(), heard(user_logged_in, user_login_failed) as signals:
        assert_wrong(step_up(anyone, access, "a wrong password"))
        response = step_up(anyone, access)
    assert [signal for signal, _ in signals] == [user_login_failed]
    assert response.status_code == 200
    assert set(response.json()) == {"access", "expires_in"}
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    after = claims_of(response.json()["access"])
    assert (before["auth_time"], after["auth_time"]) == (before["iat"], before["iat"] + 600)
    assert after["amr"] == ["pwd"]
    assert (after["sid"], after["sub"], after["exp"] - after["iat"]) == (
        before["sid"],
        before["sub"],
        response.json()["expires_in"],
    )
    assert anyone.get("/api/revocable/", **bearer(response.json()["access"])).status_code == 200


def test_a_refresh_after_a_step_up(caller: Caller, clock: Any) -> None:
    """Case 39: a step-up keeps the refresh token. The next refresh's access token has the login's ``auth_time``."""
    login = caller.log_in()
    r0, access = token_of(login), login.json()["access"]
    clock.shift(600)
    assert step_up(caller, access).status_code == 200
    assert state(r0) == (0, "")
    for _ in range(2):
        clock.shift(60)
        response = caller.refresh(r0)
        r0 = token_of(response)
        assert claims_of(response.json()["access"])["auth_time"] == claims_of(access)["iat"]


def test_statements_of_a_step_up(anyone: Caller) -> None:
    """Case 39: a step-up reads the family twice, and the user once for the password."""
    access = anyone.log_in().json()["access"]
    with CaptureQueriesContext(connection) as queries:
        assert step_up(anyone, access).status_code == 200
    assert statements(queries) == ["SELECT"] * 3


def test_somebody_else_s_password(anyone: Caller) -> None:
    """Case 39: a step-up with another user's password is refused, even if the body names that user."""
    other = new_user()
    other.set_password("the other password")
    other.save()
    access = anyone.log_in().json()["access"]
    assert_wrong(step_up(anyone, access, "the other password"))
    data = {"password": "the other password", other.USERNAME_FIELD: other.get_username()}
    assert_wrong(anyone.send("reauthenticate/", data, **bearer(access)))


class AnybodyBackend:
    """A back end of a project that finds a user by the password alone."""

    def authenticate(self, request: Any, password: str, **credentials: Any) -> Any:
        return get_user_model()._default_manager.exclude(pk=request.user.pk).get()


def test_a_back_end_that_finds_somebody_else(script: Caller, settings: Any) -> None:
    """Case 39: if a back end returns another user than the access token's, the step-up is refused."""
    new_user()
    access = script.log_in().json()["access"]
    settings.AUTHENTICATION_BACKENDS = ["tests.conformance.test_step_up.AnybodyBackend"]
    assert_wrong(step_up(script, access))


def test_a_user_or_a_family_that_is_no_more(anyone: Caller, clock: Any) -> None:
    """Case 39: a step-up fails for an inactive user, a changed password, a revoked family and an expired token."""
    users = get_user_model()._default_manager.filter(pk=anyone.user.pk)
    access = anyone.log_in().json()["access"]
    users.update(is_active=False)
    assert_refused(step_up(anyone, access), "user_inactive")
    users.update(is_active=True)
    RefreshToken.objects.all().revoke(RevokedReason.ADMIN)
    assert_refused(step_up(anyone, access), "revoked")
    access = anyone.log_in().json()["access"]
    changed = users.get()
    changed.set_password("new")
    changed.save()
    assert_refused(step_up(anyone, access, "new"), "password_changed")
    clock.shift(timedelta(minutes=16))
    assert_refused(step_up(anyone, access), "expired")


def test_a_family_that_ends_meanwhile(script: Caller, settings: Any) -> None:
    """Case 39: if the family is revoked while the password is checked, the step-up gives no token."""
    access = script.log_in().json()["access"]
    settings.AUTHENTICATION_BACKENDS = ["tests.conformance.test_step_up.RevokingBackend"]
    assert_refused(step_up(script, access), "revoked")


class RevokingBackend:
    """An authentication back end that revokes all families while it checks the password."""

    def authenticate(self, request: Any, **credentials: Any) -> Any:
        RefreshToken.objects.all().revoke(RevokedReason.ADMIN)
        return request.user


class NewHasher(MD5PasswordHasher):
    """A hasher that Django prefers after an update, so that Django hashes a right password again."""

    algorithm = "new"


NEW_HASHERS = [f"{__name__}.NewHasher", "django.contrib.auth.hashers.MD5PasswordHasher"]


def test_a_newer_hash_of_the_same_password(anyone: Caller, settings: Any) -> None:
    """Case 39: if a step-up hashes the same password with a newer hasher, nobody is logged out."""
    login = anyone.log_in()
    settings.PASSWORD_HASHERS = NEW_HASHERS
    response = step_up(anyone, login.json()["access"])
    assert response.status_code == 200
    assert get_user_model()._default_manager.get(pk=anyone.user.pk).password.startswith("new$")
    assert anyone.get("/api/revocable/", **bearer(response.json()["access"])).status_code == 200
    if anyone.mount != TOOL_MOUNT:
        assert anyone.refresh(token_of(login)).status_code == 200


class ChangingBackend:
    """A back end that changes the user's password to the given one, as another request might do meanwhile."""

    def authenticate(self, request: Any, password: str, **credentials: Any) -> Any:
        user = get_user_model()._default_manager.get(pk=request.user.pk)
        user.set_password(password)
        user.save()
        return user


def test_a_password_that_is_changed_meanwhile(anyone: Caller, settings: Any) -> None:
    """Case 39: if the password is changed during a step-up, the step-up is refused, even with the new password."""
    access = anyone.log_in().json()["access"]
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.ChangingBackend"]
    assert_refused(step_up(anyone, access, "another password"), "password_changed")


@pytest.mark.parametrize("access", [None, "rubbish"])
def test_no_access_token(anyone: Caller, access: str | None) -> None:
    """Case 39: without a valid access token a step-up is refused without a query. The refresh cookie is not enough."""
    anyone.log_in()
    with CaptureQueriesContext(connection) as queries:
        assert_refused(step_up(anyone, access), "missing" if access is None else "invalid")
    assert statements(queries) == []


@pytest.mark.parametrize("password", [None, 5, [], {}, "", "x" * 5000])
def test_what_is_no_password(anyone: Caller, password: Any) -> None:
    """Case 39: an invalid password is a 400 that names the field. A number counts as a password of its digits."""
    access = anyone.log_in().json()["access"]
    response = step_up(anyone, access, password)
    if password == 5:  # DRF reads a number as a string of its digits
        assert_wrong(response)
    else:
        assert (response.status_code, list(response.json())) == (400, ["password"])


def test_a_form(script: Caller, jar: Caller) -> None:
    """Case 39: a step-up reads a form only at a body mount, as a login does."""
    for caller, status in ((script, 200), (jar, 415)):
        access = caller.log_in().json()["access"]
        response = post_form(caller, "reauthenticate/", {"password": PASSWORD}, URLENCODED, **bearer(access))
        assert response.status_code == status


def test_a_page_of_another_origin(browser: Caller, script: Caller) -> None:
    """Case 39: a cookie mount refuses a cross-origin step-up before anything is read or counted."""
    access = browser.log_in().json()["access"]
    with with_settings(LOGIN_THROTTLE="1/min"):
        for site in ("cross-site", "same-site"):
            response = step_up(browser, access, HTTP_SEC_FETCH_SITE=site)
            assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
        assert step_up(browser, access).status_code == 200
    access = script.log_in().json()["access"]
    assert step_up(script, access, HTTP_SEC_FETCH_SITE="cross-site").status_code == 200


@pytest.fixture
def limited() -> Iterator[None]:
    """Settings that allow three logins a minute."""
    with with_settings(LOGIN_THROTTLE="3/min"):
        yield


@pytest.mark.usefixtures("limited", "clock")
def test_a_thief_who_guesses_the_password(anyone: Caller) -> None:
    """Case 39: wrong passwords at step-ups and logins share a count, so a stolen access token gives no more guesses."""
    access = anyone.log_in().json()["access"]
    assert_wrong(step_up(anyone, access, "a wrong guess"))
    assert_wrong(step_up(anyone, access, "another guess"))
    response = step_up(anyone, access)
    assert (response.status_code, response.json()["code"]) == (429, "throttled")
    assert int(response["Retry-After"]) > 0
    assert anyone.log_in().status_code == 429
    assert step_up(anyone, access, REMOTE_ADDR="192.0.2.7").status_code == 200


@pytest.mark.usefixtures("limited", "clock")
def test_what_is_not_counted(anyone: Caller) -> None:
    """Case 39: step-ups without a valid access token or with an invalid body don't count as guesses of the password."""
    access = anyone.log_in().json()["access"]
    for _ in range(5):
        assert_refused(step_up(anyone, "rubbish"), "invalid")
        assert step_up(anyone, access, "").status_code == 400
    assert step_up(anyone, access).status_code == 200


def test_a_single_token_s_end(tool: Caller, clock: Any) -> None:
    """Case 39: with the delivery ``none`` the family expires with the login's token. A step-up does not prolong it."""
    access = tool.log_in().json()["access"]
    clock.shift(600)
    response = step_up(tool, access)
    assert response.json()["expires_in"] == 300
    assert claims_of(response.json()["access"])["exp"] == claims_of(access)["exp"]


def test_a_family_is_not_prolonged(script: Caller, clock: Any) -> None:
    """Case 39: a step-up changes neither the idle nor the absolute limit of the family."""
    login = script.log_in()
    r0, access = token_of(login), login.json()["access"]
    before = row(r0)
    clock.shift(600)
    assert step_up(script, access).status_code == 200
    after = row(r0)
    assert (before.refreshed_at, before.expires_at) == (after.refreshed_at, after.expires_at)
    rotate(script, r0)


@pytest.mark.parametrize("mount", [COOKIE_MOUNT, BODY_MOUNT, TOOL_MOUNT])
@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_other_methods_at_reauthenticate(user: Any, mount: str, method: str) -> None:
    """Case 39: at reauthenticate/, methods other than POST are a 405."""
    caller = Caller(user, mount=mount)
    access = caller.log_in().json()["access"]
    assert getattr(caller, method)(f"{mount}reauthenticate/", **bearer(access)).status_code == 405


PATH = f"{BODY_MOUNT}reauthenticate/"


def test_a_bound_family(script: Caller) -> None:
    """Case 39: a step-up with a bound access token needs a proof, and the new token is bound to the same key."""
    device, other = Device(), Device(OTHER_KEY)
    access = script.log_in(**device.headers(f"{BODY_MOUNT}login/")).json()["access"]
    with unchanged():
        assert_device(step_up(script, access))
        assert_device(send(script, PASSWORD, **other.headers(PATH, access=access)))
        assert_wrong(send(script, "a wrong password", **device.headers(PATH, access=access)))
        response = send(script, PASSWORD, **device.headers(PATH, access=access))
    assert (response.status_code, response.json()["token_type"]) == (200, "DPoP")
    assert claims_of(response.json()["access"])["cnf"] == claims_of(access)["cnf"] == {"jkt": device.thumbprint}


def test_a_bound_family_whose_access_tokens_are_not(script: Caller) -> None:
    """Case 39: if only the refresh token is bound, a step-up still needs a proof by the family's key."""
    device, other = Device(), Device(OTHER_KEY)
    with with_settings(DPOP_ACCESS=False):
        access = script.log_in(**device.headers(f"{BODY_MOUNT}login/")).json()["access"]
        for headers in ({}, other.headers(PATH)):
            assert_device(step_up(script, access, **headers))
        proof = device.headers(PATH)
        response = step_up(script, access, **proof)
        assert (response.status_code, response.json()["token_type"]) == (200, "Bearer")
        replayed = step_up(script, access, **proof)
    assert (replayed.status_code, replayed.json()["code"]) == (400, "invalid_dpop_proof")


def test_a_proof_binds_nothing_later(script: Caller) -> None:
    """Case 39: a step-up with a proof does not bind an unbound family."""
    access = script.log_in().json()["access"]
    response = step_up(script, access, **Device().headers(PATH))
    assert set(response.json()) == {"access", "expires_in"}
    assert "cnf" not in claims_of(response.json()["access"])
    assert RefreshToken.objects.get().device_key == ""


def assert_device(response: Any) -> None:
    """Assert that an answer is the 401 with the reason ``wrong_device``."""
    assert (response.status_code, response.json()["reason"]) == (401, "wrong_device")


def send(caller: Caller, password: str, **headers: Any) -> Any:
    """Send a step-up with a password and these headers."""
    return caller.send("reauthenticate/", {"password": password}, **headers)


class OnceBackend:
    """A back end that accepts a proof once, such as a code of an authenticator app."""

    runs = 0

    def authenticate(self, request: Any, **credentials: Any) -> Any:
        OnceBackend.runs += 1
        return request.user if OnceBackend.runs == 1 else None


def test_a_nonce_that_is_missing(script: Caller, settings: Any) -> None:
    """Case 39: a step-up that lacks the nonce uses up neither a guess nor a one-time code."""
    device = Device()
    with with_settings(DPOP_ACCESS=False):
        access = script.log_in(**device.headers(f"{BODY_MOUNT}login/")).json()["access"]
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.OnceBackend"]
    OnceBackend.runs = 0
    with with_settings(DPOP_ACCESS=False, DPOP_NONCE=True, LOGIN_THROTTLE="2/min"):
        response = step_up(script, access, **device.headers(PATH))
        assert (response.status_code, response.json()["code"]) == (400, "use_dpop_nonce")
        device.nonce = response["DPoP-Nonce"]
        assert step_up(script, access, **device.headers(PATH)).status_code == 200
