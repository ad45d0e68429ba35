"""Compares the real service, on a real database, with the oracle, for requests, times and users in any order.

After each step, the answer, its cookie, the number of statements, all rows and all events must be as the oracle says.
"""

from __future__ import annotations

from datetime import timedelta
from functools import wraps
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from tests.factories import PASSWORD
from tests.proof.conftest import FULL, Tried
from tests.proof.oracle import Client, Family, Outcome
from tests.proof.service import (
    CLAIMS,
    CLIENTS,
    COOKIE_MOUNT,
    GENERATIONS_BACK,
    MOUNTS,
    NUMBERS,
    OWN,
    OWNER,
    PROOFS,
    Service,
    proof_of,
    sent_by,
)
from twotoken import families
from twotoken.models import RefreshToken
from twotoken.signals import reuse_detected, token_retried, wrong_device_refused

KEYS = st.sampled_from(["", "", "the-first-key", "the-second-key"])
# Seconds, across grace and a key's minute; also a little back, by a clock that is behind.
MOMENTS = st.sampled_from([0, 0, 0, -3, 0.001, 4, 9.999, 10, 20, 59.999, 60])
AGES = st.sampled_from([timedelta(minutes=15), timedelta(hours=11), timedelta(days=6.9), timedelta(days=7)])


def rarely(method: Any) -> Any:
    """Let Hypothesis choose a step only after three refreshes; otherwise soon no family would be active."""

    @wraps(method)
    def wrapped(self: ServiceInAnyOrder, **values: Any) -> None:
        self.refreshes = 0
        method(self, **values)

    return precondition(lambda self: self.refreshes >= 3)(wrapped)


class ServiceInAnyOrder(Service):
    """The steps, which Hypothesis chooses in any order."""

    @rule(user=st.integers(0, 1), mount=MOUNTS)
    @rarely
    def fail_to_log_in(self, user: int, mount: str) -> None:
        """Log in with a wrong password, which is refused."""
        response = self.send(mount + "login/", {**self.credentials(user), "password": "wrong"})
        assert (response.status_code, response.json()["code"]) == (401, "no_active_account")

    @rule(
        wait=MOMENTS,
        number=NUMBERS,
        back=GENERATIONS_BACK,
        key=KEYS,
        mount=MOUNTS,
        client=CLIENTS,
        claims=CLAIMS,
        device=PROOFS,
    )
    def refresh(
        self,
        wait: float,
        number: int,
        back: int,
        key: str,
        mount: str,
        client: Client,
        claims: dict[str, str],
        device: str,
    ) -> None:
        """Refresh with any token that was issued, with or without key and proof, at either mount, from any client."""
        self.pass_seconds(wait)
        self.show(*self.token(number, back), key, mount, client, claims, device)

    @precondition(lambda self: self.last)
    @rule(wait=MOMENTS, key=st.none() | KEYS, client=CLIENTS, claims=CLAIMS, device=PROOFS)
    def refresh_again(self, wait: float, key: str | None, client: Client, claims: dict[str, str], device: str) -> None:
        """Repeat the last refresh, with its key or another key, from any client."""
        self.pass_seconds(wait)
        assert self.last is not None
        family, token, generation, last_key, mount = self.last
        self.show(family, token, generation, last_key if key is None else key, mount, client, claims, device)

    @rule(wait=MOMENTS, number=NUMBERS, key=KEYS, mount=MOUNTS, times=st.integers(1, 3), claims=CLAIMS)
    def refresh_in_turn(
        self, wait: float, number: int, key: str, mount: str, times: int, claims: dict[str, str]
    ) -> None:
        """Refresh with the newest token, as an undisturbed client does. If no family is active, log in first."""
        if not self.live():
            self.reactivate()
            self.log_in(number % 2, mount, None, 0, OWNER, claims, "")
        for _ in range(times):
            self.pass_seconds(wait)
            self.show(*self.token(number or 1, 0), key, mount, OWNER, claims)

    def show(
        self,
        family: Family,
        token: str,
        generation: int,
        key: str,
        mount: str,
        client: Client = OWNER,
        claims: dict[str, str] | None = None,
        device: str = OWN,
    ) -> None:
        """Refresh, and compare the answer, the signals and the number of statements with the oracle's outcome."""
        self.last = (family, token, generation, key, mount)
        self.refreshes += 1
        extra: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
        device = family.device if device == OWN else device
        extra |= proof_of(device, f"{mount}refresh/")
        outcome = self.oracle.refresh(family, generation, key, device, client)
        self.heard.clear()
        with CaptureQueriesContext(connection) as queries:
            response = self.present("refresh/", token, mount, **extra, **sent_by(client), **(claims or {}))
        assert self.heard == [
            *[reuse_detected] * (outcome.reason == "reused"),
            *[wrong_device_refused] * (outcome.reason == "wrong_device"),
            *[token_retried] * outcome.is_traced,
        ]
        self.tried(f"refreshes: {outcome.reason or ('rotated' if outcome.rotated else 'retried')}")
        if outcome.reason:
            self.check_refusal(response, outcome, mount)
            return
        assert len(queries) == outcome.statements, queries.captured_queries
        self.check_answer(
            response, family, mount, is_retry=not outcome.rotated, is_held=outcome.generation == generation
        )

    @rule(number=NUMBERS, back=GENERATIONS_BACK, mount=MOUNTS, place=st.floats(0, 0.999))
    @rarely
    def refresh_with_a_forgery(self, number: int, back: int, mount: str, place: float) -> None:
        """Refresh with a token that has one changed character: it is refused without a query."""
        _, token, _ = self.token(number, back)
        index = int(len(token) * place)
        forged = token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]
        with CaptureQueriesContext(connection) as queries:
            response = self.present("refresh/", forged, mount)
        assert len(queries) == 0
        self.check_refusal(response, Outcome(reason="invalid"), mount)

    @rule(number=NUMBERS, back=GENERATIONS_BACK, mount=MOUNTS)
    @rarely
    def log_out(self, number: int, back: int, mount: str) -> None:
        """Log out with any token of the family: current, old or expired."""
        family, token, _ = self.token(number, back)
        self.oracle.revoke(family, "logout")
        response = self.present("logout/", token, mount)
        assert response.status_code == 204
        self.check_cleared(response, mount == COOKIE_MOUNT)

    @rule(number=st.integers(0, 30), mount=MOUNTS)
    @rarely
    def log_out_everywhere(self, number: int, mount: str) -> None:
        """Log out of all families of the user, with an access token."""
        family, response = self.with_bearer("post", mount + "logout/all/", number, 204)
        if family is not None:
            self.oracle.revoke_all(family.user, "logout")
            self.check_cleared(response, mount == COOKIE_MOUNT)

    @rule(number=st.integers(0, 30), mount=MOUNTS)
    @rarely
    def end_the_other_sessions(self, number: int, mount: str) -> None:
        """Revoke all families of the user except that of the access token."""
        family, _ = self.with_bearer("delete", mount + "sessions/", number, 204)
        if family is not None:
            self.oracle.revoke_all(family.user, "logout", keep=family)

    @rule(number=st.integers(0, 30), other=NUMBERS, mount=MOUNTS)
    @rarely
    def end_a_session(self, number: int, other: int, mount: str) -> None:
        """Revoke a family of the user by its id. For the family of another user the answer is a 404."""
        ended, _, _ = self.token(other, 0)
        _, asking, _, _ = self.access(number)
        is_own = asking.user is ended.user
        path = f"{mount}sessions/{self.ids[self.place(ended)]}/"
        family, response = self.with_bearer("delete", path, number, 204 if is_own else 404)
        if family is not None and is_own:
            self.oracle.revoke(ended, "logout")
            self.check_cleared(response, mount == COOKIE_MOUNT and family is ended)

    @rule(number=st.integers(0, 30), mount=MOUNTS)
    @rarely
    def list_sessions(self, number: int, mount: str) -> None:
        """List the user's sessions, which must be the active families."""
        family, response = self.with_bearer("get", mount + "sessions/", number, 200)
        if family is not None:
            shown = {UUID(each["id"]): (each["current"], each["bound"]) for each in response.json()}
            live = self.oracle.live(family.user)
            assert shown == {self.ids[self.place(other)]: (other is family, other.device != "") for other in live}

    @rule(number=NUMBERS, early=st.sampled_from([0, 0.001, 0.999, 1]), key=KEYS, mount=MOUNTS)
    @rarely
    def refresh_at_the_end(self, number: int, early: float, key: str, mount: str) -> None:
        """Refresh when the family expires by the idle or absolute limit, or up to a second before."""
        family, token, generation = self.token(number, 0)
        self.pass_seconds(max((self.oracle.end_of(family) - self.oracle.now).total_seconds() - early, 0))
        self.show(family, token, generation, key, mount)

    @rule(by=AGES)
    @rarely
    def grow_old(self, by: timedelta) -> None:
        """Let so much time pass that access tokens expire, and perhaps families too."""
        self.pass_seconds(by.total_seconds())

    @rule(number=NUMBERS)
    @rarely
    def revoke(self, number: int) -> None:
        """Revoke a family, as staff do."""
        family, _, _ = self.token(number, 0)
        is_ours = family.revoked_at is None
        self.oracle.revoke(family, "admin")
        assert (families.revoke(self.ids[self.place(family)], actor="staff") is not None) == is_ours

    @rule(number=NUMBERS)
    @rarely
    def unbind(self, number: int) -> None:
        """Unbind a family, as staff do. The family's older access tokens stay bound."""
        family, _, _ = self.token(number, 0)
        is_active = family.revoked_at is None and (family.expires_at is None or self.oracle.now < family.expires_at)
        is_bound = family.device != "" and is_active
        assert families.unbind_each(families.select(family_id=self.ids[self.place(family)])) == is_bound
        if is_bound:
            family.device, family.is_rewritten = "", True

    @rule(user=st.integers(0, 1), kept=st.none() | NUMBERS)
    @rarely
    def change_the_password(self, user: int, kept: int | None) -> None:
        """Change the password, and perhaps keep one family active. Keeping another user's family has no effect."""
        self.users[user].password += 1
        account = self.accounts[user]
        account.refresh_from_db()
        account.set_password(PASSWORD)
        account.save()
        if kept is not None:
            family, _, _ = self.token(kept, 0)
            families.update_auth_hash(self.ids[self.place(family)], account)
            if family.user is self.users[user] and family.revoked_at is None:
                family.password, family.secret_key = family.user.password, self.oracle.secret_key

    @rule()
    @rarely
    def change_the_secret_key(self) -> None:
        """Change SECRET_KEY. The old key becomes the fallback."""
        self.oracle.change_secret_key()
        self.use_secret_key()

    @rule()
    @rarely
    def drop_the_fallback(self) -> None:
        """Remove the fallback of SECRET_KEY. Families that rotated under the new key don't need the fallback."""
        self.oracle.fallbacks = []
        self.use_secret_key()

    @rule(user=st.integers(0, 1))
    @rarely
    def deactivate(self, user: int) -> None:
        """Deactivate a user by a query, which sends no signal."""
        self.activate(user, is_active=False)

    @precondition(lambda self: not all(user.is_active for user in self.users))
    @rule()
    def reactivate(self) -> None:
        """Activate both users by a query. A revoked family stays revoked."""
        for user in (0, 1):
            self.activate(user, is_active=True)

    def activate(self, user: int, *, is_active: bool) -> None:
        """Set ``is_active`` by a query, which sends no signal."""
        self.users[user].is_active = is_active
        get_user_model().objects.filter(pk=self.accounts[user].pk).update(is_active=is_active)

    @rule(number=NUMBERS)
    @rarely
    def restore_a_backup(self, number: int) -> None:
        """Set a family's row back by one rotation, as a restored backup does, so that clients have a newer token."""
        family, _, _ = self.token(number, 0)
        family.generation, family.is_rewritten = max(family.generation - 1, 0), True
        RefreshToken.objects.filter(pk=self.ids[self.place(family)]).update(generation=family.generation)


@pytest.mark.django_db(transaction=True)
def test_the_service_does_as_designed(tried: Tried) -> None:
    """The oracle, which is written from the design, predicts every answer, row and event of the service."""
    size = settings(
        max_examples=600 if FULL else 40,
        stateful_step_count=50,
        deadline=None,
        derandomize=not FULL,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(
        type("ServiceInAnyOrder", (ServiceInAnyOrder,), {"tried": staticmethod(tried)}), settings=size
    )
