"""The functions of ``twotoken.families``, their signals, and database errors while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import pytest
import time_machine
from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from django.utils import timezone

from tests.factories import UserFactory
from tests.http import Caller
from tests.overrides import with_settings
from tests.receivers import heard, raising
from twotoken import conflicts, families, signals, tokens
from twotoken.clients import Client
from twotoken.conf import conf
from twotoken.dpop import thumbprint
from twotoken.exceptions import ExpiredToken, ReusedToken, RevokedToken, UserInactive, WrongDevice
from twotoken.models import RefreshToken
from twotoken.testing import time_travel
from twotoken.views import RefreshView

KEY = "a-key-of-some-length"


def access_of(pair: Any) -> Any:
    """Return the verified claims of a pair's access token."""
    return tokens.decode_access(pair.access, conf.access_policy, timezone.now())


class AtomicRefreshView(RefreshView):
    """A project's subclass of RefreshView that runs in a transaction."""

    @transaction.atomic
    def post(self, request: Any, **kwargs: Any) -> Any:
        return super().post(request, **kwargs)


urlpatterns = [
    path("atomic/", AtomicRefreshView.as_view(delivery="body")),
    path("auth/", include("twotoken.urls")),
]


def test_start(user: Any) -> None:
    """``start`` makes a family, with or without an absolute end. It refuses an inactive user (CVE-2024-22513)."""
    families.start(user, lifetime=None)
    assert RefreshToken.objects.get().expires_at is None
    user.is_active = False
    with pytest.raises(UserInactive):
        families.start(user)


def test_a_proof_that_starts_one_family_only(user: Any) -> None:
    """A second ``start`` with the same ``family_id`` raises IntegrityError."""
    family_id = uuid5(NAMESPACE_URL, "a proof")
    assert families.start(user, family_id=family_id).family_id == family_id
    with pytest.raises(IntegrityError), transaction.atomic():
        families.start(user, family_id=family_id)
    assert RefreshToken.objects.count() == 1


def test_the_oldest_family_ends_at_the_limit(user: Any) -> None:
    """If a user has MAX_FAMILIES_PER_USER active families, a login revokes the oldest one with the reason ``limit``."""
    with with_settings(MAX_FAMILIES_PER_USER=2):
        pairs = []
        for minutes in range(4):
            with time_travel(timedelta(minutes=minutes)):
                pairs.append(families.start(user))
    live = set(RefreshToken.objects.filter(revoked_at=None).values_list("pk", flat=True))
    assert live == {pair.family_id for pair in pairs[2:]}
    assert set(RefreshToken.objects.exclude(revoked_at=None).values_list("revoked_reason", flat=True)) == {"limit"}


def test_revoking(user: Any) -> None:
    """``revoke`` revokes one family, ``revoke_all`` all or all except one. There is one signal for each family."""
    pairs = [families.start(user) for _ in range(4)]
    with heard(signals.family_revoked) as calls:
        assert families.revoke(pairs[0].family_id, "stolen laptop") is not None
        assert families.revoke(pairs[0].family_id) is None
        assert families.revoke_all(user, "limit", keep=pairs[1].family_id) == 2
        assert families.revoke_all(user.pk) == 1
        assert families.revoke_all(user) == 0
    assert [kwargs["reason"] for _, kwargs in calls] == ["stolen laptop", "limit", "limit", "admin"]


def test_who_is_faster_tells(user: Any) -> None:
    """If two requests revoke a family at once, only the request that wrote first sends the signal."""
    pairs = [families.start(user) for _ in range(3)]
    done: list[int] = []

    def be_faster(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and not done:
            done.append(1)
            families.revoke(pairs[0].family_id, "first")
        return execute(sql, params, many, context)

    with heard(signals.family_revoked) as calls, connection.execute_wrapper(be_faster):
        assert families.revoke_all(user) == 2
    assert [kwargs["reason"] for _, kwargs in calls] == ["first", "admin", "admin"]
    assert len({kwargs["family_id"] for _, kwargs in calls}) == 3


def test_a_person_who_changes_the_own_password_stays(script: Caller) -> None:
    """After a password change ``update_auth_hash`` keeps the given family. Others are refused at their next refresh."""
    here, there = (script.log_in().json()["refresh"] for _ in range(2))
    script.user.set_password("another password")
    script.user.save()
    families.update_auth_hash(families.verify(here).family_id, script.user)
    assert script.refresh(here).status_code == 200
    assert script.refresh(there).json()["reason"] == "password_changed"


def test_a_password_is_changed_while_a_refresh_runs(script: Caller) -> None:
    """If ``update_auth_hash`` changes the row during a refresh, the refresh reads the row again and succeeds."""
    token = script.log_in().json()["refresh"]
    done: list[int] = []

    def be_faster(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and not done:
            done.append(1)
            script.user.set_password("another password")
            script.user.save()
            families.update_auth_hash(families.verify(token).family_id, script.user)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(be_faster):
        response = script.refresh(token)
    assert (done, response.status_code) == ([1], 200)
    assert script.refresh(response.json()["refresh"]).status_code == 200


def test_whose_auth_hash_is_brought_up_to_date(user: Any) -> None:
    """``update_auth_hash`` changes neither a revoked family nor a family of another user."""
    other: Any = UserFactory()
    theirs, ended = families.start(other), families.start(user)
    families.revoke(ended.family_id)
    before = set(RefreshToken.objects.values_list("pk", "auth_hash"))
    user.set_password("another password")
    for pair in (theirs, ended):
        families.update_auth_hash(pair.family_id, user)
    assert set(RefreshToken.objects.values_list("pk", "auth_hash")) == before


def test_a_rotation_without_a_key(user: Any) -> None:
    """Without an Idempotency-Key, a second ``rotate`` with the same token is reuse.

    The row has the client of the last rotation.
    """
    claims = families.verify(families.start(user).refresh)
    families.rotate(claims, Client(ip_address="192.0.2.7", user_agent="curl/8"))
    family = RefreshToken.objects.get()
    assert (family.ip_address, family.user_agent, bytes(family.retry_key)) == ("192.0.2.7", "curl/8", b"")
    with pytest.raises(ReusedToken):
        families.rotate(claims, Client())


def test_a_new_secret_key_with_a_fallback(script: Caller) -> None:
    """A session auth hash made with a key in SECRET_KEY_FALLBACKS is accepted. The next rotation replaces the hash."""
    token = script.log_in().json()["refresh"]
    with override_settings(SECRET_KEY="another key of some length", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        token = script.refresh(token).json()["refresh"]
    with override_settings(SECRET_KEY="another key of some length"):
        assert script.refresh(token).status_code == 200


def test_a_new_secret_key_while_servers_are_replaced(script: Caller) -> None:
    """During a deploy, servers with each other's SECRET_KEY as a fallback accept each other's session auth hashes."""
    token = script.log_in().json()["refresh"]
    keys = [settings.SECRET_KEY, "another key of some length"]
    for key, fallback in (keys, keys[::-1], keys, keys[::-1]):
        with override_settings(SECRET_KEY=key, SECRET_KEY_FALLBACKS=[fallback]):
            token = script.refresh(token).json()["refresh"]


def test_a_new_secret_key_without_a_fallback(script: Caller) -> None:
    """If SECRET_KEY changes without a fallback, the next refresh is a 401 ``password_changed``."""
    token = script.log_in().json()["refresh"]
    with override_settings(SECRET_KEY="another key of some length"):
        assert script.refresh(token).json()["reason"] == "password_changed"


def test_the_own_families_end_of_an_access_token(user: Any) -> None:
    """If a family's row was deleted, ``user_of`` refuses its access tokens as revoked."""
    pair = families.start(user)
    access = access_of(pair)
    assert families.user_of(access) == user
    RefreshToken.objects.all().delete()
    with pytest.raises(Exception, match="revoked"):
        families.user_of(access)


@pytest.mark.django_db(transaction=True)
def test_a_revocation_is_tried_again(user: Any) -> None:
    """If a revocation conflicts with another write, it is retried. After a lost connection it is not."""
    pair = families.start(user)
    lost = iter([OperationalError(1213, "Deadlock")] * 5)

    def lose(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE"):
            for error in lost:
                raise error
        return execute(sql, params, many, context)

    with connection.execute_wrapper(lose):
        assert families.revoke(pair.family_id) is not None

    def gone() -> None:
        raise OperationalError(2006, "Server has gone away")

    with pytest.raises(OperationalError, match="gone away"):
        conflicts.retry_on_conflict(gone)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_before_the_write(script: Caller) -> None:
    """If the connection is lost before the write, the answer is a 500, and the token still works afterwards."""
    token = script.log_in().json()["refresh"]

    def gone(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise OperationalError(2006, "Server has gone away")
        return execute(sql, params, many, context)

    script.raise_request_exception = False
    with connection.execute_wrapper(gone):
        assert script.refresh(token).status_code == 500
    assert script.refresh(token).status_code == 200


@contextmanager
def before_the_update(action: Callable[[], object]) -> Iterator[None]:
    """Run an action just before the first UPDATE of a request, as a faster request would."""
    done: list[int] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and not done:
            done.append(1)
            action()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield


def test_a_rotation_that_is_overtaken_is_judged_again(script: Caller) -> None:
    """If another rotation writes first, the UPDATE changes no row. The family is read again: 401 ``reused``."""
    token = script.log_in().json()["refresh"]
    with before_the_update(lambda: families.rotate(families.verify(token), Client())):
        assert script.refresh(token).json()["reason"] == "reused"


def test_a_revocation_that_overtakes_a_rotation(script: Caller) -> None:
    """If a family is revoked between a rotation's SELECT and UPDATE, the answer is a 401 ``revoked``."""
    token = script.log_in().json()["refresh"]
    with before_the_update(lambda: families.revoke(families.verify(token).family_id)):
        assert script.refresh(token).json()["reason"] == "revoked"
    assert RefreshToken.objects.get().generation == 0


def test_a_theft_that_two_requests_notice(script: Caller) -> None:
    """If another request revokes the family first, a reuse is refused, but sends no signal and stores no reason."""
    old = script.log_in().json()["refresh"]
    script.refresh(old)
    with (
        heard(signals.reuse_detected) as thefts,
        heard(signals.family_revoked) as revocations,
        before_the_update(lambda: families.revoke(families.verify(old).family_id)),
    ):
        assert script.refresh(old).json()["reason"] == "reused"
    assert (len(thefts), len(revocations)) == (0, 1)
    assert RefreshToken.objects.get().revoked_reason != "reuse"


@pytest.mark.django_db(transaction=True)
def test_a_revocation_survives_atomic_requests(script: Caller) -> None:
    """A reuse revokes the family even under ATOMIC_REQUESTS, in an atomic view, or if a receiver raises an error."""
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        with override_settings(ROOT_URLCONF="tests.test_families"), raising(signals.reuse_detected):
            pair = families.start(script.user)
            answers = [script.post("/atomic/", {"refresh": pair.refresh}, format="json") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 401]
        pair = families.start(script.user)
        assert [script.refresh(pair.refresh).status_code for _ in range(2)] == [200, 401]
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert set(RefreshToken.objects.values_list("revoked_reason", flat=True)) == {"reuse"}


def test_whether_a_family_is_active(user: Any) -> None:
    """A family is active until it is revoked or expires. An unknown family is not active."""
    pair = families.start(user, lifetime=timedelta(days=30))
    assert families.is_active(pair.family_id)
    assert not families.is_active(uuid4())
    with time_travel(timedelta(days=7)):
        assert not families.is_active(pair.family_id)
    families.revoke(pair.family_id)
    assert not families.is_active(pair.family_id)


def test_the_last_second_of_a_family(user: Any) -> None:
    """``user_of`` and ``is_active`` agree: a family with less than a second left has expired."""
    pair = families.start(user, lifetime=timedelta(days=1))
    claims = families.verify(pair.refresh)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        clock.shift(timedelta(days=1) - timedelta(milliseconds=500))
        with pytest.raises(ExpiredToken):
            families.user_of(claims)
        assert not families.is_active(pair.family_id)
        clock.shift(-timedelta(seconds=1))
        assert families.user_of(claims) == user
        assert families.is_active(pair.family_id)


DEVICE, OTHER_DEVICE, COOKIE = "dpop:the device's key", "dpop:another device's key", "dbsc:the device's key"


def test_a_lost_answer_of_a_bound_family(user: Any) -> None:
    """With a proof, the previous token of a bound family gets the current token, even hours later.

    An older token is reuse.
    """
    first = families.start(user, device_key=DEVICE)
    claims = families.verify(first.refresh)
    second = families.rotate(claims, Client(), device_key=DEVICE)
    with time_travel(timedelta(hours=9)):
        assert families.rotate(claims, Client(), device_key=DEVICE).refresh == second.refresh
        with pytest.raises(WrongDevice):
            families.rotate(claims, Client())
        families.rotate(families.verify(second.refresh), Client(), device_key=DEVICE)
        with pytest.raises(WrongDevice):
            families.rotate(claims, Client(), device_key=OTHER_DEVICE)
        assert RefreshToken.objects.get().revoked_at is None
        with pytest.raises(ReusedToken):
            families.rotate(claims, Client(), device_key=DEVICE)


@pytest.mark.parametrize("device_key", ["", DEVICE, COOKIE])
def test_a_bound_family_costs_no_statement_more(user: Any, device_key: str) -> None:
    """A rotation is one SELECT and one UPDATE, also of a bound family. The UPDATE does not write the device key."""
    claims = families.verify(families.start(user, device_key=device_key).refresh)
    with CaptureQueriesContext(connection) as queries:
        families.rotate(claims, Client(), device_key=device_key)
    select, update = [query["sql"] for query in queries.captured_queries]
    assert select.startswith("SELECT")
    assert update.startswith("UPDATE")
    assert "device_key" not in update
    assert RefreshToken.objects.get().device_key == device_key


@pytest.mark.parametrize("proven", ["", DEVICE, OTHER_DEVICE])
def test_a_proof_binds_nothing_later(user: Any, proven: str) -> None:
    """A proof at a refresh does not bind an unbound family. Otherwise a thief could bind it to his own key."""
    claims = families.verify(families.start(user).refresh)
    pair = families.rotate(claims, Client(), device_key=proven)
    assert RefreshToken.objects.get().device_key == ""
    assert "cnf" not in access_of(pair)
    assert families.rotate(families.verify(pair.refresh), Client()).generation == 2


def test_which_access_tokens_are_bound(user: Any) -> None:
    """Access tokens of a family that DPoP binds are bound too, unless DPOP_ACCESS is off."""
    assert access_of(families.start(user, device_key=DEVICE))["cnf"] == {"jkt": thumbprint(DEVICE)}
    assert "cnf" not in access_of(families.start(user, device_key=COOKIE))
    with with_settings(DPOP_ACCESS=False):
        assert "cnf" not in access_of(families.start(user, device_key=DEVICE))


def test_a_key_without_its_protocol(user: Any) -> None:
    """A device key without its prefix is refused, because such a family could never be refreshed."""
    with pytest.raises(ValueError, match="dpop:, dbsc:"):
        families.start(user, device_key="{}")
    assert not RefreshToken.objects.exists()


@pytest.mark.parametrize("mode", ["off", "optional", "required"])
def test_a_bound_family_stays_bound(user: Any, mode: str) -> None:
    """With every value of DPOP, ``rotate`` of a bound family without the device's key raises WrongDevice."""
    claims = families.verify(families.start(user, device_key=DEVICE).refresh)
    with with_settings(DPOP=mode), pytest.raises(WrongDevice):
        families.rotate(claims, Client())


def test_the_user_of_a_bound_family(user: Any) -> None:
    """``user_of`` checks only the family's state, because the access token's proof was checked before."""
    pair = families.start(user, device_key=DEVICE)
    assert families.user_of(access_of(pair)) == user
    families.revoke(pair.family_id)
    with pytest.raises(RevokedToken):
        families.user_of(access_of(pair))
