"""DPoP over HTTP: what a login binds, what a bound family and access token require, and what a thief gets."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.cache.backends.locmem import LocMemCache
from django.test import override_settings
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory

from tests.conformance.helpers import again, in_threads
from tests.factories import PASSWORD
from tests.http import Caller
from tests.overrides import with_settings
from tests.proofs import EC_KEY, ED_KEY, OTHER_KEY, Device
from tests.settings import TWOTOKEN
from twotoken import families
from twotoken.authentication import RevocableAccessTokenAuthentication
from twotoken.exceptions import InvalidProof, MissingProof, NonceRequired, ProofReplayed
from twotoken.models import RefreshToken
from twotoken.proofs import current_nonce, proven_key
from twotoken.testing import time_travel
from twotoken.views import TokenView

OWNER, THIEF = Device(EC_KEY), Device(OTHER_KEY)
ROUTES = ["me", "stateless", "revocable"]
DPOP = 'DPoP algs="ES256 EdDSA Ed25519"'
BEARER = 'Bearer realm="api"'
OTHER_SECRET = "another refresh secret for the tests, long enough for all"
factory = APIRequestFactory()


def log_in(caller: Caller, device: Device | None = OWNER) -> Any:
    """Log in with the proof of a device, or without a proof if the device is None."""
    return caller.log_in(**({} if device is None else device.headers(f"{caller.mount}login/")))


def refresh(caller: Caller, token: str | None, device: Device | None = OWNER, **extra: Any) -> Any:
    """Refresh with the proof of a device, or without a proof if the device is None."""
    proof = {} if device is None else device.headers(f"{caller.mount}refresh/")
    return caller.refresh(token, **{**proof, **extra})


def ask(route: str, access: str, device: Device = OWNER, **extra: Any) -> Any:
    """Call an API route with a bound access token and a proof."""
    path = f"/api/{route}/"
    return APIClient().get(path, **{**device.headers(path, "GET", access), **extra})


def assert_proof_refused(response: Any, detail: str, code: str = "invalid_dpop_proof") -> None:
    """Check that the answer is a 400 with this detail and code, without a challenge and without a cookie."""
    assert (response.status_code, response.json()) == (400, {"detail": detail, "code": code})
    assert "WWW-Authenticate" not in response
    assert not response.cookies


def assert_route_refused(response: Any, error: str, code: str) -> None:
    """Check that an API route refused a request with the scheme DPoP: the answer is a 401 with this code."""
    assert (response.status_code, response.json()["code"]) == (401, code)
    assert response["WWW-Authenticate"].startswith(f'{DPOP}, error="{error}", error_description="')


# Login


@pytest.mark.parametrize("kind", ["script", "browser", "jar"])
@pytest.mark.parametrize("key", [EC_KEY, ED_KEY], ids=["ES256", "EdDSA"])
def test_a_login_with_a_proof_binds(kind: str, key: Any, request: pytest.FixtureRequest) -> None:
    """A login with a proof binds the family to the proof's key. Each access token has the key's thumbprint."""
    caller, device = request.getfixturevalue(kind), Device(key)
    response = log_in(caller, device)
    assert (response.status_code, response.json()["token_type"]) == (200, "DPoP")
    assert RefreshToken.objects.get().device_key == device.device_key
    response = refresh(caller, response.json().get("refresh"), device)
    assert (response.status_code, response.json()["token_type"]) == (200, "DPoP")
    claims = ask("me", response.json()["access"], device).json()["claims"]
    assert claims["cnf"] == {"jkt": device.thumbprint}


def test_a_login_without_a_proof_is_as_ever(script: Caller) -> None:
    """A login without a proof binds nothing, and a proof at a later refresh changes nothing."""
    body = log_in(script, None).json()
    assert set(body) == {"access", "expires_in", "refresh", "refresh_expires_in"}
    body = refresh(script, body["refresh"]).json()
    assert set(body) == {"access", "expires_in", "refresh", "refresh_expires_in"}
    assert RefreshToken.objects.get().device_key == ""
    response = APIClient().get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {body['access']}", HTTP_DPOP="not read")
    assert "cnf" not in response.json()["claims"]


@pytest.mark.parametrize(
    ("detail", "proof"),
    [
        ("The DPoP proof is not valid.", lambda path: ""),
        ("The DPoP proof is not valid.", lambda path: f"{OWNER.proof(path)}, {OWNER.proof(path)}"),
        ("The DPoP proof is for another method or address.", lambda path: OWNER.proof(path, "GET")),
        ("The DPoP proof is for another method or address.", lambda path: OWNER.proof("/api/auth/refresh/")),
        (
            "The DPoP proof is for another method or address.",
            lambda path: Device(host="https://testserver").proof(path),
        ),
    ],
)
def test_a_bad_proof_at_a_login(browser: Caller, detail: str, proof: Any) -> None:
    """A bad proof at a login is a 400 before the password is tried and before the throttle counts. No family starts."""
    with with_settings(LOGIN_THROTTLE="1/day"):
        for _ in range(2):
            assert_proof_refused(browser.log_in(HTTP_DPOP=proof(f"{browser.mount}login/")), detail)
        assert not RefreshToken.objects.exists()
        assert log_in(browser).status_code == 200


@pytest.mark.parametrize("minutes", [10, -10])
def test_a_clock_that_is_ten_minutes_off(script: Caller, minutes: int) -> None:
    """If the client's clock is ten minutes off, the refusal of its proof says so."""
    with time_travel(timedelta(minutes=minutes)):
        headers = OWNER.headers(f"{script.mount}login/")
    detail = "The time of the DPoP proof is more than a minute from the server's time."
    assert_proof_refused(script.log_in(**headers), detail)


def test_a_proof_is_good_once(script: Caller) -> None:
    """A proof can't be used again, even if its first request failed because of a wrong password."""
    headers = OWNER.headers(f"{script.mount}login/")
    wrong = {script.user.USERNAME_FIELD: script.user.get_username(), "password": "wrong"}
    assert script.send("login/", wrong, **headers).json()["code"] == "no_active_account"
    assert_proof_refused(script.log_in(**headers), "The DPoP proof was used before.")


@with_settings(DPOP="required")
def test_proofs_are_required(script: Caller, user: Any) -> None:
    """With DPOP ``"required"`` no family starts without a proof. An existing unbound family stays active."""
    assert_proof_refused(log_in(script, None), "A DPoP proof is required.")
    with pytest.raises(MissingProof):
        families.start(user)
    with pytest.raises(MissingProof):
        proven_key(factory.post("/"))
    with with_settings(DPOP="optional"):
        old = log_in(script, None).json()["refresh"]
    assert refresh(script, old, None).status_code == 200
    assert log_in(script).json()["token_type"] == "DPoP"
    assert APIClient().get("/api/me/")["WWW-Authenticate"] == f"{BEARER}, {DPOP}"


def test_a_login_view_of_the_project(user: Any) -> None:
    """A project's login view passes the proven key to ``families.start``."""
    request = factory.post("/sso/done/", HTTP_DPOP=OWNER.proof("/sso/done/"))
    pair = families.start(user, device_key=proven_key(request))
    assert (pair.token_type, RefreshToken.objects.get().device_key) == ("DPoP", OWNER.device_key)
    assert proven_key(request) == OWNER.device_key, "within its own request a proof stays good"
    with pytest.raises(ProofReplayed):
        proven_key(factory.post("/sso/done/", HTTP_DPOP=request.META["HTTP_DPOP"]))
    assert proven_key(factory.post("/sso/done/")) == ""


@pytest.mark.parametrize(
    "htu",
    ["https://api.example.com/api/app/auth/login/", "https://API.example.com:443/api/app/auth/./login/?next=1#top"],
)
@override_settings(
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    USE_X_FORWARDED_HOST=True,
    ALLOWED_HOSTS=["api.example.com", "testserver"],
)
def test_behind_a_proxy(script: Caller, htu: str, caplog: pytest.LogCaptureFixture) -> None:
    """The ``htu`` of a proof must be the URL that Django sees. If it differs, the log shows both URLs."""
    device = Device(host=htu)
    proxied = {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_HOST": "api.example.com"}
    assert script.log_in(HTTP_DPOP=device.proof(""), **proxied).json()["token_type"] == "DPoP"
    with caplog.at_level(logging.INFO, "twotoken"), override_settings(SECURE_PROXY_SSL_HEADER=None):
        assert script.log_in(HTTP_DPOP=device.proof(""), **proxied).status_code == 400
    shown = (
        f"its htu is {htu.partition('?')[0]!r}, and the request is POST 'http://api.example.com/api/app/auth/login/'"
    )
    assert shown in caplog.text


# Refresh


@pytest.mark.parametrize("kind", ["script", "browser"])
def test_a_copied_token_is_worth_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    """A refresh with a copied token but without the device's key is a 401. The owner's cookie and session stay."""
    caller = request.getfixturevalue(kind)
    token = log_in(caller).json().get("refresh") or caller.cookie
    for device in (None, THIEF):
        response = refresh(again(caller), token, device)
        assert (response.status_code, response.json()["reason"]) == (401, "wrong_device")
        assert response["WWW-Authenticate"].startswith(f'{BEARER}, error="invalid_token"')
        assert response["WWW-Authenticate"].endswith(f", {DPOP}")
        assert not response.cookies
    assert refresh(caller, token).status_code == 200


def test_a_lost_answer(script: Caller) -> None:
    """With a proof, the previous token gets the current one again, even hours later. An older token is reuse."""
    first = log_in(script).json()["refresh"]
    second = refresh(script, first).json()["refresh"]
    with time_travel(timedelta(hours=5)):
        assert refresh(script, first).json()["refresh"] == second
        third = refresh(script, second).json()["refresh"]
        assert refresh(script, first).json()["reason"] == "reused"
        assert refresh(script, third).json()["reason"] == "revoked"


def test_a_bad_proof_at_a_refresh(script: Caller) -> None:
    """At a refresh, a bad proof is a 400, and nothing rotates. A copied request is refused: its proof is used up."""
    token = log_in(script).json()["refresh"]
    detail = "The DPoP proof is for another method or address."
    assert_proof_refused(script.refresh(token, HTTP_DPOP=OWNER.proof("/api/app/auth/login/")), detail)
    headers = OWNER.headers(f"{script.mount}refresh/")
    assert script.refresh(token, **headers).status_code == 200
    assert_proof_refused(script.refresh(token, **headers), "The DPoP proof was used before.")
    assert RefreshToken.objects.get().generation == 1


@with_settings(REFRESH_THROTTLE="2/day")
def test_a_thief_can_t_use_up_the_owner_s_share(script: Caller) -> None:
    """Refreshes with a proof by the family's key are counted apart from others. A repeated proof is not counted."""
    token = log_in(script).json()["refresh"]
    assert [refresh(script, token, device).status_code for device in (None, THIEF, THIEF)] == [401, 401, 429]
    headers = OWNER.headers(f"{script.mount}refresh/")
    token = script.refresh(token, **headers).json()["refresh"]
    for _ in range(3):
        assert_proof_refused(script.refresh(token, **headers), "The DPoP proof was used before.")
    assert [refresh(script, token).status_code for _ in range(2)] == [200, 429]


@with_settings(REFRESH_THROTTLE="2/day")
def test_a_key_for_each_request(script: Caller) -> None:
    """All refreshes of an unbound family share one count, whatever keys their proofs are made with."""
    token = script.log_in().json()["refresh"]
    for device in (OWNER, THIEF):
        token = refresh(script, token, device).json()["refresh"]
    assert refresh(script, token, Device()).status_code == 429


@pytest.mark.django_db(transaction=True)
def test_requests_at_once(script: Caller) -> None:
    """Eight refreshes at once with different proofs make one rotation. Of eight with the same proof, one works."""
    token = log_in(script).json()["refresh"]
    callers = [again(script) for _ in range(8)]
    answers = in_threads(8, lambda number: refresh(callers[number], token))
    assert [answer.status_code for answer in answers] == [200] * 8
    (token,) = {answer.json()["refresh"] for answer in answers}
    headers = OWNER.headers(f"{script.mount}refresh/")
    answers = in_threads(8, lambda number: callers[number].refresh(token, **headers))
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 7]
    assert RefreshToken.objects.get().generation == 2


# Access tokens


@pytest.fixture
def access(script: Caller) -> str:
    """A bound access token of the owner."""
    return str(log_in(script).json()["access"])


@pytest.mark.parametrize("route", ROUTES)
def test_a_bound_access_token(access: str, route: str) -> None:
    """A bound access token needs the scheme DPoP and a new proof by its key for each request."""
    path = f"/api/{route}/"
    headers = OWNER.headers(path, "GET", access)
    assert APIClient().get(path, **headers).json()["claims"]["cnf"] == {"jkt": OWNER.thumbprint}
    assert_route_refused(APIClient().get(path, **headers), "invalid_dpop_proof", "invalid_dpop_proof")
    assert ask(route, access, THIEF).json()["reason"] == "wrong_device"
    assert_route_refused(ask(route, access, THIEF), "invalid_token", "token_not_valid")
    for proof in ("x", OWNER.proof(path, "GET", "a.b.c"), OWNER.proof(path, "GET"), OWNER.proof(path, "POST", access)):
        assert_route_refused(ask(route, access, HTTP_DPOP=proof), "invalid_dpop_proof", "invalid_dpop_proof")
    response = APIClient().get(path, HTTP_AUTHORIZATION=f"DPoP {access}")
    assert_route_refused(response, "invalid_dpop_proof", "invalid_dpop_proof")
    assert response.json()["detail"] == "A DPoP proof is required."


def test_a_middleware_that_authenticates_too(access: str) -> None:
    """A proof is good for one request, however often that request is authenticated."""
    request = factory.get("/api/me/", **OWNER.headers("/api/me/", "GET", access))
    for _ in range(2):
        assert RevocableAccessTokenAuthentication().authenticate(Request(request)) is not None
    again = factory.get("/api/me/", HTTP_AUTHORIZATION=f"DPoP {access}", HTTP_DPOP=request.META["HTTP_DPOP"])
    with pytest.raises(AuthenticationFailed):
        RevocableAccessTokenAuthentication().authenticate(Request(again))


@pytest.mark.parametrize("route", ROUTES)
def test_the_schemes_can_t_be_swapped(script: Caller, access: str, route: str) -> None:
    """A bound token is refused as Bearer, and an unbound one is refused as DPoP (RFC 9449 section 7.2)."""
    response = ask(route, access, HTTP_AUTHORIZATION=f"Bearer {access}")
    assert (response.status_code, response.json()["reason"]) == (401, "wrong_device")
    assert response["WWW-Authenticate"].startswith(f'{BEARER}, error="invalid_token"')
    assert response["WWW-Authenticate"].endswith(f", {DPOP}")
    response = ask(route, log_in(script, None).json()["access"])
    assert response.json()["reason"] == "invalid"
    assert_route_refused(response, "invalid_token", "token_not_valid")
    assert_route_refused(ask(route, f"{access} x"), "invalid_token", "token_not_valid")
    assert APIClient().get(f"/api/{route}/", HTTP_DPOP="x")["WWW-Authenticate"] == f"{BEARER}, {DPOP}"


def test_a_confirmation_by_other_means(user: Any) -> None:
    """A token with an unknown ``cnf``, such as a certificate's (RFC 8705), counts as bound, and no proof fits it."""
    pair = families.start(user)
    claims = RevocableAccessTokenAuthentication().verify(pair.access)
    for confirmation in ({"x5t#S256": "x"}, {"jkt": 5}, {"jkt": "é"}, "jkt", None):
        bound = type(claims)({**claims, "cnf": confirmation})
        assert bound.thumbprint == ""
        assert bound.is_bound


@with_settings(DPOP_ACCESS=False)
def test_only_the_refresh_token_is_bound(script: Caller) -> None:
    """With DPOP_ACCESS off, access tokens are Bearer tokens. A copied refresh token is refused."""
    body = log_in(script).json()
    assert body["token_type"] == "Bearer"
    response = APIClient().get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {body['access']}")
    assert "cnf" not in response.json()["claims"]
    assert refresh(script, body["refresh"], None).json()["reason"] == "wrong_device"
    assert refresh(script, body["refresh"]).json()["token_type"] == "Bearer"


def test_families_that_are_bound_when_proofs_are_switched_off(script: Caller) -> None:
    """With DPOP ``"off"``, tokens of bound families are refused, not accepted as unbound. Logins bind nothing."""
    body = log_in(script).json()
    with with_settings(DPOP="off"):
        assert refresh(script, body["refresh"]).json()["reason"] == "wrong_device"
        response = APIClient().get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {body['access']}")
        assert (response.status_code, response.json()["reason"]) == (401, "wrong_device")
        assert DPOP not in response["WWW-Authenticate"]
        response = ask("me", body["access"])
        assert (response.status_code, response["WWW-Authenticate"]) == (401, BEARER)
        assert "token_type" not in script.log_in(HTTP_DPOP="not read").json()
    assert refresh(script, body["refresh"]).status_code == 200


# Nonces


@with_settings(DPOP_NONCE=True)
def test_nonces(script: Caller) -> None:
    """A proof without a fresh nonce is refused: 400 at endpoints, 401 at API routes. Each answer has a fresh nonce."""
    device = Device()
    detail = "The DPoP proof needs the nonce of this answer."
    response = log_in(script, device)
    assert_proof_refused(response, detail, "use_dpop_nonce")
    device.nonce = response["DPoP-Nonce"]
    response = log_in(script, device)
    assert (response.status_code, response["DPoP-Nonce"]) == (200, device.nonce)
    access = response.json()["access"]
    assert ask("me", access, device)["DPoP-Nonce"] == device.nonce
    with time_travel(timedelta(minutes=4)):
        response = ask("me", access, device)
        assert_route_refused(response, "use_dpop_nonce", "use_dpop_nonce")
        device.nonce = response["DPoP-Nonce"]
        response = ask("me", access, device)
        assert (response.status_code, response["DPoP-Nonce"]) == (200, device.nonce)
    assert "DPoP-Nonce" not in APIClient().get("/api/me/")


@with_settings(DPOP_NONCE=True, DPOP_ACCESS=False, LOGIN_THROTTLE="2/min")
def test_a_step_up_without_the_nonce(script: Caller) -> None:
    """A step-up without the nonce is refused before the throttle counts it, so the client can send it again."""
    device = Device()
    device.nonce = current_nonce()
    access = log_in(script, device).json()["access"]
    path, password = f"{script.mount}reauthenticate/", {"password": PASSWORD}
    for nonce, status in ((None, 400), (current_nonce(), 200)):
        device.nonce = nonce
        proof = {**device.headers(path), "HTTP_AUTHORIZATION": f"Bearer {access}"}
        assert script.send("reauthenticate/", password, **proof).status_code == status


def test_nonces_across_a_restart_with_another_secret(script: Caller) -> None:
    """A nonce is accepted while its secret is in REFRESH_SECRET. Afterwards the client has to repeat one request."""
    device, old = Device(), TWOTOKEN["REFRESH_SECRET"]
    with with_settings(DPOP_NONCE=True):
        device.nonce = log_in(script, device)["DPoP-Nonce"]
    with with_settings(DPOP_NONCE=True, REFRESH_SECRET=[OTHER_SECRET, old]):
        assert log_in(script, device).status_code == 200
    with with_settings(DPOP_NONCE=True, REFRESH_SECRET=OTHER_SECRET):
        response = log_in(script, device)
        assert response.json()["code"] == "use_dpop_nonce"
        device.nonce = response["DPoP-Nonce"]
        assert log_in(script, device).status_code == 200


@override_settings(TWOTOKEN={"DPOP_NONCE": True})
def test_nonces_of_a_service_without_a_refresh_secret() -> None:
    """Without a refresh secret, nonces are made from SECRET_KEY. Those of SECRET_KEY_FALLBACKS are accepted too."""
    device = Device()
    device.nonce = current_nonce()
    assert proven_key(factory.post("/", HTTP_DPOP=device.proof("/"))) == device.device_key
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert proven_key(factory.post("/", HTTP_DPOP=device.proof("/"))) == device.device_key
    with override_settings(SECRET_KEY="another"), pytest.raises(NonceRequired):
        proven_key(factory.post("/", HTTP_DPOP=device.proof("/")))


@with_settings(DPOP_NONCE=True)
def test_a_request_without_a_view() -> None:
    """Outside a view of DRF the answer has no nonce, and a bad proof is refused."""
    with pytest.raises(InvalidProof, match="nonce"):
        proven_key(factory.post("/", HTTP_DPOP=OWNER.proof("/")))


# The cache


class Down(LocMemCache):
    """A cache whose server is down."""

    def add(self, *args: Any, **kwargs: Any) -> bool:
        """Fail."""
        raise ConnectionError("the cache is down")


@pytest.mark.parametrize("backend", ["tests.test_proofs.Down", "tests.test_throttling.Full"])
def test_a_cache_that_does_not_work(script: Caller, access: str, backend: str) -> None:
    """If the cache fails, each request with a proof is a 503: no process can tell whether the proof is new."""
    token = log_in(script).json()["refresh"]
    with override_settings(CACHES={"default": {"BACKEND": backend}}):
        for response in (log_in(script), refresh(script, token), ask("me", access)):
            assert (response.status_code, response.json()["code"]) == (503, "unavailable")
            assert response["Retry-After"] == "1"
        assert refresh(script, token, None).json()["reason"] == "wrong_device"
    assert refresh(script, token).status_code == 200


# Logout and step-up


@pytest.mark.parametrize("mount", ["/api/app/auth/", "/api/tool/auth/"])
def test_a_logout_by_a_bound_access_token(user: Any, mount: str) -> None:
    """A logout by a bound access token needs a proof. Without one the answer is a 401, as at an API route."""
    caller = Caller(user, mount=mount)
    access = log_in(caller).json()["access"]
    path = f"{mount}logout/"
    assert_route_refused(
        caller.send("logout/", HTTP_AUTHORIZATION=f"DPoP {access}"), "invalid_dpop_proof", "invalid_dpop_proof"
    )
    response = caller.send("logout/", **THIEF.headers(path, "POST", access))
    assert_route_refused(response, "invalid_token", "token_not_valid")
    response = caller.send("logout/", HTTP_AUTHORIZATION=f"Bearer {access}")
    assert response.json()["reason"] == "wrong_device"
    assert RefreshToken.objects.get().revoked_at is None
    assert caller.send("logout/", **OWNER.headers(path, "POST", access)).status_code == 204
    assert RefreshToken.objects.get().revoked_reason == "logout"


@pytest.mark.parametrize("kind", ["script", "browser"])
def test_a_logout_by_the_refresh_token(kind: str, request: pytest.FixtureRequest) -> None:
    """A logout by refresh token needs no proof. A bound access token that is sent without a proof revokes nothing."""
    caller = request.getfixturevalue(kind)
    body, other = log_in(caller).json(), log_in(Caller(caller.user, mount="/api/app/auth/")).json()
    data = {"refresh": body["refresh"]} if "refresh" in body else None
    assert caller.send("logout/", data, HTTP_AUTHORIZATION=f"DPoP {other['access']}").status_code == 204
    assert list(RefreshToken.objects.order_by("created_at").values_list("revoked_reason", flat=True)) == ["logout", ""]


class DeviceView(TokenView):
    """A view that calls ``check_device`` for a family, as the step-up does."""

    authentication_classes = [RevocableAccessTokenAuthentication]

    def post(self, request: Request, **kwargs: Any) -> Response:
        """Check that the request comes from the family's device."""
        self.check_device(RefreshToken.objects.get().device_key)
        return Response()


@pytest.mark.parametrize(("bound_access", "scheme"), [(True, "DPoP"), (False, "Bearer")])
def test_a_view_that_checks_the_device(script: Caller, bound_access: bool, scheme: str) -> None:
    """``check_device`` needs one proof by the family's key, whether or not the access token is bound too."""
    view = DeviceView.as_view()
    with with_settings(DPOP_ACCESS=bound_access):
        access = log_in(script).json()["access"]
        for device in (OWNER, THIEF):
            headers = {**device.headers("/step/", "POST", access), "HTTP_AUTHORIZATION": f"{scheme} {access}"}
            response = view(factory.post("/step/", **headers))
            assert response.status_code == (200 if device is OWNER else 401)
        assert response.data["reason"] == "wrong_device"
        response = view(factory.post("/step/", HTTP_AUTHORIZATION=f"{scheme} {access}"))
        assert response.status_code == 401


def test_a_view_that_checks_an_unbound_device(script: Caller) -> None:
    """``check_device`` needs no proof if the family is not bound."""
    access = log_in(script, None).json()["access"]
    assert DeviceView.as_view()(factory.post("/step/", HTTP_AUTHORIZATION=f"Bearer {access}")).status_code == 200


@pytest.mark.slow
def test_without_cryptography() -> None:
    """Without the package cryptography, proofs are ignored as with DPOP ``"off"``, and no request fails."""
    code = (
        "import os, sys, django; sys.modules['cryptography'] = None\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup()\n"
        "from django.test import RequestFactory; from twotoken.proofs import accepts_proofs, read_proof\n"
        "assert not accepts_proofs() and read_proof(RequestFactory().post('/', HTTP_DPOP='x')) is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
