"""With django-tenants, a tenant refuses tokens of other tenants, even if all tenants share the token families."""

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
    """GET an API route at a tenant's host."""
    return caller.get(route, HTTP_AUTHORIZATION=f"Bearer {access}")


def tables(queries: CaptureQueriesContext) -> str:
    """Return the SQL that reads users or token families. django-tenants' own query for the tenant is left out."""
    found = [query["sql"] for query in queries.captured_queries]
    return "\n".join(sql for sql in found if "auth_user" in sql or "twotoken" in sql)


def family_of(refresh: str, tenant: str) -> RefreshToken:
    """Return the token family of a refresh token, read from a tenant's schema."""
    sid = jwt.decode(refresh, options={"verify_signature": False})["sid"]
    with schema_context(tenant):
        return RefreshToken.objects.get(pk=sid)


def test_a_tenant_by_itself(ann: Caller, boss: Caller) -> None:
    """Login, refresh, API and logout work at each tenant's host, and the tokens' ``iss`` names the tenant."""
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
    """With REVOCATION_INTERVAL, each tenant's API refuses the tenant's revoked families and accepts its active ones."""
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
    """A tenant's overview, cached or not, counts only its logins, even if staff of two tenants have one primary key."""
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
    """Every authentication class refuses another tenant's access token without a query on users or families."""
    with with_settings(**{"ISSUER": None, setting: settings.TWOTOKEN["ISSUER"]}):
        access = ann.log_in().json()["access"]
        assert ask(ann, route, access).status_code == 200
        with CaptureQueriesContext(connection) as queries:
            answer = ask(boss, route, access)
    assert (answer.status_code, answer.json()["reason"]) == (401, "invalid")
    assert tables(queries) == ""


@pytest.mark.parametrize("on_reuse", ["family", "user"])
def test_another_tenant_s_refresh_token(ann: Caller, boss: Caller, on_reuse: str) -> None:
    """With another tenant's token, a refresh is a 401 and a logout revokes nothing, without a query on families."""
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
    """Without an ISSUER, B's API takes A's user 1 for B's user 1, and a refresh at B revokes A's shared family."""
    with with_settings(ISSUER=None):
        pair = ann.log_in().json()
        for route in ROUTES[:2]:
            assert ask(boss, route, pair["access"]).json()["id"] == "1"
        assert boss.refresh(pair["refresh"]).json()["reason"] == ("password_changed" if ARE_SHARED else "invalid")
        assert (family_of(pair["refresh"], "a").revoked_at is not None) == ARE_SHARED


def test_each_tenant_has_its_own_throttle(ann: Caller, boss: Caller) -> None:
    """LOGIN_THROTTLE counts per tenant: after a 429 for a user name at tenant A, tenant B still accepts the name."""
    body = {"username": "boss", "password": "a wrong guess"}
    with with_settings(LOGIN_THROTTLE="1/min"):
        assert [ann.send("login/", body).status_code for _ in range(2)] == [401, 429]
        assert boss.log_in().status_code == 200


def test_the_checks(ann: Caller) -> None:
    """W010 reports one ISSUER for all tenants, and W011 reports token families that tenants share."""

    def ids() -> set[str]:
        found = run_checks(databases=["default"])
        return {str(each.id) for each in found if str(each.id).startswith("twotoken")}

    expected = {"twotoken.W011"} if ARE_SHARED else set()
    assert ids() == expected
    with with_settings(ISSUER="https://example.com"):
        assert ids() == {"twotoken.W010", *expected}


@pytest.mark.skipif(ARE_SHARED, reason="the page says it of families that are the tenant's")
def test_purging(ann: Caller, boss: Caller) -> None:
    """The purge command in the docs deletes the old families of each tenant."""
    for caller, tenant in ((ann, "a"), (boss, "b")):
        refresh = caller.log_in().json()["refresh"]
        with schema_context(tenant):
            families.revoke(family_of(refresh, tenant).pk)
            RefreshToken.objects.update(revoked_at=timezone.now() - timedelta(days=31))
    call_command("all_tenants_command", "purge_token_families", "--no-public")
    for tenant in ("a", "b"):
        with schema_context(tenant):
            assert not RefreshToken.objects.exists()
