"""With TwoTokenStrategy, a login of allauth's app client gives twotoken's token pair, one family and one session."""

from __future__ import annotations

import hmac
import re
import struct
import time
from base64 import b32encode
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import override_settings
from rest_framework.test import APIClient

from tests.conformance.helpers import claims_of
from tests.factories import PASSWORD, UserFactory
from tests.integrations.pages import module_of
from tests.overrides import with_settings
from tests.proofs import EC_KEY, OTHER_KEY, Device
from tests.urls import me
from twotoken import families
from twotoken.authentication import RevocableAccessTokenAuthentication
from twotoken.contrib.allauth import amr_of
from twotoken.models import RefreshToken, RevokedReason
from twotoken.testing import time_travel

pytestmark = pytest.mark.django_db
ALLAUTH = "/_allauth/app/v1/"
AUTH = f"{ALLAUTH}auth/"
PASSWORD_CHANGE = f"{ALLAUTH}account/password/change"
OURS = "/api/auth/"
KEY = "a-key-of-some-length"
NEW_PASSWORD = "another password of some length"


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    """Set the URLs in the docs' page on allauth, with an API route added."""
    module_of("allauth", "app_name", "accounts.auth_urls")
    project = module_of("allauth", "_allauth/", "shown_allauth_urls")
    project.urlpatterns.append(me("revocable", RevocableAccessTokenAuthentication))
    # Accept the previous code too: otherwise a test would fail if the time step of 30 seconds changes during it.
    with override_settings(ROOT_URLCONF="shown_allauth_urls", MFA_TOTP_TOLERANCE=1):
        yield


class App(APIClient):
    """A client of allauth that keeps the tokens that it gets."""

    session_token = access = refresh_token = ""

    def ask(self, path: str, data: Any = None, method: str = "post", **extra: Any) -> Any:
        """Send a request to an allauth endpoint, and keep the tokens in the answer."""
        if self.session_token:
            extra["HTTP_X_SESSION_TOKEN"] = self.session_token
        response = getattr(self, method)(AUTH + path, data, format="json", **extra)
        meta = response.json().get("meta", {})
        self.session_token = meta.get("session_token", self.session_token)
        self.access = meta.get("access_token", self.access)
        self.refresh_token = meta.get("refresh_token", self.refresh_token)
        return response

    def log_in(self, user: Any, password: str = PASSWORD) -> Any:
        """Log in at allauth with user name and password."""
        return self.ask("login", {"username": user.get_username(), "password": password})

    def call(self) -> int:
        """GET an API route with the access token, and return the status."""
        return int(self.get("/api/revocable/", HTTP_AUTHORIZATION=f"Bearer {self.access}").status_code)

    def refresh(self, **extra: Any) -> Any:
        """Refresh at twotoken's ``refresh/``."""
        return self.post(f"{OURS}refresh/", {"refresh": self.refresh_token}, format="json", **extra)

    def refresh_by_allauth(self, **extra: Any) -> Any:
        """Refresh at allauth's ``tokens/refresh``."""
        body = {"refresh_token": self.refresh_token}
        return self.post(f"{ALLAUTH}tokens/refresh", body, format="json", **extra)


@pytest.fixture
def app(user: Any) -> App:
    """An app that has logged in."""
    app = App()
    assert app.log_in(user).status_code == 200
    return app


def family() -> RefreshToken:
    """Return the only token family in the database."""
    return RefreshToken.objects.get()


def test_the_checks_have_nothing_to_say(capsys: Any) -> None:
    """``manage.py check`` has no message about the docs' set-up for allauth. Two checks of django-axes are silenced."""
    with override_settings(SILENCED_SYSTEM_CHECKS=["axes.W002", "axes.W003"]):
        call_command("check", fail_level="INFO")
    assert "no issues" in capsys.readouterr().out


def test_a_login(user: Any) -> None:
    """A login answers with twotoken's pair under allauth's field names, and stores address and user agent."""
    app = App(REMOTE_ADDR="192.0.2.7", HTTP_USER_AGENT="app/1")
    meta = app.log_in(user).json()["meta"]
    assert set(meta) == {
        *("is_authenticated", "session_token"),
        *("access_token", "expires_in", "refresh_token", "refresh_expires_in"),
    }
    assert (meta["expires_in"], meta["refresh_expires_in"]) == (900, 7 * 24 * 3600)
    assert app.call() == 200
    assert (family().ip_address, family().user_agent, family().user) == ("192.0.2.7", "app/1", user)


def test_a_login_that_fails(user: Any) -> None:
    """A login with a wrong password or of an inactive user starts no family."""
    assert App().log_in(user, "a wrong guess").status_code == 400
    user.is_active = False
    user.save()
    response = App().log_in(user)
    assert response.status_code != 200
    assert "access_token" not in response.json().get("meta", {})
    assert RefreshToken.objects.count() == 0


def test_who_is_logged_in_gets_no_other_pair(app: App) -> None:
    """A request to allauth with a session token gets no new token pair, not even from ``login``."""
    for path, method in (("session", "get"), ("login", "post")):
        body = {"username": family().user.get_username(), "password": PASSWORD}
        response = app.ask(path, body if method == "post" else None, method)
        assert "access_token" not in response.json().get("meta", {})
    assert RefreshToken.objects.count() == 1


def test_our_login_is_not_there(user: Any) -> None:
    """twotoken's ``login/`` answers 404 with the docs' URLs, because it would skip the steps of allauth's login."""
    body = {"username": user.get_username(), "password": PASSWORD}
    assert APIClient().post(f"{OURS}login/", body, format="json").status_code == 404


def test_a_refresh_at_our_endpoint(app: App) -> None:
    """``refresh/`` rotates the token. The old token sent again revokes the family and ends allauth's session."""
    first = app.refresh()
    assert first.status_code == 200
    assert app.refresh().json()["reason"] == "reused"
    assert app.ask("session", method="get").status_code == 410
    app.access = first.json()["access"]
    assert app.call() == 401


def test_a_refresh_at_allauth_s(app: App) -> None:
    """allauth's refresh endpoint rotates the token, stores the user agent, and accepts an Idempotency-Key."""
    response = app.refresh_by_allauth(HTTP_IDEMPOTENCY_KEY=KEY, HTTP_USER_AGENT="app/2")
    again = app.refresh_by_allauth(HTTP_IDEMPOTENCY_KEY=KEY)
    assert (response.status_code, again.status_code) == (200, 200)
    token = response.json()["data"]["refresh_token"]
    assert again.json()["data"]["refresh_token"] == token != app.refresh_token
    assert (family().generation, family().user_agent) == (1, "app/2")
    app.access = response.json()["data"]["access_token"]
    assert app.call() == 200


@pytest.mark.parametrize("extra", [{}, {"HTTP_IDEMPOTENCY_KEY": "another-key-of-some-length"}])
def test_a_reuse_at_allauth_s(app: App, extra: dict[str, Any]) -> None:
    """At allauth's refresh endpoint, a replaced token without its Idempotency-Key is a 400 and revokes the family."""
    assert app.refresh_by_allauth(HTTP_IDEMPOTENCY_KEY=KEY).status_code == 200
    assert app.refresh_by_allauth(**extra).status_code == 400
    assert family().revoked_reason == RevokedReason.REUSE


def test_what_allauth_s_refresh_refuses(app: App) -> None:
    """An invalid token or Idempotency-Key at allauth's refresh endpoint is a 400, and the family stays active."""
    assert app.refresh_by_allauth(HTTP_IDEMPOTENCY_KEY="short").status_code == 400
    refresh, app.refresh_token = app.refresh_token, app.access
    assert app.refresh_by_allauth().status_code == 400
    app.refresh_token = refresh
    assert (family().generation, app.refresh_by_allauth().status_code) == (0, 200)


def test_allauth_s_refresh_is_throttled(app: App) -> None:
    """REFRESH_THROTTLE counts allauth's and twotoken's refreshes together. After a 429 the token is still valid."""
    with with_settings(REFRESH_THROTTLE="1/min"):
        app.refresh_token = app.refresh().json()["refresh"]
        response = app.refresh_by_allauth()
    assert (response.status_code, response.json()) == (429, {"status": 429})
    assert 1 <= int(response["Retry-After"]) <= 61
    assert app.refresh_by_allauth().status_code == 200


@pytest.mark.django_db(transaction=True)
def test_allauth_s_refresh_of_a_busy_family(app: App) -> None:
    """After a deadlock, allauth's refresh endpoint answers with a 503 and Retry-After, and the token stays valid."""

    def deadlock(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(deadlock):
        response = app.refresh_by_allauth()
    assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert app.refresh_by_allauth().status_code == 200


def test_a_logout_at_our_endpoint(app: App) -> None:
    """A logout at twotoken's ``logout/`` revokes the family and ends allauth's session."""
    app.post(f"{OURS}logout/", {"refresh": app.refresh_token}, format="json")
    assert app.call() == 401
    assert app.ask("session", method="get").status_code == 410


def test_a_logout_at_allauth_s(app: App) -> None:
    """A logout at allauth's endpoint revokes the session's family. Another login of the user stays active."""
    other = App()
    other.log_in(family().user)
    assert app.ask("session", method="delete").status_code == 401  # allauth's usual answer to a logout
    assert (app.call(), app.refresh().json()["reason"]) == (401, "revoked")
    assert RefreshToken.objects.get(revoked_at=None).revoked_reason == ""
    assert RefreshToken.objects.exclude(revoked_at=None).get().revoked_reason == RevokedReason.LOGOUT
    assert (other.call(), other.ask("session", method="get").status_code) == (200, 200)


def test_a_session_outlives_no_family(app: App) -> None:
    """If the family is revoked or expires, allauth's session ends."""
    assert app.ask("session", method="get").status_code == 200
    with time_travel(timedelta(days=8)):
        assert app.ask("session", method="get").status_code == 410
    families.revoke(family().pk)
    assert app.ask("session", method="get").status_code == 410


def test_a_session_token_that_is_none(app: App) -> None:
    """A request with an unknown session token gets a 410, as for an ended session. The family stays active."""
    app.session_token = "rubbish"
    assert app.ask("session", method="get").status_code == 410
    assert app.call() == 200


def test_a_changed_password(app: App) -> None:
    """After a password change, the session that made it stays active, with its family. Other families can't refresh."""
    other = App()
    other.log_in(family().user)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    response = app.post(PASSWORD_CHANGE, body, format="json", HTTP_X_SESSION_TOKEN=app.session_token)
    assert response.status_code == 200
    app.session_token = response.json()["meta"]["session_token"]
    assert app.call() == 200
    assert app.refresh().status_code == 200
    assert app.ask("session", method="get").status_code == 200
    assert other.refresh().json()["reason"] == "password_changed"
    assert other.ask("session", method="get").status_code == 410


def test_a_changed_password_that_logs_out(app: App) -> None:
    """With ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE, a password change revokes the family of its session too."""
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    with override_settings(ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE=True):
        app.post(PASSWORD_CHANGE, body, format="json", HTTP_X_SESSION_TOKEN=app.session_token)
    assert (app.call(), app.refresh().json()["reason"]) == (401, "revoked")


def test_a_password_changed_elsewhere(app: App, client: Any) -> None:
    """A logout of the user's Django session, without allauth's app client, revokes no family."""
    client.force_login(family().user)
    client.logout()
    assert app.call() == 200


def reset_key(user: Any) -> str:
    """Let allauth mail a link to reset the password, and return the link's key."""
    mail.outbox.clear()
    assert App().ask("password/request", {"email": user.email}).status_code == 200
    (key,) = re.findall(r"https://app.example.com/forgotten/(\S+)", str(mail.outbox[0].body))
    return str(key)


@override_settings(ACCOUNT_LOGIN_ON_PASSWORD_RESET=True)
@pytest.mark.parametrize("has_second_factor", [False, True])
def test_a_reset_that_logs_in_somebody_else(app: App, has_second_factor: bool) -> None:
    """If a password reset logs in another user, the first user's family is revoked after the last login step."""
    first, first_refresh = family(), app.refresh_token
    other: Any = UserFactory(email="other@example.com")
    key = reset_key(other)
    if has_second_factor:
        with_second_factor(other)
    response = app.ask("password/reset", {"key": key, "password": NEW_PASSWORD})
    if has_second_factor:
        assert (response.status_code, app.call()) == (200, 200)  # the access token is still the first user's
        assert not RefreshToken.objects.exclude(pk=first.pk).exists()
        response = app.ask("2fa/authenticate", {"code": code(SECRET)})
    assert response.status_code == 200
    assert RefreshToken.objects.get(user=other).revoked_at is None
    assert RefreshToken.objects.get(pk=first.pk).revoked_reason == RevokedReason.REPLACED
    assert app.call() == 200
    app.refresh_token = first_refresh
    assert app.refresh().json()["reason"] == "revoked"


@override_settings(ACCOUNT_LOGIN_ON_PASSWORD_RESET=True)
def test_a_reset_by_the_session_s_own_user(app: App) -> None:
    """If a password reset logs in the session's own user, a new session and family replace the old ones."""
    first = family()
    key = reset_key(UserFactory._meta.model.objects.get(pk=first.user_id))
    assert app.ask("password/reset", {"key": key, "password": NEW_PASSWORD}).status_code == 200
    assert RefreshToken.objects.get(pk=first.pk).revoked_reason == RevokedReason.REPLACED
    assert (app.call(), app.refresh().status_code, app.ask("session", method="get").status_code) == (200, 200, 200)


def test_a_session_of_another_login_page(user: Any, client: Any) -> None:
    """A session of another login page, such as the admin's, gets a 410 at allauth: it may lack the second factor."""
    with_second_factor(user)
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    app = App()
    app.session_token = client.cookies["sessionid"].value
    assert app.ask("session", method="get").status_code == 410
    authenticators = app.get(f"{ALLAUTH}account/authenticators", HTTP_X_SESSION_TOKEN=app.session_token)
    assert authenticators.status_code == 410
    app.session_token = ""
    app.log_in(user)  # the session of a login that is not finished, which the other page then completes
    client.cookies["sessionid"] = app.session_token
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    app.session_token = client.cookies["sessionid"].value
    assert app.ask("session", method="get").status_code == 410
    assert RefreshToken.objects.count() == 0


def code(secret: bytes) -> str:
    """Return the code of an authenticator app at this moment (RFC 6238)."""
    digest = hmac.digest(secret, struct.pack(">Q", int(time.time()) // 30), "sha1")
    offset = digest[-1] & 15
    (number,) = struct.unpack(">I", digest[offset : offset + 4])
    return f"{(number & 0x7FFFFFFF) % 10**6:06}"


SECRET = b"twenty bytes, or so."


def with_second_factor(user: Any) -> None:
    """Give a user an authenticator app with SECRET, and recovery codes."""
    TOTP.activate(user, b32encode(SECRET).decode())
    RecoveryCodes.activate(user)


def test_a_second_factor(user: Any) -> None:
    """A login with a second factor starts one family, and starts it only after the right code."""
    with_second_factor(user)
    app = App()
    response = app.log_in(user)
    assert response.status_code == 401
    assert {"id": "mfa_authenticate", "is_pending": True}.items() <= response.json()["data"]["flows"][-1].items()
    assert (app.access, app.session_token != "", RefreshToken.objects.count()) == ("", True, 0)
    assert app.ask("2fa/authenticate", {"code": "000000"}).status_code == 400
    assert RefreshToken.objects.count() == 0
    assert app.ask("2fa/authenticate", {"code": code(SECRET)}).status_code == 200
    assert RefreshToken.objects.count() == 1
    assert app.call() == 200


def test_a_replayed_code(user: Any) -> None:
    """A second login with the same one-time code is refused."""
    with_second_factor(user)
    value = code(SECRET)
    first, second = App(), App()
    for app in (first, second):
        app.log_in(user)
    assert first.ask("2fa/authenticate", {"code": value}).status_code == 200
    assert second.ask("2fa/authenticate", {"code": value}).status_code == 400
    assert RefreshToken.objects.count() == 1


def test_guessing_codes(user: Any) -> None:
    """After twelve wrong one-time codes, allauth refuses even the right code."""
    with_second_factor(user)
    app = App()
    app.log_in(user)
    statuses = [app.ask("2fa/authenticate", {"code": f"{number:06}"}).status_code for number in range(12)]
    statuses.append(app.ask("2fa/authenticate", {"code": code(SECRET)}).status_code)
    assert 200 not in statuses
    assert RefreshToken.objects.count() == 0


def test_no_token_is_stored(app: App) -> None:
    """allauth's session stores the id of the family, and neither its refresh token nor its access token."""
    stored = Session.objects.get(pk=app.session_token).get_decoded()
    assert stored["twotoken_family"] == str(family().pk)
    assert app.refresh_token not in str(stored)
    assert app.access not in str(stored)


def reauthenticate(app: App, password: str = PASSWORD, **extra: Any) -> Any:
    """Reauthenticate with a password at allauth's endpoint."""
    return app.ask("reauthenticate", {"password": password}, **extra)


def test_a_step_up(app: App, time_machine: Any) -> None:
    """A reauthentication at allauth gives an access token with a new ``auth_time``. The family does not change."""
    login, refresh = claims_of(app.access), app.refresh_token
    before = family().refreshed_at
    time_machine.move_to(before + timedelta(minutes=10))
    assert reauthenticate(app, "a wrong guess").status_code == 400
    assert claims_of(app.access) == login
    response = reauthenticate(app)
    meta = response.json()["meta"]
    assert response.status_code == 200
    assert {name for name in meta if "token" in name or "expires" in name} == {"access_token", "expires_in"}
    now = claims_of(app.access)
    assert (now["sid"], now["amr"]) == (login["sid"], ["pwd"])
    assert 599 <= now["auth_time"] - login["auth_time"] <= 660
    assert (app.refresh_token, family().refreshed_at, app.call()) == (refresh, before, 200)
    after = claims_of(app.refresh().json()["access"])
    assert after["auth_time"] == login["auth_time"]


class EndingBackend:
    """An authentication backend that revokes all families during a login. With ``delete``, it deletes them."""

    delete = False

    def authenticate(self, request: Any, **credentials: Any) -> Any:
        ended = RefreshToken.objects.all()
        if self.delete:
            ended.delete()
        else:
            ended.revoke(RevokedReason.ADMIN)
        return get_user_model()._default_manager.get()


class DeletingBackend(EndingBackend):
    """An authentication backend that deletes all families during a login."""

    delete = True


@pytest.mark.parametrize("backend", ["EndingBackend", "DeletingBackend"])
def test_a_family_that_ends_while_its_user_reauthenticates(app: App, settings: Any, backend: str) -> None:
    """If the family is revoked or deleted during a reauthentication, the answer is a 410 without an access token."""
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, f"{__name__}.{backend}"]
    response = reauthenticate(app, "the proof of this back end")
    assert (response.status_code, "access_token" in str(response.content)) == (410, False)
    assert app.ask("session", method="get").status_code == 410


def test_the_methods_of_a_login(user: Any) -> None:
    """``amr`` has the login's methods after login and refresh, and the step-up's methods after a step-up."""
    TOTP.activate(user, b32encode(SECRET).decode())
    app = App()
    assert app.log_in(user).status_code == 401
    assert app.ask("2fa/authenticate", {"code": code(SECRET)}).status_code == 200
    assert claims_of(app.access)["amr"] == ["pwd", "otp", "mfa"]
    reauthenticate(app)
    assert claims_of(app.access)["amr"] == ["pwd"]
    assert claims_of(app.refresh().json()["access"])["amr"] == ["pwd", "otp", "mfa"]


def test_methods_without_a_name() -> None:
    """``amr_of`` returns no method for a social login or a passkey that was removed."""
    assert amr_of([{"method": "socialaccount"}, {"method": "mfa", "type": "webauthn", "id": 0}]) == []


OWNER, THIEF = Device(EC_KEY), Device(OTHER_KEY)


def log_in_bound(user: Any) -> App:
    """Log in with a DPoP proof, which binds the family, and return the client."""
    app = App()
    credentials = {"username": user.get_username(), "password": PASSWORD}
    assert app.ask("login", credentials, **OWNER.headers(f"{AUTH}login")).json()["meta"]["token_type"] == "DPoP"
    return app


def test_a_login_with_a_proof(user: Any) -> None:
    """A login with a DPoP proof binds its family. Then both refresh endpoints require a proof by this key."""
    app = log_in_bound(user)
    assert family().device_key == OWNER.device_key
    assert app.call() == 401
    path = "/api/revocable/"
    assert app.get(path, **OWNER.headers(path, "GET", app.access)).status_code == 200
    for device in ({}, THIEF.headers(f"{ALLAUTH}tokens/refresh")):
        assert app.refresh_by_allauth(**device).status_code == 400
    for device in ({}, THIEF.headers(f"{OURS}refresh/")):
        assert app.refresh(**device).json()["reason"] == "wrong_device"
    response = app.refresh_by_allauth(**OWNER.headers(f"{ALLAUTH}tokens/refresh"))
    app.refresh_token = response.json()["data"]["refresh_token"]
    assert app.refresh(**OWNER.headers(f"{OURS}refresh/")).json()["token_type"] == "DPoP"


def test_a_second_factor_with_a_proof(user: Any) -> None:
    """A login with a second factor binds its family by the DPoP proof of the last step."""
    with_second_factor(user)
    app = App()
    headers = OWNER.headers(f"{AUTH}login")
    credentials = {"username": user.get_username(), "password": PASSWORD}
    assert app.ask("login", credentials, **headers).status_code == 401
    response = app.ask("2fa/authenticate", {"code": code(SECRET)}, **OWNER.headers(f"{AUTH}2fa/authenticate"))
    assert response.json()["meta"]["token_type"] == "DPoP"


def test_a_second_factor_with_nonces(user: Any) -> None:
    """A proof without a nonce does not use up the one-time code: the code works in the next request, with the nonce."""
    with_second_factor(user)
    app, device, path = App(), Device(EC_KEY), f"{AUTH}2fa/authenticate"
    app.log_in(user)
    with with_settings(DPOP_NONCE=True):
        guess = {"code": code(SECRET)}
        response = app.ask("2fa/authenticate", guess, **device.headers(path))
        assert response.json()["errors"][0]["code"] == "use_dpop_nonce"
        device.nonce = response["DPoP-Nonce"]
        assert app.ask("2fa/authenticate", guess, **device.headers(path)).json()["meta"]["token_type"] == "DPoP"


def test_proofs_that_allauth_s_endpoints_refuse(user: Any) -> None:
    """If allauth's endpoints refuse a DPoP proof, the error has twotoken's code, and a nonce if DPOP_NONCE is on."""
    app = App()
    with with_settings(DPOP="required"):
        response = app.log_in(user)
        assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "invalid_dpop_proof")
    assert not RefreshToken.objects.exists()
    credentials = {"username": user.get_username(), "password": PASSWORD}
    headers = OWNER.headers(f"{AUTH}login")
    app = App()
    assert app.ask("login", credentials, **headers).json()["meta"]["token_type"] == "DPoP"
    again = App().ask("login", credentials, **headers).json()
    assert again["errors"] == [{"message": "The DPoP proof was used before.", "code": "invalid_dpop_proof"}]
    with with_settings(DPOP_NONCE=True):
        device = Device(EC_KEY)
        response = app.refresh_by_allauth(**device.headers(f"{ALLAUTH}tokens/refresh"))
        assert response.json()["errors"][0]["code"] == "use_dpop_nonce"
        device.nonce = response["DPoP-Nonce"]
        assert app.refresh_by_allauth(**device.headers(f"{ALLAUTH}tokens/refresh")).status_code == 200


def test_a_step_up_of_a_bound_login(user: Any) -> None:
    """A step-up of a bound family without a proof, or with another device's proof, is a 400 ``invalid_dpop_proof``."""
    app, url = log_in_bound(user), f"{AUTH}reauthenticate"
    login = claims_of(app.access)
    for headers in ({}, THIEF.headers(url)):
        response = reauthenticate(app, **headers)
        assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "invalid_dpop_proof")
    meta = reauthenticate(app, **OWNER.headers(url)).json()["meta"]
    assert (meta["token_type"], claims_of(app.access)["cnf"]) == ("DPoP", login["cnf"])
