"""The docs' login view for django-otp gives tokens only after the second factor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import user_logged_in
from django.test import override_settings
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from tests.conformance.helpers import claims_of
from tests.factories import PASSWORD
from tests.http import Caller
from tests.integrations.pages import module_of
from tests.overrides import with_settings
from twotoken.conf import conf
from twotoken.models import RefreshToken
from twotoken.tokens import decode_access

pytestmark = pytest.mark.django_db
RECOVERY = "abcdefgh"


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    """Set the URLs and the views of the docs' page on a second factor."""
    module_of("second-factor", "class TwoFactorLoginView", "accounts.login")
    module_of("second-factor", "app_name", "accounts.auth_urls")
    module_of("second-factor", "include", "shown_urls")
    with override_settings(ROOT_URLCONF="shown_urls"):
        yield


@pytest.fixture
def device(user: Any, time_machine: Any) -> TOTPDevice:
    """An authenticator app and a recovery code of the user. The clock stands still."""
    time_machine.move_to(datetime(2030, 1, 1, tzinfo=UTC), tick=False)
    StaticDevice.objects.create(user=user, name="recovery").token_set.create(token=RECOVERY)
    return TOTPDevice.objects.create(user=user, name="phone")


def code(device: TOTPDevice, off: int = 0) -> str:
    """Return the authenticator app's current code. With ``off``, return a wrong code."""
    return f"{(totp(device.bin_key) + off) % 10**6:06}"


def log_in(caller: Caller, *otp: str, password: str = PASSWORD, **extra: Any) -> Any:
    """Log in with a password, and with a code if it is given."""
    body = {caller.user.USERNAME_FIELD: caller.user.get_username(), "password": password}
    return caller.send("login/", {**body, **({"otp": otp[0]} if otp else {})}, **extra)


def step_up(caller: Caller, access: str, *otp: str, password: str = PASSWORD) -> Any:
    """POST to ``reauthenticate/`` with a password, and with a code if it is given."""
    body = {"password": password, **({"otp": otp[0]} if otp else {})}
    return caller.send("reauthenticate/", body, HTTP_AUTHORIZATION=f"Bearer {access}")


def said(response: Any) -> tuple[int, str]:
    """Return the status of an answer, and the ``code`` in its body."""
    return response.status_code, response.json().get("code", "")


def test_without_a_device(browser: Caller) -> None:
    """A user without an authenticator app logs in with name and password only."""
    assert said(log_in(browser)) == (200, "")
    assert said(log_in(browser, password="a wrong guess")) == (401, "no_active_account")


def test_nothing_before_the_second_factor(browser: Caller, device: TOTPDevice) -> None:
    """Only a login with the right code gives a cookie, a family and a login signal. Without it, a login is a 401."""
    heard: list[Any] = []

    def hear(**kwargs: Any) -> None:
        heard.append(kwargs["user"])

    user_logged_in.connect(hear)
    try:
        for response, expected in (
            (log_in(browser), "otp_required"),
            (log_in(browser, code(device, 1)), "otp_not_valid"),
        ):
            assert said(response) == (401, expected)
            assert set(response.json()) == {"detail", "code"}
            assert response["WWW-Authenticate"].startswith("Bearer")
            assert not response.cookies
        assert (RefreshToken.objects.count(), heard) == (0, [])
        TOTPDevice.objects.get().throttle_reset()
        assert said(log_in(browser, code(device))) == (200, "")
    finally:
        user_logged_in.disconnect(hear)
    assert browser.cookie
    assert (RefreshToken.objects.count(), heard) == (1, [browser.user])
    assert browser.refresh().status_code == 200


def test_a_code_does_not_stand_for_the_password(browser: Caller, device: TOTPDevice) -> None:
    """A login with a wrong password is a 401 ``no_active_account``, and does not use up the code."""
    assert said(log_in(browser, code(device), password="a wrong guess")) == (401, "no_active_account")
    assert said(log_in(browser, code(device, 1), password="a wrong guess")) == (401, "no_active_account")
    assert said(log_in(browser, code(device))) == (200, "")


def test_a_code_that_was_used(browser: Caller, device: TOTPDevice, time_machine: Any) -> None:
    """A second login with a used code is refused. The code of the next 30 seconds is accepted."""
    value = code(device)
    assert said(log_in(browser, value)) == (200, "")
    assert said(log_in(browser, value)) == (401, "otp_not_valid")
    time_machine.shift(timedelta(seconds=30))
    assert said(log_in(browser, code(device))) == (200, "")
    assert RefreshToken.objects.count() == 2


def test_a_recovery_code(browser: Caller, device: TOTPDevice, time_machine: Any) -> None:
    """After three logins with codes of the app, a recovery code works once."""
    for _ in range(3):
        assert said(log_in(browser, code(device))) == (200, "")
        time_machine.shift(timedelta(seconds=30))
    assert said(log_in(browser, RECOVERY)) == (200, "")
    assert said(log_in(browser, RECOVERY)) == (401, "otp_not_valid")


def test_what_is_no_code(browser: Caller, device: TOTPDevice) -> None:
    """A login with a malformed code is refused with a 400, 401 or 429, and starts no family."""
    for value in ("", " ", "²", "١٢٣٤٥٦", "x" * 17, "\x00"):
        response = log_in(browser, value)
        assert response.status_code in {400, 401, 429}, value
    assert RefreshToken.objects.count() == 0


def test_an_inactive_user(browser: Caller, device: TOTPDevice) -> None:
    """The login of an inactive user with a second factor is a 401 ``no_active_account``, as for any inactive user."""
    browser.user.is_active = False
    browser.user.save()
    assert said(log_in(browser, code(device))) == (401, "no_active_account")


def test_guessing_codes(browser: Caller, device: TOTPDevice, time_machine: Any) -> None:
    """From many addresses, at most twelve codes can be guessed in an hour. Then even the right code must wait."""
    answers = []
    for number in range(120):
        answers.append(log_in(browser, code(device, 1), REMOTE_ADDR=f"192.0.2.{number}"))
        time_machine.shift(timedelta(seconds=30))
    guesses = [answer for answer in answers if said(answer) == (401, "otp_not_valid")]
    assert len(guesses) <= 12
    assert {said(answer) for answer in answers if answer not in guesses} == {(429, "throttled")}
    response = log_in(browser, code(device))
    assert said(response) == (429, "throttled")
    time_machine.shift(timedelta(seconds=int(response["Retry-After"])))
    assert said(log_in(browser, code(device))) == (200, "")


def test_our_throttle_counts_them(browser: Caller, device: TOTPDevice) -> None:
    """LOGIN_THROTTLE counts each login request, with or without a code."""
    with with_settings(LOGIN_THROTTLE="2/min"):
        assert said(log_in(browser)) == (401, "otp_required")
        assert said(log_in(browser)) == (401, "otp_required")
        assert said(log_in(browser, code(device))) == (429, "throttled")


def test_a_step_up(browser: Caller, device: TOTPDevice, time_machine: Any) -> None:
    """A step-up requires the code too. In the access tokens of login and step-up, ``amr`` has the second factor."""
    access = log_in(browser, code(device)).json()["access"]
    time_machine.shift(timedelta(minutes=10))
    assert said(step_up(browser, access)) == (401, "otp_required")
    assert said(step_up(browser, access, code(device), password="a wrong guess")) == (401, "no_active_account")
    assert said(step_up(browser, access, code(device, 1))) == (401, "otp_not_valid")
    TOTPDevice.objects.get().throttle_reset()
    response = step_up(browser, access, code(device))
    assert said(response) == (200, "")
    login, now = (claims_of(token) for token in (access, response.json()["access"]))
    assert login["amr"] == now["amr"] == ["pwd", "otp", "mfa"]
    assert now["auth_time"] - login["auth_time"] == 600
    assert said(step_up(browser, access, code(device))) == (401, "otp_not_valid")


def test_a_step_up_without_a_device(browser: Caller) -> None:
    """Without an authenticator app, a step-up needs only the password, and ``amr`` is ``["pwd"]``."""
    response = step_up(browser, log_in(browser).json()["access"])
    assert (said(response), claims_of(response.json()["access"])["amr"]) == ((200, ""), ["pwd"])


def test_a_permission_for_the_second_factor(browser: Caller, device: TOTPDevice) -> None:
    """The docs' permission allows a recent login with a second factor, and refuses one without it."""
    may_transfer = module_of("second-factor", "class HasSecondFactor", "accounts.permissions").may_transfer
    request: Any = Request(APIRequestFactory().get("/"))
    request.user, request.auth = browser.user, None
    assert not may_transfer().has_permission(request, None)
    for otp, expected in (((code(device),), True), ((), False)):
        if not otp:
            device.delete()
            StaticDevice.objects.all().delete()
        access = log_in(browser, *otp).json()["access"]
        request.auth = decode_access(access, conf.access_policy, timezone.now())
        assert may_transfer().has_permission(request, None) is expected
