"""The endpoints in a project: subclassed, mounted elsewhere, with other defaults."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model, user_logged_in
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InternalError, OperationalError, connection
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.test import override_settings
from django.urls import include, path
from django.utils import timezone
from rest_framework import serializers
from rest_framework.test import APIClient

from tests.factories import PASSWORD
from tests.http import Caller
from tests.jar import COOKIE
from tests.overrides import with_settings
from tests.receivers import raising, receiving
from twotoken import families
from twotoken.clients import Client
from twotoken.conf import conf
from twotoken.cookies import companion_name, set_refresh_cookie
from twotoken.exceptions import ClaimsError, ExpiredToken, NoActiveAccount, TwoTokenError
from twotoken.families import Lifetime
from twotoken.models import RefreshToken
from twotoken.serializers import LoginSerializer
from twotoken.tokens import decode_access
from twotoken.views import LoginView, LogoutAllView, LogoutView, RefreshView

VIEWS = [LoginView, RefreshView, LogoutView, LogoutAllView]
KEY = "a-key-of-some-length"


def urls(*patterns: Any) -> Any:
    """Replace the URLs of the project."""
    return override_settings(ROOT_URLCONF=patterns)


def credentials(user: Any) -> dict[str, Any]:
    """Return the user name and password of a user."""
    return {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD}


class RememberSerializer(LoginSerializer):
    """Serializer of a login form with a checkbox."""

    remember = serializers.BooleanField(default=False)


class RememberView(LoginView):
    """A login that lasts longer if a box is ticked. The login's context has the choice."""

    serializer_class = RememberSerializer

    def authenticate(self, request: Any, data: Any) -> Any:
        return super().authenticate(request, {name: value for name, value in data.items() if name != "remember"})

    def get_lifetime(self, user: Any, data: Any) -> Lifetime:
        return timedelta(days=90) if data["remember"] else timedelta(hours=12)

    def get_context(self, user: Any, data: Any) -> dict[str, Any]:
        return {"remember": data["remember"]}


class CodeSerializer(serializers.Serializer[Any]):
    """Serializer of a login with a code in place of a password."""

    code = serializers.CharField()


class CodeView(LoginView):
    """A login by a one-time code: the code is a user's primary key here."""

    serializer_class = CodeSerializer

    def authenticate(self, request: Any, data: Any) -> Any:
        return next((user for user in self.known if str(user.pk) == data["code"]), None)

    known: list[Any] = []


class StepMissing(NoActiveAccount):
    """A project's own refusal."""

    code = "step_missing"
    message = "Another step is missing."


class StepView(LoginView):
    """A login that requires more than a password."""

    error: type[TwoTokenError] = StepMissing

    def authenticate(self, request: Any, data: Any) -> Any:
        super().authenticate(request, data)
        raise self.error


class StrictLogoutView(LogoutView):
    """A logout view that refuses every token."""

    def revoke(self, token: str) -> RefreshToken | None:
        raise ExpiredToken


class ToolLoginView(LoginView):
    """A login view with the delivery as an attribute of the class."""

    delivery = "none"


@pytest.mark.parametrize(("remember", "life"), [(True, timedelta(days=90)), (False, timedelta(hours=12))])
@pytest.mark.parametrize("delivery", ["cookie", "body"])
def test_remember_me(user: Any, delivery: str, remember: bool, life: timedelta) -> None:
    """A subclass of LoginView can have its own serializer, and a lifetime that depends on the request."""
    with urls(path("in/", RememberView.as_view(delivery=delivery)), path("auth/", include("twotoken.urls"))):
        response = APIClient().post("/in/", {**credentials(user), "remember": remember}, format="json")
    assert response.status_code == 200
    family = RefreshToken.objects.get()
    assert family.expires_at == family.created_at + life
    remaining = min(life, timedelta(days=7)).total_seconds()
    if delivery == "body":
        assert response.json()["refresh_expires_in"] == remaining
    else:
        assert response.cookies[COOKIE]["max-age"] == remaining


def test_a_field_of_one_s_own_is_validated(user: Any) -> None:
    """An invalid value of a project's own field is a 400 with a message for that field."""
    with urls(path("in/", RememberView.as_view(delivery="body"))):
        response = APIClient().post("/in/", {**credentials(user), "remember": "perhaps"}, format="json")
    assert (response.status_code, list(response.json())) == (400, ["remember"])


def test_a_login_by_something_else(user: Any) -> None:
    """A subclass can find the user in another way. An inactive user is still refused."""
    CodeView.known = [user]
    client = APIClient()
    with urls(path("in/", CodeView.as_view(delivery="body"))):
        assert client.post("/in/", {"code": str(user.pk)}, format="json").status_code == 200
        assert client.post("/in/", {"code": "nobody"}, format="json").json()["code"] == "no_active_account"
        user.is_active = False
        assert client.post("/in/", {"code": str(user.pk)}, format="json").json()["code"] == "no_active_account"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("wrong", ["cokie", "", "COOKIE"])
def test_a_misspelt_delivery_of_a_view(view: Any, wrong: str) -> None:
    """A misspelt delivery, as an argument or as an attribute, raises an error when the URLs load."""
    with pytest.raises(ImproperlyConfigured, match="is not a delivery"):
        view.as_view(delivery=wrong)
    with pytest.raises(ImproperlyConfigured, match="is not a delivery"):
        type("Misspelt", (view,), {"delivery": wrong}).as_view()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["login/", "refresh/", "logout/", "logout/all/"])
def test_a_misspelt_delivery_of_a_mount(db: None, client: Any, name: str) -> None:
    """If the delivery of a mount is misspelt, each request to the mount raises an error."""
    with (
        urls(path("bad/", include("twotoken.urls"), {"delivery": "cokie"})),
        pytest.raises(ImproperlyConfigured, match="cokie"),
    ):
        client.post(f"/bad/{name}", {}, content_type="application/json")


def test_the_delivery_of_a_mount_a_class_and_the_setting(user: Any) -> None:
    """The mount's delivery comes before that of the class, which comes before the setting."""
    client, data = APIClient(), credentials(user)
    patterns = [
        path("mount/", include("twotoken.urls"), {"delivery": "cookie"}),
        path("class/", ToolLoginView.as_view()),
        path("both/", ToolLoginView.as_view(), {"delivery": "body"}),
        path("call/", ToolLoginView.as_view(delivery="body")),
        path("setting/", include("twotoken.urls", namespace="setting")),
    ]
    with with_settings(DELIVERY="body"), urls(*patterns):
        answers = {
            route: client.post(f"/{route}/", data, format="json")
            for route in ("mount/login", "class", "both", "call", "setting/login")
        }
    found = {route: (COOKIE in answer.cookies, "refresh" in answer.json()) for route, answer in answers.items()}
    assert found == {
        "mount/login": (True, False),
        "class": (False, False),
        "both": (False, True),
        "call": (False, True),
        "setting/login": (False, True),
    }


def go(request: HttpRequest) -> HttpResponse:
    """Log in the first user and redirect the browser, as after an OAuth callback."""
    from_elsewhere = get_user_model()._default_manager.get()
    response = redirect("/home/")
    set_refresh_cookie(response, families.start(from_elsewhere, Client.from_request(request)), request)
    return response


AUTH = path("auth/", include("twotoken.urls"))


@pytest.mark.parametrize(
    ("patterns", "url", "expected"),
    [
        ([AUTH], "/auth/", "/auth/"),
        ([AUTH, path("b/", include("twotoken.urls", namespace="b"))], "/b/", "/b/"),
        ([path("deep/er/", include([AUTH]))], "/deep/er/auth/", "/deep/er/auth/"),
        ([path("v1/", include(([AUTH], "v1")))], "/v1/auth/", "/v1/auth/"),
        ([path("v1/", include(([path("w/", include(([AUTH], "w")))], "v1")))], "/v1/w/auth/", "/v1/w/auth/"),
        ([path("<slug:tenant>/", include([AUTH]))], "/acme/auth/", "/acme/auth/"),
        ([path("<slug:tenant>/", include(([AUTH], "t")))], "/acme/auth/", "/acme/auth/"),
        ([path("<int:a>/", include([path("<uuid:b>/", include([AUTH]))]))], f"/7/{UUID(int=0)}/auth/", None),
        ([path("x/", include("twotoken.urls"), {"delivery": "cookie"})], "/x/", "/x/"),
        ([path("<slug:t>/", include("twotoken.urls"), {"delivery": "cookie"})], "/acme/", "/acme/"),
        ([path("", include("twotoken.urls"))], "/", "/"),
    ],
)  # fmt: skip
def test_the_cookie_s_path_is_its_mount(user: Any, patterns: Any, url: str, expected: str | None) -> None:
    """The cookie has its mount's path, also if the mount is nested or has captured values. It works and is cleared."""
    caller = Caller(user, mount=url)
    with urls(*patterns):
        answers = [caller.log_in(), caller.refresh(), caller.send("logout/"), caller.refresh("x")]
        assert [answer.status_code for answer in answers] == [200, 200, 204, 401]
        assert {answer.cookies[COOKIE]["path"] for answer in answers} == {expected or url}
        assert answers[2].cookies[COOKIE]["max-age"] == 0


def test_a_cookie_path_of_the_project_s_choice(user: Any) -> None:
    """With COOKIE_PATH the cookie has this path at every mount."""
    caller = Caller(user, mount="/auth/")
    with with_settings(COOKIE_PATH="/elsewhere/"), urls(AUTH, path("go/", go)):
        answers = [caller.log_in(), caller.get("/go/"), caller.send("logout/")]
        assert {answer.cookies[COOKIE]["path"] for answer in answers} == {"/elsewhere/"}


def test_a_cookie_on_a_redirect(user: Any) -> None:
    """A project's view outside every mount sets the cookie for the default mount, where a refresh works."""
    caller = Caller(user, mount="/auth/")
    with urls(path("b/", include("twotoken.urls", namespace="b")), AUTH, path("go/", go)):
        response = caller.get("/go/", HTTP_USER_AGENT="phone")
        morsel = response.cookies[COOKIE]
        assert (response.status_code, response["Location"]) == (302, "/home/")
        assert (morsel["path"], morsel["samesite"], morsel["max-age"]) == ("/auth/", "Strict", 7 * 24 * 3600)
        assert morsel["httponly"]
        assert morsel["secure"]
        assert set(response.cookies) == {COOKIE, companion_name("/auth/")}
        assert caller.refresh().status_code == 200
    assert RefreshToken.objects.get().generation == 1


def test_a_cookie_without_any_mount(user: Any) -> None:
    """If there is no mount, a login raises an error that names COOKIE_PATH, in a project's view and in ours."""
    caller = Caller(user, mount="/")
    with urls(path("go/", go), path("login/", LoginView.as_view(), name="login")):
        with pytest.raises(ImproperlyConfigured, match="COOKIE_PATH"):
            caller.get("/go/")
        with pytest.raises(ImproperlyConfigured, match="COOKIE_PATH"):
            caller.log_in()
        with with_settings(COOKIE_PATH="/"):
            assert caller.get("/go/").cookies["__Host-refresh_token"]["path"] == "/"


def test_a_refusal_of_one_s_own(user: Any) -> None:
    """If a login view refuses with a project's own code, the answer is a 401 with that code. No family starts."""
    with urls(path("in/", StepView.as_view()), path("auth/", include("twotoken.urls"))):
        response = APIClient().post("/in/", credentials(user), format="json")
    assert response.json() == {"detail": "Another step is missing.", "code": "step_missing"}
    assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    assert not response.cookies
    assert RefreshToken.objects.count() == 0


@pytest.mark.parametrize("delivery", ["cookie", "body"])
def test_a_logout_of_one_s_own(user: Any, delivery: str) -> None:
    """If a subclass of LogoutView refuses a token, the answer is still a 204."""
    with urls(path("out/", StrictLogoutView.as_view(delivery=delivery)), path("auth/", include("twotoken.urls"))):
        client = APIClient()
        client.cookies[COOKIE] = "token"
        assert client.post("/out/", {"refresh": "token"}, format="json").status_code == 204


def test_an_error_of_the_project_is_no_refusal(user: Any) -> None:
    """An error of the project's code is a 500, not a refusal."""
    client = APIClient(raise_request_exception=False)
    view = StepView.as_view(error=ClaimsError)
    with urls(path("in/", view), path("auth/", include("twotoken.urls"))):
        assert client.post("/in/", credentials(user), format="json").status_code == 500


def always_busy(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """Rotate the family just before each write, and undo it just after, as if another request were always faster."""
    if not (sql.startswith("UPDATE") and "refreshed_at" in sql):
        return execute(sql, params, many, context)
    RefreshToken.objects.update(generation=F("generation") + 1)
    result = execute(sql, params, many, context)
    RefreshToken.objects.update(generation=F("generation") - 1)
    return result


@pytest.mark.parametrize("mount", ["/api/auth/", "/api/app/auth/"])
@pytest.mark.parametrize("key", [None, KEY])
def test_others_who_are_always_faster(user: Any, mount: str, key: str | None) -> None:
    """If other requests always write first, a refresh is a 503 with Retry-After, and its token stays valid."""
    caller = Caller(user, mount=mount)
    token = caller.log_in().json().get("refresh")
    with connection.execute_wrapper(always_busy):
        response = caller.refresh(token, key)
    assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert response.json() == {"detail": "The token family is busy. Try again.", "code": "rotation_conflict"}
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    assert caller.refresh(token, key).status_code == 200


def by_postgresql(error: DatabaseError, sqlstate: str) -> DatabaseError:
    """Return a database error as psycopg and Django raise it."""
    error.__cause__ = type("Cause", (Exception,), {"sqlstate": sqlstate})()
    return error


REFUSALS = [
    (OperationalError(1047, "WSREP has not yet prepared node for application use"), "unavailable"),
    (OperationalError(1290, "The MariaDB server is running with the --read-only option"), "unavailable"),
    (OperationalError(1792, "Cannot execute statement in a READ ONLY transaction"), "unavailable"),
    (OperationalError(1836, "Running in read-only mode"), "unavailable"),
    (by_postgresql(OperationalError("the database system is starting up"), "57P03"), "unavailable"),
    (by_postgresql(OperationalError("sorry, too many clients already"), "53300"), "unavailable"),
    (by_postgresql(InternalError("cannot execute in a read-only transaction"), "25006"), "unavailable"),
    (OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction"), "rotation_conflict"),
]
ENDPOINTS = ["login/", "refresh/", "logout/", "logout/all/", "GET sessions/", "DELETE sessions/", "DELETE sessions/{}/"]


@pytest.mark.parametrize(
    ("mount", "endpoint", "error", "code"),
    [
        *(
            (mount, endpoint, *refusal)
            for mount in ("/api/auth/", "/api/app/auth/")
            for endpoint in ENDPOINTS
            for refusal in (REFUSALS[0], REFUSALS[-1])
        ),
        *(("/api/auth/", "login/", *refusal) for refusal in REFUSALS[1:-1]),
    ],
)
def test_a_database_that_takes_no_work(
    user: Any, mount: str, endpoint: str, error: DatabaseError, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If the database is unavailable, the answer is a 503 with Retry-After, and the token works afterwards."""
    caller = Caller(user, mount=mount)
    pair = caller.log_in().json()
    token = pair.get("refresh") or caller.cookie
    method, _, path = endpoint.rpartition(" ")
    body = {**credentials(user), "refresh": token}

    def refuse(*args: Any) -> Any:
        raise error

    with connection.execute_wrapper(refuse):
        response = caller.generic(
            method or "POST",
            mount + path.format(RefreshToken.objects.model().pk),
            json.dumps(body),
            "application/json",
            HTTP_AUTHORIZATION=f"Bearer {pair['access']}",
        )
    assert (response.status_code, response["Retry-After"], response.json()["code"]) == (503, "1", code)
    assert not response.cookies
    assert str(error) in caplog.text or (endpoint, code) == ("refresh/", "rotation_conflict")  # one of four tries
    assert caller.refresh(token).status_code == 200


def test_the_log_says_where_a_database_had_no_time(jar: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """For a database conflict the log has the traceback, because a project's receiver may cause it."""

    def count_logins(**kwargs: Any) -> None:
        raise OperationalError(1047, "WSREP has not yet prepared node for application use")

    with receiving(count_logins, user_logged_in):
        assert jar.log_in().json()["code"] == "unavailable"
    assert "in count_logins" in caplog.text
    (record,) = (record for record in caplog.records if "The database refused" in record.message)
    assert record.__dict__["request"].exception_reporter_filter  # or an error report would show all variables


def remembered(user: Any, family: Any) -> dict[str, Any]:
    """A callable for ACCESS_CLAIMS that returns the context of the login."""
    return dict(family.context)


def test_what_a_login_tells_is_in_every_token(user: Any) -> None:
    """ACCESS_CLAIMS gets the login's context at each refresh of the family."""
    browser = Caller(user, mount="/auth/")
    with (
        urls(path("auth/login/", RememberView.as_view()), path("auth/", include("twotoken.urls"))),
        with_settings(ACCESS_CLAIMS="tests.test_views.remembered", DELIVERY="body"),
    ):
        pair = browser.send("login/", {**credentials(user), "remember": True}).json()
        plain = Caller(user, mount="/auth/").log_in().json()
        again = browser.refresh(pair["refresh"]).json()
        access = [
            decode_access(answer["access"], conf.access_policy, timezone.now()) for answer in (pair, again, plain)
        ]
    assert [claims.get("remember") for claims in access] == [True, True, False]
    assert RefreshToken.objects.get(pk=access[0].family_id).context == {"remember": True}


@pytest.mark.parametrize(
    ("mount", "headers", "is_browser"),
    [
        ("/api/auth/", {"HTTP_SEC_FETCH_SITE": "same-origin"}, True),
        ("/api/auth/", {"HTTP_ORIGIN": "http://testserver"}, True),
        ("/api/auth/", {}, False),
        ("/api/app/auth/", {"HTTP_SEC_FETCH_SITE": "same-origin"}, False),
    ],
)
def test_who_is_a_browser(user: Any, mount: str, headers: Any, is_browser: bool) -> None:
    """Only a login at a cookie mount can start a browser's family. No later request changes that."""
    caller = Caller(user, mount=mount)
    token = caller.log_in(**headers)
    assert RefreshToken.objects.get().is_browser is is_browser
    for later in ({}, {"HTTP_SEC_FETCH_SITE": "same-origin"}):
        presented = caller.cookie if mount == "/api/auth/" else token.json()["refresh"]
        token = caller.refresh(presented, **later)
        assert token.status_code == 200
        assert RefreshToken.objects.get().is_browser is is_browser


def test_a_login_receiver_that_raises(jar: Caller) -> None:
    """If a receiver raises, the login is a 500. The family of the old cookie stays active, and no other one starts."""
    jar.log_in()
    jar.raise_request_exception = False
    with raising(user_logged_in):
        response = jar.log_in()
    assert response.status_code == 500
    assert not response.cookies
    assert RefreshToken.objects.get().revoked_at is None
    assert jar.refresh().status_code == 200


@pytest.mark.django_db(transaction=True)
def test_logins_at_once_race_for_the_last_login(script: Caller) -> None:
    """If another login makes the write of ``last_login`` fail, as at REPEATABLE READ, the write is retried."""
    losses: list[str] = []

    def lose(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and "last_login" in sql and len(losses) < 2:
            losses.append(sql)
            raise OperationalError(1020, "Record has changed since last read")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(lose):
        assert script.log_in().status_code == 200
    assert len(losses) == 2
    script.user.refresh_from_db()
    assert script.user.last_login is not None
