"""Which claims a project can add to access tokens."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from django.utils.translation import gettext_lazy

from tests.test_tokens import FAMILY, NOW, POLICY, access
from twotoken import tokens
from twotoken.exceptions import ClaimsError


class Colour(StrEnum):
    """An enum of strings, which JSON can hold."""

    RED = "red"


NO_JSON: dict[str, tuple[Any, str]] = {
    "a UUID": (FAMILY, "a value of type UUID"),
    "a time": (NOW, "a value of type datetime"),
    "a date": (NOW.date(), "a value of type date"),
    "a number of digits": (Decimal("1.50"), "a value of type Decimal"),
    "a set": ({"a"}, "a value of type set"),
    "bytes": (b"text", "a value of type bytes"),
    "a lazy translation": (gettext_lazy("Yes"), "a value of type __proxy__"),
    "within a list": (["a", [FAMILY]], "a value of type UUID"),
    "within a dict": ({"a": {"b": (1, FAMILY)}}, "a value of type UUID"),
    "a number of 5,000 digits": ([10**5000], "an integer with too many digits"),
    "no number": (float("nan"), "a float that is not finite"),
    "infinity": ([-float("inf")], "a float that is not finite"),
    "a number as a key": ({7: "a"}, "a key of type int"),
    "a boolean as a key": ([{True: "a"}], "a key of type bool"),
    "None as a key": ({None: "a"}, "a key of type NoneType"),
}


@pytest.mark.parametrize(("value", "problem"), NO_JSON.values(), ids=NO_JSON)
def test_claims_that_json_can_t_hold(value: Any, problem: str) -> None:
    """For a claim that JSON can't hold, ClaimsError names the claim and the value's type, and not the value."""
    with pytest.raises(ClaimsError) as caught:
        access(role="admin", profile=value)
    assert str(caught.value) == f"The claim 'profile' has {problem}, which JSON can't hold."


def test_names_of_claims_are_text() -> None:
    """A number as the name of a claim is refused, because JSON would make it a string."""
    with pytest.raises(ClaimsError, match="The name of a claim is of type int"):
        tokens.encode_access(POLICY, subject="7", family_id=FAMILY, issued_at=0, expires_at=9, extra={7: "a"})  # type: ignore[dict-item]
    with pytest.raises(ClaimsError, match="must return a dict"):
        tokens.encode_access(POLICY, subject="7", family_id=FAMILY, issued_at=0, expires_at=9, extra=["a"])  # type: ignore[arg-type]


def test_a_claim_that_holds_itself() -> None:
    """A list that contains itself is refused as a claim."""
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ClaimsError, match="The claim 'profile' is nested too deep"):
        access(profile=value)


def test_claims_that_json_can_hold() -> None:
    """Claims that JSON can hold are unchanged after encoding and decoding, except that a tuple becomes a list."""
    given: dict[str, Any] = {"a": None, "b": [True, 1, 1.5, "ü", Colour.RED], "c": {"d": {"": []}}, "e": (1, 2)}
    claims = tokens.decode_access(access(**given), POLICY, NOW)
    assert {name: claims[name] for name in given} == {**given, "e": [1, 2]}


@pytest.mark.parametrize("name", sorted(tokens.RESERVED_CLAIMS))
def test_reserved_claims(name: str) -> None:
    """A project's claims can't replace reserved claims such as ``sub``, ``exp`` and ``sid``."""
    with pytest.raises(ClaimsError, match=f"reserved: {name}"):
        access(POLICY, **{name: "x", "role": "admin"})
