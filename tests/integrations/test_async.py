"""The docs' code for async views, django-ninja and adrf gives the same answers as a DRF view."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.test import AsyncClient, Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path

from tests.integrations.pages import module_of
from tests.keyserver import running_key_server
from tests.overrides import with_settings
from tests.proofs import Device
from tests.test_remote import NEW, OLD, service, token_of
from tests.urls import MeView
from twotoken import families
from twotoken.authentication import AccessTokenAuthentication, StatelessAccessTokenAuthentication
from twotoken.bearer import BearerAuthentication
from twotoken.exceptions import Unavailable
from twotoken.remote import RemoteAccessTokenAuthentication
from twotoken.testing import expired_access_token, poll_revocations
from twotoken.tokens import AccessToken

pytestmark = pytest.mark.django_db
NINJA, STATELESS_NINJA, PLAIN, ADRF, DRF = "/ninja/me", "/ninja/hello", "/hello/", "/adrf/", "/drf/"
ROUTES = [NINJA, STATELESS_NINJA, PLAIN, ADRF]


@pytest.fixture(scope="module")
def shown() -> SimpleNamespace:
    """The modules that the docs' page on async views shows."""
    module_of("async", "def refusal", "accounts.refusals")
    ninja = module_of("async", "class AccessTokenAuth", "shown_ninja")
    module_of("async", "class StatelessAuth", "shown_stateless_ninja", **vars(ninja))
    plain = module_of("async", "def access_token_required", "shown_plain")
    return SimpleNamespace(ninja=ninja, plain=plain, adrf=module_of("async", "class HelloView", "shown_adrf"))


@pytest.fixture(autouse=True)
def _urls(shown: SimpleNamespace) -> Iterator[None]:
    """Mount the docs' views, and a DRF view to compare them with."""
    urls = (
        path("ninja/", shown.ninja.api.urls),
        path("hello/", shown.plain.hello),
        path("adrf/", shown.adrf.HelloView.as_view()),
        path("drf/", MeView.as_view()),
    )
    with override_settings(ROOT_URLCONF=urls):
        yield


def get(route: str, authorization: str = "", **headers: str) -> Any:
    """GET a route through Django's ASGI handler."""
    sent = {"authorization": authorization, **headers} if authorization else headers
    return async_to_sync(AsyncClient().get)(route, headers=sent)


@pytest.mark.parametrize("route", ROUTES)
def test_a_good_token(user: Any, route: str) -> None:
    """Each route answers with the user of the access token."""
    pair = families.start(user)
    response = get(route, f"Bearer {pair.access}")
    assert (response.status_code, response.json()["id"]) == (200, str(user.pk))


def test_the_claims(user: Any) -> None:
    """django-ninja's ``request.auth`` has the claims of the access token, under ASGI and under WSGI."""
    pair = families.start(user)
    answers = [
        get(NINJA, f"Bearer {pair.access}"),
        Client().get(NINJA, headers={"authorization": f"bearer {pair.access}"}),
    ]
    assert [answer.json()["session"] for answer in answers] == [str(pair.family_id)] * 2


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", ["none", "basic", "garbled", "two words", "expired", "refresh"])
def test_a_refusal(user: Any, route: str, kind: str) -> None:
    """If the token is missing or refused, status, body and WWW-Authenticate equal those of a DRF view."""
    authorization = {
        "none": "",
        "basic": "Basic eDp5",
        "garbled": "Bearer x",
        "two words": "Bearer x y",
        "expired": f"Bearer {expired_access_token(user)}",
        "refresh": f"Bearer {families.start(user).refresh}",
    }[kind]
    response, expected = get(route, authorization), get(DRF, authorization)
    assert (response.status_code, response.json()) == (401, expected.json())
    assert response["WWW-Authenticate"] == expected["WWW-Authenticate"]
    assert ("invalid_token" in response["WWW-Authenticate"]) is (kind not in {"none", "basic"})


@pytest.mark.parametrize("route", ROUTES)
def test_a_bound_token(user: Any, route: str) -> None:
    """A bound token with its DPoP proof gets a 200. Sent as Bearer, it gets a 401 ``wrong_device``."""
    device = Device()
    access = families.start(user, device_key=device.device_key).access
    response = get(route, f"DPoP {access}", dpop=device.proof(route, "GET", access))
    assert (response.status_code, response.json()["id"]) == (200, str(user.pk))
    response, expected = get(route, f"Bearer {access}"), get(DRF, f"Bearer {access}")
    assert (response.status_code, response.json()["reason"]) == (401, "wrong_device")
    assert response["WWW-Authenticate"] == expected["WWW-Authenticate"]


class Waiting(StatelessAccessTokenAuthentication):
    """An authentication class that raises Unavailable for every token."""

    def verify(self, token: str) -> AccessToken:
        raise Unavailable


def test_when_nobody_can_tell(shown: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the authentication class raises Unavailable, the answer is a 503 with Retry-After."""
    monkeypatch.setattr(shown.plain, "authentication", Waiting())
    monkeypatch.setattr(shown.ninja.AccessTokenAuth, "authentication", Waiting())
    for route in (PLAIN, NINJA):
        response = get(route, "Bearer x")
        assert (response.status_code, response.json()["code"], response["Retry-After"]) == (503, "unavailable", "1")


def test_openapi(shown: SimpleNamespace) -> None:
    """django-ninja's OpenAPI document has a bearer security scheme."""
    schemes = shown.ninja.api.get_openapi_schema()["components"]["securitySchemes"]
    assert {"type": "http", "scheme": "bearer"} in schemes.values()


def in_event_loop() -> bool:
    """Tell whether this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def watched(base: type[BearerAuthentication], seen: list[bool]) -> Any:
    """Return an authentication object that appends to ``seen`` whether ``verify`` runs in the event loop."""

    class Watched(base):  # type: ignore[valid-type,misc]
        def verify(self, token: str) -> AccessToken:
            seen.append(in_event_loop())
            access: AccessToken = super().verify(token)
            return access

    return Watched()


def test_the_stateless_class_needs_no_thread(
    user: Any, shown: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Async views and django-ninja run the stateless class in the event loop, and adrf runs it in a thread.

    The stateless class makes no query.
    """
    access, seen = families.start(user).access, list[bool]()
    stateless = watched(StatelessAccessTokenAuthentication, seen)
    monkeypatch.setattr(shown.plain, "authentication", stateless)
    monkeypatch.setattr("shown_stateless_ninja.StatelessAuth.authentication", stateless)
    monkeypatch.setattr(shown.adrf.HelloView, "authentication_classes", [type(stateless)])
    with CaptureQueriesContext(connection) as captured:
        for route in (PLAIN, STATELESS_NINJA, ADRF):
            assert get(route, f"Bearer {access}").status_code == 200
    assert (seen, len(captured)) == ([True, True, False], 0)


@pytest.mark.django_db(transaction=True)  # the event loop has a database connection of its own
def test_revocation_in_seconds(user: Any) -> None:
    """With REVOCATION_INTERVAL, the stateless class in an async view refuses the token of a revoked family."""
    pair = families.start(user)
    families.revoke(pair.family_id)
    assert get(PLAIN, f"Bearer {pair.access}").status_code == 200
    with with_settings(REVOCATION_INTERVAL=timedelta(seconds=5)):
        poll_revocations()
        assert get(PLAIN, f"Bearer {pair.access}").json()["reason"] == "revoked"
    poll_revocations()


def test_the_remote_class_needs_no_thread(shown: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an async view, RemoteAccessTokenAuthentication runs in the event loop, and fetches the keys only once."""
    seen: list[bool] = []
    monkeypatch.setattr(shown.plain, "authentication", watched(RemoteAccessTokenAuthentication, seen))
    with running_key_server() as server, service(JWKS_URL=server.url), CaptureQueriesContext(connection) as captured:
        server.publish(OLD.public())
        answers = [get(PLAIN, f"Bearer {token_of(keys)}") for keys in (OLD, OLD, NEW)]
        assert [answer.status_code for answer in answers] == [200, 200, 401]
        assert answers[0].json() == {"id": "7"}
        assert (len(server.asked), seen, len(captured)) == (1, [True] * 3, 0)


def test_a_class_with_a_query_needs_a_thread(
    user: Any, shown: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an async view calls AccessTokenAuthentication in the event loop, Django refuses the query."""
    monkeypatch.setattr(shown.plain, "authentication", AccessTokenAuthentication())
    with pytest.raises(SynchronousOnlyOperation):
        get(PLAIN, f"Bearer {families.start(user).access}")


def test_the_user_of_the_stateless_class(user: Any, shown: SimpleNamespace) -> None:
    """If a coroutine reads more of a stateless user than the primary key, Django refuses the query."""

    @shown.plain.access_token_required  # type: ignore[untyped-decorator]
    async def more(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"active": request.user.is_active})

    with override_settings(ROOT_URLCONF=(path("more/", more),)), pytest.raises(SynchronousOnlyOperation):
        get("/more/", f"Bearer {families.start(user).access}")


def test_a_post(user: Any, shown: SimpleNamespace) -> None:
    """A POST with an access token needs no CSRF token, because a browser never adds an access token by itself."""
    client, headers = Client(enforce_csrf_checks=True), {"authorization": f"Bearer {families.start(user).access}"}
    assert client.post(PLAIN, headers=headers).status_code == 200
