"""Binding a family to a device just after its login."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from twotoken import families
from twotoken.clients import Client
from twotoken.exceptions import InvalidToken
from twotoken.models import RefreshToken
from twotoken.tokens import RefreshClaims

KEY, WITHIN = "dbsc:{}", timedelta(minutes=5)


@pytest.fixture
def claims(user: Any) -> RefreshClaims:
    """The verified claims of the refresh token of a family that has just started."""
    return families.verify(families.start(user).refresh)


def test_binding(claims: RefreshClaims, django_assert_num_queries: Any, caplog: pytest.LogCaptureFixture) -> None:
    """``bind`` runs one SELECT and one UPDATE. A second ``bind`` succeeds only with the same key."""
    with django_assert_num_queries(2), caplog.at_level(logging.INFO, "twotoken"):
        assert families.bind(claims, KEY, within=WITHIN)
    assert f"{claims.family_id} of user" in caplog.text
    assert families.bind(claims, KEY, within=WITHIN)
    assert not families.bind(claims, "dbsc:[]", within=WITHIN)
    assert RefreshToken.objects.get().device_key == KEY


@pytest.mark.parametrize(
    "change",
    [
        {"device_key": "dpop:{}"},
        {"generation": 1},
        {"revoked_at": timezone.now()},
        {"created_at": timezone.now() - timedelta(minutes=6)},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
        {"refreshed_at": timezone.now() - timedelta(days=8)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_can_t_be_bound(claims: RefreshClaims, change: Any) -> None:
    """A family can't be bound if it is already bound, rotated, revoked or expired, or if its login was too long ago."""
    RefreshToken.objects.update(**change)
    assert not families.bind(claims, KEY, within=WITHIN)
    assert RefreshToken.objects.get().device_key == change.get("device_key", "")


def test_a_token_that_does_not_fit(claims: RefreshClaims) -> None:
    """If the token's ``jti`` does not match the family's secret, ``bind`` raises InvalidToken."""
    RefreshToken.objects.update(secret=b"x" * 16)
    with pytest.raises(InvalidToken):
        families.bind(claims, KEY, within=WITHIN)


def test_a_rotation_beside_it(claims: RefreshClaims) -> None:
    """After a rotation, neither the old nor the new refresh token can bind the family."""
    pair = families.rotate(claims, Client())
    assert not families.bind(claims, KEY, within=WITHIN)
    assert not families.bind(families.verify(pair.refresh), KEY, within=WITHIN)
