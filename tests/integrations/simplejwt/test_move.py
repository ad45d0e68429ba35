"""After a move from simplejwt, its clients stay logged in, and the tokens that simplejwt refused stay refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import OperationalError, connections, transaction
from django.test import override_settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.test import APIClient, APIRequestFactory

from tests.conformance.helpers import claims_of, error_reports
from tests.integrations.pages import module_of
from tests.integrations.simplejwt.conftest import LIFETIME, Move, move_settings
from tests.integrations.simplejwt.key import PASSWORD, SECRET_KEY
from tests.jar import COOKIE, cookies
from tests.overrides import with_settings
from tests.proof.servers import ALIAS
from tests.proofs import Device
from twotoken import families
from twotoken.clients import Client
from twotoken.contrib.simplejwt import blacklist, exchange
from twotoken.contrib.simplejwt.authentication import AccessTokenAuthentication
from twotoken.contrib.simplejwt.users import find_user
from twotoken.models import RefreshToken
from twotoken.permissions import RecentLogin
from twotoken.testing import time_travel

KEY = "a-key-of-some-length"
THREADS = 8
ROUTES = ("me", "stateless", "revocable")


def send(path: str, data: Any = None, **extra: Any) -> Any:
    """POST JSON to the project after its move."""
    return APIClient().post(path, data, format="json", **extra)


def refresh(token: str, key: str | None = None) -> Any:
    """Refresh as a client of simplejwt does, with an Idempotency-Key if ``key`` is given."""
    extra = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
    return send("/api/token/refresh/", {"refresh": token}, **extra)


def log_out(token: str) -> Any:
    """POST to ``blacklist/``, as a client of simplejwt does to log out."""
    return send("/api/token/blacklist/", {"refresh": token})


def reason(response: Any) -> str:
    """Assert that an answer is a 401 ``token_not_valid``, and return its ``reason``."""
    assert (response.status_code, response.json()["code"]) == (401, "token_not_valid")
    return str(response.json()["reason"])


def call(route: str, access: str) -> Any:
    """GET an API route with an access token."""
    return APIClient().get(f"/api/{route}/", HTTP_AUTHORIZATION=f"Bearer {access}")


def family(token: str) -> RefreshToken | None:
    """Return the family of a refresh token of simplejwt, or None."""
    return exchange.find(exchange.verify(token).family_id)


def at_once(call_: Any) -> list[Any]:
    """Call a function from eight threads at the same moment, and return the results."""
    start = Barrier(THREADS)

    def run(number: int) -> Any:
        start.wait(60)
        try:
            return call_(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


@pytest.fixture
def atomic() -> Iterator[None]:
    """Run every request in a transaction (ATOMIC_REQUESTS), except for views that opt out."""
    connections.settings[ALIAS]["ATOMIC_REQUESTS"] = True
    yield
    connections.settings[ALIAS]["ATOMIC_REQUESTS"] = False


def test_a_client_goes_on(move: Move) -> None:
    """simplejwt's access token works until it expires. Its refresh token is exchanged for one that can refresh."""
    pair = move.issued["ann"]
    for route in ROUTES:
        response = call(route, pair["access"])
        assert response.status_code == 200, response.json()
        assert response.json()["claims"]["user_id"] == response.json()["id"]
        with time_travel(timedelta(minutes=6)):
            assert reason(call(route, pair["access"])) == "expired"
    response = refresh(pair["refresh"])
    assert response.status_code == 200
    assert set(response.json()) == {"access", "expires_in", "refresh", "refresh_expires_in"}
    assert call("me", response.json()["access"]).status_code == 200
    assert refresh(response.json()["refresh"]).status_code == 200


def test_an_exchange_proves_no_identity(move: Move) -> None:
    """RecentLogin refuses an access token of simplejwt. Tokens from an exchange have an ``auth_time`` of 0."""
    answer = refresh(move.spare()).json()
    for access in (answer["access"], refresh(answer["refresh"]).json()["access"]):
        assert claims_of(access)["auth_time"] == 0
    request: Any = Request(APIRequestFactory().get("/", HTTP_AUTHORIZATION=f"Bearer {move.issued['gus']['access']}"))
    authenticated: Any = AccessTokenAuthentication().authenticate(request)
    request.user, request.auth = authenticated
    assert not RecentLogin().has_permission(request, None)


def test_a_client_logs_in(move: Move) -> None:
    """simplejwt's login URL takes the same request as before the move, and answers with the same fields."""
    response = send("/api/token/", {"username": "ann", "password": PASSWORD})
    assert response.status_code == 200
    assert {"access", "refresh"} <= set(response.json())
    response = send("/api/token/", {"username": "ann", "password": "wrong"})
    assert (response.status_code, response.json()["code"]) == (401, "no_active_account")
    response = send("/api/token/", {})
    assert (response.status_code, set(response.json())) == (400, {"username", "password"})
    assert send("/api/token/refresh/", {}).json() == {"refresh": ["This field is required."]}


def test_what_simplejwt_refused_stays_refused(move: Move) -> None:
    """Tokens of simplejwt are refused if they are blacklisted, rotated, expired, or of an inactive or deleted user."""
    issued = move.issued
    expected = {"dan": "user_inactive", "fay": "user_inactive", "expired": "expired"}
    if move.has_blacklist:
        expected |= {"bob": "revoked", "cid": "revoked", "eve": "password_changed"}
        assert refresh(issued["bob"]["rotated"]["refresh"]).status_code == 200
        assert reason(call("me", issued["eve"]["access"])) == "password_changed"
    assert {name: reason(refresh(issued[name]["refresh"])) for name in expected} == expected
    assert {name for name in expected if family(issued[name]["refresh"])} == set()
    for name, why in (("dan", "user_inactive"), ("fay", "user_inactive"), ("expired", "expired")):
        assert reason(call("me", issued[name]["access"])) == why


def test_a_token_that_is_none(move: Move) -> None:
    """The refresh URL refuses an invalid token and an access token. An API route refuses a refresh token."""
    pair = move.issued["gus"]
    for token in ("garbage", "a.b.c", pair["access"], pair["refresh"][:-4] + "AAAA", "x" * 9000):
        assert reason(refresh(token)) == "invalid"
    assert reason(call("me", pair["refresh"])) == "invalid"


def test_a_replay_ends_the_family(move: Move) -> None:
    """A second exchange of one token is a 401 ``reused``, and revokes the family that the first exchange started."""
    old = move.spare()
    new = refresh(old).json()["refresh"]
    assert reason(refresh(old)) == "reused"
    assert reason(refresh(new)) == "revoked"
    row = family(old)
    assert row is not None
    assert (row.revoked_reason, row.generation) == ("reuse", 1)


def test_a_late_replay_ends_the_family(move: Move) -> None:
    """If simplejwt's exchanged token is sent again after its expiry and after UNTIL, its family is revoked too."""
    old = move.spare()
    new = refresh(old).json()["refresh"]
    with time_travel(LIFETIME * 3):
        new = refresh(new).json()["refresh"]
        assert reason(refresh(old)) == "reused"
        assert reason(refresh(new)) == "revoked"


def test_a_lost_answer(move: Move) -> None:
    """An exchange repeated with its Idempotency-Key gets the same refresh token. With another key it is a reuse."""
    old = move.spare()
    first, second = refresh(old, KEY), refresh(old, KEY)
    assert first.json()["refresh"] == second.json()["refresh"]
    assert reason(refresh(old, "another-key-of-some-length")) == "reused"


def test_the_grace(move: Move) -> None:
    """Within REUSE_GRACE, a second exchange of a token gets the same refresh token. Later it is a 401 ``reused``."""
    with override_settings(TWOTOKEN={**settings.TWOTOKEN, "REUSE_GRACE": 10}):
        old = move.spare()
        assert refresh(old).json()["refresh"] == refresh(old).json()["refresh"]
        with time_travel(timedelta(seconds=11)):
            assert reason(refresh(old)) == "reused"


def test_blacklisted_by_the_exchange(move: Move) -> None:
    """If simplejwt has a blacklist, an exchange adds the token to it, so that simplejwt would refuse the token."""
    old = move.spare()
    jti = exchange.verify(old).jti
    assert not blacklist.contains(jti)
    assert refresh(old).status_code == 200
    assert blacklist.contains(jti) == move.has_blacklist
    assert blacklist.exists() == move.has_blacklist


def test_a_refusal_survives_atomic_requests(move: Move, atomic: None) -> None:
    """With ATOMIC_REQUESTS, the revocation after a reuse is committed, although the answer is a 401."""
    old = move.spare()
    new = refresh(old).json()["refresh"]
    assert reason(refresh(old)) == "reused"
    row = family(old)
    assert row is not None
    assert row.revoked_reason == "reuse"
    assert reason(refresh(new)) == "revoked"


def test_in_a_transaction(move: Move) -> None:
    """If the family of a token exists already, ``_start`` leaves the caller's transaction usable for queries."""
    old = exchange.verify(move.spare())
    with transaction.atomic(using=ALIAS):
        exchange._start(old, Client())
        exchange._start(old, Client())
        assert RefreshToken.objects.filter(pk=old.family_id).count() == 1


def test_exactly_once(move: Move) -> None:
    """If eight threads exchange one token, one family starts. At most one thread gets a 200, the others get a 401."""
    for _ in range(3):
        old = move.spare()
        answers = at_once(lambda number, old=old: refresh(old))
        assert {answer.status_code for answer in answers} <= {200, 401}
        assert sum(answer.status_code == 200 for answer in answers) <= 1
        row = family(old)
        assert row is not None
        assert (row.generation, row.revoked_reason) == (1, "reuse")
        assert RefreshToken.objects.filter(user=row.user, created_at=row.created_at).count() == 1


def test_exactly_once_with_a_key(move: Move) -> None:
    """If eight threads exchange one token with one Idempotency-Key, all get the same refresh token of one family."""
    for _ in range(3):
        old = move.spare()
        before = RefreshToken.objects.count()
        answers = at_once(lambda number, old=old: refresh(old, KEY))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["refresh"] for answer in answers}) == 1
        assert RefreshToken.objects.count() == before + 1
        assert blacklist.contains(exchange.verify(old).jti) == move.has_blacklist


def test_overtaken(move: Move) -> None:
    """If a second request with the same key exchanges the token during the first, both get the same refresh token."""
    old = move.spare()
    faster: list[Any] = []

    def overtake(execute: Any, sql: str, *rest: Any) -> Any:
        if blacklist.BlacklistedToken._meta.db_table in sql and not faster:
            faster.append(None)
            faster.append(refresh(old, KEY))
        return execute(sql, *rest)

    with connections[ALIAS].execute_wrapper(overtake):
        answer = refresh(old, KEY)
    assert answer.status_code == 200
    assert len(faster) == (2 if move.has_blacklist else 0)
    assert {one.json()["refresh"] for one in faster[1:]} <= {answer.json()["refresh"]}


def test_a_logout_races_the_exchange(move: Move) -> None:
    """If a logout and an exchange of one token run at once, the family is revoked, whichever request is first."""
    for _ in range(3):
        old = move.spare()
        answers = at_once(lambda number, old=old: log_out(old) if number % 2 else refresh(old, KEY))
        assert {answer.status_code for answer in answers} <= {200, 401}
        row = family(old)
        assert row is not None
        assert row.revoked_at is not None
        assert reason(refresh(old)) == "revoked"


def test_logout(move: Move) -> None:
    """simplejwt's logout URL revokes a token of simplejwt, exchanged or not. Even an invalid token gets a 200."""
    unused, used = move.spare(), move.spare()
    new = refresh(used).json()["refresh"]
    expired = move.issued["expired"]["refresh"]
    deleted = move.issued["fay"]["another"]["refresh"]
    for token in (unused, used, unused, new, "garbage", expired, deleted):
        response = log_out(token)
        assert (response.status_code, response.json()) == (200, {})
    assert reason(refresh(unused)) == "revoked"
    assert reason(refresh(new)) == "revoked"
    assert {getattr(family(token), "revoked_reason", None) for token in (unused, used)} == {"logout"}


def test_logout_without_a_token(move: Move) -> None:
    """A logout at simplejwt's URL without a refresh token is a 400. No logout there reads the Authorization header."""
    pair = refresh(move.spare()).json()
    for data in ({}, {"refresh_token": pair["refresh"]}, {"refresh": ""}, {"refresh": 7}):
        response = send("/api/token/blacklist/", data, HTTP_AUTHORIZATION=f"Bearer {pair['access']}")
        assert (response.status_code, set(response.json())) == (400, {"refresh"})
    assert send("/api/token/blacklist/", {}).json() == {"refresh": ["This field is required."]}
    other = refresh(move.spare()).json()
    response = send("/api/token/blacklist/", other, HTTP_AUTHORIZATION=f"Bearer {pair['access']}")
    assert (response.status_code, response.json()) == (200, {})
    assert reason(refresh(other["refresh"])) == "revoked"
    assert refresh(pair["refresh"]).status_code == 200


@pytest.mark.parametrize("kind", ["urlencoded", "multipart"])
def test_forms(move: Move, kind: str) -> None:
    """simplejwt's URLs for login, verify, refresh and logout accept forms, as ``requests.post(url, data=…)`` sends."""

    def post(path: str, **data: str) -> Any:
        client, url = APIClient(), f"/api/token/{path}"
        if kind == "multipart":
            return client.post(url, data, format="multipart")
        return client.post(url, urlencode(data), content_type="application/x-www-form-urlencoded")

    pair = post("", username="ann", password=PASSWORD).json()
    assert post("verify/", token=pair["access"]).json() == {}
    following = post("refresh/", refresh=pair["refresh"]).json()["refresh"]
    old = move.spare()
    for token in (following, old):
        response = post("blacklist/", refresh=token)
        assert (response.status_code, response.json()) == (200, {})
        assert reason(post("refresh/", refresh=token)) == "revoked"
    assert post("blacklist/", token=following).json() == {"refresh": ["This field is required."]}
    assert post("verify/").json() == {"token": ["This field is required."]}


def handled(name: str) -> override_settings:
    """Set DRF's EXCEPTION_HANDLER to a function of the module ``shaping``."""
    path = f"tests.integrations.simplejwt.shaping.{name}"
    return override_settings(REST_FRAMEWORK={**settings.REST_FRAMEWORK, "EXCEPTION_HANDLER": path})


def test_the_project_s_exception_handler(move: Move) -> None:
    """The project's EXCEPTION_HANDLER gets all errors of simplejwt's URLs, and no error of twotoken's own mounts."""
    old = move.spare()
    pair = refresh(old).json()
    with handled("shaped"):
        refused = refresh(old)
        assert (refused.status_code, set(refused.json())) == (401, {"error", "view", "kind"})
        assert refused.json()["error"]["reason"] == "reused"
        assert refused["WWW-Authenticate"].startswith('Bearer realm="api", error="invalid_token"')
        assert refused["Cache-Control"] == "no-store"
        assert (refused.json()["view"], refused.json()["kind"]) == ("TokenRefreshView", "AuthenticationFailed")
        for path, data, status, kind in (
            ("token/", {"username": "ann", "password": "wrong"}, 401, "AuthenticationFailed"),
            ("token/", {}, 400, "ValidationError"),
            ("token/refresh/", {}, 400, "ValidationError"),
            ("token/verify/", {"token": "x"}, 401, "AuthenticationFailed"),
            ("token/blacklist/", {}, 400, "ValidationError"),
            ("auth/exchange/", {"refresh": "x"}, 401, "AuthenticationFailed"),
        ):
            response = send(f"/api/{path}", data)
            assert (response.status_code, response.json().get("kind")) == (status, kind), path
        response = send("/api/token/refresh/", {"refresh": pair["refresh"]}, HTTP_IDEMPOTENCY_KEY="short")
        assert (response.status_code, response.json()["kind"]) == (400, "APIException")
        assert response.json()["error"]["code"] == "invalid_idempotency_key"
        with with_settings(LOGIN_THROTTLE="1/min"):
            send("/api/token/", {"username": "eve", "password": "wrong"})
            response = send("/api/token/", {"username": "eve", "password": "wrong"})
        assert (response.status_code, response.json()["kind"], "Retry-After" in response) == (429, "Throttled", True)
        ours = send("/api/auth/refresh/")
        assert (ours.status_code, ours.json()["reason"]) == (401, "missing")
    with handled("selective"):
        response = send("/api/token/", {})
        assert (response.status_code, response.json()) == (422, ["wrong fields"])
        assert reason(refresh(old)) == "revoked"  # this handler returns None for a 401, so the answer is twotoken's


def test_a_handler_that_makes_an_answer_of_its_own(move: Move) -> None:
    """The project's EXCEPTION_HANDLER may return a plain Django response. The exception has the codes of DRF."""
    with handled("plain"):
        for path, data, status, codes in (
            ("token/", {"username": "ann", "password": "wrong"}, 401, "no_active_account"),
            ("token/refresh/", {"refresh": "x"}, 401, "token_not_valid"),
            ("token/refresh/", {}, 400, {"refresh": ["required"]}),
        ):
            response = send(f"/api/{path}", data)
            answer = response.json()
            assert (response.status_code, set(answer), answer["detail"]) == (status, {"codes", "detail"}, "Sorry.")
            found = answer["codes"]
            assert (found["detail"] if status == 401 else found) == codes


def test_blanks_around_a_token(move: Move) -> None:
    """simplejwt's URLs accept a token with spaces or a line break around it, as simplejwt's own views do."""
    old = move.spare()
    assert send("/api/token/verify/", {"token": f"{old}\n"}).json() == {}
    new = refresh(f" {old}\n").json()["refresh"]
    assert send("/api/token/verify/", {"token": f"{new}\n"}).json() == {}
    assert log_out(f"{new}\n").json() == {}
    assert reason(refresh(new)) == "revoked"


def test_a_busy_database_and_the_project_s_handler(move: Move) -> None:
    """If the project's EXCEPTION_HANDLER shapes a 503, the answer still has Retry-After."""
    pair = refresh(move.spare()).json()

    def busy(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")
        return execute(sql, *rest)

    with handled("shaped"), connections[ALIAS].execute_wrapper(busy):
        response = refresh(pair["refresh"])
    assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert response.json()["error"]["code"] == "rotation_conflict"


def test_the_project_s_handler_undoes_nothing(move: Move, atomic: None) -> None:
    """If EXCEPTION_HANDLER calls DRF's handler, which asks for a rollback, the revocation after a reuse is kept."""
    old = move.spare()
    new = refresh(old).json()["refresh"]
    with handled("shaped"), transaction.atomic(using=ALIAS):
        assert refresh(old).json()["error"]["reason"] == "reused"
    assert reason(refresh(new)) == "revoked"


def test_logout_of_an_inactive_user(move: Move) -> None:
    """If an inactive user's token is logged out, it stays revoked when the user is active again."""
    old = move.spare()
    user: Any = find_user(exchange.verify(old).user_id)
    try:
        type(user)._default_manager.filter(pk=user.pk).update(is_active=False)
        log_out(old)
    finally:
        type(user)._default_manager.filter(pk=user.pk).update(is_active=True)
    assert reason(refresh(old)) == "revoked"


def test_verify(move: Move) -> None:
    """simplejwt's verify URL answers 200 or 401 for tokens of all kinds, and a verified token can still be used."""
    old = move.spare()

    def verify(token: object) -> Any:
        return send("/api/token/verify/", {"token": token})

    assert [verify(token).status_code for token in (old, old, move.issued["gus"]["access"])] == [200] * 3
    pair = refresh(old).json()
    assert [verify(pair[name]).json() for name in ("access", "refresh")] == [{}, {}]
    assert reason(verify(old)) == "revoked"
    following = refresh(pair["refresh"]).json()["refresh"]
    assert reason(verify(pair["refresh"])) == "revoked"
    assert verify(following).status_code == 200
    log_out(following)
    assert reason(verify(following)) == "revoked"
    assert reason(verify(move.issued["expired"]["access"])) == "expired"
    assert reason(verify(move.issued["expired"]["refresh"])) == "expired"
    assert reason(verify("garbage")) == "invalid"
    RefreshToken.objects.filter(pk=exchange.verify(old).family_id).update(secret=b"another secret!!")
    assert reason(verify(following)) == "invalid"
    assert (verify(7).status_code, send("/api/token/verify/", {}).status_code) == (400, 400)
    if move.has_blacklist:
        assert reason(verify(move.issued["cid"]["refresh"])) == "revoked"


def test_proofs_and_old_tokens(move: Move) -> None:
    """A login with a DPoP proof at simplejwt's URL binds its family to the key. An exchange binds no family."""
    old, device = move.spare(), Device()
    pair = send("/api/token/refresh/", {"refresh": old}, **device.headers("/api/token/refresh/")).json()
    assert "token_type" not in pair
    assert refresh(pair["refresh"]).status_code == 200
    with with_settings(DPOP="required"):
        response = refresh(move.spare())
        assert (response.status_code, response.json()["code"]) == (400, "invalid_dpop_proof")
    body = {"username": "ann", "password": PASSWORD}
    pair = send("/api/token/", body, **device.headers("/api/token/")).json()
    assert pair["token_type"] == "DPoP"
    assert reason(refresh(pair["refresh"])) == "wrong_device"
    assert reason(send("/api/token/verify/", {"token": pair["access"]})) == "wrong_device"
    for route in ROUTES:
        assert reason(call(route, pair["access"])) == "wrong_device"
        path = f"/api/{route}/"
        assert APIClient().get(path, **device.headers(path, "GET", pair["access"])).status_code == 200


def test_verify_asks_what_a_refresh_asks(move: Move) -> None:
    """The verify URL refuses a refresh token after a password change or its expiry, as a refresh does."""
    pair = refresh(move.spare()).json()
    found = RefreshToken.objects.get(pk=families.verify(pair["refresh"]).family_id)
    assert send("/api/token/verify/", {"token": pair["refresh"]}).json() == {}
    RefreshToken.objects.filter(pk=found.pk).update(auth_hash="another")
    assert reason(send("/api/token/verify/", {"token": pair["refresh"]})) == "password_changed"
    RefreshToken.objects.filter(pk=found.pk).update(auth_hash=found.auth_hash)
    with time_travel(timedelta(days=8)):
        assert reason(send("/api/token/verify/", {"token": pair["refresh"]})) == "expired"


def test_verify_asks_for_the_user(move: Move) -> None:
    """The verify URL refuses every kind of token of an inactive or deleted user."""
    old = move.spare()
    pair = refresh(move.spare()).json()
    model: Any = get_user_model()
    users = model._default_manager.using(ALIAS).filter(username="gus")
    tokens = (old, pair["access"], pair["refresh"], move.issued["gus"]["access"])

    def verify(token: str) -> Any:
        return send("/api/token/verify/", {"token": token})

    try:
        users.update(is_active=False)
        assert [reason(verify(token)) for token in tokens] == ["user_inactive"] * 4
    finally:
        users.update(is_active=True)
    assert [verify(token).json() for token in tokens] == [{}] * 4
    assert reason(verify(move.issued["dan"]["access"])) == "user_inactive"
    assert reason(verify(move.issued["fay"]["refresh"])) == "user_inactive"


def test_simplejwt_as_the_verifier(move: Move) -> None:
    """A service with simplejwt accepts simplejwt's access tokens, and twotoken's with the claims in the docs."""
    old, login = move.issued["gus"]["access"], {"username": "gus", "password": PASSWORD}
    without = send("/api/token/", login).json()["access"]
    claims = module_of("../how-to/from-simplejwt", '"token_type": "access"', "shown_claims").access_claims
    assert claims.__name__ == "access_claims"
    with override_settings(TWOTOKEN={**settings.TWOTOKEN, "ACCESS_CLAIMS": "shown_claims.access_claims"}):
        pair = send("/api/token/", login).json()
        refreshed = refresh(pair["refresh"]).json()
        payload = call("me", refreshed["access"]).json()["claims"]
    gus = payload["sub"]
    assert (payload["user_id"], payload["token_type"]) == (gus, "access")
    tokens = [old, pair["access"], refreshed["access"], without, pair["refresh"], move.issued["gus"]["refresh"]]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.integrations.simplejwt.verifier",
        "OLD_KEY": SECRET_KEY,
        "JWT_ACCESS_SECRET": settings.TWOTOKEN["ACCESS_SECRET"],
    }
    command = [sys.executable, "-m", "tests.integrations.simplejwt.verify"]
    done = subprocess.run(
        command, env=environment, input=json.dumps(tokens), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [gus, gus, gus, "refused", "refused", "refused"]


def test_until(move: Move) -> None:
    """After UNTIL every token of simplejwt is refused as ``expired``, whatever its ``exp`` is."""
    old = move.spare()
    with override_settings(TWOTOKEN_SIMPLEJWT={**move_settings(), "UNTIL": timezone.now()}):
        assert reason(refresh(old)) == "expired"
        assert reason(call("me", move.issued["gus"]["access"])) == "expired"
    assert refresh(old).status_code == 200


def test_until_after_a_crash(move: Move) -> None:
    """If a crash interrupts an exchange, the token can be exchanged again until UNTIL and until its ``exp``."""
    old = move.spare()
    exchange.claims_of(old, Client())
    with override_settings(TWOTOKEN_SIMPLEJWT={**move_settings(), "UNTIL": timezone.now()}):
        assert reason(refresh(old)) == "expired"
    with time_travel(LIFETIME):
        assert reason(refresh(old)) == "expired"
    assert refresh(old).status_code == 200


def test_a_purged_family(move: Move) -> None:
    """A token of simplejwt older than RETENTION is ``expired``: its family may have existed and been purged."""
    old = move.spare()
    log_out(old)
    blacklist_row = blacklist.BlacklistedToken._default_manager.using(ALIAS)
    with override_settings(TWOTOKEN={**settings.TWOTOKEN, "RETENTION": timedelta(hours=1)}):
        with time_travel(timedelta(minutes=59)):
            families.purge()
            assert family(old) is not None
        with time_travel(timedelta(minutes=61)):
            families.purge()
            assert family(old) is None
            if move.has_blacklist:
                blacklist_row.filter(token__jti=exchange.verify(old).jti).delete()
            assert reason(refresh(old)) == "expired"
            assert family(old) is None


def test_how_long_the_family_lives(move: Move) -> None:
    """The family of an exchange lives FAMILY_LIFETIME from the token's ``iat``, and at least until its ``exp``."""
    for lifetime, expected in ((timedelta(days=30), timedelta(days=30)), (timedelta(hours=1), LIFETIME), (None, None)):
        token = move.spare()
        old = exchange.verify(token)
        with override_settings(TWOTOKEN={**settings.TWOTOKEN, "FAMILY_LIFETIME": lifetime}), time_travel(LIFETIME / 2):
            assert refresh(token).status_code == 200
        row = family(token)
        assert row is not None
        if expected is None:
            assert row.expires_at is None
        else:
            assert row.expires_at is not None
            assert abs(row.expires_at.timestamp() - old.issued_at - expected.total_seconds()) < 1


def test_to_the_cookie(move: Move) -> None:
    """An ExchangeView takes simplejwt's token in the body and sets the refresh cookie, which can refresh."""
    client = APIClient(HTTP_SEC_FETCH_SITE="same-origin")
    old = move.spare()
    key = {"Idempotency-Key": KEY}
    for _ in range(2):  # the second time as if the first answer was lost
        response = client.post("/api/auth/exchange/", {"refresh": old}, format="json", headers=key)
        assert (response.status_code, set(response.json())) == (200, {"access", "expires_in"})
    cookie = response.cookies[COOKIE]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/api/auth/", True, "Strict")
    row = family(old)
    assert row is not None
    assert not row.is_browser  # the client of an exchange has not proven a password
    with time_travel(timedelta(seconds=21)):
        assert client.post("/api/auth/refresh/").status_code == 200
        assert reason(client.post("/api/auth/exchange/", {"refresh": old}, format="json")) == "reused"


def test_from_cookie_to_cookie(move: Move) -> None:
    """An ExchangeView reads simplejwt's token from the cookie ``old_cookie``, and replaces it by the refresh cookie."""
    client = APIClient(HTTP_SEC_FETCH_SITE="same-origin")
    old = move.spare()
    client.cookies["old"] = old
    response = client.post("/api/auth/exchange/cookie/", HTTP_SEC_FETCH_SITE="cross-site")
    assert (response.status_code, bool(response.cookies)) == (403, False)
    assert client.post("/api/auth/exchange/", {}, format="json").status_code == 400
    assert client.post("/api/app/exchange/", {}, format="json").status_code == 400
    response = client.post("/api/auth/exchange/cookie/")
    assert response.status_code == 200
    assert response.cookies[COOKIE].value
    assert (response.cookies["old"].value, response.cookies["old"]["path"]) == ("", "/")
    assert client.post("/api/auth/refresh/").status_code == 200
    client.cookies["old"] = "garbage"
    response = client.post("/api/auth/exchange/cookie/")
    assert reason(response) == "invalid"
    assert set(response.cookies) == {"old"}
    response = client.post("/api/auth/exchange/cookie/", HTTP_IDEMPOTENCY_KEY="short")
    assert (response.status_code, bool(response.cookies)) == (400, False)


def test_two_old_cookies(move: Move) -> None:
    """An exchange with two cookies of the name ``old_cookie`` is refused: another subdomain may have added one."""
    first, second = move.spare(), move.spare()
    client = APIClient(HTTP_SEC_FETCH_SITE="same-origin", HTTP_COOKIE=f"old={first}; old={second}")
    response = client.post("/api/auth/exchange/cookie/")
    assert (reason(response), bool(response.cookies)) == ("invalid", False)
    assert (family(first), family(second)) == (None, None)


def test_an_error_report_of_the_old_cookie(move: Move) -> None:
    """Django's error reports don't show a token of simplejwt in a cookie, although the cookie's name is only "old"."""
    client = APIClient(HTTP_SEC_FETCH_SITE="same-origin", raise_request_exception=False)
    client.cookies["old"] = old = move.spare()
    broken = override_settings(TWOTOKEN={**settings.TWOTOKEN, "ACCESS_CLAIMS": "tests.claims.broken"})
    with broken, error_reports() as reports:
        assert client.post("/api/auth/exchange/cookie/").status_code == 500
    assert ["no claims today" in report for report in reports] == [True, True]
    assert not any(old in report for report in reports)


def test_the_exchange_by_body(move: Move) -> None:
    """With the delivery ``body``, the exchange returns the new tokens in the body."""
    response = send("/api/app/exchange/", {"refresh": move.spare()})
    assert (response.status_code, "refresh" in response.json(), bool(response.cookies)) == (200, True, False)


@pytest.mark.parametrize("use_tz", [True, False])
def test_not_on_record(move: Move, use_tz: bool) -> None:
    """A token without a row in simplejwt's table of outstanding tokens can be exchanged, and is then blacklisted."""
    token = move.spare()
    jti = exchange.verify(token).jti
    if move.has_blacklist:
        blacklist.OutstandingToken._default_manager.using(ALIAS).filter(jti=jti).delete()
    with override_settings(USE_TZ=use_tz):
        # The threads use connections of their own: an existing connection has cached values for the other USE_TZ.
        answers = at_once(lambda number: refresh(token, KEY))
    assert {answer.status_code for answer in answers} == {200}
    assert blacklist.contains(jti) == move.has_blacklist


def test_to_the_cookie_from_elsewhere(move: Move) -> None:
    """An exchange by a cross-site page is a 403 and starts no family, so the page can't log a visitor in."""
    old = move.spare()
    response = send("/api/auth/exchange/", {"refresh": old}, HTTP_SEC_FETCH_SITE="cross-site")
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    assert family(old) is None


def test_to_the_cookie_from_another_session(move: Move) -> None:
    """An exchange revokes the family of the refresh cookie that it replaces. A refused exchange changes no cookie."""
    client = APIClient()
    client.post("/api/auth/login/", {"username": "ann", "password": PASSWORD}, format="json")
    before = client.cookies[COOKIE].value
    response = client.post("/api/auth/exchange/", {"refresh": before}, format="json")
    assert reason(response) == "invalid"  # the exchange refuses a refresh token of twotoken
    assert not response.cookies
    assert client.post("/api/auth/exchange/", {}, format="json").status_code == 400
    client.post("/api/auth/exchange/", {"refresh": move.spare()}, format="json")
    assert reason(send("/api/auth/refresh/", HTTP_COOKIE=cookies(before))) == "revoked"
    client.cookies[COOKIE] = "garbage"
    assert client.post("/api/auth/exchange/", {"refresh": move.spare()}, format="json").status_code == 200
