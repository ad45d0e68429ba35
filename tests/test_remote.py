"""A service that only verifies access tokens: its keys, its users, and how it behaves in failures."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from rest_framework.permissions import DjangoModelPermissions, IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from tests.keyserver import Clock, KeyServer, running_key_server
from tests.test_keys import ASYMMETRIC, PRIVATE, SECRET, TEXTS, by_hand, pem, public_pem
from twotoken.dpop import make_proof
from twotoken.exceptions import InvalidToken, Unavailable
from twotoken.keys import key_ring
from twotoken.permissions import RecentLogin
from twotoken.polling import LONGEST_PAUSE
from twotoken.remote import RemoteAccessTokenAuthentication, RemoteUser
from twotoken.remote.authentication import KEYS_INTERVAL, UNKNOWN_KEY_PAUSE, KeySource
from twotoken.tokens import AccessPolicy, AccessToken, encode_access

ISSUER, AUDIENCE = "https://auth.example.com", "https://api.example.com"
THREADS = 50
SECONDS = 20.0  # after which a fetch fails. The tests release a server that hangs before that
RINGS = {name: [key_ring((text,), (name,)) for text in TEXTS[name]] for name in ASYMMETRIC}
OLD, NEW = RINGS["ES256"]


def token_of(keys: Any = OLD, *, life: int = 900, issuer: str = ISSUER, thumbprint: str = "", **claims: Any) -> str:
    """Return an access token like those of the project that issues the tokens."""
    now = int(time.time())
    policy = AccessPolicy(keys, issuer, (AUDIENCE,))
    times = {"issued_at": now, "expires_at": now + life}
    return encode_access(policy, subject="7", family_id=uuid4(), extra=claims, thumbprint=thumbprint, **times)


def user_of(**claims: Any) -> Any:
    """Return the RemoteUser of a token with these claims."""
    return RemoteUser(AccessToken({"sub": "7", "sid": str(uuid4()), "exp": 0, **claims}))


def service(**values: Any) -> override_settings:
    """Override the settings with those of a service that only verifies access tokens."""
    return override_settings(TWOTOKEN={"ISSUER": ISSUER, "AUDIENCE": AUDIENCE, **values})


class WhoView(APIView):
    """A view that returns the user and the claims of the request."""

    authentication_classes = [RemoteAccessTokenAuthentication]
    permission_classes = [IsAuthenticated]
    queryset = get_user_model()._default_manager.none()

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.pk, "claims": dict(cast("AccessToken", request.auth))})


def call(token: str | None = None, *permissions: Any, **attributes: Any) -> Any:
    """GET WhoView, with an access token if one is given."""
    headers: dict[str, Any] = {} if token is None else {"HTTP_AUTHORIZATION": f"Bearer {token}"}
    view = WhoView.as_view(permission_classes=permissions or WhoView.permission_classes, **attributes)
    return view(APIRequestFactory().get("/", **headers)).render()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """A key server that publishes the public key of OLD."""
    with running_key_server() as server:
        server.publish(OLD.public())
        yield server


# The user


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, {"is_active": True, "is_staff": False, "is_superuser": False, "groups": frozenset()}),
        ({"is_staff": True, "is_superuser": True}, {"is_staff": True, "is_superuser": True}),
        ({"is_staff": "false", "is_superuser": 1}, {"is_staff": False, "is_superuser": False}),
        ({"is_active": False}, {"is_active": False}),
        ({"groups": ["editors", 7]}, {"groups": {"editors"}}),
        ({"groups": "editors"}, {"groups": frozenset()}),
        ({"email": "ada@example.com", "tenant": {"id": 3}}, {"email": "ada@example.com", "tenant": {"id": 3}}),
        ({"pk": "8", "id": "8"}, {"pk": "7", "id": "7", "is_authenticated": True, "is_anonymous": False}),
    ],
)
def test_a_user_of_the_claims(claims: dict[str, Any], expected: dict[str, Any]) -> None:
    """RemoteUser ignores a known claim of the wrong type. Any other claim becomes an attribute of the same name."""
    user = user_of(**claims)
    assert {name: getattr(user, name) for name in expected} == expected


@pytest.mark.parametrize("name", ["phone", "_state", "__len__", "_secret", "has_perm_"])
def test_an_attribute_that_is_no_claim(name: str) -> None:
    """A missing claim raises AttributeError. A claim with a leading underscore is never an attribute."""
    with pytest.raises(AttributeError, match=name):
        getattr(user_of(_secret="x", __len__=3), name)


def test_claims_hide_no_method() -> None:
    """A claim with the name of a method does not replace the method of RemoteUser."""
    user = user_of(has_perm=True, has_perms=[1], get_username="x", is_authenticated=False, _access={})
    assert (user.has_perm("app.view"), user.get_username(), user.is_authenticated) == (False, "7", True)


@pytest.mark.parametrize(("age", "status"), [(0, 200), (290, 200), (320, 401), (None, 401)])
def test_a_recent_login(server: KeyServer, age: int | None, status: int) -> None:
    """RecentLogin works in a service that only verifies: an old or missing ``auth_time`` gets a challenge."""
    now = int(time.time())
    token = encode_access(
        AccessPolicy(OLD, ISSUER, (AUDIENCE,)),
        subject="7",
        family_id=uuid4(),
        issued_at=now,
        expires_at=now + 900,
        extra={},
        auth_time=None if age is None else now - age,
    )
    with service(JWKS_URL=server.url):
        response = call(token, RecentLogin)
    assert response.status_code == status
    if status == 401:
        assert json.loads(response.content)["code"] == "insufficient_user_authentication"
        assert response["WWW-Authenticate"] == 'Bearer error="insufficient_user_authentication", max_age="300"'


@pytest.mark.parametrize(
    ("claims", "perm", "has"),
    [
        ({}, "app.view_x", False),
        ({"permissions": ["app.view_x"]}, "app.view_x", True),
        ({"permissions": ["app.view_x"]}, "app.view", False),
        ({"permissions": "app.view_x"}, "app.view_x", False),
        ({"permissions": [["app.view_x"]]}, "app.view_x", False),
        ({"permissions": ["app.view_x"], "is_active": False}, "app.view_x", False),
        ({"is_superuser": True}, "app.view_x", True),
        ({"is_superuser": True, "is_active": False}, "app.view_x", False),
    ],
)
def test_permissions(claims: dict[str, Any], perm: str, has: bool) -> None:
    """A user has exactly the permissions in the claims; a superuser has all, an inactive user none."""
    user = user_of(**claims)
    assert user.has_perm(perm) is has
    assert user.has_perms([perm]) is has
    assert user.has_module_perms("app") is (has or (user.is_active and bool(user.get_all_permissions())))
    assert user.has_module_perms("ap") is (user.is_superuser and user.is_active)
    assert user.has_perm(perm, obj=user) is (user.is_superuser and user.is_active)
    assert user.get_all_permissions() == user.get_user_permissions()
    assert not user.get_group_permissions()
    with pytest.raises(ValueError, match="iterable"):
        user.has_perms(perm)


def test_one_user_and_another() -> None:
    """Users with the same ``sub`` and ``iss`` are equal, even if one is a copy or has other claims."""
    user = user_of(iss=ISSUER, username="ada")
    assert (str(user), repr(user), str(user_of())) == ("ada", "<RemoteUser 7>", "7")
    assert len({user, user_of(iss=ISSUER), copy.deepcopy(user), pickle.loads(pickle.dumps(user))}) == 1
    assert user not in [user_of(iss="https://other.example.com"), user_of(sub="8", iss=ISSUER), "7"]


# The keys


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_keys_by_url(server: KeyServer, algorithm: str) -> None:
    """A token is verified with the keys that the server publishes. They are fetched once."""
    signing, other = RINGS[algorithm]
    server.publish(signing.public())
    with service(JWKS_URL=server.url):
        answer = call(token_of(signing, role="x"))
        assert (answer.status_code, answer.data["user"], answer.data["claims"]["role"]) == (200, "7", "x")
        for refused, reason in (
            (token_of(other), "invalid"),
            (token_of(signing, life=-1), "expired"),
            (token_of(signing, issuer="https://other.example.com"), "invalid"),
            (token_of(key_ring((SECRET,))), "invalid"),
            (by_hand({"alg": "HS256", "typ": "at+jwt"}, b"{}", public_pem(PRIVATE[algorithm][0]).encode()), "invalid"),
            ("nonsense", "invalid"),
        ):
            answer = call(refused)
            assert (answer.status_code, answer.data["reason"]) == (401, reason)
            assert 'error="invalid_token"' in answer["WWW-Authenticate"]
        answer = call()
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    assert len(server.asked) == 1


@pytest.fixture
def clock() -> Clock:
    """The clock that tells a KeySource the time. The test moves it."""
    return Clock()


@pytest.fixture
def source(server: KeyServer, clock: Clock) -> KeySource:
    """A KeySource for the server. It has not fetched any keys yet."""
    return KeySource(server.url, seconds=SECONDS, clock=clock)


@pytest.fixture
def judge(server: KeyServer, source: KeySource) -> Iterator[Callable[[str], AccessToken]]:
    """Return a function that verifies tokens by the server's keys. The keys have been fetched once."""
    authentication = RemoteAccessTokenAuthentication()

    def verify(token: str) -> AccessToken:
        return authentication.verify_with(source, token)

    with service(JWKS_URL=server.url):
        verify(token_of())
        server.called.clear()
        yield verify


def in_threads(work: Callable[[], Any]) -> list[Any]:
    """Call a function in many threads; return each result or error, in any order."""

    def attempt(_: int) -> Any:
        try:
            return work()
        except Exception as exc:
            return type(exc)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(attempt, range(THREADS)))


def settle(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, which a fetch in the background makes true."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("behaviour", ["hang", "drip", "huge", "nonsense", "redirect"])
def test_old_keys_on_a_bad_day(
    server: KeyServer,
    clock: Clock,
    judge: Callable[[str], AccessToken],
    behaviour: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If the server hangs or sends garbage, tokens of known keys are accepted without a wait."""
    server.behaviour = behaviour
    clock.now += 10 * KEYS_INTERVAL
    token = token_of()
    claims = in_threads(lambda: judge(token))
    assert [found["sub"] for found in claims] == ["7"] * THREADS
    assert server.called.wait(5)
    assert behaviour not in {"hang", "drip"} or not caplog.records  # it still hangs
    server.go.set()
    settle(lambda: bool(caplog.records))
    clock.now += UNKNOWN_KEY_PAUSE - 1
    assert judge(token)["sub"] == "7"
    with pytest.raises(InvalidToken):
        judge(token_of(NEW))
    assert len(server.asked) == 2
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_keys_that_nobody_publishes_any_more(
    server: KeyServer, clock: Clock, judge: Callable[[str], AccessToken]
) -> None:
    """A key that the server no longer publishes is refused after the next fetch."""
    server.publish(NEW.public())
    assert judge(token_of())
    clock.now += KEYS_INTERVAL
    assert judge(token_of())

    def is_refused() -> bool:
        try:
            judge(token_of())
        except InvalidToken:
            return True
        return False

    settle(is_refused)
    assert judge(token_of(NEW))


def test_a_new_key(server: KeyServer, clock: Clock, judge: Callable[[str], AccessToken]) -> None:
    """If fifty requests come at once with a token of a new key, there is one fetch, and all are accepted."""
    server.publish([*OLD.public(), *NEW.public()])
    clock.now += UNKNOWN_KEY_PAUSE
    token = token_of(NEW)
    assert [found["sub"] for found in in_threads(lambda: judge(token))] == ["7"] * THREADS
    assert len(server.asked) == 2


def test_a_key_that_somebody_made_up(server: KeyServer, clock: Clock, judge: Callable[[str], AccessToken]) -> None:
    """Many tokens of an unknown key cause few fetches, and tokens of known keys don't wait."""
    clock.now += UNKNOWN_KEY_PAUSE
    forged = token_of(NEW)
    for _ in range(2):
        assert in_threads(lambda: judge(forged)) == [InvalidToken] * THREADS
    assert len(server.asked) == 2
    clock.now += UNKNOWN_KEY_PAUSE
    server.behaviour = "hang"
    storm = threading.Thread(target=in_threads, args=(lambda: judge(forged),))
    storm.start()
    assert server.called.wait(5)
    assert judge(token_of())["sub"] == "7"
    assert storm.is_alive()
    server.go.set()
    storm.join(10)
    assert not storm.is_alive()
    assert in_threads(lambda: judge(forged)) == [InvalidToken] * THREADS
    assert len(server.asked) == 3


def test_tokens_that_name_no_unknown_key(server: KeyServer, clock: Clock, judge: Callable[[str], AccessToken]) -> None:
    """A bad signature by a known key, or a token without a ``kid``, causes no fetch."""
    clock.now += UNKNOWN_KEY_PAUSE
    for token in (f"{token_of()[:-8]}AAAAAAAA", token_of(key_ring((SECRET,))), "a.b.c"):
        with pytest.raises(InvalidToken):
            judge(token)
    assert len(server.asked) == 1


def test_the_first_requests(server: KeyServer, source: KeySource) -> None:
    """Of the first requests, one fetches the keys, and the others wait for it."""
    authentication, token = RemoteAccessTokenAuthentication(), token_of()
    with service(JWKS_URL=server.url):
        results = in_threads(lambda: authentication.verify_with(source, token))
    assert [found["sub"] for found in results] == ["7"] * THREADS
    assert len(server.asked) == 1


@pytest.mark.parametrize("behaviour", [pytest.param("hang", marks=pytest.mark.slow), "nonsense", "unchanged"])
def test_no_key_yet(server: KeyServer, clock: Clock, behaviour: str, caplog: pytest.LogCaptureFixture) -> None:
    """If the first fetch hangs or fails, all requests fail within a time limit. After a pause one request fetches."""
    source = KeySource(server.url, seconds=1, clock=clock)
    server.behaviour = behaviour
    assert in_threads(source.keys) == [Unavailable] * THREADS
    assert in_threads(source.newer_keys) == [Unavailable] * THREADS
    assert len(server.asked) == 1
    (record,) = caplog.records
    assert server.url in str(record.exc_text)
    clock.now += LONGEST_PAUSE
    server.behaviour = "well"
    assert source.keys().keys[0].kid == OLD.keys[0].kid


def test_the_answer_without_keys(server: KeyServer) -> None:
    """Without keys the answer is a 503 with Retry-After, because the token may be valid."""
    server.behaviour = "broken"
    with service(JWKS_URL=server.url):
        answer = call(token_of())
    assert (answer.status_code, answer["Retry-After"], answer.data["code"]) == (503, "1", "unavailable")
    assert "WWW-Authenticate" not in answer


# Public keys in the settings


def test_public_keys() -> None:
    """ACCESS_SECRET may be one PEM, or a list of PEMs of any algorithm. The PEM of a private key verifies too."""
    old, new = public_pem(PRIVATE["ES256"][0]), public_pem(PRIVATE["EdDSA"][0])
    for keys in (old, [new, old], [TEXTS["ES256"][0]]):
        with service(ACCESS_SECRET=keys):
            assert call(token_of()).status_code == 200
            assert call(token_of(NEW)).data["reason"] == "invalid"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "needs JWKS_URL, or ACCESS_SECRET with a public key"),
        ({"ACCESS_SECRET": SECRET}, "has no secret, but public keys as PEM"),
        ({"ACCESS_SECRET": [public_pem(PRIVATE["ES256"][0]), SECRET]}, "has no secret, but public keys as PEM"),
        ({"ACCESS_SECRET": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"}, "must be an unencrypted PEM"),
        ({"JWKS_URL": "http://auth.example.com/jwks.json"}, "JWKS_URL.*an https URL"),
        ({"JWKS_URL": "https://auth.example.com/", "AUDIENCE": 7}, "AUDIENCE.*a string, a list"),
        ({"JWKSURL": "https://auth.example.com/"}, "Did you mean 'JWKS_URL'"),
    ],
)
def test_settings_that_can_not_be_used(values: dict[str, Any], said: str) -> None:
    """Wrong settings raise ImproperlyConfigured on every request, because no check of Django's runs in this service."""
    for _ in range(2):
        with service(**values), pytest.raises(ImproperlyConfigured, match=said):
            call(token_of())
    with override_settings(TWOTOKEN=[]), pytest.raises(ImproperlyConfigured, match="must be a dict"):
        call(token_of())


# In a project


def test_permission_classes(server: KeyServer) -> None:
    """DRF's own permission classes work with the claims and make no query."""
    with service(JWKS_URL=server.url):
        assert call(token_of(), IsAdminUser).status_code == 403
        assert call(token_of(is_staff=True), IsAdminUser).status_code == 200

        class Reading(DjangoModelPermissions):
            perms_map = {"GET": ["%(app_label)s.view_%(model_name)s"]}

        label = f"{get_user_model()._meta.app_label}.view_{get_user_model()._meta.model_name}"
        assert call(token_of(), Reading).status_code == 403
        assert call(token_of(permissions=[label]), Reading).status_code == 200


def test_a_bound_token(server: KeyServer) -> None:
    """A bound token needs a proof by its key, and is refused as Bearer."""
    device = PRIVATE["ES256"][1]
    token = token_of(thumbprint=str(NEW.keys[0].kid))
    address = "http://testserver/"
    proof = make_proof(pem(device), method="GET", address=address, now=datetime.now(UTC), access_token=token)
    with service(JWKS_URL=server.url):
        answer = call(token)
        assert (answer.status_code, answer.data["reason"]) == (401, "wrong_device")
        headers: dict[str, Any] = {"HTTP_AUTHORIZATION": f"DPoP {token}", "HTTP_DPOP": proof}
        requests = [APIRequestFactory().get("/", **headers) for _ in range(2)]
        assert [WhoView.as_view()(request).status_code for request in requests] == [200, 401]


def test_throttles(server: KeyServer) -> None:
    """DRF's throttles count requests per user."""

    class Twice(UserRateThrottle):
        rate = "2/min"

    with service(JWKS_URL=server.url):
        statuses = [call(token_of(), throttle_classes=[Twice]).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


BARE = """
import json, sys
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["rest_framework"],
    DATABASES={},
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["testserver"],
    USE_TZ=True,
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["twotoken.remote.RemoteAccessTokenAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"user": "100/min"},
        "UNAUTHENTICATED_USER": None,
    },
    TWOTOKEN=json.loads(sys.argv[1]),
)
django.setup()

from django.urls import path
from rest_framework.decorators import api_view
from rest_framework.response import Response
from rest_framework.test import APIClient


@api_view()
def who(request):
    return Response([request.user.pk, request.user.is_staff, request.user.has_perm("a.b")])


urlpatterns = [path("", who)]
client = APIClient(raise_request_exception=False)
answers = [client.get("/")]
for token in sys.argv[2:]:
    answers.append(client.get("/", HTTP_AUTHORIZATION=f"Bearer {token}"))
print(json.dumps([[answer.status_code, answer.json()] for answer in answers]))
assert "django.contrib.auth.models" not in sys.modules and "twotoken.models" not in sys.modules
"""


@pytest.mark.slow
def test_a_service_without_tables(server: KeyServer) -> None:
    """RemoteAccessTokenAuthentication works without a database, with neither twotoken nor Django's users installed."""
    values = json.dumps({"JWKS_URL": server.url, "ISSUER": ISSUER, "AUDIENCE": AUDIENCE})
    command = [sys.executable, "-c", BARE, values, token_of(is_staff=True), token_of(NEW)]
    run = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    anonymous, known, forged = json.loads(run.stdout)
    assert (anonymous[0], known, forged[0]) == (401, [200, ["7", True, False]], 401)
    assert forged[1]["reason"] == "invalid"


@pytest.mark.slow
def test_without_cryptography() -> None:
    """Without the package cryptography, the first request raises an error that names the package."""
    code = f"import sys; sys.modules['cryptography'] = None\n{BARE}".replace("raise_request_exception=False", "")
    command = [sys.executable, "-c", code, json.dumps({"JWKS_URL": "https://auth.example.com/"}), token_of()]
    run = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert "ImproperlyConfigured: Public keys need the package cryptography" in run.stderr
