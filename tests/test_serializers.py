"""The input of a login and a refresh."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from twotoken.serializers import MAX_PASSWORD_LENGTH, MIN_NAME_LENGTH, LoginSerializer, RefreshSerializer

NAME = get_user_model().USERNAME_FIELD


def codes(serializer: Any) -> dict[str, list[str]]:
    """Return the error codes by field."""
    assert not serializer.is_valid()
    return {name: [error.code for error in errors] for name, errors in serializer.errors.items()}


def test_a_login_gives_the_arguments_of_authenticate() -> None:
    """The validated data of a login are the arguments of ``authenticate``: the USERNAME_FIELD and the password."""
    serializer = LoginSerializer(data={NAME: " ann ", "password": "  secret ", "extra": 1})
    assert serializer.is_valid()
    assert serializer.validated_data == {NAME: "ann", "password": "  secret "}
    assert serializer.data == {NAME: "ann"}


LOGINS: list[tuple[dict[str, Any], dict[str, list[str]]]] = [
    ({}, {NAME: ["required"], "password": ["required"]}),
    ({NAME: "ann", "password": ""}, {"password": ["blank"]}),
    ({NAME: None, "password": None}, {NAME: ["null"], "password": ["null"]}),
    ({NAME: ["ann"], "password": {}}, {NAME: ["invalid"], "password": ["invalid"]}),
    ({NAME: "a\x00nn", "password": "x"}, {NAME: ["null_characters_not_allowed"]}),
    ({NAME: "ann", "password": "x" * (MAX_PASSWORD_LENGTH + 1)}, {"password": ["max_length"]}),
    ({NAME: "a" * (MIN_NAME_LENGTH + 1), "password": "x"}, {NAME: ["max_length"]}),
]


@pytest.mark.parametrize(("data", "expected"), LOGINS)
def test_logins_of_a_wrong_shape(data: dict[str, Any], expected: dict[str, list[str]]) -> None:
    """Each missing or wrong field of a login has an error."""
    assert codes(LoginSerializer(data=data)) == expected


def test_an_e_mail_address_fits_in_place_of_a_name() -> None:
    """An e-mail address longer than the name's column is accepted, because back ends may accept one."""
    assert LoginSerializer(data={NAME: "a" * MIN_NAME_LENGTH, "password": "x" * MAX_PASSWORD_LENGTH}).is_valid()


@pytest.mark.parametrize("token", ["a.b.c", "", " ", "\x00", "ü", "\ud800", "x" * 100_000])
def test_a_refresh_token_comes_as_it_is(token: str) -> None:
    """The serializer accepts any string. Only the codec decides whether it is a token."""
    serializer = RefreshSerializer(data={"refresh": token})
    assert serializer.is_valid()
    assert serializer.validated_data == {"refresh": token}


@pytest.mark.parametrize(
    ("data", "code"),
    [({}, "required"), ({"refresh": None}, "null"), ({"refresh": 5}, "invalid"), ({"refresh": ["a"]}, "invalid")],
)
def test_a_refresh_of_a_wrong_shape(data: dict[str, Any], code: str) -> None:
    """A refresh token that is not a string is a 400, not a 401."""
    assert codes(RefreshSerializer(data=data)) == {"refresh": [code]}
