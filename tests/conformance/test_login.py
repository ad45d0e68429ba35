"""Logging in."""

from __future__ import annotations

import json

from django.test import override_settings

from tests.conformance.helpers import REALM, CountingHasher, new_user, state
from tests.factories import PASSWORD
from tests.http import Caller
from tests.jar import COMPANION, COOKIE, COOKIE_MOUNT
from twotoken.models import RefreshToken


def test_login_by_cookie(browser: Caller) -> None:
    """Case 1: at a cookie mount the body has only an access token, and the refresh cookie has every attribute."""
    response = browser.log_in()
    assert response.status_code == 200
    assert set(response.json()) == {"access", "expires_in"}
    assert response.json()["expires_in"] == 900
    assert response["Cache-Control"] == "no-store"
    assert set(response.cookies) == {COOKIE, COMPANION}
    cookie = response.cookies[COOKIE]
    assert cookie.value.encode() not in response.content
    assert {name: cookie[name] for name in ("httponly", "secure", "samesite", "path", "domain", "max-age")} == {
        "httponly": True,
        "secure": True,
        "samesite": "Strict",
        "path": COOKIE_MOUNT,
        "domain": "",
        "max-age": 7 * 24 * 3600,
    }
    assert state(cookie.value) == (0, "")


def test_login_by_body(script: Caller) -> None:
    """Case 1: at a body mount both tokens are in the body, and no cookie is set."""
    response = script.log_in()
    assert response.status_code == 200
    assert set(response.json()) == {"access", "expires_in", "refresh", "refresh_expires_in"}
    assert response.json()["refresh_expires_in"] == 7 * 24 * 3600
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies


@override_settings(PASSWORD_HASHERS=["tests.conformance.helpers.CountingHasher"])
def test_failed_logins_are_alike(script: Caller) -> None:
    """Case 2: an unknown name, a wrong password and an inactive user get the same answer after the same work."""
    name = script.user.USERNAME_FIELD
    inactive = new_user(is_active=False)
    answers = []
    for username, password in (
        ("nobody-of-that-name", PASSWORD),
        (script.user.get_username(), "wrong"),
        (inactive.get_username(), PASSWORD),
    ):
        CountingHasher.runs = 0
        response = script.send("login/", {name: username, "password": password})
        assert CountingHasher.runs == 1
        assert not response.cookies
        answers.append((response.status_code, response.content, sorted(response.items())))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 401
    assert json.loads(answers[0][1])["code"] == "no_active_account"
    assert ("WWW-Authenticate", REALM) in answers[0][2]
    assert ("Cache-Control", "no-store") in answers[0][2]
    assert not RefreshToken.objects.exists()
