"""With the docs' set-up for djoser, its clients log in with twotoken, and its accounts and passwords still work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import override_settings
from django.urls import include, path
from rest_framework.test import APIClient

from tests.factories import PASSWORD, UserFactory
from tests.integrations.pages import module_of, settings_of
from tests.overrides import with_settings
from twotoken.models import RefreshToken

pytestmark = pytest.mark.django_db
PAGE = "../how-to/from-djoser"
KEY = "the key of an old project, and long enough for it"
ACTIVATION = {"TOKEN_MODEL": None, "SEND_ACTIVATION_EMAIL": True, "ACTIVATION_URL": "activate/{uid}/{token}"}
EMAIL = {"email": "ann@example.com", "password": PASSWORD}


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    """Set the URLs and the TWOTOKEN_SIMPLEJWT of the docs' page on djoser."""
    module_of(PAGE, "djoser.urls", "shown_djoser_urls")
    shown = settings_of(PAGE, "AUTH_HEADER_TYPES", SECRET_KEY=KEY)["TWOTOKEN_SIMPLEJWT"]
    move = {**shown, "UNTIL": datetime.now(UTC) + timedelta(days=1)}
    with override_settings(ROOT_URLCONF="shown_djoser_urls", TWOTOKEN_SIMPLEJWT=move):
        yield


def log_in(name: str, password: str = PASSWORD, slash: str = "/") -> Any:
    """POST to ``jwt/create``, as a client of djoser does to log in."""
    return APIClient().post(f"/auth/jwt/create{slash}", {"username": name, "password": password}, format="json")


def refresh(token: str) -> Any:
    """POST to ``jwt/refresh/``, as a client of djoser does."""
    return APIClient().post("/auth/jwt/refresh/", {"refresh": token}, format="json")


def me(access: str, method: str = "get", **data: str) -> Any:
    """Send a request to djoser's ``users/me/`` with an access token."""
    client: Any = APIClient(HTTP_AUTHORIZATION=f"Bearer {access}")
    return getattr(client, method)("/auth/users/me/", data, format="json")


def test_a_client_of_djoser(user: Any) -> None:
    """A client of djoser can log in, with or without the final slash, call the API, refresh and verify."""
    assert me(log_in(user.username, slash="").json()["access"]).json()["username"] == user.username
    pair = log_in(user.username).json()
    assert refresh(pair["refresh"]).status_code == 200
    assert APIClient().post("/auth/jwt/verify/", {"token": pair["access"]}, format="json").json() == {}


@override_settings(DJOSER=ACTIVATION)
def test_an_account_that_is_not_activated() -> None:
    """With SEND_ACTIVATION_EMAIL, a new user's login is a 401 until the account is activated."""
    client = APIClient()
    assert client.post("/auth/users/", {"username": "ann", **EMAIL}, format="json").status_code == 201
    response = log_in("ann")
    assert (response.status_code, response.json()["code"]) == (401, "no_active_account")
    with override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.AllowAllUsersModelBackend"]):
        response = log_in("ann")
        assert (response.status_code, response.json()["code"]) == (401, "no_active_account")
    assert RefreshToken.objects.count() == 0
    ((uid, token),) = set(re.findall(r"activate/([^/\s]+)/([^/\s\"<]+)", str(mail.outbox[0].body)))
    assert client.post("/auth/users/activation/", {"uid": uid, "token": token}, format="json").status_code == 204
    assert log_in("ann").status_code == 200


@override_settings(DJOSER=ACTIVATION)
def test_a_changed_address() -> None:
    """After djoser deactivates a user because of a new e-mail address, API, refresh and login are refused."""
    user: Any = UserFactory(email="ann@example.com")
    pair = log_in(user.username).json()
    assert me(pair["access"], "patch", email="ann@example.org").status_code == 200
    assert me(pair["access"]).json()["reason"] == "user_inactive"
    assert refresh(pair["refresh"]).status_code == 401
    assert log_in(user.username).status_code == 401
    type(user).objects.update(is_active=True)
    assert refresh(pair["refresh"]).json()["reason"] == "revoked"


def test_a_changed_password(user: Any) -> None:
    """After djoser changes a password, the next refresh is a 401 ``password_changed``."""
    pair = log_in(user.username).json()
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {pair['access']}")
    body = {"current_password": PASSWORD, "new_password": f"{PASSWORD} two"}
    assert client.post("/auth/users/set_password/", body, format="json").status_code == 204
    assert refresh(pair["refresh"]).json()["reason"] == "password_changed"
    assert log_in(user.username, f"{PASSWORD} two").status_code == 200


def test_a_deleted_account(user: Any) -> None:
    """After a user is deleted by djoser, the refresh token is a 401 ``invalid``."""
    pair = log_in(user.username).json()
    assert me(pair["access"], "delete", current_password=PASSWORD).status_code == 204
    assert refresh(pair["refresh"]).json()["reason"] == "invalid"


def test_a_login_by_email() -> None:
    """With the docs' view for LOGIN_FIELD, users log in by e-mail address only, and LOGIN_THROTTLE counts attempts."""
    login = module_of(PAGE, "class EmailLoginView", "accounts.login").EmailLoginView
    auth: Any = [path("login/", login.as_view(delivery="body")), path("auth/", include("twotoken.urls"))]
    urls = type("urls", (), {"urlpatterns": auth})
    user: Any = UserFactory(email=EMAIL["email"])
    other: Any = UserFactory(email="bob@example.com")
    backends = settings_of(PAGE, "AUTHENTICATION_BACKENDS")
    with override_settings(ROOT_URLCONF=urls, DJOSER={"TOKEN_MODEL": None, "LOGIN_FIELD": "email"}, **backends):

        def post(**data: str) -> Any:
            return APIClient().post("/login/", {**EMAIL, **data}, format="json")

        assert post().status_code == 200
        assert RefreshToken.objects.get().user == user
        for wrong in ({"password": "x"}, {"email": user.username}, {"email": other.username}):
            assert post(**wrong).json()["code"] == "no_active_account"
        with with_settings(LOGIN_THROTTLE="1/min"):
            assert [post(password="x").status_code for _ in range(2)] == [401, 429]
        user.is_active = False
        user.save()
        assert post().json()["code"] == "no_active_account"
