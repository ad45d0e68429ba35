"""Helpers of the conformance cases: they call the service, and assert answers and rows. R0 is the login's token."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any
from urllib.parse import urlencode

import jwt
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.signals import got_request_exception
from django.db import connection, connections
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext
from django.views.debug import ExceptionReporter

from tests.factories import UserFactory
from tests.http import Caller
from tests.jar import COMPANION, COOKIE, COOKIE_MOUNT, cookies
from twotoken.models import FamilyEvent, RefreshToken

KEY = "an-idempotency-key"
OTHER_KEY = "another-idempotency-key"
BODY_MOUNT, TOOL_MOUNT = "/api/app/auth/", "/api/tool/auth/"
ROUTES = ["/api/me/", "/api/stateless/", "/api/revocable/"]
REALM = 'Bearer realm="api"'


def new_user(**values: Any) -> Any:
    """Create another user."""
    return UserFactory(**values)


def log_in(caller: Caller, **extra: Any) -> str:
    """Log in, and return the family's first refresh token, R0."""
    response = caller.log_in(**extra)
    assert response.status_code == 200, response.content
    return token_of(response)


def post_raw(caller: Any, path: str, body: bytes, content_type: str, **extra: Any) -> Any:
    """POST a body without encoding it."""
    return caller.generic("POST", path, body, content_type, **extra)


def token_of(response: Any) -> str:
    """Return the refresh token of an answer, from the cookie or from the body."""
    assert response.status_code == 200, response.content
    if COOKIE in response.cookies:
        return str(response.cookies[COOKIE].value)
    return str(response.json()["refresh"])


def rotate(caller: Caller, token: str, key: str | None = None, **extra: Any) -> str:
    """Refresh, assert that it works, and return the refresh token of the answer."""
    return token_of(caller.refresh(token, key, **extra))


def bearer(access: str) -> Any:
    """Return the header of an access token."""
    return {"HTTP_AUTHORIZATION": f"Bearer {access}"}


def claims_of(token: str) -> Any:
    """Return the claims of a JWT, unverified."""
    return jwt.decode(token, options={"verify_signature": False})


def assert_refused(response: Any, reason: str) -> None:
    """Assert that an answer refuses a token: a 401 with this reason in the body and the right headers."""
    assert response.status_code == 401, (response.status_code, response.content)
    body = response.json()
    assert set(body) == {"detail", "code", "reason"}
    assert (body["code"], body["reason"]) == ("token_not_valid", reason)
    challenge = response["WWW-Authenticate"]
    assert challenge == REALM if reason == "missing" else challenge.startswith(f'{REALM}, error="invalid_token", ')


def assert_cleared(response: Any) -> None:
    """Assert that an answer clears the refresh and the companion cookie, with the attributes of their creation."""
    for name, path in ((COOKIE, COOKIE_MOUNT), (COMPANION, "/")):
        cookie = response.cookies[name]
        assert (cookie.value, cookie["max-age"]) == ("", 0)
        assert (cookie["path"], cookie["samesite"], cookie["domain"]) == (path, "Strict", "")
        assert cookie["secure"]
        assert cookie["httponly"]


def row(token: str) -> RefreshToken:
    """Return the database row of the family of a refresh or access token."""
    return RefreshToken.objects.get(pk=claims_of(token)["sid"])


def state(token: str) -> tuple[int, str]:
    """Return the generation and the revocation reason of a token's family. The reason of an active family is empty."""
    family = row(token)
    assert (family.revoked_at is None) == (family.revoked_reason == "")
    return family.generation, family.revoked_reason


def every_row() -> list[dict[str, Any]]:
    """Return the values of all families and of all their events."""
    families = [
        {**values, "secret": bytes(values["secret"]), "retry_key": bytes(values["retry_key"])}
        for values in RefreshToken.objects.order_by("pk").values()
    ]
    events: Any = FamilyEvent.objects.order_by("pk").values()
    return [*families, *events]


def statements(queries: CaptureQueriesContext) -> list[str]:
    """Return the first word of each SQL statement, also of BEGIN and SAVEPOINT."""
    return [query["sql"].split()[0].upper() for query in queries.captured_queries]


@contextmanager
def unchanged() -> Iterator[None]:
    """Assert that a block changes no family and no event, and makes no statement other than SELECT."""
    before = every_row()
    with CaptureQueriesContext(connection) as queries:
        yield
    assert set(statements(queries)) <= {"SELECT"}
    assert every_row() == before


def in_threads(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Call a function in this many threads at once, each with its own connection."""
    with threads(count) as at_once:
        return at_once(call)


@contextmanager
def threads(count: int) -> Iterator[Callable[[Callable[[int], Any]], list[Any]]]:
    """Return a function that calls its argument in many threads at once. Each thread keeps its own connection."""
    barrier = Barrier(count)

    def work(number: int, call: Callable[[int], Any]) -> Any:
        barrier.wait(timeout=60)
        return call(number)

    with ThreadPoolExecutor(count) as pool:

        def at_once(call: Callable[[int], Any]) -> list[Any]:
            return list(pool.map(work, range(count), [call] * count))

        yield at_once
        at_once(lambda number: connections.close_all())


def again(caller: Caller) -> Caller:
    """Return another client of the same kind, with its own cookie jar."""
    return Caller(caller.user, mount=caller.mount, **caller.defaults)


def email_claim(user: Any, family: Any) -> dict[str, Any]:
    """A project's claims: the user's e-mail address."""
    return {"email": user.email}


def raising_claims(user: Any, family: Any) -> dict[str, Any]:
    """A project's claims that raise an error."""
    raise RuntimeError("the source of the claims is down")


class CountingHasher(MD5PasswordHasher):
    """Counts how often a password is hashed, because hashing is the slow part of a login."""

    runs = 0

    def encode(self, password: Any, salt: Any) -> str:
        type(self).runs += 1
        return super().encode(password, salt)


def log_out(caller: Caller, token: str, **extra: Any) -> Any:
    """Log out with a refresh token, in the cookie or in the body as the client's mount reads it."""
    if caller.mount == COOKIE_MOUNT:
        return caller.send("logout/", HTTP_COOKIE=cookies(token), **extra)
    return caller.send("logout/", {"refresh": token}, **extra)


URLENCODED, MULTIPART = "application/x-www-form-urlencoded", MULTIPART_CONTENT


def post_form(caller: Caller, path: str, data: Any, content_type: str, **extra: Any) -> Any:
    """POST a form."""
    body = urlencode(data).encode() if content_type == URLENCODED else encode_multipart(BOUNDARY, data)
    return post_raw(caller, caller.mount + path, body, content_type, **extra)


def b64(data: bytes) -> str:
    """Encode as a JWT does, as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def assert_invalid(caller: Caller, r0: str, token: str) -> None:
    """Assert that a refresh token is refused as invalid without a query. The family of ``r0`` stays active."""
    with CaptureQueriesContext(connection) as queries:
        assert_refused(caller.refresh(token), "invalid")
    assert statements(queries) == []
    assert state(r0) == (0, "")
    rotate(caller, r0)


@contextmanager
def error_reports() -> Iterator[list[str]]:
    """Collect Django's error reports, HTML and text, for errors that a request raises."""
    reports: list[str] = []

    def receiver(request: Any, **details: Any) -> None:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.extend([reporter.get_traceback_html(), reporter.get_traceback_text()])

    got_request_exception.connect(receiver)
    try:
        yield reports
    finally:
        got_request_exception.disconnect(receiver)
