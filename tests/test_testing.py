"""The helpers for a project's own tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tests.factories import PASSWORD
from tests.overrides import with_settings
from tests.proofs import EC_KEY, pem
from tests.server import free_port
from twotoken.exceptions import RevokedToken
from twotoken.models import RefreshToken
from twotoken.testing import (
    LossyProxy,
    TokenClient,
    expired_access_token,
    expired_pair,
    expired_refresh_token,
    revoked_access_token,
    revoked_pair,
    revoked_refresh_token,
    time_travel,
)


def ask(access: str, route: str) -> Any:
    """Call a route of the API with an access token."""
    return APIClient().get(f"/api/{route}/", HTTP_AUTHORIZATION=f"Bearer {access}")


def refreshed(token: str) -> Any:
    """Refresh at the body mount."""
    return APIClient().post("/api/app/auth/refresh/", {"refresh": token}, format="json")


def test_a_logged_in_client(user: Any) -> None:
    """A logged-in client sends an access token, and after a refresh the new one."""
    client = TokenClient(user, HTTP_USER_AGENT="a test")
    before = client.pair
    assert client.get("/api/revocable/").json()["id"] == str(user.pk)
    after = client.refresh()
    assert after is client.pair
    assert (before.generation, after.generation) == (0, 1)
    assert before.family_id == after.family_id
    response = client.get("/api/revocable/")
    assert response.wsgi_request.META["HTTP_AUTHORIZATION"] == f"Bearer {after.access}"
    assert response.wsgi_request.META["HTTP_USER_AGENT"] == "a test"


def test_a_client_whose_family_is_ended(user: Any) -> None:
    """``TokenClient.revoke`` takes any reason. After it, requests and refreshes are refused."""
    client, other = TokenClient(user), TokenClient(user)
    client.revoke()
    other.revoke("stolen device")
    assert RefreshToken.objects.get(pk=client.pair.family_id).revoked_reason == "admin"
    assert RefreshToken.objects.get(pk=other.pair.family_id).revoked_reason == "stolen device"
    assert client.get("/api/revocable/").json()["reason"] == "revoked"
    with pytest.raises(RevokedToken):
        client.refresh()


@pytest.mark.parametrize(("lifetime", "days"), [(None, 7), (timedelta(days=1), 1)])
def test_a_client_with_a_lifetime_of_its_own(user: Any, lifetime: timedelta | None, days: int) -> None:
    """``lifetime`` limits the family, as "remember me" does at a login."""
    client = TokenClient(user, lifetime=lifetime)
    assert client.pair.refresh_expires_in in {days * 86400, days * 86400 - 1}


@pytest.mark.parametrize("bound_access", [True, False])
def test_a_client_with_a_key(user: Any, bound_access: bool) -> None:
    """The family of a client with a key is bound, and each request has a proof."""
    with with_settings(DPOP="required", DPOP_ACCESS=bound_access):
        client = TokenClient(user, private_key=pem(EC_KEY))
        assert RefreshToken.objects.get().device_key == client.device_key != ""
        assert client.get("/api/revocable/", {"page": 2}).json()["id"] == str(user.pk)
        assert client.get("/api/revocable/", secure=True).status_code == 200
        assert client.post("/api/auth/logout/all/", secure=True).status_code == 204
        client = TokenClient(user, private_key=pem(EC_KEY))
        client.refresh()
        assert client.get("/api/revocable/").status_code == 200


def test_time_travel(user: Any) -> None:
    """The clock moves forwards and backwards, also nested, and is restored after an error."""
    client, hour = TokenClient(user), timedelta(hours=1)
    start = timezone.now()
    with time_travel(hour):
        assert timezone.now() - start >= hour
        assert client.get("/api/me/").json()["reason"] == "expired"
        with time_travel(-2 * hour):
            assert timezone.now() < start
    with pytest.raises(ZeroDivisionError), time_travel(hour):
        _ = 1 / 0
    assert timezone.now() - start < hour
    assert client.get("/api/me/").status_code == 200


SETTINGS: list[dict[str, Any]] = [
    {},
    {"LEEWAY": 30},
    {"FAMILY_LIFETIME": timedelta(minutes=20)},
    {"FAMILY_LIFETIME": None, "ACCESS_LIFETIME": timedelta(days=7)},
]


@pytest.mark.parametrize("values", SETTINGS)
def test_tokens_past_their_time(user: Any, values: dict[str, Any]) -> None:
    """With any lifetimes, the helpers return expired tokens. The family of an expired access token can be active."""
    with with_settings(**values):
        access = expired_access_token(user)
        assert ask(access, "me").json()["reason"] == "expired"
        assert RefreshToken.objects.all().active().count() == (0 if values.get("ACCESS_LIFETIME") else 1)
        pair = expired_pair(user)
        assert ask(pair.access, "me").json()["reason"] == "expired"
        assert refreshed(pair.refresh).json()["reason"] == "expired"
        assert refreshed(expired_refresh_token(user)).json()["reason"] == "expired"


def test_tokens_of_a_revoked_family(user: Any) -> None:
    """Tokens of a revoked family are refused, except by a class that does not check the family."""
    access = revoked_access_token(user)
    assert ask(access, "me").status_code == 200
    assert ask(access, "revocable").json()["reason"] == "revoked"
    assert refreshed(revoked_refresh_token(user)).json()["reason"] == "revoked"
    pair = revoked_pair(user, "stolen device")
    assert refreshed(pair.refresh).json()["reason"] == "revoked"
    assert RefreshToken.objects.get(pk=pair.family_id).revoked_reason == "stolen device"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_authorities")
def test_a_lossy_proxy(live_server: Any, user: Any) -> None:
    """LossyProxy loses every third answer, after the server has done the request."""
    with LossyProxy(live_server.url, every=3) as proxy:
        url = f"{proxy.url}/api/app/auth/login/"
        body = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD}
        answers: list[Any] = []
        for _ in range(6):
            try:
                answers.append(httpx.post(url, json=body).json().keys())
            except httpx.RemoteProtocolError:
                answers.append(None)
    assert [answer is None for answer in answers] == [False, False, True] * 2
    assert "refresh" in answers[0]
    assert RefreshToken.objects.count() == 6
    assert (proxy.requests, proxy.lost) == ({"/api/app/auth/login/": 6}, {"/api/app/auth/login/": 2})


@pytest.mark.usefixtures("no_authorities")
def test_a_lossy_proxy_without_a_server() -> None:
    """If no server is behind a LossyProxy, the client gets no answer, and nothing is printed."""
    with LossyProxy(f"http://localhost:{free_port()}") as proxy, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(proxy.url)
