"""Our signals, Django's signals, and the log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth import get_user_model, user_logged_in, user_logged_out, user_login_failed
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from tests.conformance.helpers import bearer
from tests.factories import PASSWORD
from tests.http import Caller
from tests.overrides import with_settings
from tests.receivers import heard, raising
from twotoken import families
from twotoken.models import RefreshToken
from twotoken.signals import family_revoked, family_started, request_refused, reuse_detected, token_rotated
from twotoken.views import LoginView, RefreshView

KEY = "a-key-of-some-length"
OURS = (family_started, token_rotated, family_revoked, reuse_detected)
DJANGO_S = (user_logged_in, user_login_failed, user_logged_out)


def test_what_the_signals_carry(script: Caller) -> None:
    """Each signal is sent once, in order, with exactly the arguments that its documentation lists."""
    with heard(*OURS) as calls:
        r0 = script.log_in(HTTP_USER_AGENT="phone").json()["refresh"]
        script.refresh(r0, HTTP_USER_AGENT="phone")
        script.refresh(r0, HTTP_USER_AGENT="thief", REMOTE_ADDR="192.0.2.66")
        script.refresh(r0)
        script.send("logout/", {"refresh": r0})
    family = RefreshToken.objects.get()
    assert [signal for signal, _ in calls] == list(OURS)
    common = {"sender": RefreshToken, "family_id": family.pk, "user_id": script.user.pk}
    phone = {"ip_address": "127.0.0.1", "user_agent": "phone"}
    details: list[dict[str, Any]] = [
        phone,
        {**phone, "generation": 1},
        {"reason": "reuse"},
        {"ip_address": "192.0.2.66", "user_agent": "thief", "generation": 0, "current_generation": 1},
    ]
    assert [kwargs for _, kwargs in calls] == [{**common, **detail} for detail in details]
    assert all(type(kwargs["reason"]) is str for signal, kwargs in calls if signal is family_revoked)


def test_a_retry_is_no_rotation(script: Caller) -> None:
    """A retry sends no ``token_rotated``. A token with a wrong signature sends no signal."""
    r0 = script.log_in().json()["refresh"]
    with heard(*OURS) as calls:
        for _ in range(3):
            assert script.refresh(r0, KEY).status_code == 200
        assert script.refresh("x").status_code == 401
    assert [signal for signal, _ in calls] == [token_rotated]


@pytest.mark.parametrize("ending", ["logout", "all", "replaced", "admin", "password_changed", "user_inactive"])
def test_each_end_is_told_once(script: Caller, jar: Caller, ending: str) -> None:
    """Each way of revoking a family sends ``family_revoked`` once, with the reason."""
    caller = jar if ending == "replaced" else script
    first = caller.log_in()
    pair = first.json()
    users = get_user_model().objects
    with heard(family_revoked) as calls:
        if ending == "logout":
            script.send("logout/", {"refresh": pair["refresh"]})
        elif ending == "all":
            script.send("logout/all/", **bearer(pair["access"]))
        elif ending == "replaced":
            jar.log_in()
        elif ending == "admin":
            families.revoke_all(script.user)
        else:
            users.update(**({"password": "x"} if ending == "password_changed" else {"is_active": False}))
        for _ in range(2):
            if ending != "replaced":
                script.refresh(pair["refresh"])
    assert [kwargs["reason"] for _, kwargs in calls] == ["logout" if ending == "all" else ending]


def test_a_receiver_that_raises_stops_nothing(script: Caller) -> None:
    """If receivers raise errors, the answers are the same, and each revocation is written."""
    with raising(*OURS, user_logged_out):
        r0 = script.log_in().json()["refresh"]
        assert script.refresh(r0).status_code == 200
        assert script.refresh(r0).json()["reason"] == "reused"
        other = script.log_in().json()
        assert script.send("logout/", {"refresh": other["refresh"]}).status_code == 204
        last = script.log_in().json()
        assert script.send("logout/all/", **bearer(last["access"])).status_code == 204
        assert script.refresh(last["refresh"]).json()["reason"] == "revoked"
    assert sorted(RefreshToken.objects.values_list("revoked_reason", flat=True)) == ["logout", "logout", "reuse"]


def test_the_other_receivers_still_hear(script: Caller) -> None:
    """If one receiver raises, the others are still called."""
    with raising(reuse_detected), heard(reuse_detected) as calls:
        r0 = script.log_in().json()["refresh"]
        script.refresh(r0)
        script.refresh(r0)
    assert len(calls) == 1


def test_django_s_own_signals(script: Caller) -> None:
    """Logins, failed logins and logouts each send Django's own signal once."""
    name = script.user.USERNAME_FIELD
    assert get_user_model().objects.get().last_login is None
    with heard(*DJANGO_S) as calls:
        pair = script.log_in().json()
        script.send("login/", {name: "x", "password": PASSWORD})
        script.refresh(pair["refresh"])
        script.send("logout/", {"refresh": pair["refresh"]})
        script.send("logout/", {"refresh": pair["refresh"]})
        script.send("logout/all/", **bearer(script.log_in().json()["access"]))
    logged_in, failed, logged_out = (call for call in calls[:3])
    assert [signal for signal, _ in calls] == [*DJANGO_S, user_logged_in, user_logged_out]
    assert (logged_in[1]["user"], logged_in[1]["sender"]) == (script.user, type(script.user))
    assert failed[1]["credentials"] == {name: "x", "password": "********************"}
    assert (logged_out[1]["user"], logged_out[1]["sender"]) == (script.user, type(script.user))
    for _, kwargs in calls:
        assert type(kwargs["request"]).__name__ == "WSGIRequest"
    assert get_user_model().objects.get().last_login is not None


def test_who_is_not_signed_in_does_not_sign_out(script: Caller, jar: Caller) -> None:
    """A logout that revokes nothing does not send ``user_logged_out``."""
    with heard(user_logged_out) as calls:
        assert script.send("logout/", {"refresh": "x"}).status_code == 204
        assert jar.send("logout/").status_code == 204
    assert not calls


def test_an_inactive_account_does_not_sign_in(script: Caller) -> None:
    """A login to an inactive account sends Django's ``user_login_failed``."""
    get_user_model().objects.update(is_active=False)
    with heard(*DJANGO_S) as calls:
        assert script.log_in().json()["code"] == "no_active_account"
    assert [signal for signal, _ in calls] == [user_login_failed]


def test_each_event_has_its_record(script: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """Reuse is logged as a warning and other events as information, each with family and user."""
    with caplog.at_level(logging.DEBUG, logger="twotoken"):
        r0 = script.log_in().json()["refresh"]
        script.refresh(r0)
        script.refresh(r0)
    family = RefreshToken.objects.get().pk
    of_it = f"oken family {family} of user {script.user.pk}"
    expected = [
        (logging.INFO, f"T{of_it} started from 127.0.0.1."),
        (logging.INFO, f"T{of_it} revoked: reuse."),
        (
            logging.WARNING,
            f"Refresh token reuse in t{of_it} from 127.0.0.1: generation 0 came back at generation 1.",
        ),
        (logging.INFO, "RefreshView refused a request: reused."),
    ]
    assert [(level, text) for name, level, text in caplog.record_tuples if name == "twotoken"] == expected


def test_nothing_secret_is_logged(script: Caller, jar: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """No log record and none of its arguments has a token, a key or a password."""
    caplog.set_level(logging.DEBUG)
    pair = script.log_in().json()
    second = script.refresh(pair["refresh"], KEY).json()
    jar.log_in()
    cookie = jar.cookie
    with raising(*OURS):
        jar.refresh(cookie, KEY)
        jar.refresh(cookie)
        script.refresh(pair["refresh"])
        script.send("login/", {script.user.USERNAME_FIELD: script.user.get_username(), "password": PASSWORD + "x"})
        script.send("logout/all/", **bearer(second["access"]))
        script.send("logout/", {"refresh": second["refresh"]})
    assert {"twotoken", "django.dispatch"} <= {record.name for record in caplog.records}
    text = caplog.text + "".join(repr(record.args) for record in caplog.records)
    for token in (pair["refresh"], pair["access"], second["refresh"], second["access"], cookie):
        assert token not in text
        assert token.split(".")[1] not in text
        assert token.split(".")[2] not in text
    assert KEY not in text
    assert PASSWORD not in text


def test_each_refusal_is_told(script: Caller, jar: Caller) -> None:
    """``request_refused`` has the status, the code and the reason of the answer, for a 401 and for other statuses."""
    with with_settings(LOGIN_THROTTLE="1/min"), heard(request_refused) as calls:
        r0 = script.log_in().json()["refresh"]
        script.log_in()
        script.refresh("x")
        script.refresh(r0)
        script.refresh(r0)
        script.send("refresh/", {})
        jar.refresh("x", HTTP_ORIGIN="https://evil.example")
    told = [(kwargs["sender"], kwargs["status"], kwargs["code"], kwargs["reason"]) for _, kwargs in calls]
    assert told == [
        (LoginView, 429, "throttled", ""),
        (RefreshView, 401, "token_not_valid", "invalid"),
        (RefreshView, 401, "token_not_valid", "reused"),
        (RefreshView, 400, "", ""),
        (RefreshView, 403, "cross_origin", ""),
    ]
    assert all(type(value) is str for _, kwargs in calls for value in (kwargs["code"], kwargs["reason"]))


class OddView(LoginView):
    """A project's view with an exception handler that returns ``answer_with``."""

    answer_with: Any = None

    def get_exception_handler(self) -> Any:
        return lambda exc, context: self.answer_with

    def post(self, request: Any, **kwargs: Any) -> Any:
        raise PermissionDenied


@pytest.mark.parametrize(
    "answer",
    [HttpResponse("no", status=418), Response({"code": ["This field is required."]}, 418), Response(["wrong"], 418)],
    ids=["no data", "a list", "no dict"],
)
def test_a_refusal_without_a_code(answer: Any) -> None:
    """If a project's own answer to a refusal has no code, ``request_refused`` is sent with an empty code."""
    with heard(request_refused) as calls:
        OddView.as_view(delivery="body", answer_with=answer)(APIRequestFactory().post("/", {}, format="json"))
    ((_, told),) = calls
    assert (told["sender"], told["status"], told["code"], told["reason"]) == (OddView, 418, "", "")
