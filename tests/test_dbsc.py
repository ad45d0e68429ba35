"""Device Bound Session Credentials (DBSC): browsers with and without support, and thieves."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext

from tests import device_urls
from tests.bound_browser import DEVICE_COOKIE, EC_KEY, OTHER_KEY, RSA_KEY, BoundBrowser, canonical, jwk_of, sign
from tests.conformance.helpers import in_threads
from tests.http import Caller
from tests.jar import COMPANION, COOKIE
from tests.overrides import with_settings
from tests.proofs import Device
from tests.test_docs import blocks, text_of
from twotoken import families
from twotoken.conf import conf
from twotoken.contrib.dbsc import codec, device
from twotoken.contrib.dbsc.codec import InvalidDeviceProof, check_proof, parse_proof, registered_key
from twotoken.models import FamilyEvent, RefreshToken
from twotoken.testing import time_travel

COOKIE_LIFE = timedelta(minutes=10)
LATER = timedelta(minutes=1)  # longer than any grace
INSTRUCTIONS = {
    "refresh_url": "/api/auth/device/refresh/",
    "scope": {
        "include_site": False,
        "scope_specification": [
            {"type": "exclude", "domain": "*", "path": "/"},
            {"type": "include", "domain": "*", "path": "/api/auth/refresh/"},
        ],
    },
    "credentials": [
        {
            "type": "cookie",
            "name": DEVICE_COOKIE,
            "attributes": "Path=/api/auth/; Secure; HttpOnly; SameSite=Strict",
        }
    ],
}


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    """Use the URLs with the endpoints for DBSC."""
    with override_settings(ROOT_URLCONF="tests.device_urls"):
        yield


@pytest.fixture
def owner(user: Any) -> BoundBrowser:
    """A browser that has just logged in and registered its key."""
    browser = BoundBrowser(user)
    assert browser.sign_in().status_code == 200
    return browser


@pytest.fixture
def thief(user: Any) -> BoundBrowser:
    """A browser with another key and, so far, without cookies."""
    return BoundBrowser(user, OTHER_KEY)


def rob(browser: BoundBrowser, thief: BoundBrowser, *, but: str = "") -> None:
    """Copy the browser's cookies to the thief, except the cookie ``but``."""
    for name, morsel in browser.cookies.items():
        if name != but:
            thief.cookies[name] = morsel.value


def row() -> RefreshToken:
    """Return the only family."""
    return RefreshToken.objects.get()


def outcome(response: Any) -> tuple[int, str]:
    """Return an answer's status, and the reason or the code in its body."""
    body = response.json()
    return response.status_code, body.get("reason", body.get("code", ""))


# The flow.


@pytest.mark.parametrize("key", [EC_KEY, RSA_KEY], ids=["ES256", "RS256"])
def test_the_flow(user: Any, key: Any, django_assert_num_queries: Any) -> None:
    """The whole flow works: login, registration, a refresh, a renewal by a signature, and another refresh."""
    browser = BoundBrowser(user, key)
    with CaptureQueriesContext(connection) as login:
        browser.log_in()
    with override_settings(ROOT_URLCONF="tests.urls"), django_assert_num_queries(len(login)):
        Caller(user, mount="/api/auth/").log_in()
    RefreshToken.objects.all().delete()
    registered = browser.sign_in()
    assert registered.json() == {"session_identifier": str(row().pk), **INSTRUCTIONS}
    assert row().device_key == canonical(key)
    assert row().bound_by == "DBSC"
    assert "Secure-Session-Challenge" not in registered
    cookie = registered.cookies[DEVICE_COOKIE]
    attributes = {name: cookie[name] for name in ("path", "max-age", "domain", "secure", "httponly", "samesite")}
    assert list(attributes.values()) == ["/api/auth/", 600, "", True, True, "Strict"]
    with django_assert_num_queries(2):
        assert browser.refresh().status_code == 200
    with django_assert_num_queries(0):
        assert browser.ask(None).status_code == 403
    with django_assert_num_queries(1):
        renewed = browser.renew()
    assert renewed.json() == registered.json()
    assert renewed.cookies[DEVICE_COOKIE].value != cookie.value
    with django_assert_num_queries(1):  # the last answer had the next challenge
        assert browser.renew().status_code == 200
    with time_travel(LATER):
        assert browser.refresh().status_code == 200
    assert (row().generation, row().revoked_at) == (2, None)


def test_the_access_token_stays_a_bearer_token(owner: BoundBrowser) -> None:
    """The access token of a DBSC session is a Bearer token."""
    body = owner.refresh().json()
    assert set(body) == {"access", "expires_in"}
    assert owner.get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {body['access']}").status_code == 200


def test_other_browsers_notice_nothing(browser: Caller, django_assert_num_queries: Any) -> None:
    """A browser that ignores the offer to register can refresh. Only its first refresh makes one SELECT more."""
    assert "Secure-Session-Registration" in browser.log_in()
    for queries, passed in ((3, timedelta()), (2, LATER)):
        with time_travel(passed), django_assert_num_queries(queries):
            assert browser.refresh().status_code == 200
    assert row().device_key == ""


def test_a_body_mount_has_no_device(script: Caller) -> None:
    """A mount with the delivery ``body`` offers no registration. Its device endpoints are a 404. A refresh works."""
    response = script.log_in()
    assert "Secure-Session-Registration" not in response
    for name in ("device/", "device/refresh/"):
        assert outcome(script.send(name)) == (404, "not_found")
    assert script.refresh(response.json()["refresh"]).status_code == 200


@pytest.mark.parametrize(
    ("change", "offered"),
    [
        ({}, True),
        ({"COOKIE_SECURE": False}, False),
        ({"COOKIE_DOMAIN": "testserver"}, False),
        ({"DPOP": "off"}, True),
    ],
)
def test_where_it_is_offered(browser: Caller, change: Any, offered: bool) -> None:
    """A login offers registration only with COOKIE_SECURE and without COOKIE_DOMAIN. DPOP makes no difference."""
    with with_settings(**change):
        assert ("Secure-Session-Registration" in browser.log_in()) is offered


def test_a_login_that_is_bound_by_dpop(browser: Caller) -> None:
    """A login that DPoP binds does not offer the registration of a second key."""
    response = browser.log_in(**Device().headers("/api/auth/login/"))
    assert response.json()["token_type"] == "DPoP"
    assert "Secure-Session-Registration" not in response
    assert browser.refresh(**Device().headers("/api/auth/refresh/")).status_code == 200


def test_a_root_path_and_a_front_end_of_another_origin(user: Any) -> None:
    """At path ``/`` the device cookie's prefix is ``__Host-``. ``allowed_refresh_initiators`` has the trusted hosts."""
    trusted = ["https://app.example.com", "https://*.example.org"]
    with with_settings(COOKIE_PATH="/"), override_settings(CSRF_TRUSTED_ORIGINS=trusted):
        body = BoundBrowser(user).sign_in().json()
    assert body["allowed_refresh_initiators"] == ["app.example.com", "*.example.org"]
    (credential,) = body["credentials"]
    assert credential["name"] == "__Host-device_token"
    assert credential["attributes"] == "Path=/; Secure; HttpOnly; SameSite=Strict"


def test_a_login_of_one_s_own(user: Any, rf: RequestFactory) -> None:
    """For a login outside all mounts, the offer to register has the path of the default mount."""
    response = HttpResponse()
    request = rf.get("/callback/")
    request.resolver_match = None  # as outside a view
    device.offer_registration(response, families.start(user), request)
    assert 'path="/api/auth/device/"' in response["Secure-Session-Registration"]


# Thieves.


def test_a_copied_jar_is_refused_when_its_device_cookie_is_over(
    owner: BoundBrowser, thief: BoundBrowser, caplog: pytest.LogCaptureFixture
) -> None:
    """After the device cookie has expired, a refresh with copied cookies gives a 401, an event and a log line.

    The owner stays logged in.
    """
    owner.refresh()
    rob(owner, thief)
    with time_travel(COOKIE_LIFE), caplog.at_level(logging.WARNING, "twotoken"):
        refused = thief.refresh()
        assert outcome(refused) == (401, "wrong_device")
        assert not refused.cookies
        assert "did not prove the key of its device" in caplog.text
        assert owner.renew().status_code == 200
        assert owner.refresh().status_code == 200
    assert list(FamilyEvent.objects.values_list("kind", flat=True)) == ["wrong_device"]


def test_without_the_device_cookie_the_thief_gets_nothing(owner: BoundBrowser, thief: BoundBrowser) -> None:
    """A thief without the device cookie is refused, even with the refresh token and a proof by another key."""
    owner.refresh()
    rob(owner, thief, but=DEVICE_COOKIE)
    assert outcome(thief.refresh()) == (401, "wrong_device")
    thief.session_id = owner.session_id
    assert outcome(thief.renew()) == (400, "invalid_device_proof")
    assert outcome(thief.refresh()) == (401, "wrong_device")
    assert owner.refresh().status_code == 200


def test_a_live_device_cookie_that_is_copied_too_is_found_out(owner: BoundBrowser, thief: BoundBrowser) -> None:
    """If a thief also copies a valid device cookie and refreshes, the owner's next refresh is reuse: 401 ``reused``."""
    owner.refresh()
    rob(owner, thief)
    with time_travel(LATER):
        assert thief.refresh().status_code == 200
    with time_travel(2 * LATER):
        assert outcome(owner.refresh()) == (401, "reused")
    assert row().revoked_reason == "reuse"


def test_the_cookie_of_another_family(owner: BoundBrowser, user: Any) -> None:
    """A device cookie is accepted only for the family that it was made for."""
    other = BoundBrowser(user)
    other.sign_in()
    other.refresh()
    other.cookies[DEVICE_COOKIE] = owner.cookies[DEVICE_COOKIE].value
    assert outcome(other.refresh()) == (401, "wrong_device")
    assert owner.refresh().status_code == 200


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "refresh", "challenge"])
def test_what_is_no_device_cookie(owner: BoundBrowser, value: str) -> None:
    """A refresh token, a challenge and an invalid value are not accepted as a device cookie: 401 ``wrong_device``."""
    owner.refresh()
    owner.renew()
    forged = {"refresh": owner.cookie, "challenge": owner.challenge}.get(value, value)
    owner.cookies[DEVICE_COOKIE] = forged
    assert outcome(owner.refresh()) == (401, "wrong_device")


def test_tossed_device_cookies(owner: BoundBrowser) -> None:
    """An invalid device cookie, which a sibling subdomain can set, does not hide the valid one."""
    owner.refresh()
    jar = {COOKIE: owner.cookie, COMPANION: str(row().pk)}
    good = owner.cookies[DEVICE_COOKIE].value
    header = "; ".join([*(f"{name}={value}" for name, value in jar.items()), f"{DEVICE_COOKIE}=x"])
    assert owner.refresh(HTTP_COOKIE=f"{header}; {DEVICE_COOKIE}={good}").status_code == 200


def challenge_of(browser: BoundBrowser) -> str:
    """Log in without registering, and return the challenge."""
    return str(browser.log_in()["Secure-Session-Registration"]).split('challenge="')[1][:-1]


def test_a_thief_can_t_bind_a_copied_cookie(user: Any, thief: BoundBrowser) -> None:
    """A thief with copied cookies can't register a key by a wrong challenge, after five minutes, or after a refresh."""
    victim = BoundBrowser(user)
    challenge = challenge_of(victim)
    own = challenge_of(thief)
    family_id = UUID(victim.cookies[COMPANION].value)
    renewal = codec.make_challenge(conf.refresh_keys, codec.REFRESH, family_id, 0)
    rob(victim, thief)
    for tried in (own, renewal, "", "x", thief.cookie):
        assert outcome(thief.register(tried)) == (400, "invalid_device_proof")
    with time_travel(timedelta(minutes=5, seconds=1)):
        assert outcome(thief.register(challenge)) == (400, "invalid_device_proof")
    assert victim.refresh().status_code == 200
    rob(victim, thief)
    assert outcome(thief.register(challenge)) == (400, "invalid_device_proof")
    assert RefreshToken.objects.get(pk=family_id).device_key == ""


def test_a_second_registration(owner: BoundBrowser, thief: BoundBrowser) -> None:
    """After a registration another key is refused. The same key is accepted again, because the answer may be lost."""
    challenge = owner.registration.split('challenge="')[1][:-1]
    rob(owner, thief)
    assert outcome(thief.register(challenge)) == (400, "invalid_device_proof")
    assert owner.register(challenge).status_code == 200
    assert row().device_key == canonical(EC_KEY)


@pytest.mark.parametrize("ending", ["revoked", "expired", "no cookie", "other site"])
def test_what_can_t_be_registered(user: Any, ending: str) -> None:
    """No key can be registered for a revoked or expired family, without the refresh cookie, or from another site."""
    browser = BoundBrowser(user)
    challenge = challenge_of(browser)
    extra = {}
    if ending == "revoked":
        families.revoke_all(user)
    elif ending == "expired":
        RefreshToken.objects.update(expires_at=row().created_at)
    elif ending == "no cookie":
        browser.cookies.clear()
    else:
        extra = {"HTTP_SEC_FETCH_SITE": "cross-site"}
    expected = {"no cookie": (401, "missing"), "other site": (403, "cross_origin")}
    assert outcome(browser.register(challenge, **extra)) == expected.get(ending, (400, "invalid_device_proof"))
    assert row().device_key == ""


def test_two_registrations_at_once(user: Any, thief: BoundBrowser, transactional_db: None) -> None:
    """If two keys are registered at once, exactly one of them is bound."""
    victim = BoundBrowser(user)
    challenge = challenge_of(victim)
    rob(victim, thief)
    answers = in_threads(2, lambda number: [victim, thief][number].register(challenge).status_code)
    assert sorted(answers) == [200, 400]
    assert row().device_key == canonical(EC_KEY if answers[0] == 200 else OTHER_KEY)


# Renewals.


def test_old_challenges(owner: BoundBrowser) -> None:
    """A proof of an expired challenge gets a 403 with a new challenge. With the new one the session continues."""
    owner.renew()
    first = owner.challenge
    with time_travel(COOKIE_LIFE + timedelta(minutes=4)):
        assert owner.ask(sign(first, EC_KEY, with_key=False)).status_code == 200
    with time_travel(COOKIE_LIFE + timedelta(minutes=6)):
        refused = owner.ask(sign(first, EC_KEY, with_key=False))
        assert (refused.status_code, DEVICE_COOKIE in refused.cookies) == (403, False)
        assert owner.renew().status_code == 200
        assert owner.challenge != first
        assert owner.refresh().status_code == 200


@pytest.mark.parametrize("challenge", ["another family", "registration", "x"])
def test_a_challenge_of_something_else(owner: BoundBrowser, challenge: str) -> None:
    """A valid signature of a wrong challenge gets a 403 with a new challenge, and no device cookie."""
    made = {
        "another family": codec.make_challenge(conf.refresh_keys, codec.REFRESH, uuid4(), device._seconds()),
        "registration": codec.make_challenge(conf.refresh_keys, codec.REGISTRATION, row().pk, device._seconds()),
    }
    refused = owner.ask(sign(made.get(challenge, challenge), EC_KEY, with_key=False))
    assert (refused.status_code, DEVICE_COOKIE in refused.cookies) == (403, False)
    assert refused["Secure-Session-Challenge"]


@pytest.mark.parametrize("ending", ["revoked", "unbound", "expired", "deleted"])
def test_an_ended_family(owner: BoundBrowser, user: Any, ending: str) -> None:
    """If the family is revoked, unbound, expired or deleted, a renewal tells the browser to end its session."""
    if ending == "revoked":
        families.revoke_all(user)
    elif ending == "unbound":
        call_command("unbind_token_families", "--protocol", "dbsc", "--user", user.get_username())
    elif ending == "expired":
        RefreshToken.objects.update(expires_at=row().created_at)
    else:
        RefreshToken.objects.all().delete()
    response = owner.renew()
    assert (response.status_code, response.json()) == (200, {"session_identifier": owner.session_id, "continue": False})
    assert DEVICE_COOKIE not in response.cookies


@pytest.mark.parametrize("value", ["", "x", '"', "z" * 36, "-" * 36, '"' + "0" * 31 + '"'])
def test_a_renewal_of_no_session(owner: BoundBrowser, value: str) -> None:
    """A renewal with an invalid session id is a 400, with or without a proof."""
    for proof in (None, sign("x", EC_KEY, with_key=False)):
        assert outcome(owner.ask(proof, HTTP_SEC_SECURE_SESSION_ID=value)) == (400, "invalid_device_proof")


def test_quoted_headers(owner: BoundBrowser) -> None:
    """A quoted proof and a quoted session id, as in the draft, are accepted. Chromium sends both without quotes."""
    owner.renew()
    proof = sign(owner.challenge, EC_KEY, with_key=False)
    response = owner.ask(f'"{proof}"', HTTP_SEC_SECURE_SESSION_ID=f'"{owner.session_id}"')
    assert response.status_code == 200


def test_a_secret_that_is_replaced(owner: BoundBrowser) -> None:
    """With the old REFRESH_SECRET second in the list, the session continues. Without it the browser signs once more."""
    owner.renew()
    old, new = settings.TWOTOKEN["REFRESH_SECRET"], "another refresh secret of thirty-two bytes and some"
    with with_settings(REFRESH_SECRET=[new, old]):
        assert owner.ask(sign(owner.challenge, EC_KEY, with_key=False)).status_code == 200
        assert owner.refresh().status_code == 200
    with with_settings(REFRESH_SECRET=new):
        assert owner.renew().status_code == 200


# A browser that waits for its device cookie.


def skip(browser: BoundBrowser, reason: str = "quota_exceeded") -> Any:
    """Refresh like a browser that could not renew its device cookie."""
    browser.lose_device_cookie()
    return browser.refresh(HTTP_SECURE_SESSION_SKIPPED=f'{reason};session_identifier="{browser.session_id}"')


@pytest.mark.parametrize("reason", ["quota_exceeded", "unreachable", "server_error"])
def test_a_skipped_renewal(owner: BoundBrowser, reason: str) -> None:
    """A refresh after a skipped renewal is a 503 for a minute, and then a 401 until a marker cookie expires.

    The marker cookie lives for ten minutes. The 503 records no event.
    """
    owner.refresh()
    response = skip(owner, reason)
    assert outcome(response) == (503, "unavailable")
    assert response["Retry-After"] == "5"
    marker = response.cookies[f"{DEVICE_COOKIE}-skipped"]
    assert (marker["max-age"], marker["path"]) == (600, "/api/auth/")
    with time_travel(timedelta(seconds=59)):
        again = skip(owner, reason)
        assert (again.status_code, again.cookies) == (503, {})
    assert not FamilyEvent.objects.exists()
    with time_travel(timedelta(seconds=62)):
        assert outcome(skip(owner, reason)) == (401, "wrong_device")
        owner.cookies.pop(marker.key)
        assert skip(owner, reason).status_code == 503
    assert owner.renew().status_code == 200
    assert owner.refresh().status_code == 200


@pytest.mark.parametrize("generation", [0, 1])
def test_those_who_wait_are_counted(owner: BoundBrowser, generation: int) -> None:
    """Refreshes after a skipped renewal are throttled. A refresh with the device cookie still succeeds afterwards."""
    for _ in range(generation):
        owner.refresh()
    cookie = owner.cookies[DEVICE_COOKIE].value
    with with_settings(REFRESH_THROTTLE="2/min"):
        assert [skip(owner).status_code for _ in range(3)] == [503, 503, 429]
        owner.cookies[DEVICE_COOKIE] = cookie
        assert owner.refresh().status_code == 200


def test_a_skipped_renewal_of_another_session(owner: BoundBrowser) -> None:
    """A Secure-Session-Skipped header without this session's id is ignored: the answer stays 401 ``wrong_device``."""
    owner.refresh()
    owner.lose_device_cookie()
    for header in ("", "quota_exceeded", f'quota_exceeded;session_identifier="{uuid4()}"'):
        assert outcome(owner.refresh(HTTP_SECURE_SESSION_SKIPPED=header)) == (401, "wrong_device")


@pytest.mark.parametrize("value", ["x", "-1", "9" * 13, ""])
def test_a_marker_that_is_no_time(owner: BoundBrowser, value: str) -> None:
    """If the marker cookie of a skipped renewal holds no valid time, it is ignored: the refresh is a 503."""
    owner.refresh()
    owner.cookies[f"{DEVICE_COOKIE}-skipped"] = value
    assert skip(owner).status_code == 503


def test_a_skipped_renewal_of_a_family_that_is_not_bound(browser: Caller) -> None:
    """A family that is not bound can refresh, even if the browser sends Secure-Session-Skipped."""
    browser.log_in()
    header = f'unreachable;session_identifier="{row().pk}"'
    assert browser.refresh(HTTP_SECURE_SESSION_SKIPPED=header).status_code == 200
    RefreshToken.objects.all().delete()
    assert outcome(browser.refresh(HTTP_SECURE_SESSION_SKIPPED=header)) == (401, "invalid")


def test_a_refresh_before_the_registration_is_answered(owner: BoundBrowser) -> None:
    """For ten seconds after the login, a bound family's refresh without a device cookie is a 503 with Retry-After."""
    cookie = owner.cookies[DEVICE_COOKIE].value
    owner.lose_device_cookie()
    response = owner.refresh()
    assert (outcome(response), response["Retry-After"]) == ((503, "unavailable"), "1")
    assert not response.cookies
    assert not FamilyEvent.objects.exists()
    with time_travel(timedelta(seconds=11)):
        assert outcome(owner.refresh()) == (401, "wrong_device")
    owner.cookies[DEVICE_COOKIE] = cookie
    assert owner.refresh().status_code == 200


# Switching it off.


def urls_of_page(number: int) -> ModuleType:
    """Run one of the ``urlpatterns`` blocks on the docs' page about DBSC, and return it as a module."""
    page = ModuleType("page")
    shown = [block for block in blocks(text_of("integrations/dbsc")) if "urlpatterns" in block]
    exec(shown[number], vars(page))  # noqa: S102 - our own
    return page


def test_switching_it_off_signs_nobody_out(user: Any) -> None:
    """The docs' steps to remove DBSC log nobody out: offer no registration, unbind all, mount ``twotoken.urls``."""
    with override_settings(ROOT_URLCONF=urls_of_page(0)):
        owner = BoundBrowser(user)
        owner.sign_in()
    with override_settings(ROOT_URLCONF=urls_of_page(1)):
        late = BoundBrowser(user)
        assert "Secure-Session-Registration" not in late.log_in()
        assert late.refresh().status_code == 200
        assert owner.refresh().status_code == 200
        call_command("unbind_token_families", "--protocol", "dbsc")
        owner.lose_device_cookie()
        assert owner.renew().json()["continue"] is False
        assert owner.refresh().status_code == 200
    with override_settings(ROOT_URLCONF="tests.urls"):
        assert owner.refresh().status_code == 200
        assert late.refresh().status_code == 200


def test_bound_families_at_a_mount_without_it(owner: BoundBrowser) -> None:
    """At a mount without DBSC, the refresh of a bound family is a 401, and the family stays active."""
    with override_settings(ROOT_URLCONF="tests.urls"):
        assert outcome(owner.refresh()) == (401, "wrong_device")
    assert owner.refresh().status_code == 200


def test_the_schema() -> None:
    """The OpenAPI description has the endpoints that clients call, and not the device endpoints of browsers."""
    drf_spectacular = pytest.importorskip("drf_spectacular.generators")
    paths = drf_spectacular.SchemaGenerator(patterns=device_urls.urlpatterns).get_schema(public=True)["paths"]
    assert {"/api/auth/login/", "/api/auth/refresh/", "/api/auth/logout/"} <= set(paths)
    assert not [found for found in paths if "device" in found]


# The codec.


@pytest.mark.parametrize("key", [EC_KEY, RSA_KEY], ids=["ES256", "RS256"])
def test_proofs(key: Any) -> None:
    """A registration's proof has its key in the header. Later proofs have no key: the registered key verifies them."""
    proof = parse_proof(sign("c", key, with_key=True))
    assert (proof.challenge, registered_key(proof)) == ("c", canonical(key))
    check_proof(parse_proof(sign("d", key, with_key=False)), canonical(key))


SIGNED = sign("c", EC_KEY, with_key=True)
P384 = ec.generate_private_key(ec.SECP384R1())
ODD = rsa.generate_private_key(3, 2048)
EC_JWK, RSA_JWK = jwk_of(EC_KEY), jwk_of(RSA_KEY)


def altered(members: dict[str, Any]) -> str:
    """Return a registration's proof with these members as its JWK."""
    return sign("c", EC_KEY, with_key=False, jwk=members)


BAD = {
    "empty": "",
    "no JWT": "x",
    "no ASCII": "ü.ü.ü",
    "surrogates": "\ud800.\ud800.\ud800",
    "too long": f"a.{'b' * 9000}.c",
    "no base64": "?.?.?",
    "no JSON": "YQ.YQ.YQ",
    "no object": "W10.W10.W10",
    "too deep": f"{'W1tb' * 900}.e30.",
    "typ": sign("c", EC_KEY, with_key=True, typ="JWT"),
    "another typ": sign("c", EC_KEY, with_key=True, typ="dpop+jwt"),
    "crit": sign("c", EC_KEY, with_key=True, crit=["x"]),
    "b64": sign("c", EC_KEY, with_key=True, b64=True),
    "no challenge": sign(None, EC_KEY, with_key=True),
    "a number": sign(1, EC_KEY, with_key=True),
    "alg none": "eyJ0eXAiOiJkYnNjK2p3dCIsImFsZyI6Im5vbmUifQ.eyJqdGkiOiJjIn0.",
    "alg a list": "eyJ0eXAiOiJkYnNjK2p3dCIsImFsZyI6WyJFUzI1NiJdfQ.eyJqdGkiOiJjIn0.",
    "no key": sign("c", EC_KEY, with_key=False),
    "a text": altered("x"),  # type: ignore[arg-type]
    "another kind": altered(RSA_JWK),
    "no x": altered({**EC_JWK, "x": None}),
    "missing x": altered({name: value for name, value in EC_JWK.items() if name != "x"}),
    "a list as x": altered({**EC_JWK, "x": []}),
    "not on the curve": altered({**EC_JWK, "y": EC_JWK["x"]}),
    "another curve": altered(jwk_of(P384)),
    "padded": altered({**EC_JWK, "x": EC_JWK["x"] + "="}),
    "another key": altered(jwk_of(OTHER_KEY)),
    "short RSA": sign("c", RSA_KEY, with_key=False, jwk={**RSA_JWK, "n": "q" * 171}),
    "odd RSA": sign("c", ODD, with_key=True),
    "huge RSA": sign("c", RSA_KEY, with_key=False, jwk={**RSA_JWK, "n": "q" * 1366}),
    "no signature": SIGNED.rpartition(".")[0] + ".",
    "another signature": SIGNED[:-8] + "AAAAAAAA",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_proofs(name: str) -> None:
    """Each invalid proof raises InvalidDeviceProof."""
    with pytest.raises(InvalidDeviceProof):
        registered_key(parse_proof(BAD[name]))


def test_bad_proofs_over_http(owner: BoundBrowser, caplog: pytest.LogCaptureFixture) -> None:
    """An invalid proof is a 400 at registration, and a 400 or 403 at renewal. The refusal is logged."""
    for proof in BAD.values():
        caplog.clear()
        header = proof.encode("utf-8", "surrogatepass").decode("latin-1")  # as servers pass headers to Django
        with caplog.at_level(logging.INFO, "twotoken"):
            registered = owner.post("/api/auth/device/", HTTP_SECURE_SESSION_RESPONSE=header)
            renewed = owner.ask(header)
        assert outcome(registered) == (400, "invalid_device_proof")
        assert "DeviceView refused a proof" in caplog.text
        assert renewed.status_code in {400, 403}
        assert DEVICE_COOKIE not in {**registered.cookies, **renewed.cookies}
    assert owner.refresh().status_code == 200
    assert json.loads(row().device_key.removeprefix("dbsc:")) == EC_JWK


@pytest.mark.parametrize("name", ["no JSON", "typ", "alg none", "another signature"])
def test_bad_proofs_of_a_renewal(owner: BoundBrowser, name: str) -> None:
    """An invalid proof at a renewal is a 400, and the next valid one is accepted."""
    assert outcome(owner.ask(BAD[name])) == (400, "invalid_device_proof")
    assert owner.renew().status_code == 200
