"""``RecentLogin``: which requests it grants, and how it denies a request that would be granted after a new login."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
import time_machine
from django.contrib.auth.models import AnonymousUser
from django.http import Http404
from django.test import override_settings
from django.urls import path
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, BasicAuthentication, SessionAuthentication
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.exceptions import APIException
from rest_framework.permissions import OR, SAFE_METHODS, AllowAny, BasePermission, IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.views import APIView, exception_handler

from tests.conformance.helpers import bearer
from tests.factories import UserFactory
from tests.overrides import with_settings
from tests.proofs import Device
from twotoken import families
from twotoken.authentication import (
    AccessTokenAuthentication,
    RevocableAccessTokenAuthentication,
    StatelessAccessTokenAuthentication,
)
from twotoken.conf import conf
from twotoken.exceptions import InsufficientUserAuthentication
from twotoken.permissions import Challenge, RecentLogin, recent_logins
from twotoken.tokens import decode_access
from twotoken.views import TokenView

pytestmark = pytest.mark.django_db
CLASSES = [AccessTokenAuthentication, StatelessAccessTokenAuthentication, RevocableAccessTokenAuthentication]
LOGIN = datetime(2031, 5, 4, 12, 30, 15, 750_000, tzinfo=UTC)
CHALLENGE = 'Bearer error="insufficient_user_authentication", max_age="300"'
FORBIDDEN = {"detail": "You do not have permission to perform this action."}
CODE = "insufficient_user_authentication"


class IsOwner(BasePermission):
    """An object permission: only the owner may use the object."""

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        return bool(obj == request.user.get_username())


class Hides(BasePermission):
    """An object permission that answers a refusal with a 404, as DjangoObjectPermissions does."""

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        raise Http404


class ReadOnly(BasePermission):
    """Grants requests that change nothing."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.method in SAFE_METHODS


class Nobody(BasePermission):
    """Denies every request, with a message of its own."""

    message = "Nobody may."
    code = "nobody"

    def has_permission(self, request: Request, view: Any) -> bool:
        return False


class View(APIView):
    """A view of a project, at /view/ and for an object at /view/<owner>/."""

    def get(self, request: Request, owner: str | None = None) -> Response:
        if owner is not None:
            self.check_object_permissions(request, owner)
        return Response({})

    post = get


class StrictView(View):
    """A view that denies a request by ``permission_denied``, although its permissions grant the request."""

    def get(self, request: Request, owner: str | None = None) -> Any:
        self.permission_denied(request, message="Not on a Sunday.")


@api_view(["GET", "POST"])
@authentication_classes([AccessTokenAuthentication])
@permission_classes([RecentLogin])
def function(request: Request) -> Response:
    """A function view of a project that requires a recent login."""
    return Response({})


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    """A clock that stands still at the login until it is shifted."""
    with time_machine.travel(LOGIN, tick=False) as traveller:
        yield traveller


def log_in(user: Any, **context: Any) -> Any:
    """Log a user in, and return the Authorization header. Its token expires if the clock is shifted too far."""
    return bearer(families.start(user, context=context).access)


def old(user: Any) -> Any:
    """Return the Authorization header of a login with ``auth_time`` 0, which is long ago."""
    return log_in(user, auth_time=0)


def ask(permissions: Any, *authentication: Any, view: Any = View, url: str = "/view/", **extra: Any) -> Any:
    """Call a view with these permissions and authentication classes."""
    made = view.as_view(permission_classes=permissions, authentication_classes=authentication or [CLASSES[0]])
    with override_settings(ROOT_URLCONF=(path("view/", made), path("view/<str:owner>/", made))):
        return APIClient().get(url, **extra)


def assert_challenged(response: Any, max_age: int = 300) -> None:
    """Check that a 401 has the body and the header of an RFC 9470 challenge."""
    assert response.status_code == 401, response.content
    assert response.json() == {"detail": "Confirm your identity again.", "code": CODE, "max_age": max_age}
    assert response["WWW-Authenticate"] == CHALLENGE.replace("300", str(max_age))


@pytest.mark.parametrize("authentication", CLASSES)
def test_an_age(user: Any, clock: Any, authentication: Any) -> None:
    """With each authentication class, a login 300 seconds ago is recent. A second later it is not."""
    header = log_in(user)
    for seconds, status in ((0, 200), (300, 200), (1, 401)):
        clock.shift(seconds)
        response = ask([RecentLogin], authentication, **header)
        assert response.status_code == status
    assert_challenged(response)


def test_another_age(user: Any, clock: Any) -> None:
    """``within`` or a subclass sets another maximum age. The challenge has it in whole seconds."""
    header = log_in(user)
    clock.shift(90)
    shorter = type("Shorter", (RecentLogin,), {"max_age": timedelta(seconds=89.9)})
    assert ask([RecentLogin.within(timedelta(minutes=2))], **header).status_code == 200
    assert_challenged(ask([RecentLogin.within(timedelta(minutes=1))], **header), 60)
    assert_challenged(ask([shorter], **header), 89)
    assert_challenged(ask([RecentLogin.within(timedelta(minutes=1)) | shorter], **header), 60)


@pytest.mark.parametrize("wrong", [timedelta(), timedelta(milliseconds=999), timedelta(-1), 300, None])
def test_an_age_that_no_token_has(wrong: Any) -> None:
    """``within`` raises ValueError if the age is not a timedelta of a second or more: no token is that new."""
    with pytest.raises(ValueError, match="a second or more"):
        RecentLogin.within(wrong)


@pytest.mark.parametrize(("age", "leeway", "status"), [(300, 0, 200), (301, 0, 401), (310, 10, 200), (311, 10, 401)])
@pytest.mark.parametrize("direction", [1, -1])
def test_clocks_that_differ(user: Any, clock: Any, direction: int, age: int, leeway: int, status: int) -> None:
    """An ``auth_time`` in the future counts like one equally far in the past. LEEWAY is added on both sides."""
    header = log_in(user)
    clock.shift(direction * age)
    with with_settings(LEEWAY=leeway):
        assert ask([RecentLogin], **header).status_code == status


@pytest.mark.parametrize("auth_time", ["soon", None, True, 1.5, [], 10**30])
def test_claims_that_are_no_time(user: Any, auth_time: Any) -> None:
    """If ``auth_time`` is not a valid time, the login never counts as recent."""
    request: Any = Request(APIRequestFactory().get("/"))
    request.user = user
    claims = decode_access(families.start(user).access, conf.access_policy, timezone.now())
    request.auth = type(claims)({**claims, "auth_time": auth_time})
    assert not RecentLogin().has_permission(request, View())


def test_a_fresh_token_after_a_step_up(user: Any, clock: Any) -> None:
    """After a step-up the new access token is recent even with the shortest age. The old token is not."""
    access = families.start(user).access
    clock.shift(600)
    claims = decode_access(access, conf.access_policy, timezone.now())
    header = bearer(families.step_up(families.family_of(claims)).access)
    clock.shift(1)
    assert ask([RecentLogin.within(timedelta(seconds=1))], **header).status_code == 200
    assert ask([RecentLogin.within(timedelta(seconds=1))], **bearer(access)).status_code == 401


def test_a_function_view(user: Any) -> None:
    """RecentLogin works in function views with DRF's decorators."""
    with override_settings(ROOT_URLCONF=(path("view/", function),)):
        assert APIClient().post("/view/", **log_in(user)).status_code == 200
        assert_challenged(APIClient().post("/view/", **old(user)))


@pytest.mark.parametrize(
    ("permissions", "recent", "too_old", "staff", "anonymous"),
    [
        ([RecentLogin], 200, CODE, CODE, 401),
        ([IsAuthenticated, RecentLogin], 200, CODE, CODE, 401),
        ([IsAuthenticated & RecentLogin], 200, CODE, CODE, 401),
        ([RecentLogin | IsAdminUser], 200, CODE, 200, 401),
        ([IsAdminUser | RecentLogin], 200, CODE, 200, 401),
        ([RecentLogin | ReadOnly], 200, 200, 200, 200),
        ([RecentLogin & IsAdminUser], 403, 403, CODE, 401),
        ([IsAdminUser & RecentLogin], 403, 403, CODE, 401),
        ([RecentLogin, IsAdminUser], 403, 403, CODE, 401),
        ([RecentLogin | AllowAny, IsAdminUser], 403, 403, 200, 401),
        ([RecentLogin, Nobody], 403, 403, 403, 401),
        ([RecentLogin | Nobody], 200, CODE, CODE, 401),
        ([~RecentLogin], 403, 200, 200, 200),
        ([~~RecentLogin], 200, CODE, CODE, 401),
        ([~RecentLogin & IsAdminUser], 403, 403, 200, 401),
        ([~(~RecentLogin & ~IsAdminUser)], 200, CODE, 200, 401),
        ([~RecentLogin, RecentLogin], 403, 403, 403, 401),
        ([IsAuthenticated & (IsAdminUser | (AllowAny & RecentLogin))], 200, CODE, 200, 401),
    ],
)
def test_combinations(user: Any, permissions: Any, recent: Any, too_old: Any, staff: Any, anonymous: int) -> None:
    """RecentLogin works in combinations of permissions. A refusal is a challenge if a new login would change it."""
    admin = UserFactory(is_staff=True)
    for header, expected in ((log_in(user), recent), (old(user), too_old), (old(admin), staff), ({}, anonymous)):
        response = ask(permissions, **header)
        if expected == CODE:
            assert_challenged(response)
        else:
            assert response.status_code == expected, response.content
    if anonymous == 401:
        assert response["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize(
    ("permissions", "recent", "too_old", "too_old_owner"),
    [
        ([RecentLogin | IsOwner], 200, CODE, 200),
        ([IsOwner | RecentLogin], 200, CODE, 200),
        ([(RecentLogin | AllowAny) & IsOwner], 403, 403, 200),
        ([RecentLogin | AllowAny, IsOwner], 403, 403, 200),
        ([~RecentLogin], 403, 200, 200),
        ([RecentLogin | (AllowAny & IsOwner)], 200, CODE, 200),
        ([RecentLogin | AllowAny, Hides], 404, 404, 404),
    ],
)
def test_combinations_for_an_object(user: Any, permissions: Any, recent: Any, too_old: Any, too_old_owner: Any) -> None:
    """RecentLogin can be combined with permissions that depend on the object."""
    mine, other = f"/view/{user.get_username()}/", "/view/somebody/"
    for url, header, expected in (
        (other, log_in(user), recent),
        (other, old(user), too_old),
        (mine, old(user), too_old_owner),
    ):
        response = ask(permissions, url=url, **header)
        if expected == CODE:
            assert_challenged(response)
        else:
            assert response.status_code == expected, response.content


def test_the_denial_of_another_permission(user: Any) -> None:
    """If another permission or the view denies the request, the answer has the message of that denial."""
    response = ask([RecentLogin | AllowAny, Nobody], **old(user))
    assert (response.status_code, response.json()) == (403, {"detail": "Nobody may."})
    response = ask([RecentLogin | AllowAny], view=StrictView, **old(user))
    assert (response.status_code, response.json()) == (403, {"detail": "Not on a Sunday."})


def test_operands_that_are_instances(user: Any) -> None:
    """RecentLogin works in a combination of instances, which ``get_permissions`` may return."""
    view = type("Own", (View,), {"get_permissions": lambda self: [OR(RecentLogin(), IsAdminUser())]})
    assert ask([], view=view, **log_in(user)).status_code == 200
    assert_challenged(ask([], view=view, **old(user)))


class HeaderAuthentication(BaseAuthentication):
    """An authentication class of another package, without ``authenticate_header``."""

    def authenticate(self, request: Request) -> Any:
        name = request.META.get("HTTP_X_USER")
        return (UserFactory._meta.model.objects.get_by_natural_key(name), "a token") if name else None


@pytest.mark.parametrize("first", [SessionAuthentication, BasicAuthentication, HeaderAuthentication])
def test_behind_another_class(user: Any, first: Any) -> None:
    """If another authentication class comes first, an old login still gets a 401 with the challenge, not a 403."""
    assert ask([RecentLogin], first, *CLASSES, **log_in(user)).status_code == 200
    assert_challenged(ask([RecentLogin], first, *CLASSES, **old(user)))


@pytest.mark.parametrize("authentication", CLASSES)
def test_another_class_that_found_the_user(user: Any, authentication: Any) -> None:
    """If another class found the user, only a recent access token of the same user is accepted.

    Without a token, or with an old or invalid one, the answer is a challenge.
    """
    name = {"HTTP_X_USER": user.get_username()}
    known = [HeaderAuthentication, authentication]
    headers: list[Any] = [{}, old(user), log_in(UserFactory()), bearer("rubbish")]
    for header in headers:
        assert_challenged(ask([RecentLogin], *known, **name, **header))
    assert ask([RecentLogin], *known, **name, **log_in(user)).status_code == 200
    assert_challenged(ask([RecentLogin], HeaderAuthentication, **name, **log_in(user)))


def test_a_django_session(user: Any) -> None:
    """A user of a Django session without a token gets the challenge too."""
    made = View.as_view(permission_classes=[RecentLogin], authentication_classes=[SessionAuthentication, CLASSES[0]])
    client = APIClient()
    client.force_login(user)
    with override_settings(ROOT_URLCONF=(path("view/", made),)):
        assert_challenged(client.get("/view/"))
        assert client.get("/view/", **log_in(user)).status_code == 200


def test_a_token_is_verified_once(user: Any) -> None:
    """An access token is verified once per request, even for two permissions, because a proof works only once."""
    calls: list[Any] = []

    class Counting(AccessTokenAuthentication):
        def authenticate(self, request: Request) -> Any:
            calls.append(request)
            return super().authenticate(request)

    name = {"HTTP_X_USER": user.get_username()}
    assert_challenged(ask([RecentLogin & RecentLogin], HeaderAuthentication, Counting, **name, **old(user)))
    assert len(calls) == 1


@pytest.mark.parametrize("authentication", CLASSES)
def test_a_bound_token(user: Any, authentication: Any) -> None:
    """For a bound token the challenge has the scheme DPoP. One proof is enough for all permissions of a request."""
    device = Device()
    access = families.start(user, device_key=device.device_key, context={"auth_time": 0}).access
    response = ask([RecentLogin], authentication, **device.headers("/view/", "GET", access))
    assert (response.status_code, response.json()["max_age"]) == (401, 300)
    assert response["WWW-Authenticate"].startswith("DPoP algs=")
    assert response["WWW-Authenticate"].endswith(f', error="{CODE}", max_age="300"')
    access = families.start(user, device_key=device.device_key).access
    name = {"HTTP_X_USER": user.get_username()}
    headers = device.headers("/view/", "GET", access)
    assert ask([RecentLogin & RecentLogin], HeaderAuthentication, authentication, **name, **headers).status_code == 200


def codes(exc: Any, context: Any) -> Any:
    """A project's exception handler, which returns the codes of the APIException."""
    response = exception_handler(exc, context)
    assert response is not None
    response.data = {"codes": exc.get_codes(), "full": exc.get_full_details(), "data": response.data}
    return response


def test_an_exception_handler_of_one_s_own(user: Any) -> None:
    """A project's exception handler gets the challenge as an APIException in which every detail has a code."""
    view = type("Own", (View,), {"get_exception_handler": lambda self: codes})
    body = ask([RecentLogin], view=view, **old(user)).json()
    assert set(body["codes"].values()) == {CODE}
    assert body["data"]["max_age"] == body["full"]["max_age"]["message"] == 300


def test_a_default_of_drf(user: Any) -> None:
    """RecentLogin can be a default in DEFAULT_PERMISSION_CLASSES. The package's own views ignore the default."""
    with override_settings(REST_FRAMEWORK={"DEFAULT_PERMISSION_CLASSES": ["twotoken.permissions.RecentLogin"]}):
        (default,) = APIView.settings.DEFAULT_PERMISSION_CLASSES
    assert default is RecentLogin
    assert TokenView.permission_classes == [AllowAny]


def test_outside_a_view_of_drf(user: Any) -> None:
    """Outside a view of DRF, RecentLogin returns False and raises nothing."""
    request: Any = Request(APIRequestFactory().get("/"))
    request.user = user
    assert not RecentLogin().has_permission(request, None)
    request.user = AnonymousUser()
    assert not RecentLogin().has_permission(request, Mock())
    request.user = None
    assert not RecentLogin().has_permission(request, Mock())


def test_a_challenge_is_an_exception_of_drf() -> None:
    """The challenge is an APIException, which DRF's browsable API catches when it tries other methods."""
    error = Challenge(InsufficientUserAuthentication(7), Request(APIRequestFactory().get("/")))
    assert isinstance(error, APIException)
    detail: Any = error.detail
    assert (error.status_code, detail["max_age"]) == (401, 7)


def test_finding_the_class_in_a_combination() -> None:
    """``recent_logins`` finds RecentLogin in combinations, for the checks and the OpenAPI description."""
    hour = RecentLogin.within(timedelta(hours=1))
    found = recent_logins([IsAuthenticated, ~hour, IsAdminUser | (AllowAny & RecentLogin), AllowAny])
    assert list(found) == [hour, RecentLogin]
