"""The docs' view that exchanges an allauth session for a token pair accepts only sessions of finished logins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP
from django.test import override_settings
from django.urls import include, path
from rest_framework.test import APIClient

from tests.factories import PASSWORD, UserFactory
from tests.integrations.pages import module_of
from twotoken.models import RefreshToken

pytestmark = pytest.mark.django_db
PAGE = "../how-to/from-allauth"
AUTH = "/_allauth/app/v1/auth/"


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    """Set the docs' exchange view and URLs, and allauth's headless URLs."""
    module_of(PAGE, "app_name", "accounts.auth_urls")
    exchange = module_of(PAGE, "def exchange", "shown_exchange").exchange
    shown = module_of(PAGE, "api/app/auth/exchange/", "shown_from_allauth_urls", exchange=exchange)
    shown.urlpatterns.append(path("_allauth/", include("allauth.headless.urls")))
    sessions = "allauth.headless.tokens.strategies.sessions.SessionTokenStrategy"
    with override_settings(ROOT_URLCONF="shown_from_allauth_urls", HEADLESS_TOKEN_STRATEGY=sessions):
        yield


@pytest.fixture
def person() -> Any:
    """A user with an e-mail address that is not verified."""
    user: Any = UserFactory(email="ann@example.com")
    EmailAddress.objects.create(user=user, email=user.email, primary=True)
    return user


def log_in(user: Any) -> str:
    """Log in at allauth with a password, and return the session token."""
    response = APIClient().post(f"{AUTH}login", {"username": user.username, "password": PASSWORD}, format="json")
    return str(response.json()["meta"]["session_token"])


def exchange(session_token: str) -> Any:
    """POST a session token to the docs' exchange view."""
    return APIClient().post("/api/app/auth/exchange/", HTTP_X_SESSION_TOKEN=session_token)


def assert_refused(response: Any) -> None:
    """Assert that an exchange is a 403 and started no family."""
    assert response.status_code == 403, response.content
    assert RefreshToken.objects.count() == 0


def test_who_is_logged_in(person: Any) -> None:
    """An exchange of a logged-in user's session gives a pair that can refresh. After a logout the exchange is a 403."""
    session = log_in(person)
    pair = exchange(session)
    assert (pair.status_code, pair["Cache-Control"]) == (200, "no-store")
    assert set(pair.json()) == {"access", "expires_in", "refresh", "refresh_expires_in"}
    refreshed = APIClient().post("/api/app/auth/refresh/", {"refresh": pair.json()["refresh"]}, format="json")
    assert refreshed.status_code == 200
    assert APIClient().delete(f"{AUTH}session", HTTP_X_SESSION_TOKEN=session).status_code == 401
    assert exchange(session).status_code == 403
    assert RefreshToken.objects.count() == 1


def test_who_is_not_logged_in_yet(person: Any) -> None:
    """An exchange is refused if the session is missing, or if its login lacks a verified address or a second factor."""
    assert_refused(exchange("x"))
    assert_refused(APIClient().post("/api/app/auth/exchange/"))
    with override_settings(ACCOUNT_EMAIL_VERIFICATION="mandatory"):
        assert_refused(exchange(log_in(person)))
    TOTP.activate(person, "SECRETSECRETSECR")
    assert_refused(exchange(log_in(person)))


def test_who_is_not_active_any_more(person: Any) -> None:
    """An exchange is refused after its user is deactivated or has changed the password."""
    session = log_in(person)
    type(person).objects.update(is_active=False)
    assert_refused(exchange(session))
    type(person).objects.update(is_active=True)
    person.set_password("another password of some length")
    person.save()
    assert_refused(exchange(session))


def test_a_session_of_another_login_page(person: Any, client: Any) -> None:
    """An exchange accepts a session of another login page, as the docs warn. With TwoTokenStrategy it is refused."""
    TOTP.activate(person, "SECRETSECRETSECR")
    client.force_login(person, "django.contrib.auth.backends.ModelBackend")
    session = client.cookies["sessionid"].value
    assert exchange(session).status_code == 200
    RefreshToken.objects.all().delete()
    with override_settings(HEADLESS_TOKEN_STRATEGY="twotoken.contrib.allauth.TwoTokenStrategy"):
        assert_refused(exchange(session))


def test_the_plain_login_is_not_for_them(person: Any) -> None:
    """With the docs' URLs, twotoken's ``login/``, which would skip allauth's steps, answers 404."""
    data = {"username": person.username, "password": PASSWORD}
    assert APIClient().post("/api/app/auth/login/", data, format="json").status_code == 404
