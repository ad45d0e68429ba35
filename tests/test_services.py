"""What a project offers to services that verify its tokens: all claims of RFC 9068, and where to find the keys."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from tests.http import Caller
from tests.overrides import with_settings
from tests.test_keys import TEXTS
from tests.urls import MeView
from twotoken import checks
from twotoken.exceptions import ClaimsError
from twotoken.remote import RemoteAccessTokenAuthentication
from twotoken.tokens import check_claims
from twotoken.views import DiscoveryView, JWKSView

ISSUER, AUDIENCE = "https://auth.example.com", "https://api.example.com"
WHOLE = {"ISSUER": ISSUER, "AUDIENCE": AUDIENCE, "CLIENT_ID": "web"}
DISCOVERY = path(".well-known/oauth-authorization-server", DiscoveryView.as_view())
KEYS = path("keys/jwks.json", JWKSView.as_view(), name="jwks")


class OwnDiscoveryView(DiscoveryView):
    """A project's own DiscoveryView, with another URL name for the keys."""

    jwks_url_name = "keys"


@pytest.fixture
def published() -> Any:
    """Mount DiscoveryView and JWKSView in a project with all settings of RFC 9068."""
    with override_settings(ROOT_URLCONF=(DISCOVERY, KEYS)), with_settings(**WHOLE):
        yield


@pytest.mark.django_db
def test_the_whole_profile(script: Caller) -> None:
    """With ISSUER, AUDIENCE and CLIENT_ID an access token has all that RFC 9068 section 2.2 requires."""
    with with_settings(ACCESS_SECRET=TEXTS["ES256"], ACCESS_ALGORITHM="ES256", **WHOLE):
        token = script.log_in().json()["access"]
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} <= set(claims)
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (ISSUER, AUDIENCE, "web")
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"


@pytest.mark.django_db
def test_a_client_id_of_one_s_own(script: Caller) -> None:
    """ACCESS_CLAIMS may return ``client_id``. If CLIENT_ID is set too, the login raises ClaimsError."""
    with with_settings(ACCESS_CLAIMS="tests.claims.client"):
        claims = jwt.decode(script.log_in().json()["access"], options={"verify_signature": False})
        assert claims["client_id"] == "app"
        with with_settings(**WHOLE), pytest.raises(ClaimsError, match="reserved: client_id"):
            script.log_in()
    check_claims({"client_id": "app"})


def test_the_discovery_document(published: None, client: APIClient) -> None:
    """The discovery document has the issuer and the address of the keys. It does not depend on the Host header."""
    answer = client.get("/.well-known/oauth-authorization-server", HTTP_HOST="localhost")
    assert answer.json() == {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys/jwks.json"}
    assert (answer.status_code, answer["Cache-Control"]) == (200, "public, max-age=300")
    with with_settings(ISSUER=None), pytest.raises(ImproperlyConfigured, match="ISSUER"):
        client.get("/.well-known/oauth-authorization-server")


def test_its_description(published: None) -> None:
    """The OpenAPI schema describes DiscoveryView."""
    described: Any = SchemaGenerator(patterns=[DISCOVERY]).get_schema(public=True)
    (operation,) = described["paths"].values()
    assert operation["get"]["security"] == [{}]
    assert set(described["components"]["schemas"]["TwoTokenServerMetadata"]["required"]) == {"issuer", "jwks_uri"}


def test_the_description_of_the_class(published: None) -> None:
    """In a service that only verifies, the OpenAPI description says which routes need an access token."""
    route: Any = path("me/", MeView.as_view(authentication_classes=[RemoteAccessTokenAuthentication]))
    described: Any = SchemaGenerator(patterns=[route]).get_schema(public=True)
    assert {"jwtAuth": []} in described["paths"]["/me/"]["get"]["security"]


@pytest.mark.parametrize(
    ("patterns", "values", "found"),
    [
        ((DISCOVERY, KEYS), {}, []),
        ((DISCOVERY, KEYS), {"ISSUER": "https://example.com/tenant"}, []),
        ((DISCOVERY, KEYS), {"ISSUER": "http://localhost:8000"}, []),
        ((DISCOVERY, KEYS), {"ISSUER": "tests.issuers.issuer"}, []),
        ((DISCOVERY, KEYS), {"ISSUER": "tests.issuers.nothing"}, []),  # E013 reports it
        ((DISCOVERY, KEYS), {"ISSUER": None}, ["E014"]),
        ((DISCOVERY, KEYS), {"ISSUER": "acme"}, ["E014"]),
        ((DISCOVERY, KEYS), {"ISSUER": "http://auth.example.com"}, ["E014"]),
        ((DISCOVERY, KEYS), {"ISSUER": "https://auth.example.com/?tenant=1"}, ["E014"]),
        ((DISCOVERY,), {}, ["E015"]),
        ((path("", OwnDiscoveryView.as_view()), KEYS), {}, ["E015"]),
        ((path("", OwnDiscoveryView.as_view(jwks_url_name="jwks")), KEYS), {}, []),
        ((KEYS,), {"ISSUER": None}, []),
    ],
)
def test_the_check_of_discovery(patterns: Any, values: dict[str, Any], found: list[str]) -> None:
    """E014 reports a discovery document without a usable issuer, and E015 one without the address of the keys."""
    with override_settings(ROOT_URLCONF=patterns), with_settings(**{**WHOLE, **values}):
        assert [message.id for message in checks.check_discovery(None)] == [f"twotoken.{name}" for name in found]


@pytest.mark.parametrize(
    ("patterns", "values", "found"),
    [
        ((KEYS,), {}, []),
        ((KEYS,), {"AUDIENCE": None}, ["W012"]),
        ((KEYS,), {"ISSUER": None}, ["W012"]),
        ((KEYS,), {"ISSUER": None, "AUDIENCE": None}, ["W012"]),
        ((KEYS,), {"ISSUER": "tests.issuers.issuer", "AUDIENCE": "tests.issuers.audience"}, []),
        ((DISCOVERY,), {"AUDIENCE": None}, []),
        (None, {"AUDIENCE": None}, []),
    ],
)
def test_the_check_of_published_keys(patterns: Any, values: dict[str, Any], found: list[str]) -> None:
    """W012 is reported if JWKSView is mounted and the tokens have no issuer or no audience."""
    with override_settings(ROOT_URLCONF=patterns), with_settings(**{**WHOLE, **values}):
        assert [message.id for message in checks.check_published_keys(None)] == [f"twotoken.{name}" for name in found]
