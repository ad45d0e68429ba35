"""A family that is bound to the key of a device."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.conformance.helpers import again, assert_refused, state, token_of, unchanged
from tests.http import Caller
from tests.proofs import EC_KEY, OTHER_KEY, Device
from tests.receivers import heard
from twotoken.models import EventKind, FamilyEvent
from twotoken.signals import family_revoked, wrong_device_refused

OWNER, THIEF = Device(EC_KEY), Device(OTHER_KEY)


def log_in(caller: Caller) -> str:
    """Log in with a proof of the owner's device and return R0."""
    return token_of(caller.log_in(**OWNER.headers(f"{caller.mount}login/")))


def refresh(caller: Caller, token: str, device: Device | None = OWNER, **extra: Any) -> Any:
    """Refresh with a proof of a device, or without one."""
    proof = {} if device is None else device.headers(f"{caller.mount}refresh/")
    return caller.refresh(token, **proof, **extra)


def test_a_bound_family(caller: Caller, clock: Any) -> None:
    """Case 40: only the device of a bound family can refresh. A copied token of any generation revokes nothing."""
    r0 = log_in(caller)
    r1 = token_of(refresh(caller, r0))
    clock.shift(timedelta(minutes=1))
    r2 = token_of(refresh(caller, r1))
    thief = again(caller)
    with heard(wrong_device_refused, family_revoked) as calls:
        for device in (None, THIEF):
            for token in (r0, r1, r2):
                response = refresh(thief, token, device)
                assert_refused(response, "wrong_device")
                assert not response.cookies
    assert [signal for signal, _ in calls] == [wrong_device_refused] * 6
    assert FamilyEvent.objects.filter(kind=EventKind.WRONG_DEVICE).count() == 6
    assert state(r0) == (2, "")
    assert refresh(caller, r2).status_code == 200


def test_a_lost_answer_of_a_bound_family(caller: Caller, clock: Any) -> None:
    """Case 40: with a proof, a replaced token gets the current one, even hours later. The current one still works."""
    r0 = log_in(caller)
    r1 = token_of(refresh(caller, r0))
    clock.shift(timedelta(hours=9))
    with unchanged():
        assert token_of(refresh(caller, r0)) == r1
    assert state(r0) == (1, "")
    r2 = token_of(refresh(caller, r1))
    assert state(r0) == (2, "")
    assert_refused(refresh(caller, r0), "reused")
    assert_refused(refresh(caller, r2), "revoked")


@pytest.mark.parametrize("key", ["an-idempotency-key", None])
def test_a_copied_key_helps_no_thief(caller: Caller, key: str | None) -> None:
    """Case 40: a thief who has the token and its Idempotency-Key, but not the private key, is refused."""
    r0 = log_in(caller)
    token_of(caller.refresh(r0, "an-idempotency-key", **OWNER.headers(f"{caller.mount}refresh/")))
    assert_refused(again(caller).refresh(r0, key), "wrong_device")
    assert state(r0) == (1, "")
