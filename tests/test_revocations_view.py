"""RevocationsView: the list of revoked families, for services that verify access tokens."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.db import DatabaseError, connection
from django.test import override_settings
from django.utils import timezone
from rest_framework.permissions import IsAuthenticated
from rest_framework.test import APIClient, APIRequestFactory

from tests.overrides import with_settings
from tests.test_revoked import is_reading, revoked
from twotoken.authentication import AccessTokenAuthentication
from twotoken.families import TokenPair
from twotoken.tokens import family_digest
from twotoken.views import RevocationsView

URL = "/api/revocations/"


def read(since: str | None = None, **extra: Any) -> Any:
    """GET the list of revoked families."""
    return APIClient().get(URL, {} if since is None else {"since": since}, **extra)


def digest(pair: TokenPair) -> str:
    """Return a family's digest, made from its access token as a service in another language would."""
    sid = jwt.decode(pair.access, options={"verify_signature": False})["sid"]
    return base64.urlsafe_b64encode(hashlib.sha256(sid.encode()).digest()).decode()[:12]


def test_a_digest() -> None:
    """A family's digest is the first 12 characters of a SHA-256 hash as base64url."""
    assert family_digest("9e107d9d-372b-4b68-8a3d-5d0c9a4f1a2e") == "7gnn_-8pRo07"


def test_the_list(user: Any) -> None:
    """The list has the digests, and not the ids, of families revoked within an access token's life plus a minute."""
    pairs = [revoked(user, timedelta(minutes=minutes)) for minutes in (0, 14, 17, 60)]
    response = read()
    assert response.status_code == 200
    assert response.json() == {
        "revoked": sorted(map(digest, pairs[:2])),
        "since": response.json()["since"],
        "lifetime": 900,
    }
    assert 0 <= timezone.now().timestamp() - int(response.json()["since"]) < 20
    assert response["Cache-Control"] == "max-age=1"
    assert response["Content-Type"] == "application/json"
    assert str(pairs[0].family_id) not in response.content.decode()
    with with_settings(LEEWAY=120.5):
        assert len(read().json()["revoked"]) == 3
        assert read().json()["lifetime"] == 1021


def test_since(user: Any) -> None:
    """With ``since`` the list has the families revoked since then and in the minute before, as commits may be late."""
    old, recent = revoked(user, timedelta(minutes=5)), revoked(user, timedelta(seconds=30))
    since = read().json()["since"]
    new = revoked(user)
    assert read(since).json()["revoked"] == sorted(map(digest, (recent, new)))
    for beyond in ("0", "1"):
        assert read(beyond).json()["revoked"] == sorted(map(digest, (old, recent, new)))
    assert read("999999999999").json()["revoked"] == sorted(map(digest, (recent, new)))


@pytest.mark.parametrize(
    "since", ["", "x", "-1", "1.5", " 1", "1" * 13, "\u0661", "2026-01-01T00:00:00Z", "\x00", "None"]
)
@pytest.mark.django_db
def test_a_wrong_cursor(since: str) -> None:
    """An invalid ``since`` is a 400 with a list of errors per field, as DRF's errors have."""
    response = read(since)
    assert response.status_code == 400
    assert response.json() == {"since": ["A valid integer is required."]}
    assert response["Cache-Control"] == "no-store"


def test_not_modified(user: Any) -> None:
    """A request with the last ETag gets a 304 without a body, until another family is revoked."""
    first = revoked(user, timedelta(seconds=1))
    response = read()
    etag = response["ETag"]
    assert re.fullmatch(r'W/"[0-9a-f]{64}"', etag)
    for seen in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*"):
        again = read(HTTP_IF_NONE_MATCH=seen)
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
        assert again["Cache-Control"] == "max-age=1"
    assert read(response.json()["since"], HTTP_IF_NONE_MATCH=etag).status_code == 304
    second = revoked(user)
    changed = read(response.json()["since"], HTTP_IF_NONE_MATCH=etag)
    assert changed.status_code == 200
    assert changed.json()["revoked"] == sorted(map(digest, (first, second)))


@pytest.mark.django_db
def test_nothing_was_revoked() -> None:
    """If no family was revoked, the answer has an empty list."""
    assert read().json()["revoked"] == []
    assert APIClient().head(URL).status_code == 200
    assert APIClient().post(URL).status_code == 405


def test_a_database_that_is_down(user: Any) -> None:
    """If the database is down, the answer is a 503, not an empty list."""

    def refuse(call: Any, sql: str, *rest: Any) -> Any:
        if is_reading(sql):
            raise DatabaseError(1047, "not ready")
        return call(sql, *rest)

    with connection.execute_wrapper(refuse):
        response = read()
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


@override_settings(USE_TZ=False)
def test_without_time_zones(user: Any) -> None:
    """With USE_TZ off, ``since`` is still a time since the epoch, and the list has the families revoked since then."""
    old, new = revoked(user, timedelta(minutes=5)), revoked(user)
    since = read().json()["since"]
    assert 0 <= time.time() - int(since) < 20
    assert read(since).json()["revoked"] == [digest(new)]
    assert read("1").json()["revoked"] == sorted(map(digest, (old, new)))


def test_a_project_that_restricts_it(user: Any) -> None:
    """A project restricts the list with DRF's authentication and permission classes."""
    view = RevocationsView.as_view(
        authentication_classes=[AccessTokenAuthentication], permission_classes=[IsAuthenticated]
    )
    assert view(APIRequestFactory().get(URL)).status_code == 401
