"""Registers passkeys in a real Chromium with a virtual authenticator, then logs in, refreshes and steps up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import user_logged_in
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from django_otp_webauthn.models import WebAuthnCredential
from playwright.sync_api import Page

from tests.browser.conftest import running_chromium
from tests.conformance.helpers import claims_of
from tests.factories import PASSWORD
from tests.http import Caller
from tests.integrations.pages import block, module_of, settings_of
from tests.jar import COOKIE
from tests.receivers import heard
from tests.urls import MeView
from twotoken.models import RefreshToken
from twotoken.permissions import RecentLogin
from twotoken.testing import TokenClient

KEYS = [("hwk", False), ("swk", True)]
MOUNT = "/api/auth/"
REPLAY = (
    "async () => { const used = await passkey(); await post('reauthenticate/', used);"
    " return post('reauthenticate/', used).catch((error) => error.message); }"
)
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class RecentView(MeView):
    """A view that requires a login or step-up in the last 3 seconds."""

    permission_classes = [RecentLogin.within(timedelta(seconds=3))]


def page(request: Any) -> HttpResponse:
    """Return an empty HTML page."""
    return HttpResponse("<!doctype html><title>page</title>")


@contextmanager
def passkeys(url: str, *, may_synchronise: bool) -> Iterator[Page]:
    """Open a page in Chromium with a virtual authenticator.

    While the browser is open, Django's ORM refuses queries in this thread.
    """
    with running_chromium() as browser:
        opened = browser.new_context().new_page()
        session = opened.context.new_cdp_session(opened)
        session.send("WebAuthn.enable")
        flags = {"defaultBackupEligibility": may_synchronise, "defaultBackupState": may_synchronise}
        session.send("WebAuthn.addVirtualAuthenticator", {"options": {**AUTHENTICATOR, **flags}})
        opened.goto(f"{url}/page/")
        yield opened


def run(opened: Page, name: str, script: str) -> None:
    """Run a script of the docs in the page. Make functions of the script global there: ``name`` has their names."""
    names = "{ " + ", ".join(name.split()) + " }"
    opened.evaluate(f"async () => {{ {script}; Object.assign(window, {names}); }}")


# django-allauth


@pytest.fixture
def _allauth() -> Iterator[None]:
    """Set the URLs of the docs' page on allauth, and an empty page."""
    module_of("allauth", "app_name", "accounts.auth_urls")
    module_of("allauth", "_allauth/", "shown_allauth_urls").urlpatterns.append(path("page/", page))
    with override_settings(ROOT_URLCONF="shown_allauth_urls"):
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_allauth")
@pytest.mark.parametrize(("amr", "may_synchronise"), KEYS)
def test_a_passkey_of_allauth(user: Any, live_server: Any, amr: str, may_synchronise: bool) -> None:
    """With an allauth passkey, a login gives a token pair, a refresh keeps ``amr``, a reauthentication is a step-up."""
    name = user.get_username()
    with passkeys(live_server.url, may_synchronise=may_synchronise) as opened:
        run(opened, "tokens ask registerPasskey usePasskey", block("allauth", "usePasskey", "js"))
        opened.evaluate(
            "async ([username, password]) => {"
            " await ask('POST', 'auth/login', { username, password });"
            " await ask('POST', 'auth/reauthenticate', { password }); }",
            [name, PASSWORD],
        )
        assert claims_of(opened.evaluate("tokens.access_token"))["amr"] == ["pwd"]
        assert opened.evaluate("registerPasskey('phone')")["status"] == 200
        opened.evaluate("async () => { await ask('DELETE', 'auth/session'); delete tokens.session_token; }")
        meta = opened.evaluate("usePasskey('auth/webauthn/login')")["meta"]
        login = claims_of(meta["access_token"])
        assert (login["amr"], claims_of(meta["refresh_token"])["sid"]) == ([amr], login["sid"])
        opened.wait_for_timeout(1100)
        again = opened.evaluate("usePasskey('auth/webauthn/reauthenticate')")["meta"]
        now = claims_of(again["access_token"])
        assert (now["amr"], now["sid"], "refresh_token" in again) == ([amr], login["sid"], False)
        assert now["auth_time"] > login["auth_time"]
        refreshed = opened.evaluate(
            "(refresh) => fetch('/api/auth/refresh/', { method: 'POST', body: JSON.stringify({ refresh }),"
            " headers: { 'Content-Type': 'application/json' } }).then((response) => response.json())",
            meta["refresh_token"],
        )
    after = claims_of(refreshed["access"])
    assert (after["amr"], after["auth_time"]) == ([amr], login["auth_time"])


# django-otp-webauthn


@pytest.fixture
def _otp_webauthn() -> Iterator[None]:
    """Set the settings, views and URLs of the docs' page on passkeys."""
    found = settings_of("passkeys", "OTP_WEBAUTHN_RP_ID", INSTALLED_APPS=[])
    module_of("passkeys", "class PasskeyLoginView", "accounts.passkeys")
    module_of("passkeys", "app_name", "accounts.auth_urls")
    project = module_of("passkeys", 'path("api/auth/"', "shown_passkey_urls")
    project.urlpatterns += [path("page/", page), path("api/recent/", RecentView.as_view())]
    backends = found["AUTHENTICATION_BACKENDS"]
    with override_settings(ROOT_URLCONF="shown_passkey_urls", AUTHENTICATION_BACKENDS=backends):
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_otp_webauthn")
@pytest.mark.parametrize(("amr", "may_synchronise"), KEYS)
def test_a_passkey_of_otp_webauthn(user: Any, live_server: Any, amr: str, may_synchronise: bool) -> None:
    """With a django-otp-webauthn passkey, login, refresh and step-up work. Django's session never has a user."""
    credentials = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD}
    with (
        override_settings(OTP_WEBAUTHN_ALLOWED_ORIGINS=[live_server.url]),
        heard(user_logged_in) as signals,
        passkeys(live_server.url, may_synchronise=may_synchronise) as opened,
    ):
        script = block("passkeys", "registerPasskey", "js")
        script = script.replace(
            'import { createClient } from "/static/', 'const { createClient } = await import("/static/'
        )
        script = script.replace('client.js";', 'client.js");')
        run(opened, "client post registerPasskey passkey login", script)
        opened.evaluate("(credentials) => client.login(credentials)", credentials)
        assert claims_of(opened.evaluate("client.accessToken()"))["amr"] == ["pwd"]
        opened.evaluate("registerPasskey()")
        opened.evaluate("client.logout()")
        opened.evaluate("login()")
        login = claims_of(opened.evaluate("client.accessToken()"))
        assert login["amr"] == [amr]
        opened.wait_for_timeout(4100)
        assert opened.evaluate("client.fetch('/api/recent/').then((response) => response.status)") == 200
        stepped_up = claims_of(opened.evaluate("client.accessToken()"))
        assert (stepped_up["amr"], stepped_up["sid"]) == ([amr], login["sid"])
        assert stepped_up["auth_time"] > login["auth_time"]
        assert opened.evaluate(REPLAY) == "passkey_not_valid"
        opened.evaluate("client.restore({ force: true })")
        after = claims_of(opened.evaluate("client.accessToken()"))
        assert (after["amr"], after["auth_time"], after["sid"]) == ([amr], login["auth_time"], login["sid"])
        assert COOKIE in {cookie["name"] for cookie in opened.context.cookies(f"{live_server.url}{MOUNT}")}
    assert [details["user"].pk for _, details in signals] == [user.pk, user.pk]
    assert WebAuthnCredential.objects.get().backup_eligible is may_synchronise
    assert [set(session.get_decoded()) for session in Session.objects.all()] == [set()]


CREDENTIALS: list[Any] = [
    *({}, {"id": 5}, {"id": "x"}, {"id": "\x00", "rawId": "x", "response": {}, "type": "public-key"}),
    {"id": "eA", "rawId": "eA", "response": 7, "type": "public-key"},
    {"id": "eA", "rawId": "eA", "type": "public-key", "response": {"clientDataJSON": "eA", "authenticatorData": "eA"}},
    {
        "id": "eA",
        "rawId": "eA",
        "type": "public-key",
        "response": {"clientDataJSON": "eA", "authenticatorData": "eA", "signature": "eA"},
    },
]


@pytest.mark.django_db
@pytest.mark.usefixtures("_otp_webauthn")
@pytest.mark.parametrize("credential", CREDENTIALS)
def test_what_is_no_passkey(browser: Caller, credential: Any) -> None:
    """A malformed passkey is a 401 ``passkey_not_valid`` at login and step-up, and a 400 at registration."""
    access: Any = {"HTTP_AUTHORIZATION": f"Bearer {browser.log_in().json()['access']}"}
    for name, headers in (("login/", {}), ("reauthenticate/", access)):
        for asked in (False, True):
            if asked:
                assert browser.send("passkeys/options/", **headers).status_code == 200
            response = browser.send(name, {"credential": credential}, **headers)
            assert (response.status_code, response.json()["code"]) == (401, "passkey_not_valid")
    for asked in (False, True):
        if asked:
            assert browser.send("passkeys/", **access).status_code == 200
        response = browser.put(f"{MOUNT}passkeys/", credential, format="json", **access)
        assert response.status_code == 400
    assert (RefreshToken.objects.count(), WebAuthnCredential.objects.count()) == (1, 0)


@pytest.mark.django_db
@pytest.mark.usefixtures("_otp_webauthn")
def test_bodies_that_are_no_object(browser: Caller) -> None:
    """A login with a body or a ``credential`` that is not a JSON object is a 400."""
    bodies: list[Any] = [5, None, [], "credential", {"credential": 5}, {"credential": None}]
    for body in bodies:
        assert browser.send("login/", body).status_code == 400


@pytest.mark.django_db
@pytest.mark.usefixtures("_otp_webauthn")
def test_who_may_register_a_passkey(user: Any) -> None:
    """A registration with an old ``auth_time`` is refused, so a thief with an old access token can't add a passkey."""
    response = TokenClient(user, context={"auth_time": 0}).post(f"{MOUNT}passkeys/")
    assert response.json()["code"] == "insufficient_user_authentication"
    assert TokenClient(user).post(f"{MOUNT}passkeys/").status_code == 200
    assert Caller(AnonymousUser(), mount=MOUNT).send("passkeys/").status_code == 401
