"""A user's own sessions: list them, revoke one, revoke all others."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth import user_logged_out
from django.test import override_settings
from django.utils import timezone
from rest_framework.pagination import CursorPagination, LimitOffsetPagination, PageNumberPagination

from tests.conformance.helpers import bearer
from tests.factories import PASSWORD, UserFactory
from tests.http import Caller
from tests.jar import COOKIE
from tests.overrides import with_settings
from tests.receivers import heard
from twotoken import families
from twotoken.clients import Client
from twotoken.models import RefreshToken, RevokedReason
from twotoken.views.sessions import MAX_PAGE_SIZE

FIELDS = {"id", "created_at", "last_used_at", "expires_at", "ip_address", "user_agent", "bound", "current"}


class Pages(PageNumberPagination):
    """A project's own pagination, with two sessions per page."""

    page_size = 2
    page_size_query_param = "page_size"


class Limits(LimitOffsetPagination):
    """A project's own pagination, by offset."""

    default_limit = 2


class Cursors(CursorPagination):
    """A project's own pagination, by cursor, ordered by a field that families don't have."""

    page_size = 2
    page_size_query_param = "page_size"
    ordering = "-created"


def paginated(name: str) -> Any:
    """Let DRF paginate the project's lists."""
    name = f"tests.test_sessions.{name}"
    return override_settings(REST_FRAMEWORK={**settings.REST_FRAMEWORK, "DEFAULT_PAGINATION_CLASS": name})


def test_the_list(script: Caller, django_assert_num_queries: Any) -> None:
    """The list has the active sessions, newest first, without tokens. It makes one statement after authentication."""
    old, ended, this = (families.start(script.user, Client("192.0.2.1", "phone")) for _ in range(3))
    families.start(UserFactory())  # type: ignore[arg-type]
    families.revoke(ended.family_id)
    RefreshToken.objects.filter(pk__in=[old.family_id, this.family_id]).update(
        refreshed_at=timezone.now() - timedelta(hours=5)
    )
    RefreshToken.objects.filter(pk=old.family_id).update(device_key="dpop:a key")
    with django_assert_num_queries(2):
        response = script.get("/api/app/auth/sessions/", **bearer(this.access))
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    first, second = response.json()
    assert (first["id"], second["id"]) == (str(this.family_id), str(old.family_id))
    assert (first["current"], second["current"]) == (True, False)
    assert (first["bound"], second["bound"]) == (False, True)
    assert set(first) == FIELDS
    assert (second["ip_address"], second["user_agent"]) == ("192.0.2.1", "phone")
    now = timezone.now()
    assert abs(now - datetime.fromisoformat(first["last_used_at"])) < timedelta(minutes=1)
    assert abs(now - datetime.fromisoformat(second["last_used_at"])) > timedelta(hours=4)
    assert datetime.fromisoformat(first["expires_at"]) == RefreshToken.objects.get(pk=this.family_id).expires_at


@pytest.mark.parametrize("name", ["Pages", "Limits", "Cursors"])
def test_the_project_s_pagination(script: Caller, name: str) -> None:
    """The list of sessions uses DRF's DEFAULT_PAGINATION_CLASS, which is read on each request."""
    pairs = [families.start(script.user) for _ in range(5)]
    seen: list[str] = []
    with paginated(name):
        url = "/api/app/auth/sessions/"
        while url:
            body = script.get(url, **bearer(pairs[0].access)).json()
            seen += [session["id"] for session in body["results"]]
            url = body["next"]
    assert seen[:1] == [str(pairs[-1].family_id)]
    assert sorted(seen) == sorted(str(pair.family_id) for pair in pairs)


def test_ending_one(script: Caller) -> None:
    """Revoking another session takes effect at once, and may be repeated. The current session stays active."""
    this, other = families.start(script.user), families.start(script.user)
    for _ in range(2):
        assert script.delete(f"/api/app/auth/sessions/{other.family_id}/", **bearer(this.access)).status_code == 204
    assert script.refresh(other.refresh).json()["reason"] == "revoked"
    assert script.refresh(this.refresh).status_code == 200
    assert RefreshToken.objects.get(pk=other.family_id).revoked_reason == RevokedReason.LOGOUT


@pytest.mark.parametrize("mount", ["/api/auth/", "/api/app/auth/"])
def test_ending_the_presenting_one(user: Any, mount: str) -> None:
    """Revoking the current session is a logout: the cookie is cleared and Django's signal is sent."""
    caller = Caller(user, mount=mount)
    access = caller.log_in().json()["access"]
    family = RefreshToken.objects.get()
    with heard(user_logged_out) as calls:
        response = caller.delete(f"{mount}sessions/{family.pk}/", **bearer(access))
    assert response.status_code == 204
    assert len(calls) == 1
    assert (COOKIE in response.cookies) is (mount == "/api/auth/")
    if response.cookies:
        morsel = response.cookies[COOKIE]
        assert (morsel["max-age"], morsel["path"]) == (0, mount)
    assert caller.get(f"{mount}sessions/", **bearer(access)).json()["reason"] == "revoked"


def test_another_s_session(script: Caller) -> None:
    """Case 20: revoking another user's session is a 404, as for an unknown or invalid id. Nothing changes."""
    stranger: Any = UserFactory()
    theirs = families.start(stranger)
    access = families.start(script.user).access
    for key in (theirs.family_id, uuid4(), "x"):
        response = script.delete(f"/api/app/auth/sessions/{key}/", **bearer(access))
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert not RefreshToken.objects.exclude(revoked_at=None).exists()


def test_ending_all_but_this(jar: Caller) -> None:
    """Revoking all other sessions keeps the current session, its cookie, and other users' sessions."""
    stranger: Any = UserFactory()
    families.start(stranger)
    for _ in range(3):
        families.start(jar.user)
    access = jar.log_in().json()["access"]
    response = jar.delete("/api/auth/sessions/", **bearer(access))
    assert (response.status_code, len(response.cookies)) == (204, 0)
    assert RefreshToken.objects.active().filter(user=jar.user).count() == 1
    assert RefreshToken.objects.active().count() == 2
    assert jar.refresh().status_code == 200


@pytest.mark.parametrize("method", ["get", "delete"])
@pytest.mark.parametrize("path", ["sessions/", f"sessions/{UUID(int=7)}/"])
def test_who_is_not_signed_in(script: Caller, method: str, path: str) -> None:
    """Without a token, or with a token of a revoked family, the answer is a 401 with the reason."""
    pair = families.start(script.user)
    families.revoke(pair.family_id)
    for header, reason in ({}, "missing"), (bearer(pair.access), "revoked"):
        response = getattr(script, method)(f"/api/app/auth/{path}", **header)
        assert (response.status_code, response.json()["reason"]) == (401, reason)
        assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("name", ["Pages", "Limits", "Cursors"])
def test_a_page_of_an_odd_number(script: Caller, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any number as page, page size, limit or offset, the answer is a page or a 404.

    With a limit or a cursor, a page has at most a thousand sessions. A page size has only the project's own limit.
    """
    assert MAX_PAGE_SIZE == 1000
    monkeypatch.setattr("twotoken.views.sessions.MAX_PAGE_SIZE", 2)
    pairs = [families.start(script.user) for _ in range(3)]
    numbers = ["9" * 30, "-1", "0", "x", "9" * 5000, str(2**31), str(2**63)]
    with paginated(name):
        for parameter, number in product(["limit", "offset", "page", "page_size"], numbers):
            response = script.get(f"{script.mount}sessions/?{parameter}={number}", **bearer(pairs[0].access))
            assert response.status_code in {200, 404}
            if response.status_code == 200:
                assert len(response.json()["results"]) <= (3 if name == "Pages" else 2)


@pytest.mark.django_db(transaction=True)  # PostgreSQL aborts a transaction on an error
@pytest.mark.parametrize("position", ["9999-12-31 23:59:59-23:59", "0001-01-01 00:00:00+23:59", "9" * 30, "x", "%00"])
def test_a_cursor_of_an_odd_position(script: Caller, position: str) -> None:
    """For any position in a cursor, the answer is a page or a 404."""
    pair = families.start(script.user)
    with paginated("Cursors"):
        for cursor in (f"p={position}", f"r=1&p={position}", f"o={'9' * 30}&p={position}"):
            encoded = quote(b64encode(cursor.encode()).decode())
            response = script.get(f"{script.mount}sessions/?cursor={encoded}", **bearer(pair.access))
            assert response.status_code in {200, 404}


def test_other_sessions_in_steps_of_ten_minutes(script: Caller) -> None:
    """Other sessions show their last use in steps of ten minutes, so a thief can't watch refreshes."""
    with time_machine.travel("2026-03-01T12:41:07Z", tick=False):
        this, other = families.start(script.user), families.start(script.user)
        for moment, shown in (("12:39:59.999999", "12:30:00"), ("12:40:00", "12:40:00")):
            RefreshToken.objects.update(refreshed_at=datetime.fromisoformat(f"2026-03-01T{moment}+00:00"))
            sessions = script.get(f"{script.mount}sessions/", **bearer(this.access)).json()
            used = {session["id"]: datetime.fromisoformat(session["last_used_at"]) for session in sessions}
            assert used[str(other.family_id)] == datetime.fromisoformat(f"2026-03-01T{shown}+00:00")
            assert used[str(this.family_id)] == datetime.fromisoformat("2026-03-01T12:41:07+00:00")


def test_a_cursor_that_is_none(script: Caller) -> None:
    """An invalid cursor is a 404, like a missing page."""
    access = script.log_in().json()["access"]
    pagination = {"DEFAULT_PAGINATION_CLASS": "tests.test_sessions.Cursors"}
    with override_settings(REST_FRAMEWORK={**settings.REST_FRAMEWORK, **pagination}):
        for cursor in ("cD0x", "rubbish"):
            headers: Any = {"HTTP_AUTHORIZATION": f"Bearer {access}"}
            response = script.get(f"{script.mount}sessions/?cursor={cursor}", **headers)
            assert response.status_code in {200, 404}
        response = script.get(f"{script.mount}sessions/?cursor=cD0x", **headers)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


ASKED = [
    ("get", "sessions/", 200),
    ("delete", "sessions/", 204),
    ("delete", f"sessions/{UUID(int=7)}/", 404),
    ("post", "logout/all/", 204),
]


@pytest.mark.parametrize("mount", ["/api/auth/", "/api/app/auth/", "/api/tool/auth/"])
@pytest.mark.parametrize(("method", "path", "status"), ASKED)
def test_a_step_up_for_sessions(user: Any, mount: str, method: str, path: str, status: int) -> None:
    """With STEP_UP_SESSIONS an old login gets a challenge, nothing is revoked, and the cookie stays."""
    caller = Caller(user, mount=mount)
    with time_machine.travel(timezone.now() - timedelta(minutes=10)):
        access = caller.log_in().json()["access"]
    call = getattr(caller, method)
    with with_settings(STEP_UP_SESSIONS=timedelta(minutes=5)):
        response = call(mount + path, **bearer(access))
        assert (response.status_code, response.json()) == (
            401,
            {
                "detail": "Confirm your identity again.",
                "code": "insufficient_user_authentication",
                "max_age": 300,
            },
        )
        challenge = 'Bearer error="insufficient_user_authentication", max_age="300"'
        assert (response["WWW-Authenticate"], response["Cache-Control"]) == (challenge, "no-store")
        assert not response.cookies
        assert call(mount + path).json()["reason"] == "missing"
        assert RefreshToken.objects.get().revoked_at is None
        answer = caller.send("reauthenticate/", {"password": PASSWORD}, **bearer(access))
        assert call(mount + path, **bearer(answer.json()["access"])).status_code == status
    with with_settings(STEP_UP_SESSIONS=timedelta(minutes=15)):
        access = caller.log_in().json()["access"]
        assert call(mount + path, **bearer(access)).status_code == status


@pytest.mark.parametrize(("method", "path", "status"), ASKED)
def test_no_step_up_for_sessions(script: Caller, method: str, path: str, status: int) -> None:
    """By default the sessions can be listed and revoked after an old login. A logout never needs a step-up."""
    with time_machine.travel(timezone.now() - timedelta(minutes=10)):
        access = script.log_in().json()["access"]
    assert getattr(script, method)(script.mount + path, **bearer(access)).status_code == status
    with with_settings(STEP_UP_SESSIONS=timedelta(seconds=1)):
        assert script.send("logout/", **bearer(access)).status_code in {204, 401}
