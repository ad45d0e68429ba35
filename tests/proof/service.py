"""The service for the stateful test: sends requests, and compares answers, rows and events with the oracle."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import time_machine
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.dispatch import Signal
from django.test import override_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rest_framework.test import APIClient

from tests.factories import PASSWORD, UserFactory
from tests.jar import COMPANION, COOKIE, cookies
from tests.overrides import with_settings
from tests.proof.conftest import Tried
from tests.proof.oracle import Client, Family, Oracle, Outcome, User, row_of
from tests.proofs import EC_KEY, OTHER_KEY, Device
from tests.receivers import receiving
from twotoken.models import EventKind, FamilyEvent, RefreshToken
from twotoken.signals import reuse_detected, token_retried, wrong_device_refused

START = datetime(2031, 5, 4, 12, 30, 15, 250_000, tzinfo=UTC)
COOKIE_MOUNT, BODY_MOUNT = "/api/auth/", "/api/app/auth/"
MOUNTS = st.sampled_from([COOKIE_MOUNT, BODY_MOUNT])
NUMBERS = st.integers(0, 3)
GENERATIONS_BACK = st.sampled_from([0, 0, 0, 0, 1, 1, 1, 2, 3])
OWNER = Client("127.0.0.1", "Phone/1.0")
CLIENTS = st.sampled_from([OWNER, OWNER, OWNER, Client("127.0.0.1", "Phone/1.1"), Client("192.0.2.66", "Laptop/1.0")])
KINDS = [EventKind.DEVICE, EventKind.RETRIED, EventKind.WRONG_DEVICE]  # that the oracle foresees
# The devices that have a key. A login with a proof by one of them binds the family.
DEVICES = {"phone": Device(EC_KEY), "laptop": Device(OTHER_KEY)}
LOGIN_DEVICES = st.sampled_from(["", "", "phone", "laptop"])
OWN = "the device that the family is bound to"
PROOFS = st.sampled_from([OWN, OWN, OWN, OWN, "", "phone"])
# Anyone can send these. At the cookie mount they say that a browser logs in.
CLAIMS = st.sampled_from([{}, {"HTTP_SEC_FETCH_SITE": "same-origin"}, {"HTTP_ORIGIN": "http://testserver"}])


class Service(RuleBasedStateMachine):
    """Two users and their families, in the database and in the oracle."""

    tried: Tried

    @initialize(
        lifetime=st.sampled_from([timedelta(days=30), timedelta(hours=12), None]),
        reuse_grace=st.sampled_from([timedelta(), timedelta(seconds=4)]),
        revoke_on_reuse=st.sampled_from(["family", "user"]),
        limit=st.sampled_from([None, None, 2]),
    )
    def start(self, **values: Any) -> None:
        """Start a run with settings that Hypothesis chooses, and log one user in."""
        cache.clear()
        self.clock = time_machine.travel(START, tick=False)
        self.traveller = self.clock.start()
        self.stack = ExitStack()
        self.stack.callback(self.clock.stop)
        self.stack.enter_context(
            with_settings(
                FAMILY_LIFETIME=values["lifetime"],
                REUSE_GRACE=values["reuse_grace"],
                REVOKE_ON_REUSE=values["revoke_on_reuse"],
                MAX_FAMILIES_PER_USER=values["limit"],
            )
        )
        self.oracle = Oracle(now=START, **values)
        self.users = [User(), User()]
        self.accounts: list[Any] = [UserFactory(), UserFactory()]
        self.ids: list[UUID] = []
        self.accesses: list[tuple[str, int, datetime, str]] = []
        self.heard: list[Signal] = []
        self.stack.enter_context(receiving(self.hear, reuse_detected, token_retried, wrong_device_refused))
        self.last: tuple[Family, str, int, str, str] | None = None
        self.refreshes = 0
        self.use_secret_key()
        self.log_in(0, BODY_MOUNT, None, 0, OWNER, {}, "")

    def teardown(self) -> None:
        """Delete all users and events, and with the users their families."""
        if hasattr(self, "stack"):
            self.stack.close()
        get_user_model().objects.all().delete()
        FamilyEvent.objects.all().delete()

    def hear(self, signal: Signal, **kwargs: Any) -> None:
        """Record a signal that twotoken has sent."""
        self.heard.append(signal)

    def use_secret_key(self) -> None:
        """Set Django's SECRET_KEY and its fallbacks to those of the oracle."""
        key, *fallbacks = (
            f"{number}, a key of some length" for number in (self.oracle.secret_key, *self.oracle.fallbacks)
        )
        self.stack.enter_context(override_settings(SECRET_KEY=key, SECRET_KEY_FALLBACKS=fallbacks))

    @precondition(lambda self: len(self.live()) < 3)
    @rule(
        user=st.integers(0, 1),
        mount=MOUNTS,
        number=st.none() | NUMBERS,
        back=GENERATIONS_BACK,
        client=CLIENTS,
        claims=CLAIMS,
        device=LOGIN_DEVICES,
    )
    def log_in(
        self, user: int, mount: str, number: int | None, back: int, client: Client, claims: dict[str, str], device: str
    ) -> None:
        """Log in with the right password. The family of a sent cookie is revoked. A proof binds the new family."""
        self.pass_seconds(1)  # no two logins at the very same time: which is older?
        replaced, extra = None, {**claims, **sent_by(client), **proof_of(device, mount + "login/")}
        if number is not None and mount == COOKIE_MOUNT:
            replaced, token, _ = self.token(number, back)
            extra |= {"HTTP_COOKIE": cookies(token)}
        response = self.send(mount + "login/", self.credentials(user), **extra)
        if not self.users[user].is_active:
            assert (response.status_code, response.json()["code"]) == (401, "no_active_account")
            assert not response.cookies
            return
        family = self.oracle.log_in(
            self.users[user],
            client,
            replaced,
            device,
            by_cookie=mount == COOKIE_MOUNT,
            has_browser_headers=bool(claims),
        )
        self.ids.append(self.newest())
        self.check_answer(response, family, mount)

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass for the oracle and for the service."""
        self.oracle.now += timedelta(seconds=seconds)
        self.traveller.move_to(self.oracle.now)

    def send(self, path: str, data: Any = None, **extra: Any) -> Any:
        """POST JSON without cookies of earlier answers."""
        return APIClient().post(path, data, format="json", **extra)

    def present(self, path: str, token: str, mount: str, **extra: Any) -> Any:
        """Send a refresh token as the mount reads it: in the cookie or in the body."""
        if mount == COOKIE_MOUNT:
            return self.send(mount + path, HTTP_COOKIE=cookies(token), **extra)
        return self.send(mount + path, {"refresh": token}, **extra)

    def with_bearer(self, method: str, path: str, number: int, status: int) -> tuple[Family | None, Any]:
        """Call a route with an access token. Return the family (None if the token is refused) and the response."""
        token, family, expires_at, device = self.access(number)
        header = {"HTTP_AUTHORIZATION": f"{'DPoP' if device else 'Bearer'} {token}"}
        response = getattr(APIClient(), method)(path, **header, **proof_of(device, path, method.upper(), token))
        reason = self.oracle.refuses_access(family, expires_at)
        self.tried(f"access tokens: {reason or 'taken'}")
        if reason:
            assert (response.status_code, response.json()["reason"]) == (401, reason)
            assert not response.cookies
            return None, response
        assert response.status_code == status
        return family, response

    def token(self, number: int, back: int) -> tuple[Family, str, int]:
        """Return a family (usually active), one of its tokens (new or old), and the generation of this token."""
        choice = (number and self.live()) or self.oracle.families
        family = choice[-1 - number % len(choice)]
        generation = max(max(family.tokens) - back, 0)
        return family, family.tokens[generation], generation

    def live(self) -> list[Family]:
        """Return the families of both users that the oracle calls active."""
        return [family for user in self.users for family in self.oracle.live(user)]

    def access(self, number: int) -> tuple[str, Family, datetime, str]:
        """Return a recent access token, its family, its expiry and the device that it is bound to."""
        token, place, expires_at, device = self.accesses[-1 - number % len(self.accesses)]
        return token, self.oracle.families[place], expires_at, device

    def place(self, family: Family) -> int:
        """Return the index of a family in the oracle's list of families."""
        return next(index for index, other in enumerate(self.oracle.families) if other is family)

    def newest(self) -> UUID:
        """Return the primary key of the one row that is not in ``ids`` yet."""
        (pk,) = set(RefreshToken.objects.values_list("pk", flat=True)) - set(self.ids)
        return pk

    def credentials(self, user: int) -> dict[str, str]:
        """Return the name and the password of a user."""
        account = self.accounts[user]
        return {account.USERNAME_FIELD: account.get_username(), "password": PASSWORD}

    def check_answer(
        self, response: Any, family: Family, mount: str, *, is_retry: bool = False, is_held: bool = False
    ) -> None:
        """Check the answer to a login or a refresh: its members, its cookies and its tokens.

        With ``is_retry`` the refresh token must be the newest one again. With ``is_held`` the request had this token
        already, so the answer must set no cookie."""
        assert response.status_code == 200, response.content
        body = response.json()
        by_cookie = mount == COOKIE_MOUNT
        names = {"access", "expires_in"} if by_cookie else {"access", "expires_in", "refresh", "refresh_expires_in"}
        assert body.keys() == names | ({"token_type"} if family.device else set())
        assert body.get("token_type", "DPoP") == "DPoP"
        assert set(response.cookies) == ({COOKIE, COMPANION} if by_cookie and not is_held else set())
        assert response["Cache-Control"] == "no-store"
        end = self.oracle.access_end(family)
        assert body["expires_in"] == int(end.timestamp()) - int(self.oracle.now.timestamp())
        self.accesses.append((body["access"], self.place(family), end, family.device))
        if by_cookie and is_held:
            return
        cookie = response.cookies[COOKIE] if by_cookie else None
        token = body["refresh"] if cookie is None else cookie.value
        remaining = body["refresh_expires_in"] if cookie is None else cookie["max-age"]
        assert remaining == int(self.oracle.end_of(family).timestamp()) - int(self.oracle.now.timestamp())
        if is_retry and not family.is_rewritten:
            assert token == family.tokens[family.generation]
        family.tokens[family.generation] = token

    def check_refusal(self, response: Any, outcome: Outcome, mount: str) -> None:
        """Check the reason of a 401, and that it clears the cookie, except after ``wrong_device``."""
        assert (response.status_code, response.json()["reason"]) == (401, outcome.reason)
        assert response["WWW-Authenticate"].startswith('Bearer realm="api", error="invalid_token"')
        self.check_cleared(response, mount == COOKIE_MOUNT and outcome.reason != "wrong_device")

    def check_cleared(self, response: Any, is_cleared: bool) -> None:
        """Check that a response clears the refresh cookie and its companion, or sets no cookie."""
        found = {name: (cookie.value, cookie["max-age"]) for name, cookie in response.cookies.items()}
        assert found == ({COOKIE: ("", 0), COMPANION: ("", 0)} if is_cleared else {})

    @invariant()
    def every_row_is_as_it_should_be(self) -> None:
        """Check that the rows and events in the database are exactly those that the oracle predicts."""
        if not hasattr(self, "stack"):
            return
        self.tried("steps over HTTP against the oracle")
        rows = {row.pk: row for row in RefreshToken.objects.all()}
        assert rows.keys() == set(self.ids)
        events: dict[UUID, list[tuple[str, Client]]] = {pk: [] for pk in self.ids}
        for event in FamilyEvent.objects.filter(kind__in=KINDS).order_by("pk"):
            events[event.family_id].append((event.kind, Client(str(event.ip_address), event.user_agent)))
        for pk, family in zip(self.ids, self.oracle.families, strict=True):
            row = rows[pk]
            expected = row_of(family)
            assert {name: getattr(row, name) for name in expected} == expected
            digest = hashlib.sha256(family.key.encode()).digest() if family.key else b""
            assert bytes(row.retry_key) == digest
            assert events[pk] == family.events
            assert row.device_key == (DEVICES[family.device].device_key if family.device else "")


def proof_of(device: str, path: str, method: str = "POST", access: str | None = None) -> dict[str, str]:
    """Return the header with a DPoP proof by a device. Without a device, return no header."""
    return {"HTTP_DPOP": DEVICES[device].proof(path, method, access)} if device else {}


def sent_by(client: Client) -> dict[str, str]:
    """Return a client's address and user agent as entries of a request's META."""
    return {"REMOTE_ADDR": client.address, "HTTP_USER_AGENT": client.user_agent}
