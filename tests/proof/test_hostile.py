"""Hostile input: tests against the weaknesses in ``weaknesses.py`` that no other test covers."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from tests.conformance.helpers import (
    BODY_MOUNT,
    ROUTES,
    CountingHasher,
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
from tests.factories import PASSWORD, UserFactory
from tests.http import Caller
from tests.jar import COOKIE, COOKIE_MOUNT, cookies
from tests.proof.conftest import Tried
from tests.proof.weaknesses import WEAKNESSES, Weakness
from tests.proofs import EC_KEY, Device, jwk
from tests.proofs import sign as sign_proof
from tests.test_tokens import forge
from twotoken import tokens
from twotoken.keys import key_ring

HEADER = {"alg": "HS256", "typ": "rt+jwt"}
SECRET = settings.TWOTOKEN["REFRESH_SECRET"]
KEYS = key_ring((SECRET,))


@pytest.mark.parametrize("weakness", WEAKNESSES, ids=lambda weakness: weakness.what)
def test_the_table(weakness: Weakness, tried: Tried) -> None:
    """Each weakness in the table names tests that exist."""
    for name in weakness.tests:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(f"tests.{module}"), function))
    tried("published weaknesses, each with its tests")


# The proof of a device.

DEVICE = Device(EC_KEY)
TYPED = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(EC_KEY)}
HOSTILE_PROOFS: list[Any] = [
    "",
    " ",
    "x" * 100_000,
    "a.b.c",
    "\x00.\x00.\x00",
    "ü.ü.ü",
    "\ud800.\ud800.\ud800",
    f"{b64(b'[' * 2_000)}.{b64(b'{}')}.",
    f"{b64(b'null')}.{b64(b'null')}.{b64(b'null')}",
    sign_proof(TYPED, [1], EC_KEY),
    sign_proof(TYPED, b'{"iat":1e999,"htm":["POST"],"htu":{},"jti":null}', EC_KEY),
    sign_proof({**TYPED, "jwk": {"kty": "oct", "k": b64(b"k" * 32)}}, {}, EC_KEY),
    sign_proof({**TYPED, "jwk": "https://127.0.0.1:9/key"}, {}, EC_KEY),
    sign_proof({**TYPED, "crit": ["exp"]}, {}, EC_KEY),
    sign_proof({"typ": "dpop+jwt", "alg": "none"}, {}, EC_KEY).rpartition(".")[0] + ".",
]


@pytest.mark.parametrize("proof", HOSTILE_PROOFS, ids=lambda proof: ascii(proof)[:30])
def test_hostile_proofs(script: Caller, proof: str) -> None:
    """A refresh with a hostile DPoP proof is a 400 before any query, and the owner stays logged in."""
    path = f"{script.mount}refresh/"
    r0 = token_of(script.log_in(**DEVICE.headers(f"{script.mount}login/")))
    with CaptureQueriesContext(connection) as queries:
        response = script.refresh(r0, HTTP_DPOP=proof)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_dpop_proof")
    assert not queries.captured_queries
    assert state(r0) == (0, "")
    assert script.refresh(r0, **DEVICE.headers(path)).status_code == 200


# The token as a string.


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbid every network connection."""

    def refuse(*args: Any) -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


JWK = {"kty": "oct", "k": b64(b"k" * 32), "alg": "HS256", "kid": "mine"}
NAMED_KEYS: list[tuple[dict[str, Any], bytes]] = [
    ({"kid": "../../../../../../dev/null"}, b""),
    ({"kid": "/proc/sys/kernel/randomize_va_space"}, b"2\n"),
    ({"kid": "x' UNION SELECT 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"}, b"k" * 32),
    ({"kid": "|/bin/sleep 10"}, b"k" * 32),
    ({"kid": "mine", "jwk": JWK}, b"k" * 32),
    ({"kid": "mine", "jku": "http://127.0.0.1:9/jwks.json"}, b"k" * 32),
    ({"x5u": "http://127.0.0.1:9/cert.pem"}, b"k" * 32),
    ({"x5c": [b64(b"k" * 32)]}, b"k" * 32),
    ({"iss": "http://127.0.0.1:9/"}, b"k" * 32),
]


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize(("header", "key"), NAMED_KEYS)
def test_a_key_that_the_token_names(script: Caller, header: dict[str, Any], key: bytes) -> None:
    """CVE-2018-0114, CVE-2026-48524: a token signed by a key that it names itself is refused; nothing is fetched."""
    r0 = log_in(script)
    claims = claims_of(r0)
    assert_invalid(script, r0, forge({**HEADER, **header}, {**claims, "gen": 0}, key))


PUBLIC_KEY = (
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----"
)


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "EdDSA", "PS256", "HS384", "A128KW", "dir"])
@pytest.mark.parametrize("key", [PUBLIC_KEY, PUBLIC_KEY + "\n", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"])
def test_a_foreign_key(script: Caller, algorithm: str, key: str) -> None:
    """CVE-2022-29217, CVE-2024-33663: a token signed with a public key's text is refused, for every algorithm."""
    r0 = log_in(script)
    assert_invalid(script, r0, forge({**HEADER, "alg": algorithm}, claims_of(r0), key.encode()))


def sign(header: str, payload: str) -> str:
    """Return a token made of these two texts as they are, signed with our own key."""
    text = f"{b64(header.encode())}.{b64(payload.encode())}"
    return f"{text}.{b64(hmac.digest(SECRET.encode(), text.encode(), hashlib.sha256))}"


GOOD_HEADER = json.dumps(HEADER)
DUPLICATE_HEADERS = [
    ('{"alg":"HS256","typ":"rt+jwt","alg":"none"}', False),
    ('{"alg":"none","typ":"rt+jwt","alg":"HS256"}', True),
    ('{"alg":"HS256","typ":"rt+jwt","typ":"at+jwt"}', False),
    ('{"alg":"HS256","typ":"at+jwt","typ":"rt+jwt"}', True),
    ('{"alg":"HS256","typ":"rt+jwt","crit":["x"],"crit":["x"]}', False),
    ('{"alg":"HS256","typ":"rt+jwt","\\u0061lg":"none"}', False),
]


@pytest.mark.parametrize(("header", "taken"), DUPLICATE_HEADERS)
def test_duplicate_names_in_a_token(script: Caller, header: str, taken: bool) -> None:
    """If a token's header has a name twice, the last value counts for every check."""
    r0 = log_in(script)
    payload = json.dumps(claims_of(r0))
    foreign = sign(header, payload).rpartition(".")[0] + "." + b64(b"x" * 32)
    assert_refused(script.refresh(foreign), "invalid")
    if taken:
        assert tokens.decode_refresh(sign(header, payload), KEYS).generation == 0
    else:
        assert_invalid(script, r0, sign(header, payload))


def test_duplicate_claims(script: Caller) -> None:
    """If a token has ``sid`` twice, the last one counts, and the token is refused: its ``jti`` is of another row."""
    mine, other = log_in(script), log_in(script)
    claims = json.dumps(claims_of(mine))[:-1]
    token = sign(GOOD_HEADER, f'{claims},"sid":"{claims_of(other)["sid"]}"}}')
    with unchanged():
        assert_refused(script.refresh(token), "invalid")
    assert rotate(script, other) != other


def test_duplicate_names_in_a_body(script: Caller) -> None:
    """If a JSON body has a name twice, the last value counts, for a refresh token and for a user name."""
    r0, r1 = log_in(script), "rubbish"
    body = f'{{"refresh": "{r0}", "refresh": "{r1}"}}'.encode()
    assert_refused(post_raw(script, f"{BODY_MOUNT}refresh/", body, "application/json"), "invalid")
    name, mine = script.user.USERNAME_FIELD, script.user.get_username()
    body = json.dumps({name: mine, "password": PASSWORD})[:-1].encode() + f',"{name}":"nobody"}}'.encode()
    response = post_raw(script, f"{BODY_MOUNT}login/", body, "application/json")
    assert (response.status_code, response.json()["code"]) == (401, "no_active_account")
    assert state(r0) == (0, "")


ODD_NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "-1",
    "-0.0",
    "1e3",
    "1E400",
    "0x1",
    "01",
    "true",
    "null",
    "9" * 5_000,
    "1.0",
]


@pytest.mark.parametrize("number", ODD_NUMBERS, ids=lambda number: number[:9])
def test_odd_numbers(script: Caller, number: str) -> None:
    """A token is refused if its generation is not a whole number in plain digits, or has 5,000 digits."""
    r0 = log_in(script)
    claims = json.dumps({**claims_of(r0), "gen": "?"}).replace('"?"', number)
    assert_invalid(script, r0, sign(GOOD_HEADER, claims))


def test_a_number_beyond_every_column(script: Caller) -> None:
    """A token with a generation of 400 digits is refused with a 401 ``invalid``, not with a 5xx."""
    r0 = log_in(script)
    claims = json.dumps({**claims_of(r0), "gen": 10**400})
    with unchanged():
        assert_refused(script.refresh(sign(GOOD_HEADER, claims)), "invalid")
    rotate(script, r0)


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"a\\ud800b"'])
@pytest.mark.parametrize("field", ["refresh", "name", "password", "sid", "jti"])
def test_half_a_character(script: Caller, field: str, text: str) -> None:
    """In every field, a text that no database can store, such as half a surrogate pair, is a 400 or a 401."""
    r0 = log_in(script)
    name = script.user.USERNAME_FIELD
    if field in {"sid", "jti"}:
        claims = json.dumps({**claims_of(r0), field: "?"}).replace('"?"', text)
        assert_refused(script.refresh(sign(GOOD_HEADER, claims)), "invalid")
    elif field == "refresh":
        response = post_raw(script, f"{BODY_MOUNT}refresh/", f'{{"refresh": {text}}}'.encode(), "application/json")
        assert_refused(response, "invalid")
    else:
        data = json.dumps({name: "?" if field == "name" else "x", "password": "?" if field == "password" else "x"})
        body = data.replace('"?"', text).encode()
        response = post_raw(script, f"{BODY_MOUNT}login/", body, "application/json")
        assert response.status_code in {400, 401}, response.content
    assert state(r0) == (0, "")


@pytest.mark.parametrize("size", [8_193, 100_000])
def test_an_oversized_cookie(jar: Caller, size: int) -> None:
    """An oversized refresh cookie is refused without a query. A refresh with a thousand other cookies succeeds."""
    r0 = log_in(jar)
    with CaptureQueriesContext(connection) as queries:
        assert_refused(jar.refresh("x" * size), "invalid")
        assert_refused(jar.refresh(r0 + "." + "x" * size), "invalid")
    assert statements(queries) == []
    others = "; ".join(f"c{number}=x" for number in range(1_000))
    assert jar.send("refresh/", HTTP_COOKIE=f"{others}; {cookies(r0)}; {others}").status_code == 200


# The login.


@override_settings(PASSWORD_HASHERS=["tests.conformance.helpers.CountingHasher"])
def test_an_unusable_password(script: Caller) -> None:
    """CVE-2024-39329: a login runs the hasher once, for an account without a password and for an unknown name."""
    single_sign_on: Any = UserFactory()
    single_sign_on.set_unusable_password()
    single_sign_on.save()
    for username in (single_sign_on.get_username(), "nobody-of-that-name"):
        CountingHasher.runs = 0
        response = script.send("login/", {script.user.USERNAME_FIELD: username, "password": PASSWORD})
        assert (response.status_code, response.json()["code"]) == (401, "no_active_account")
        assert CountingHasher.runs == 1


@override_settings(PASSWORD_HASHERS=["tests.conformance.helpers.CountingHasher"])
def test_a_long_password(script: Caller) -> None:
    """CVE-2013-1443: a login with a password of more than 4,096 characters is a 400, and nothing is hashed."""
    CountingHasher.runs = 0
    for name in (script.user.get_username(), "nobody-of-that-name"):
        response = script.send("login/", {script.user.USERNAME_FIELD: name, "password": "x" * 4_097})
        assert (response.status_code, set(response.json())) == (400, {"password"})
    assert CountingHasher.runs == 0


class Lockout:
    """An authentication back end that refuses every login, as a lockout does. It comes before Django's back end."""

    def authenticate(self, request: Any, **credentials: Any) -> None:
        """Refuse every login."""
        assert request is not None
        raise PermissionDenied


@override_settings(
    AUTHENTICATION_BACKENDS=["tests.proof.test_hostile.Lockout", "django.contrib.auth.backends.ModelBackend"]
)
def test_a_back_end_that_says_no(script: Caller) -> None:
    """CVE-2024-21543: if an authentication back end denies a login, no other is asked, and the login is a 401."""
    response = script.log_in()
    assert (response.status_code, response.json()["code"]) == (401, "no_active_account")


# The browser.


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("headers", [{"HTTP_ORIGIN": "https://evil.example"}, {"HTTP_ORIGIN": "null"}, {}])
def test_login_by_a_foreign_form(jar: Caller, kind: str, headers: dict[str, Any]) -> None:
    """A form of another site, which needs no preflight and can look like JSON, can't log a visitor in."""
    data = {jar.user.USERNAME_FIELD: jar.user.get_username(), "password": PASSWORD, "x": "="}
    response = post_raw(jar, f"{COOKIE_MOUNT}login/", json.dumps(data).encode(), kind, **headers)
    expected = (403, "cross_origin") if headers else (415, "unsupported_media_type")
    assert (response.status_code, response.json()["code"]) == expected
    assert not response.cookies


NOT_OURS = [
    "http://testserver.",
    "http://testserver:80",
    "HTTP://TESTSERVER",
    "http://TestServer",
    "http://testserver http://evil.example",
    "http://testserver, http://evil.example",
    "http://evil.example@testserver",
    "http://testserver@evil.example",
    "http://testserver%00.evil.example",
    "http://testserver\\.evil.example",
    "http://xn--testserver-",
    "http://t\u0435stserver",  # a Cyrillic letter
    "http://[::1]",
    "http://127.0.0.1",
    "file://",
    "null",
    "about:blank",
]


@pytest.mark.parametrize("origin", NOT_OURS)
def test_origins_that_are_not_ours(jar: Caller, origin: str) -> None:
    """A refresh whose Origin is not exactly our own is a 403 without a query, even if both look alike."""
    r0 = log_in(jar)
    with CaptureQueriesContext(connection) as queries:
        response = jar.send("refresh/", HTTP_ORIGIN=origin)
    assert (response.status_code, response.json()["code"]) == (403, "cross_origin")
    assert statements(queries) == []
    assert state(r0) == (0, "")


@pytest.mark.parametrize("host", ["[::1]:8000", "[::1]", "xn--bcher-kva.example", "127.0.0.1:8000", "a-b.example:8443"])
@override_settings(ALLOWED_HOSTS=["[::1]", "xn--bcher-kva.example", "127.0.0.1", "a-b.example"])
def test_origins_that_are_ours(jar: Caller, host: str) -> None:
    """A refresh passes if its Origin is exactly our own, with IPv6, punycode or a port. Similar origins are a 403."""
    r0 = log_in(jar, HTTP_HOST=host)
    for other in (
        f"http://{host}0",
        f"http://x{host}",
        f"https://{host}",
        "http://[::2]:8000",
        "http://b\xfccher.example",
    ):
        assert jar.send("refresh/", HTTP_HOST=host, HTTP_ORIGIN=other).status_code == 403
    assert state(r0) == (0, "")
    assert jar.send("refresh/", HTTP_HOST=host, HTTP_ORIGIN=f"http://{host}").status_code == 200


FORWARDED: list[dict[str, Any]] = [
    {"HTTP_X_FORWARDED_HOST": "evil.example", "HTTP_ORIGIN": "http://evil.example"},
    {"HTTP_FORWARDED": "host=evil.example;proto=http", "HTTP_ORIGIN": "http://evil.example"},
    {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_ORIGIN": "https://testserver"},
    {"HTTP_X_FORWARDED_PORT": "8000", "HTTP_ORIGIN": "http://testserver:8000"},
    {"HTTP_X_ORIGINAL_HOST": "evil.example", "HTTP_ORIGIN": "http://evil.example"},
    {"HTTP_REFERER": "http://testserver/", "HTTP_ORIGIN": "http://evil.example"},
]


@pytest.mark.parametrize("headers", FORWARDED)
def test_forwarded_headers_make_no_origin_ours(jar: Caller, headers: dict[str, Any]) -> None:
    """Forwarded headers that Django is not told to trust make no foreign origin ours: a refresh is a 403."""
    r0 = log_in(jar)
    assert jar.send("refresh/", **headers).json()["code"] == "cross_origin"
    assert state(r0) == (0, "")


# The request.


def test_a_token_in_the_address(script: Caller, jar: Caller) -> None:
    """RFC 6750 section 2.3: no endpoint reads a token from the URL, because logs and histories would keep it."""
    login = script.log_in().json()
    access, r0 = login["access"], login["refresh"]
    for route in ROUTES:
        response = script.get(f"{route}?access_token={access}")
        assert response.status_code == 401
        assert "reason" not in response.json()
    query = f"?refresh={r0}&{COOKIE}={r0}&access_token={access}"
    assert script.send(f"refresh/{query}").status_code == 400
    assert_refused(jar.send(f"refresh/{query}"), "missing")
    assert script.send(f"logout/{query}").status_code == 400  # no token came, and a logout that ends nothing says so
    assert script.send(f"logout/all/{query}").status_code == 401
    assert state(r0) == (0, "")


@pytest.mark.parametrize("name", ["HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_METHOD_OVERRIDE"])
def test_method_overrides(script: Caller, name: str) -> None:
    """A header, a query parameter or a field of a form can't override the method of a request."""
    login = script.log_in().json()
    r0, header = login["refresh"], bearer(login["access"])
    with unchanged():
        overridden: Any = {**header, name: "DELETE"}
        answer = script.post("/api/app/auth/sessions/?_method=DELETE", {"_method": "DELETE"}, **overridden)
        assert answer.status_code == 405
        assert script.get("/api/app/auth/sessions/?_method=DELETE", **overridden).status_code == 200
        post: Any = {name: "POST", "QUERY_STRING": "_method=POST"}
        for endpoint in ("login/", "refresh/", "logout/"):
            assert script.get(BODY_MOUNT + endpoint, **post).status_code == 405
    assert state(r0) == (0, "")


BREAK = "x\r\nSet-Cookie: evil=1\r\n\r\nToken family 1 of user 1 revoked: logout."


@pytest.fixture
def records() -> Iterator[list[str]]:
    """Collect every log record of every logger."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler, root = Collector(), logging.getLogger()
    level, twotoken_level = root.level, logging.getLogger("twotoken").level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("twotoken").setLevel(logging.DEBUG)
    yield found
    root.removeHandler(handler)
    root.setLevel(level)
    logging.getLogger("twotoken").setLevel(twotoken_level)


@override_settings(REST_FRAMEWORK={**settings.REST_FRAMEWORK, "NUM_PROXIES": 1})
def test_line_breaks(script: Caller, records: list[str]) -> None:
    """Line breaks in a name, key, address or user agent reach neither response headers nor twotoken's log lines."""
    headers: Any = {"HTTP_USER_AGENT": BREAK, "HTTP_X_FORWARDED_FOR": BREAK, "HTTP_X_REQUEST_ID": BREAK}
    login = script.log_in(**headers)
    r0 = login.json()["refresh"]
    answers = [
        login,
        script.send("login/", {script.user.USERNAME_FIELD: BREAK, "password": BREAK}, **headers),
        script.refresh(r0, BREAK, **headers),
        script.refresh(BREAK, **headers),
        script.refresh(r0, **headers),
        script.refresh(r0, **headers),
        script.get("/api/app/auth/sessions/", **{**headers, **bearer(login.json()["access"])}),
        script.get("/api/me/", **{**headers, "HTTP_AUTHORIZATION": f"Bearer {BREAK}"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 400, 401, 200, 401, 401, 401]
    for answer in answers:
        assert not any("\n" in value or "evil" in value for _, value in answer.items())
    assert (row(r0).ip_address, row(r0).revoked_reason) == (None, "reuse")
    ours = [record for record in records if "family" in record or "refused" in record]
    assert len(ours) >= len(answers) - 2
    assert not any("\n" in record or "\r" in record for record in ours)


JOINED: list[tuple[dict[str, Any], int]] = [
    ({"HTTP_IDEMPOTENCY_KEY": "a-key-of-some-length, another-key-of-some-length"}, 400),
    ({"HTTP_IDEMPOTENCY_KEY": '"a-key-of-some-length","another-key-of-some-length"'}, 400),
    ({"HTTP_SEC_FETCH_SITE": "same-origin, cross-site"}, 403),
    ({"HTTP_SEC_FETCH_SITE": "cross-site,same-origin"}, 403),
    ({"HTTP_ORIGIN": "http://testserver,http://testserver"}, 403),
]


@pytest.mark.parametrize(("headers", "status"), JOINED)
def test_headers_that_a_server_may_join(jar: Caller, headers: dict[str, Any], status: int) -> None:
    """If a server has joined two values of a header with a comma, a refresh is refused without a query."""
    r0 = log_in(jar)
    with CaptureQueriesContext(connection) as queries:
        response = jar.send("refresh/", **headers)
    assert response.status_code == status
    assert statements(queries) == []
    assert state(r0) == (0, "")


def test_two_authorization_headers(script: Caller) -> None:
    """Two Authorization headers that a server has joined with a comma get a 401 ``invalid`` at every API route."""
    access = script.log_in().json()["access"]
    for value in (f"Bearer {access}, Bearer {access}", f"Bearer {access},Bearer x", f"Bearer {access},"):
        for route in ROUTES:
            assert_refused(script.get(route, HTTP_AUTHORIZATION=value), "invalid")
