"""django-otp: the page's login view gives a pair only after the second factor."""

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
    """The modules that the page shows."""
    module_of("second-factor", "class TwoFactorLoginView", "accounts.login")
    module_of("second-factor", "app_name", "accounts.auth_urls")
    module_of("second-factor", "include", "shown_urls")
    with override_settings(ROOT_URLCONF="shown_urls"):
        yield


@pytest.fixture
def device(user: Any, time_machine: Any) -> TOTPDevice:
    """The user's authenticator app, at a fixed time."""
    time_machine.move_to(datetime(2030, 1, 1, tzinfo=UTC), tick=False)
    StaticDevice.objects.create(user=user, name="recovery").token_set.create(token=RECOVERY)
    return TOTPDevice.objects.create(user=user, name="phone")


def code(device: TOTPDevice, off: int = 0) -> str:
    """Return the app's current code, or a wrong one."""
    return f"{(totp(device.bin_key) + off) % 10**6:06}"


def log_in(caller: Caller, *otp: str, password: str = PASSWORD, **extra: Any) -> Any:
    """Log in, with or without a code."""
    body = {caller.user.USERNAME_FIELD: caller.user.get_username(), "password": password}
    return caller.send("login/", {**body, **({"otp": otp[0]} if otp else {})}, **extra)


def step_up(caller: Caller, access: str, *otp: str, password: str = PASSWORD) -> Any:
    """Step up, with or without a code."""
    body = {"password": password, **({"otp": otp[0]} if otp else {})}
    return caller.send("reauthenticate/", body, HTTP_AUTHORIZATION=f"Bearer {access}")


def said(response: Any) -> tuple[int, str]:
    """Return the status and the code of an answer."""
    return response.status_code, response.json().get("code", "")


def test_without_a_device(browser: Caller) -> None:
    """A user without a device logs in with name and password."""
    assert said(log_in(browser)) == (200, "")
    assert said(log_in(browser, password="a wrong guess")) == (401, "no_active_account")


def test_nothing_before_the_second_factor(browser: Caller, device: TOTPDevice) -> None:
    """Without the right code there is no pair, cookie, family or login signal. With it there is one of each."""
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
    """Without the right password a code is neither checked nor used up."""
    assert said(log_in(browser, code(device), password="a wrong guess")) == (401, "no_active_account")
    assert said(log_in(browser, code(device, 1), password="a wrong guess")) == (401, "no_active_account")
    assert said(log_in(browser, code(device))) == (200, "")


def test_a_code_that_was_used(browser: Caller, device: TOTPDevice, time_machine: Any) -> None:
    """A used code is refused; the next one is accepted."""
    value = code(device)
    assert said(log_in(browser, value)) == (200, "")
    assert said(log_in(browser, value)) == (401, "otp_not_valid")
    time_machine.shift(timedelta(seconds=30))
    assert said(log_in(browser, code(device))) == (200, "")
    assert RefreshToken.objects.count() == 2


def test_a_recovery_code(browser: Caller, device: TOTPDevice, time_machine: Any) -> None:
    """A recovery code works once, also after several logins with the app's codes."""
    for _ in range(3):
        assert said(log_in(browser, code(device))) == (200, "")
        time_machine.shift(timedelta(seconds=30))
    assert said(log_in(browser, RECOVERY)) == (200, "")
    assert said(log_in(browser, RECOVERY)) == (401, "otp_not_valid")


def test_what_is_no_code(browser: Caller, device: TOTPDevice) -> None:
    """A malformed code is refused without a 500."""
    for value in ("", " ", "²", "١٢٣٤٥٦", "x" * 17, "\x00"):
        response = log_in(browser, value)
        assert response.status_code in {400, 401, 429}, value
    assert RefreshToken.objects.count() == 0


def test_an_inactive_user(browser: Caller, device: TOTPDevice) -> None:
    """An inactive user's login does not reveal whether there is a second factor."""
    browser.user.is_active = False
    browser.user.save()
    assert said(log_in(browser, code(device))) == (401, "no_active_account")


def test_guessing_codes(browser: Caller, device: TOTPDevice, time_machine: Any) -> None:
    """Guessing from many addresses allows twelve tries an hour. Then even the right code has to wait."""
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
    """Our throttle counts both steps of a login."""
    with with_settings(LOGIN_THROTTLE="2/min"):
        assert said(log_in(browser)) == (401, "otp_required")
        assert said(log_in(browser)) == (401, "otp_required")
        assert said(log_in(browser, code(device))) == (429, "throttled")


def test_a_step_up(browser: Caller, device: TOTPDevice, time_machine: Any) -> None:
    """A step-up asks for the code too, and the tokens of login and step-up name the second factor."""
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
    """Without a device the password is enough, and the token names only the password."""
    response = step_up(browser, log_in(browser).json()["access"])
    assert (said(response), claims_of(response.json()["access"])["amr"]) == ((200, ""), ["pwd"])


def test_a_permission_for_the_second_factor(browser: Caller, device: TOTPDevice) -> None:
    """The page's permission requires a recent login and a second factor."""
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
