"""Tokens that are forged, damaged, or sent where the other kind of token belongs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import jwt
import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.conformance.helpers import (
    BODY_MOUNT,
    ROUTES,
    assert_invalid,
    assert_refused,
    b64,
    bearer,
    claims_of,
    log_in,
    post_raw,
    rotate,
    row,
    state,
    statements,
    token_of,
    unchanged,
)
from tests.http import Caller
from tests.jar import COOKIE_MOUNT, cookies
from tests.overrides import with_settings


def unb64(text: str) -> bytes:
    """Decode as a JWT does."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(claims: Any, headers: Any = None, *, secret: str | None = None, algorithm: str = "HS256") -> str:
    """Sign any claims as a refresh token, by default with the refresh secret."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    key = secret or settings.TWOTOKEN["REFRESH_SECRET"]
    return jwt.PyJWS().encode(payload, key, algorithm, {"typ": "rt+jwt", **(headers or {})})


@pytest.mark.parametrize("part", [0, 1, 2], ids=["header", "claims", "signature"])
@pytest.mark.parametrize("kind", ["script", "jar"])
def test_a_flipped_bit(kind: str, part: int, request: pytest.FixtureRequest) -> None:
    """Case 24: if a bit of any byte of a refresh token is changed, the token is refused without a query."""
    caller = request.getfixturevalue(kind)
    r0 = log_in(caller)
    parts = r0.split(".")
    with CaptureQueriesContext(connection) as queries:
        for position in range(len(unb64(parts[part]))):
            data = bytearray(unb64(parts[part]))
            data[position] ^= 1 << position % 8
            forged = ".".join([*parts[:part], b64(bytes(data)), *parts[part + 1 :]])
            assert_refused(caller.refresh(forged), "invalid")
    assert statements(queries) == []
    assert rotate(caller, r0) != r0


def test_a_flipped_spare_bit(script: Caller) -> None:
    """Case 24: a change of the unused bits in a signature's last letter is refused."""
    r0 = log_in(script)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(r0[-1]) ^ 1]
    assert unb64(r0.rpartition(".")[2][:-1] + other) == unb64(r0.rpartition(".")[2])
    assert_invalid(script, r0, r0[:-1] + other)


HOSTILE: dict[str, Callable[[dict[str, Any]], str]] = {
    "other-key": lambda claims: signed(claims, secret="some other secret, of thirty-two bytes or more"),
    "access-key": lambda claims: signed(claims, secret=settings.TWOTOKEN["ACCESS_SECRET"]),
    "secret-key": lambda claims: signed(claims, secret=settings.SECRET_KEY),
    "other-algorithm": lambda claims: signed(claims, algorithm="HS512", secret="s" * 64),
    "same-key-other-algorithm": lambda claims: jwt.encode(
        claims, f"{settings.TWOTOKEN['REFRESH_SECRET']}{' ' * 64}", "HS384", {"typ": "rt+jwt"}
    ),
    "none": lambda claims: b64(b'{"alg":"none","typ":"rt+jwt"}') + "." + b64(json.dumps(claims).encode()) + ".",
    "none-signed": lambda claims: b64(b'{"alg":"none","typ":"rt+jwt"}') + "." + b64(json.dumps(claims).encode()) + ".x",
    "None": lambda claims: b64(b'{"alg":"None","typ":"rt+jwt"}') + "." + b64(json.dumps(claims).encode()) + ".x",
    "crit": lambda claims: signed(claims, {"crit": ["x"], "x": 1}),
    "b64": lambda claims: signed(claims, {"crit": ["b64"], "b64": False}),
    "typ": lambda claims: signed(claims, {"typ": "JWT"}),
    "access-typ": lambda claims: signed(claims, {"typ": "at+jwt"}),
    "10-kB": lambda claims: "a" * 10_240,
    "10-kB-signed": lambda claims: signed({**claims, "x": "x" * 10_240}),
    "10-kB-in-parts": lambda claims: ".".join(["a" * 3_500] * 3),
    "empty-parts": lambda claims: "..",
    "two-parts": lambda claims: signed(claims).rpartition(".")[0],
    "four-parts": lambda claims: signed(claims) + ".x",
    "padding": lambda claims: signed(claims) + "=",
    "deep-header": lambda claims: f"{b64(b'[' * 100_000)}.e30.x",
    "deep-short-header": lambda claims: f"{b64(b'[' * 6_000)}.e30.x",
    "deep-payload": lambda claims: signed(b"[" * 5_000),
    "list": lambda claims: signed([1]),
    "no-json": lambda claims: signed(b"\xff"),
    "no-sid": lambda claims: signed({**claims, "sid": None}),
    "sid-number": lambda claims: signed({**claims, "sid": 1}),
    "sid-rubbish": lambda claims: signed({**claims, "sid": "rubbish"}),
    "gen-text": lambda claims: signed({**claims, "gen": "0"}),
    "gen-negative": lambda claims: signed({**claims, "gen": -1}),
    "gen-true": lambda claims: signed({**claims, "gen": True}),
    "gen-fraction": lambda claims: signed({**claims, "gen": 0.0}),
    "jti-list": lambda claims: signed({**claims, "jti": [claims["jti"]]}),
}


@pytest.mark.parametrize("forge", [*HOSTILE.values()], ids=[*HOSTILE])
@pytest.mark.parametrize("kind", ["script", "jar"])
def test_forged_tokens(kind: str, forge: Callable[[Any], str], request: pytest.FixtureRequest) -> None:
    """Case 24: a forged refresh token is refused without a query, and revokes nothing."""
    caller = request.getfixturevalue(kind)
    r0 = log_in(caller)
    assert_invalid(caller, r0, forge(claims_of(r0)))


@pytest.mark.parametrize(
    "forge", [lambda r0: "\x00", lambda r0: r0 + "\x00", lambda r0: f" {r0}", lambda r0: r0 + "\n"]
)
def test_control_characters(script: Caller, forge: Callable[[str], str]) -> None:
    """Case 24: a token with NUL or spaces in it or around it is refused."""
    r0 = log_in(script)
    assert_invalid(script, r0, forge(r0))


@pytest.mark.parametrize("change", [{"sid": str(UUID(int=7))}, {"jti": "x" * 22}, {"jti": "\u00e9"}, {"gen": 10**12}])
def test_a_token_made_with_the_secret_alone(script: Caller, change: dict[str, Any]) -> None:
    """Case 24: a token signed with the refresh secret is refused if its claims don't fit the family's row."""
    r0 = log_in(script)
    with unchanged():
        assert_refused(script.refresh(signed({**claims_of(r0), **change})), "invalid")
    rotate(script, r0)


NO_TOKEN = {
    "number": b'{"refresh": 1}',
    "list": b'{"refresh": ["x"]}',
    "null": b'{"refresh": null}',
    "missing": b"{}",
    "deep": b"[" * 100_000,
    "deep-refresh": b'{"refresh": ' + b"[" * 100_000,
    "body-list": b"[]",
    "body-text": b'"x"',
    "body-number": b"5",
    "body-null": b"null",
    "no-json": b"{",
    "no-utf8": b'{"refresh": "\xff"}',
    "empty": b"",
    "nan": b'{"refresh": NaN}',
}


@pytest.mark.parametrize("body", [*NO_TOKEN.values()], ids=[*NO_TOKEN])
def test_no_token_in_the_body(script: Caller, body: bytes) -> None:
    """Case 24: a body without a string as token is a 400 at a body mount. A cookie mount ignores the body."""
    r0 = log_in(script)
    with CaptureQueriesContext(connection) as queries:
        response = post_raw(script, f"{BODY_MOUNT}refresh/", body, "application/json")
    assert response.status_code == 400, response.content
    assert set(response.json()) & {"refresh", "non_field_errors", "code"}
    assert response["Cache-Control"] == "no-store"
    assert statements(queries) == []
    assert state(r0) == (0, "")
    by_cookie = post_raw(script, f"{COOKIE_MOUNT}refresh/", body, "application/json", HTTP_COOKIE=cookies(r0))
    assert by_cookie.status_code == 200


@pytest.mark.parametrize("endpoint", ["login/", "refresh/"])
def test_a_body_beyond_the_limit(script: Caller, endpoint: str) -> None:
    """Case 24: a body beyond DATA_UPLOAD_MAX_MEMORY_SIZE is a 400 in JSON with ``no-store``."""
    response = script.send(endpoint, {"refresh": "x" * 3_000_000})
    assert response.status_code == 400
    assert response["Content-Type"] == "application/json"
    assert response.json()["code"] == "parse_error"
    assert response["Cache-Control"] == "no-store"


def test_the_two_tokens_do_not_stand_in(caller: Caller) -> None:
    """Case 25: an access token can't refresh, and API routes refuse a refresh token."""
    login = caller.log_in()
    with CaptureQueriesContext(connection) as queries:
        assert_refused(caller.refresh(login.json()["access"]), "invalid")
        for route in ROUTES:
            assert_refused(caller.get(route, **bearer(token_of(login))), "invalid")
        assert_refused(caller.send("logout/all/", **bearer(token_of(login))), "invalid")
    assert statements(queries) == []
    assert state(token_of(login)) == (0, "")


def test_rotation_of_secrets(script: Caller) -> None:
    """Case 26: the new secret signs, and the old one verifies until it is removed from the list."""
    old: dict[str, str] = {name: str(settings.TWOTOKEN[name]) for name in ("ACCESS_SECRET", "REFRESH_SECRET")}
    new = {name: f"the new one: {secret}" for name, secret in old.items()}
    login = script.log_in()
    with with_settings(**{name: [new[name], old[name]] for name in old}):
        for route in ROUTES:
            assert script.get(route, **bearer(login.json()["access"])).status_code == 200
        answer = script.refresh(token_of(login))
        assert answer.status_code == 200
        lines = {"ACCESS_SECRET": answer.json()["access"], "REFRESH_SECRET": token_of(answer)}
        for name, token in lines.items():
            assert jwt.decode(token, new[name], ["HS256"])["sid"] == str(row(token_of(login)).pk)
            with pytest.raises(jwt.InvalidSignatureError):
                jwt.decode(token, old[name], ["HS256"])
    with with_settings(**new):
        assert_refused(script.get("/api/me/", **bearer(login.json()["access"])), "invalid")
        assert_refused(script.refresh(token_of(login)), "invalid")
        assert script.get("/api/me/", **bearer(answer.json()["access"])).status_code == 200
        assert script.refresh(token_of(answer)).status_code == 200
