"""django-tenants: other tenants refuse one tenant's token, whether each has its own families or all share them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_tenants.utils import schema_context

from tests.factories import UserFactory
from tests.http import Caller
from tests.integrations.tenants.conftest import ARE_SHARED
from tests.overrides import with_settings
from twotoken import families
from twotoken.models import RefreshToken
from twotoken.testing import poll_revocations

ROUTES = ["/api/me/", "/api/stateless/", "/api/revocable/"]


def ask(caller: Caller, route: str, access: str) -> Any:
    """Ask a tenant's API."""
    return caller.get(route, HTTP_AUTHORIZATION=f"Bearer {access}")


def tables(queries: CaptureQueriesContext) -> str:
    """Return only the statements on users and families, without django-tenants' own query for the host's tenant."""
    found = [query["sql"] for query in queries.captured_queries]
    return "\n".join(sql for sql in found if "auth_user" in sql or "twotoken" in sql)


def family_of(refresh: str, tenant: str) -> RefreshToken:
    """Return the family of a refresh token, read in a tenant's schema."""
    sid = jwt.decode(refresh, options={"verify_signature": False})["sid"]
    with schema_context(tenant):
        return RefreshToken.objects.get(pk=sid)


def test_a_tenant_by_itself(ann: Caller, boss: Caller) -> None:
    """Login, refresh, the API and logout work at each tenant's host, and the issuer names the tenant."""
    for caller, tenant in ((ann, "a"), (boss, "b")):
        pair = caller.log_in().json()
        pair = caller.refresh(pair["refresh"]).json()
        for token in (pair["access"], pair["refresh"]):
            claims = jwt.decode(token, options={"verify_signature": False})
            assert claims["iss"] == f"https://example.com/tenants/{tenant}"
        for route in ROUTES:
            assert ask(caller, route, pair["access"]).json()["id"] == "1"
        assert caller.send("logout/", {"refresh": pair["refresh"]}).status_code == 204
        assert caller.refresh(pair["refresh"]).json()["reason"] == "revoked"


def test_revoked_families_of_a_tenant(ann: Caller, boss: Caller) -> None:
    """Each tenant has its own list of revoked families, read by a request at its host."""
    poll_revocations()
    with with_settings(REVOCATION_INTERVAL=timedelta(hours=1)):
        for caller in (ann, boss):
            pair, other = caller.log_in().json(), caller.log_in().json()
            assert caller.send("logout/", {"refresh": pair["refresh"]}).status_code == 204
            answer = ask(caller, "/api/stateless/", pair["access"])
            assert (answer.status_code, answer.json()["reason"]) == (401, "revoked")
            assert ask(caller, "/api/stateless/", other["access"]).status_code == 200


@pytest.mark.skipif(ARE_SHARED, reason="the admin of shared families shows those of all tenants")
@pytest.mark.parametrize("issuer", [settings.TWOTOKEN["ISSUER"], None], ids=["issuer", "no issuer"])
def test_the_overview_of_a_tenant(boss: Caller, issuer: Any) -> None:
    """Staff with the same key at two tenants get numbers of their own tenant, also from the cache."""
    with schema_context("a"):
        UserFactory(pk=1, username="ann", is_superuser=True, is_staff=True)
    with with_settings(ISSUER=issuer):
        boss.log_in()
        for tenant, logins in (("a", "0"), ("b", "1")) * 2:
            browser = Client(SERVER_NAME=f"{tenant}.localhost")
            with schema_context(tenant):
                browser.force_login(get_user_model().objects.get(pk=1))
            shown: Any = browser.get("/admin/twotoken/refreshtoken/overview/").context
            assert shown["cards"][1].number.text == logins


@pytest.mark.parametrize("setting", ["ISSUER", "AUDIENCE"])
@pytest.mark.parametrize("route", ROUTES)
def test_another_tenant_s_access_token(ann: Caller, boss: Caller, route: str, setting: str) -> None:
    """All classes refuse another tenant's access token before any query of ours, even if the user ids are equal."""
    with with_settings(**{"ISSUER": None, setting: settings.TWOTOKEN["ISSUER"]}):
        access = ann.log_in().json()["access"]
        assert ask(ann, route, access).status_code == 200
        with CaptureQueriesContext(connection) as queries:
            answer = ask(boss, route, access)
    assert (answer.status_code, answer.json()["reason"]) == (401, "invalid")
    assert tables(queries) == ""


@pytest.mark.parametrize("on_reuse", ["family", "user"])
def test_another_tenant_s_refresh_token(ann: Caller, boss: Caller, on_reuse: str) -> None:
    """A refresh with another tenant's token is a 401 before any query of ours. A logout there revokes nothing."""
    with with_settings(REVOKE_ON_REUSE=on_reuse):
        first = ann.log_in().json()["refresh"]
        current = ann.refresh(first).json()["refresh"]
        of_the_boss = boss.log_in().json()["refresh"]
        with CaptureQueriesContext(connection) as queries:
            for token in (first, current):
                answer = boss.refresh(token)
                assert (answer.status_code, answer.json()["reason"]) == (401, "invalid")
                assert boss.send("logout/", {"refresh": token}).status_code == 204
        assert tables(queries) == ""
        assert family_of(current, "a").revoked_at is family_of(of_the_boss, "b").revoked_at is None
        assert ann.refresh(current).status_code == boss.refresh(of_the_boss).status_code == 200


def test_what_the_issuer_is_for(ann: Caller, boss: Caller) -> None:
    """Without an issuer for each tenant, user 1 of A counts as user 1 of B, and B can revoke A's families."""
    with with_settings(ISSUER=None):
        pair = ann.log_in().json()
        for route in ROUTES[:2]:
            assert ask(boss, route, pair["access"]).json()["id"] == "1"
        assert boss.refresh(pair["refresh"]).json()["reason"] == ("password_changed" if ARE_SHARED else "invalid")
        assert (family_of(pair["refresh"], "a").revoked_at is not None) == ARE_SHARED


def test_each_tenant_has_its_own_throttle(ann: Caller, boss: Caller) -> None:
    """If a name is guessed at one tenant, it can still log in at another, although both share a cache."""
    body = {"username": "boss", "password": "a wrong guess"}
    with with_settings(LOGIN_THROTTLE="1/min"):
        assert [ann.send("login/", body).status_code for _ in range(2)] == [401, 429]
        assert boss.log_in().status_code == 200


def test_the_checks(ann: Caller) -> None:
    """The checks report a project without an issuer per tenant, and one with shared families."""

    def ids() -> set[str]:
        found = run_checks(databases=["default"])
        return {str(each.id) for each in found if str(each.id).startswith("twotoken")}

    expected = {"twotoken.W011"} if ARE_SHARED else set()
    assert ids() == expected
    with with_settings(ISSUER="https://example.com"):
        assert ids() == {"twotoken.W010", *expected}


@pytest.mark.skipif(ARE_SHARED, reason="the page says it of families that are the tenant's")
def test_purging(ann: Caller, boss: Caller) -> None:
    """The docs' command purges in each schema."""
    for caller, tenant in ((ann, "a"), (boss, "b")):
        refresh = caller.log_in().json()["refresh"]
        with schema_context(tenant):
            families.revoke(family_of(refresh, tenant).pk)
            RefreshToken.objects.update(revoked_at=timezone.now() - timedelta(days=31))
    call_command("all_tenants_command", "purge_token_families", "--no-public")
    for tenant in ("a", "b"):
        with schema_context(tenant):
            assert not RefreshToken.objects.exists()
