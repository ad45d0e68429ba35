"""With the docs' set-up, django-axes locks out clients that guess passwords, with an answer that clients can parse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from axes.models import AccessAttempt
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import AsyncClient, Client, override_settings

from tests.factories import PASSWORD, UserFactory
from tests.http import Caller
from tests.integrations.pages import module_of, settings_of
from tests.overrides import with_settings
from twotoken.contrib.axes import LOCKED_OUT, client_address, lockout_response
from twotoken.models import RefreshToken

pytestmark = pytest.mark.django_db
LIMIT = 5


def of_the_page() -> dict[str, Any]:
    """Return the settings of the docs' page on axes. Tests override their own settings with these."""
    lists = {name: list(getattr(settings, name)) for name in ("INSTALLED_APPS", "MIDDLEWARE")}
    found = settings_of("axes", "AXES_FAILURE_LIMIT", **lists)
    del found["INSTALLED_APPS"]  # axes is installed already
    return {**found, "AXES_ENABLED": True}


@pytest.fixture(autouse=True)
def _as_the_page_says() -> Iterator[None]:
    with override_settings(**of_the_page()):
        yield


def guess(caller: Any, name: str = "", **extra: Any) -> Any:
    """Log in with a wrong password, as the caller's user or with another name."""
    user = caller.user
    body = {user.USERNAME_FIELD: name or user.get_username(), "password": "a wrong guess"}
    return caller.send("login/", body, **extra)


def lock_out(caller: Any, name: str = "", **extra: Any) -> Any:
    """Log in with a wrong password five times, the failure limit, and return the last answer."""
    for _ in range(LIMIT - 1):
        assert guess(caller, name, **extra).json()["code"] == "no_active_account"
    return guess(caller, name, **extra)


def assert_locked_out(response: Any) -> None:
    """Assert that an answer is the 429 ``locked_out`` that the docs describe."""
    assert response.status_code == 429
    assert response.json() == {
        "detail": "Account locked: too many login attempts. Please try again later.",
        "code": LOCKED_OUT,
    }
    assert response["Retry-After"] == "900"
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"


def test_the_checks_have_nothing_to_say(capsys: Any) -> None:
    """``manage.py check`` has no message about the docs' set-up for axes."""
    call_command("check", fail_level="INFO")
    assert "no issues" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["script", "browser"])
def test_a_lockout(kind: str, request: pytest.FixtureRequest) -> None:
    """After four wrong passwords, the fifth login and every later one is a lockout, even with the right password."""
    caller = request.getfixturevalue(kind)
    assert_locked_out(lock_out(caller))
    response = caller.log_in()
    assert_locked_out(response)
    assert not response.cookies
    assert RefreshToken.objects.count() == 0


def test_a_name_that_nobody_has(script: Caller) -> None:
    """An unknown user name is locked out after five logins too, so a lockout does not reveal accounts."""
    assert_locked_out(lock_out(script, "nobody"))


def test_the_signal(script: Caller) -> None:
    """At a lockout, axes sends ``user_locked_out`` with the user name and the address."""
    told: list[tuple[str, str]] = []

    def receive(username: str, ip_address: str, **kwargs: Any) -> None:
        told.append((username, ip_address))

    user_locked_out.connect(receive)
    try:
        lock_out(script, REMOTE_ADDR="192.0.2.7")
    finally:
        user_locked_out.disconnect(receive)
    assert told == [(script.user.get_username(), "192.0.2.7")]


def test_others_are_not_locked_out(script: Caller) -> None:
    """After a lockout, another user at this address and this user at another address can still log in."""
    lock_out(script)
    assert Caller(UserFactory(), mount=script.mount).log_in().status_code == 200
    assert script.log_in(REMOTE_ADDR="192.0.2.7").status_code == 200


def test_who_is_logged_in_stays_so(script: Caller) -> None:
    """During a lockout, refresh, API and logout still work for a user who logged in before."""
    pair = script.log_in().json()
    assert_locked_out(lock_out(script))
    response = script.refresh(pair["refresh"])
    assert response.status_code == 200
    access = f"Bearer {response.json()['access']}"
    assert script.get("/api/revocable/", HTTP_AUTHORIZATION=access).status_code == 200
    assert script.send("logout/", {"refresh": response.json()["refresh"]}).status_code == 204


def test_a_login_that_works_counts_anew(script: Caller) -> None:
    """A successful login resets axes' count of failures for the user."""
    for _ in range(LIMIT - 1):
        guess(script)
    assert AccessAttempt.objects.get().failures_since_start == LIMIT - 1
    assert script.log_in().status_code == 200
    assert AccessAttempt.objects.count() == 0
    assert guess(script).status_code == 401


def test_the_cool_off(script: Caller, time_machine: Any) -> None:
    """A login is refused until 15 minutes after the last attempt. After that the right password works again."""
    time_machine.move_to(datetime(2030, 1, 1, tzinfo=UTC), tick=False)
    lock_out(script)
    time_machine.shift(timedelta(minutes=14, seconds=59))
    assert_locked_out(script.log_in())
    time_machine.shift(timedelta(minutes=15, seconds=1))
    assert script.log_in().status_code == 200


def test_without_a_cool_off(script: Caller) -> None:
    """Without AXES_COOLOFF_TIME, the answer has no Retry-After, and the lockout lasts until ``axes_reset``."""
    with override_settings(AXES_COOLOFF_TIME=None, AXES_HTTP_RESPONSE_CODE=403):
        response = lock_out(script)
        assert (response.status_code, response.json()["code"]) == (403, LOCKED_OUT)
        assert "Contact an admin" in response.json()["detail"]
        assert "Retry-After" not in response
        call_command("axes_reset", verbosity=0)
        assert script.log_in().status_code == 200


def test_no_session_is_made(script: Caller) -> None:
    """A login sets no cookie and makes no Django session. With axes' access log, it makes a session and its cookie."""
    assert not script.log_in().cookies
    assert Session.objects.count() == 0
    with override_settings(AXES_DISABLE_ACCESS_LOG=False):
        assert set(script.log_in().cookies) == {"sessionid"}
    assert Session.objects.count() == 1


@pytest.mark.parametrize(
    ("forwarded", "counted"),
    [
        ("6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("198.51.100.7:1234", "198.51.100.7"),
        ("2001:db8::1:2:3:4", "2001:db8::"),
        ("unknown", None),
    ],
)
def test_the_address_behind_a_proxy(script: Caller, forwarded: str, counted: str | None) -> None:
    """Behind a proxy, axes counts by the address in X-Forwarded-For. With an invalid address a login still works."""
    with override_settings(REST_FRAMEWORK={"NUM_PROXIES": 1}):
        assert_locked_out(lock_out(script, HTTP_X_FORWARDED_FOR=forwarded))
        assert AccessAttempt.objects.get().ip_address == counted
        assert script.log_in(HTTP_X_FORWARDED_FOR="203.0.113.9").status_code == 200
    assert guess(script, HTTP_X_FORWARDED_FOR="203.0.113.9").status_code == 401  # the header is ignored now
    assert AccessAttempt.objects.filter(ip_address="127.0.0.1").count() == 1


def test_an_ipv6_client_can_not_change_its_address(script: Caller) -> None:
    """Axes counts the addresses of one IPv6 /64 network together, because one client can use all of them."""
    for number in range(LIMIT - 1):
        assert guess(script, REMOTE_ADDR=f"2001:db8::{number}").status_code == 401
    assert_locked_out(guess(script, REMOTE_ADDR="2001:db8::ffff"))


def test_beside_our_throttle(script: Caller) -> None:
    """A login that LOGIN_THROTTLE refuses has the code ``throttled``, and axes does not count it as a failure."""
    with with_settings(LOGIN_THROTTLE="3/min"):
        assert [guess(script).status_code for _ in range(3)] == [401] * 3
        response = guess(script)
        assert (response.status_code, response.json()["code"]) == (429, "throttled")
        assert int(response["Retry-After"]) <= 60
    assert AccessAttempt.objects.get().failures_since_start == 3


def test_another_login_page(user: Any) -> None:
    """A lockout at the admin's login page is answered with text instead of JSON."""
    client = Client()
    form = {"username": user.get_username(), "password": "a wrong guess"}
    for _ in range(LIMIT):
        response = client.post("/admin/login/", form)
    assert response.status_code == 429
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response.content.startswith(b"Account locked")


def test_a_callable_of_one_s_own(script: Caller, tmp_path: Any) -> None:
    """The docs' callable answers a lockout with HTML at the admin's login, and with JSON at twotoken's login."""
    (tmp_path / "locked_out.html").write_text("<h1>Not now.</h1>")
    module_of("axes", "def locked_out", "shown_lockout")
    templates = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    with override_settings(AXES_LOCKOUT_CALLABLE="shown_lockout.locked_out", TEMPLATES=templates):
        assert_locked_out(lock_out(script))
        form = {"username": script.user.get_username(), "password": PASSWORD}
        response = Client().post("/admin/login/", form)
        assert (response.status_code, response.content) == (429, b"<h1>Not now.</h1>")


@pytest.mark.django_db(transaction=True)
def test_under_asgi(user: Any) -> None:
    """Under ASGI, where axes' middleware is asynchronous, the fifth wrong password is a lockout too."""
    client: Any = AsyncClient()
    body = {user.USERNAME_FIELD: user.get_username(), "password": "a wrong guess"}
    log_in = async_to_sync(client.post)
    for _ in range(LIMIT):
        response = log_in("/api/app/auth/login/", body, content_type="application/json")
    assert_locked_out(response)


def test_without_a_view(rf: Any) -> None:
    """If a request has no resolved view yet, ``lockout_response`` answers with text."""
    assert lockout_response(rf.post("/api/auth/login/"))["Content-Type"] == "text/plain; charset=utf-8"
    assert client_address(rf.get("/", REMOTE_ADDR="192.0.2.1")) == "192.0.2.1"


@pytest.mark.parametrize("kind", ["script", "browser"])
def test_a_step_up(kind: str, request: pytest.FixtureRequest) -> None:
    """Axes counts failed step-ups and logins together, so a stolen access token gives no extra guesses."""
    caller = request.getfixturevalue(kind)
    access = caller.log_in().json()["access"]

    def step_up(password: str) -> Any:
        return caller.send("reauthenticate/", {"password": password}, HTTP_AUTHORIZATION=f"Bearer {access}")

    for _ in range(LIMIT - 2):
        assert step_up("a wrong guess").json()["code"] == "no_active_account"
    assert guess(caller).json()["code"] == "no_active_account"
    assert_locked_out(step_up("a wrong guess"))
    assert_locked_out(step_up(PASSWORD))
    assert_locked_out(caller.log_in())
