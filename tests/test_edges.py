"""The thin modules at the edge: who is calling, from where, with which cookie, as whom."""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.http import HttpResponse
from django.shortcuts import redirect
from django.test import RequestFactory, override_settings
from django.urls import include, path, resolve
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.test import APIClient

from tests.accounts.models import new_key
from tests.factories import UserFactory
from twotoken import families, tokens
from twotoken.authentication import ClaimsUser, load_user
from twotoken.clients import Client, client_address
from twotoken.conf import conf, delivery
from twotoken.cookies import clear_refresh_cookie, cookie_path, presented_tokens, set_refresh_cookie
from twotoken.exceptions import CrossOrigin, InvalidToken, UserInactive
from twotoken.models import RefreshToken
from twotoken.origins import check_origin
from twotoken.testing import (
    TokenClient,
    expired_access_token,
    expired_refresh_token,
    revoked_access_token,
    revoked_refresh_token,
    time_travel,
)
from twotoken.throttling import fold
from twotoken.tokens import AccessToken

factory = RequestFactory()


def callback(request: Any) -> HttpResponse:
    """Log in the one user there is, as an OAuth callback would."""
    pair = families.start(get_user_model().objects.get(), Client.from_request(request))
    response = redirect("/")
    set_refresh_cookie(response, pair, request)
    return response


urlpatterns = [
    path("<slug:tenant>/auth/", include("twotoken.urls")),
    path("own/", include(([path("callback/", callback)], "own"))),
    path("callback/", callback),
]


def with_settings(**values: Any) -> Any:
    """Override keys of TWOTOKEN, keeping the others."""
    return override_settings(TWOTOKEN={**settings.TWOTOKEN, **values})


# Clients


@pytest.mark.parametrize(
    ("address", "stored"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", None),
        ("", None),
        ("unix:", None),
    ],
)
def test_what_is_stored_of_an_address(address: str, stored: str | None) -> None:
    """An address that is no IP, or that a database has no place for, is null."""
    assert Client.from_request(factory.get("/", REMOTE_ADDR=address)).ip_address == stored


def test_a_forwarded_address_is_believed_as_far_as_set() -> None:
    """Anyone may send X-Forwarded-For."""
    request = factory.get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="6.6.6.6, 192.0.2.9")
    assert client_address(request) == "192.0.2.1"
    for proxies, address in ((0, "192.0.2.1"), (1, "192.0.2.9"), (5, "6.6.6.6")):
        with override_settings(REST_FRAMEWORK={"NUM_PROXIES": proxies}):
            assert client_address(request) == address


def test_what_is_stored_of_a_user_agent() -> None:
    """Cut to its column, without what a database refuses; nothing at all where so set."""
    request = factory.get("/", HTTP_USER_AGENT="a\x00" + "b" * 600, HTTP_ORIGIN="http://x")
    assert Client.from_request(request).user_agent == "a" + "b" * 511
    assert not Client.from_request(request).is_browser
    with with_settings(RECORD_CLIENT=False):
        assert Client.from_request(request, by_cookie=True) == Client(is_browser=True)


# Origins


def test_a_host_that_is_not_allowed_is_not_ours() -> None:
    """Whatever Host and Origin agree on."""
    request = factory.post("/", HTTP_HOST="evil.example", HTTP_ORIGIN="http://evil.example")
    with pytest.raises(CrossOrigin):
        check_origin(request)


@override_settings(CSRF_TRUSTED_ORIGINS=["https://*.example.com"])
@pytest.mark.parametrize("origin", ["http://a.example.com", "https://badexample.com", "https://[", "null"])
def test_origins_that_only_look_trusted(origin: str) -> None:
    """Scheme and dot count, and what can't be read is not trusted."""
    with pytest.raises(CrossOrigin):
        check_origin(factory.post("/", HTTP_ORIGIN=origin))
    check_origin(factory.get("/", HTTP_ORIGIN=origin))


# Cookies


def test_the_cookie_s_path_is_the_mount_s(db: None, client: Any) -> None:
    """By namespace, with what the prefix captures; outside a mount the default one."""
    for address, expected in (("/api/auth/logout/", "/api/auth/"), ("/api/auth/logout/all/", "/api/auth/")):
        request = factory.post(address)
        from_resolver(request)
        assert cookie_path(request) == expected
    with override_settings(ROOT_URLCONF="tests.test_edges"):
        response = client.post("/acme/auth/logout/")
        assert response.cookies["refresh_token"]["path"] == "/acme/auth/"
        UserFactory()
        for address in ("/own/callback/", "/callback/"):
            with pytest.raises(ImproperlyConfigured, match="COOKIE_PATH"):
                client.get(address)
            with with_settings(COOKIE_PATH="/api/"):
                assert client.get(address).cookies["refresh_token"]["path"] == "/api/"
    request = factory.post("/")
    assert cookie_path(request) == "/api/auth/"


def from_resolver(request: Any) -> None:
    """Resolve a request as the handler does."""
    request.resolver_match = resolve(request.path)


def test_the_cookie_s_attributes_are_set_and_cleared_alike() -> None:
    """A browser only clears a cookie of the same path and domain."""
    response = HttpResponse()
    request = factory.post("/", HTTP_COOKIE="rt=a; other=b; rt=c; rt=a")
    with with_settings(COOKIE_NAME="rt", COOKIE_DOMAIN="example.com", COOKIE_SAMESITE="Lax", COOKIE_SECURE=False):
        clear_refresh_cookie(response, request)
        assert presented_tokens(request) == ["a", "c"]
    morsel = response.cookies["rt"]
    assert (morsel.value, morsel["max-age"], morsel["path"]) == ("", 0, "/api/auth/")
    assert (morsel["domain"], morsel["samesite"], morsel["secure"]) == ("example.com", "Lax", "")
    assert morsel["httponly"]


# Throttles


@pytest.mark.parametrize("variant", ["ANN", " ann ", "änn", "a\u200bnn", "\uff41nn"])
def test_one_name_in_many_spellings(variant: str) -> None:
    """What a database's collation may take for the same name counts as one."""
    assert fold(variant) == fold("ann")


# Settings


def test_a_setting_that_can_t_be_used() -> None:
    """It says what to do."""
    with pytest.raises(ImproperlyConfigured, match="'cookie', 'body', 'none'"):
        delivery("both")
    with with_settings(ACCESS_SECRET="short"), pytest.raises(ImproperlyConfigured, match="shorter than 32"):
        _ = conf.access_policy
    with override_settings(TWOTOKEN={}), pytest.raises(ImproperlyConfigured, match="generate_token_secrets"):
        _ = conf.refresh_keys
    assert conf.retention == timedelta(days=30)
    with with_settings(AUDIENCE="one"):
        assert conf.audience == ("one",)


# The user of the claims


def claims_of(user: Any) -> AccessToken:
    """Return verified claims of a user."""
    return tokens.decode_access(families.start(user).access, conf.access_policy, timezone.now())


def test_a_user_made_of_claims_costs_no_query(user: Any, django_assert_num_queries: Any) -> None:
    """Until more than its key is asked for; then one, once."""
    access = claims_of(user)
    with django_assert_num_queries(0):
        claimed = ClaimsUser(access)
        assert claimed.pk == user.pk
        assert getattr(claimed, user._meta.pk.attname) == user.pk
        assert isinstance(claimed, get_user_model())
        assert claimed.is_authenticated
        assert not claimed.is_anonymous
        assert claimed
        assert claimed == user
        assert user == claimed
        assert claimed != "user"
        assert hash(claimed) == hash(user)
        assert RefreshToken(user=claimed).user_id == user.pk
    with django_assert_num_queries(1):
        assert RefreshToken.objects.filter(user=claimed).count() == 1
    with django_assert_num_queries(1):
        assert claimed.get_username() == user.get_username()
        assert claimed.email == user.email


def test_a_claimed_user_who_is_gone(user: Any) -> None:
    """A 401, when it is noticed."""
    claimed = ClaimsUser(claims_of(user))
    user.delete()
    with pytest.raises(AuthenticationFailed) as caught:
        _ = claimed.email
    assert caught.value.detail["reason"] == "user_inactive"  # type: ignore[call-overload,index]


def test_a_subject_that_is_no_key() -> None:
    """Invalid, wherever it is noticed."""
    access = AccessToken({"sub": "no key", "sid": str(uuid.uuid4()), "exp": 0})
    any_text_is_a_key = get_user_model()._meta.pk.get_internal_type() == "CharField"
    with nullcontext() if any_text_is_a_key else pytest.raises(InvalidToken):
        assert ClaimsUser(access).pk == "no key"


@pytest.mark.django_db
def test_a_subject_that_nobody_has() -> None:
    """Refused, whether or not it could be a key."""
    access = AccessToken({"sub": "no key", "sid": str(uuid.uuid4()), "exp": 0})
    with pytest.raises((InvalidToken, UserInactive)):
        load_user(access)


def test_another_field_is_the_subject(user: Any) -> None:
    """The claims then don't hold the primary key."""
    with with_settings(USER_ID_FIELD=user.USERNAME_FIELD):
        access = claims_of(user)
        assert access["sub"] == user.get_username()
        assert load_user(access) == user
        assert ClaimsUser(access).pk == user.pk


# For a project's tests


def test_a_logged_in_client(user: Any) -> None:
    """It carries a token, refreshes and ends."""
    client = TokenClient(user)
    assert client.get("/api/revocable/").json()["id"] == str(user.pk)
    before = client.pair
    assert client.refresh().access != before.access
    client.revoke()
    assert client.get("/api/revocable/").json()["reason"] == "revoked"
    with time_travel(timedelta(minutes=16)):
        assert client.get("/api/me/").json()["reason"] == "expired"


def test_tokens_past_their_time(user: Any) -> None:
    """Each is refused for the reason in its name."""
    client = APIClient()

    def reason(access: str, route: str) -> str:
        return str(client.get(f"/api/{route}/", HTTP_AUTHORIZATION=f"Bearer {access}").json()["reason"])

    assert reason(expired_access_token(user), "me") == "expired"
    assert reason(revoked_access_token(user), "revocable") == "revoked"
    for token, expected in ((expired_refresh_token(user), "expired"), (revoked_refresh_token(user), "revoked")):
        response = client.post("/api/app/auth/refresh/", {"refresh": token}, format="json")
        assert response.json()["reason"] == expected


# The table


def test_every_field_but_the_user_has_a_default(user: Any) -> None:
    """A row made by hand is live, and holds nothing of a token in its name."""
    row = RefreshToken.objects.create(user=user)
    assert str(row) == str(row.pk)
    assert list(RefreshToken.objects.all().active()) == [row]
    assert not RefreshToken.objects.all().ended()
    with time_travel(timedelta(days=7)):
        assert list(RefreshToken.objects.all().ended()) == [row]


@pytest.mark.django_db
def test_postgresql_leaves_room_for_updates() -> None:
    """Rotation is heap-only there: fillfactor 80, and no indexed column is touched."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT reloptions FROM pg_class WHERE relname = 'twotoken_refreshtoken'")
            assert cursor.fetchone() == (["fillfactor=80"],)


def test_the_keys_of_a_user_model_differ() -> None:
    """Those of the model whose keys are text."""
    assert new_key() != new_key()
