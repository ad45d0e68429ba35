"""The claims of an access token, and which of a project's own claims are refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from tests.conformance.helpers import claims_of
from tests.http import Caller
from tests.overrides import with_settings
from twotoken import families
from twotoken.clients import Client
from twotoken.exceptions import ClaimsError


@pytest.mark.parametrize("claims", ["reserved", "no_dict", "huge", "unfit"])
def test_claims_that_can_t_go_in(script: Caller, claims: str) -> None:
    """If ACCESS_CLAIMS returns unusable claims, a refresh raises ClaimsError, and the refresh token still works."""
    token = script.log_in().json()["refresh"]
    with with_settings(ACCESS_CLAIMS=f"tests.claims.{claims}"), pytest.raises(ClaimsError):
        script.refresh(token)
    assert script.refresh(token).status_code == 200


def test_claims_are_read_afresh(script: Caller) -> None:
    """A changed role is in the access token of the next refresh."""
    with with_settings(ACCESS_CLAIMS="tests.claims.role"):
        pair = script.log_in().json()
        get_user_model().objects.update(is_staff=True)
        pairs = [pair, script.refresh(pair["refresh"]).json()]
    roles = [
        script.get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {pair['access']}").json()["claims"]["role"] for pair in pairs
    ]
    assert roles == ["user", "staff"]


@pytest.mark.parametrize(
    ("context", "auth_time", "amr"),
    [
        ({}, 0, None),
        ({"amr": ["pwd", "otp"]}, 0, ["pwd", "otp"]),
        ({"amr": ("hwk",)}, 0, ["hwk"]),
        ({"amr": []}, 0, None),
        ({"auth_time": 1_000_000_000}, 1_000_000_000, None),
        ({"auth_time": 0}, 0 - 1, None),
        ({"auth_time": 9_999_999_999}, 0, None),
    ],
)
def test_the_proof_of_a_login(user: Any, context: Any, auth_time: int, amr: Any) -> None:
    """Each access token has the login's ``auth_time`` and ``amr``. The context may set an earlier ``auth_time``."""
    pair = families.start(user, context=context)
    login = claims_of(pair.access)["iat"]
    expected = {0: login, -1: 0}.get(auth_time, auth_time)
    pairs = [pair, families.rotate(families.verify(pair.refresh), Client())]
    for claims in (claims_of(each.access) for each in pairs):
        assert (claims["auth_time"], claims.get("amr")) == (expected, amr)


@pytest.mark.parametrize(
    "context",
    [{"amr": "pwd"}, {"amr": {"pwd": 1}}, {"amr": [5]}, {"amr": [""]}, {"auth_time": "now"}, {"auth_time": 1.5}],
)
def test_a_proof_that_is_none(user: Any, context: Any) -> None:
    """If ``auth_time`` or ``amr`` in the context is invalid, the login raises ClaimsError, and no family starts."""
    with pytest.raises(ClaimsError, match=r"must be a (list|whole number)"):
        families.start(user, context=context)
    assert not families.active(user)


@pytest.mark.parametrize("amr", ["otp", [5], [""]])
def test_methods_of_a_step_up_that_can_t_go_in(user: Any, amr: Any) -> None:
    """A string as ``amr`` is refused, because each of its letters would be a method."""
    family = families.get(families.start(user).family_id)
    assert family is not None
    with pytest.raises(ClaimsError, match="must be a list"):
        families.step_up(family, amr)
