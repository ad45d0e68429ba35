"""With the docs' set-up for dj-rest-auth, login and social login give twotoken's tokens after dj-rest-auth's checks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import override_settings
from rest_framework.test import APIClient

from tests.factories import PASSWORD, UserFactory
from tests.integrations.pages import block, module_of
from tests.overrides import with_settings
from twotoken.authentication import AccessTokenAuthentication
from twotoken.models import RefreshToken

pytestmark = pytest.mark.django_db
PAGE = "../how-to/from-dj-rest-auth"
AUTH = "/api/auth/"
PROVIDERS_CODE, PROVIDERS_TOKEN = "a-code-of-the-provider", "a-token-of-the-provider"
MANDATORY = override_settings(ACCOUNT_EMAIL_VERIFICATION="mandatory")


@pytest.fixture(autouse=True)
def social() -> Iterator[Any]:
    """Set the URLs of the docs' page on dj-rest-auth. Yield the page's module for the social login."""
    module_of(PAGE, "class DjRestAuthLoginView", "accounts.login")
    social = module_of(PAGE, "class GitHubLoginView", "accounts.social")
    module_of(PAGE, "app_name", "accounts.auth_urls")
    module_of(PAGE, "dj_rest_auth_urls", "shown_dj_rest_auth_urls")
    move = {"SIGNING_KEY": "the key of an old project, and long enough for it"}
    with override_settings(ROOT_URLCONF="shown_dj_rest_auth_urls", TWOTOKEN_SIMPLEJWT=move):
        yield social


@pytest.fixture
def person() -> Any:
    """A user with an e-mail address that is not verified."""
    user: Any = UserFactory(email="ann@example.com")
    EmailAddress.objects.create(user=user, email=user.email, primary=True)
    return user


def verify_email() -> None:
    """Mark all e-mail addresses in allauth as verified."""
    EmailAddress.objects.update(verified=True)


def log_in(**data: str) -> Any:
    """Log in with a password from a browser. ``data`` has the user name or the e-mail address."""
    client = APIClient(HTTP_SEC_FETCH_SITE="same-origin")
    return client.post(f"{AUTH}login/", {"password": PASSWORD, **data}, format="json")


def refused(response: Any) -> str:
    """Assert that dj-rest-auth refused a login with a 400, and return the error."""
    assert response.status_code == 400, response.content
    assert not response.cookies
    assert RefreshToken.objects.count() == 0
    (why,) = response.json()["non_field_errors"]
    return str(why)


def test_an_unverified_address(person: Any) -> None:
    """With mandatory verification, a login is refused until the address is verified. Then it sets a refresh cookie."""
    with MANDATORY:
        assert refused(log_in(username=person.username)) == "E-mail is not verified."
        verify_email()
        response = log_in(username=person.username)
    assert (response.status_code, set(response.json())) == (200, {"access", "expires_in"})
    assert any(name.endswith("refresh_token") for name in response.cookies)
    assert "sessionid" not in response.cookies
    assert RefreshToken.objects.get().is_browser


@override_settings(ACCOUNT_LOGIN_METHODS={"email"})
def test_a_login_by_email(person: Any) -> None:
    """If ACCOUNT_LOGIN_METHODS is ``email``, a user can log in by e-mail address, and not by user name."""
    assert log_in(email="Ann@example.com").status_code == 200
    RefreshToken.objects.all().delete()
    assert refused(log_in(email="bob@example.com")) == "Unable to log in with provided credentials."
    assert refused(log_in(username=person.username)) == 'Must include "email" and "password".'


def test_who_does_not_get_in(person: Any) -> None:
    """A login with a wrong password, an inactive user, or both user name and e-mail address is refused."""
    assert refused(log_in(username=person.username, password="x")) == "Unable to log in with provided credentials."
    assert refused(log_in(username="x", email=person.email)) == "Send a username or an email."
    person.is_active = False
    person.save()
    assert "log in" in refused(log_in(username=person.username))
    with override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.AllowAllUsersModelBackend"]):
        assert refused(log_in(username=person.username)) == "User account is disabled."


def test_attempts_are_counted(person: Any) -> None:
    """LOGIN_THROTTLE counts wrong passwords by user name and by e-mail address: the third attempt is a 429."""
    with with_settings(LOGIN_THROTTLE="2/min"):
        for name in ("username", "email"):
            sent = {name: getattr(person, name)}
            assert [log_in(**sent, password="x").status_code for _ in range(2)] == [400, 400]
            assert log_in(**sent).status_code == 429


def test_a_registration() -> None:
    """A registration gives no tokens. After the key in the mail is sent back, the login works."""
    data = {"username": "cid", "email": "cid@example.com", "password1": PASSWORD, "password2": PASSWORD}
    client = APIClient()
    with MANDATORY, override_settings(ACCOUNT_EMAIL_CONFIRMATION_HMAC=True):
        response = client.post(f"{AUTH}registration/", data, format="json")
        assert (response.status_code, set(response.json())) == (201, {"detail"})
        assert refused(log_in(username="cid")) == "E-mail is not verified."
        (key,) = re.findall(r"verify/(\S+)", str(mail.outbox[0].body))
        assert client.post(f"{AUTH}registration/verify-email/", {"key": unquote(key)}, format="json").status_code == 200
        access = log_in(username="cid").json()["access"]
    user = client.get(f"{AUTH}user/", HTTP_AUTHORIZATION=f"Bearer {access}")
    assert (user.status_code, user.json()["username"]) == (200, "cid")


def test_dj_rest_auth_s_own_login_is_gone(person: Any) -> None:
    """dj-rest-auth's own login and logout, which would use a session, are not mounted and answer 404."""
    with override_settings(APPEND_SLASH=False):
        for path in ("login", "xlogin/", "logout", "xlogout/"):
            response = APIClient().post(AUTH + path, {"username": person.username, "password": PASSWORD}, format="json")
            assert response.status_code == 404, path
    assert Session.objects.count() == 0


def test_a_password_change_ends_the_family(person: Any) -> None:
    """After a password change by dj-rest-auth, the next refresh is a 401 ``password_changed``."""
    client = APIClient(HTTP_SEC_FETCH_SITE="same-origin")
    sent = {"username": person.username, "password": PASSWORD}
    access = client.post(f"{AUTH}login/", sent, format="json").json()["access"]
    new = {"new_password1": f"{PASSWORD} two", "new_password2": f"{PASSWORD} two"}
    changed = client.post(f"{AUTH}password/change/", new, format="json", HTTP_AUTHORIZATION=f"Bearer {access}")
    assert changed.status_code == 200
    assert client.post(f"{AUTH}refresh/").json()["reason"] == "password_changed"


class Provider(BaseHTTPRequestHandler):
    """A server that answers as GitHub does in a social login."""

    profile: dict[str, Any]

    def do_POST(self) -> None:
        """Exchange the right code for an access token."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        good = form["code"] == [PROVIDERS_CODE]
        self.answer({"access_token": PROVIDERS_TOKEN} if good else {"error": "bad_verification_code"})

    def do_GET(self) -> None:
        """Return the profile of the access token's user. Return an empty list for ``/emails``."""
        assert self.headers["Authorization"] == f"token {PROVIDERS_TOKEN}"
        self.answer([] if self.path == "/emails" else self.profile)

    def answer(self, data: Any) -> None:
        """Send a 200 with JSON."""
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture
def provider(social: Any) -> Iterator[type[Provider]]:
    """A running Provider, which the docs' view for GitHub calls instead of GitHub."""
    Provider.profile = {"id": 7, "login": "ann", "name": "Ann", "email": "ann@example.com"}
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        names = {"access_token_url": "/token", "profile_url": "/user", "emails_url": "/emails"}
        adapter = social.GitHubLoginView.adapter_class
        social.GitHubLoginView.adapter_class = type("Adapter", (adapter,), {n: url + p for n, p in names.items()})
        yield Provider
        server.shutdown()


def by_github(**extra: str) -> Any:
    """POST a GitHub code to the docs' view for the social login."""
    client = APIClient(HTTP_SEC_FETCH_SITE="same-origin")
    return client.post(f"{AUTH}github/", {"code": PROVIDERS_CODE, **extra}, format="json")


def test_a_social_login(provider: type[Provider]) -> None:
    """Two social logins give two token pairs for one new account, without a session. An inactive user gets a 401."""
    for number in (1, 2):
        response = by_github()
        assert (response.status_code, set(response.json())) == (200, {"access", "expires_in"})
        assert any(name.endswith("refresh_token") for name in response.cookies)
        assert "sessionid" not in response.cookies
        assert Session.objects.count() == 0
        assert RefreshToken.objects.count() == number
    (user,) = {family.user for family in RefreshToken.objects.all()}
    assert user.email == "ann@example.com"
    user.is_active = False
    user.save()
    response = by_github()
    assert (response.status_code, response.json()["code"]) == (401, "no_active_account")


def test_a_bad_code(provider: type[Provider]) -> None:
    """A social login with a wrong code is a 400. A GitHub access token, which may be for another site, is a 400 too."""
    for sent in ({"code": "x"}, {"code": "", "access_token": PROVIDERS_TOKEN}):
        response = by_github(**sent)
        assert (response.status_code, set(response.json())) == (400, {"non_field_errors"})
    assert RefreshToken.objects.count() == 0


def step_missing(response: Any) -> bool:
    """Assert that a login made no session. Return whether the answer is a 401 ``step_missing``."""
    assert Session.objects.count() == 0
    assert set(response.cookies) <= {"csrftoken", "messages", "sessionid"}
    assert "sessionid" not in response.cookies or not response.cookies["sessionid"].value
    return (response.status_code, response.json()["code"]) == (401, "step_missing")


def test_a_social_login_with_an_unverified_address(provider: type[Provider]) -> None:
    """With mandatory verification, a social login is refused until the e-mail address is verified."""
    with MANDATORY:
        assert step_missing(by_github())
        assert step_missing(by_github())
        assert RefreshToken.objects.count() == 0
        verify_email()
        assert by_github().status_code == 200


def test_a_social_login_and_the_second_factor(provider: type[Provider]) -> None:
    """A social login of a user with a second factor in allauth is a 401 ``step_missing``, and starts no family."""
    assert by_github().status_code == 200
    TOTP.activate(RefreshToken.objects.get().user, "SECRETSECRETSECR")
    assert step_missing(by_github())
    assert RefreshToken.objects.count() == 1


def test_a_social_login_without_automatic_signup(provider: type[Provider]) -> None:
    """With SOCIALACCOUNT_AUTO_SIGNUP=False, the first social login is a 401 ``step_missing``, the second one works."""
    with override_settings(SOCIALACCOUNT_AUTO_SIGNUP=False):
        assert step_missing(by_github())
        assert by_github().status_code == 200


def test_a_social_login_of_somebody_else_s_address(person: Any, provider: type[Provider]) -> None:
    """A social login with the e-mail address of another account is a 400, and starts no family."""
    verify_email()
    assert by_github().status_code == 400
    assert RefreshToken.objects.count() == 0


def test_a_session_of_somebody_else(person: Any, provider: type[Provider]) -> None:
    """A social login in a browser that has another user's session starts a family of the new user."""
    client = APIClient(HTTP_SEC_FETCH_SITE="same-origin")
    client.force_login(person)
    Provider.profile = {"id": 8, "login": "bob", "name": "Bob", "email": "bob@example.com"}
    response = client.post(f"{AUTH}github/", {"code": PROVIDERS_CODE}, format="json")
    assert response.status_code == 200
    assert RefreshToken.objects.get().user != person


def test_the_settings_that_the_page_shows() -> None:
    """The docs' settings set ``TOKEN_MODEL`` to None and name an existing authentication class."""
    names: dict[str, Any] = {}
    exec(block(PAGE, "twotoken.contrib.simplejwt.authentication"), names)  # noqa: S102 - our own docs
    assert names["REST_AUTH"] == {"TOKEN_MODEL": None}
    (path,) = names["REST_FRAMEWORK"]["DEFAULT_AUTHENTICATION_CLASSES"]
    assert path == f"twotoken.contrib.simplejwt.authentication.{AccessTokenAuthentication.__name__}"
