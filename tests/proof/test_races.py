"""Races of 64 connections to eight server processes, on three databases and with two isolation levels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from threading import Lock
from typing import Any
from uuid import UUID

import pytest
from django.db import connections
from django.utils import timezone

from tests.factories import PASSWORD
from tests.jar import cookies
from tests.proof.conftest import FULL, Tried
from tests.proof.databases import Database, database
from tests.proof.servers import (
    ALIAS,
    BODY,
    CONNECTIONS,
    COOKIE,
    PROCESSES,
    Answer,
    Connection,
    Crowd,
    Service,
    claims_of,
    in_reach,
    new_user,
    row,
    start_family,
)
from tests.proof.settings import LIMIT, READ_COMMITTED, REPEATABLE_READ
from tests.proofs import EC_KEY, OTHER_KEY, Device
from twotoken import families
from twotoken.models import EventKind, FamilyEvent, RefreshToken

ROUNDS = 9 if FULL else 1  # 9 configurations x 9 rounds x 2 x 64 connections: 10,368 contested refreshes
FAMILIES = 16
KEY = "a-key-of-some-length"
ISOLATION_QUERY = {"postgresql": "SHOW transaction_isolation", "mysql": "SELECT @@tx_isolation"}
CONFIGURATIONS = [
    ("sqlite", READ_COMMITTED, False),
    *(
        (vendor, isolation, atomic)
        for vendor in ("postgresql", "mariadb")
        for isolation in (READ_COMMITTED, REPEATABLE_READ)
        for atomic in (False, True)
        if FULL or atomic == (isolation == REPEATABLE_READ)
    ),
]


def name_of(configuration: Any) -> str:
    """Return a readable name of a configuration."""
    vendor, isolation, atomic = configuration
    return f"{vendor}-{isolation.replace(' ', '-')}{'-atomic' if atomic else ''}"


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[dict[str, Database]]:
    """Create a database of each kind."""
    with django_db_blocker.unblock(), ExitStack() as stack:
        yield {
            name: stack.enter_context(database(name, tmp_path_factory.mktemp(name)))
            for name in ("sqlite", "postgresql", "mariadb")
        }


@pytest.fixture(scope="module", params=CONFIGURATIONS, ids=name_of)
def service(
    request: pytest.FixtureRequest,
    databases: dict[str, Database],
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: Any,
) -> Iterator[Service]:
    """Serve twotoken in each configuration. Then assert that no error is logged, and that most processes answered."""
    vendor, isolation, atomic = request.param
    server = Service(databases[vendor], tmp_path_factory.mktemp("service"), isolation=isolation, atomic=atomic)
    with django_db_blocker.unblock(), in_reach(databases[vendor], isolation):
        server.start()
        yield server
        server.stop()
    assert server.errors() == ""
    assert server.processes() > PROCESSES // 2  # the kernel deals connections out as it likes


@pytest.fixture(params=range(ROUNDS))
def turn() -> None:
    """Run a race once, or several times in the full run."""


@pytest.fixture
def crowd(service: Service, tried: Tried) -> Iterator[Crowd]:
    """Open 64 connections. At the end, each answer must have been a 200, 204 or 401."""
    crowd = Crowd(service.port)
    yield crowd
    crowd.close()
    assert set(crowd.statuses) <= {200, 204, 401}
    tried("answers in races", crowd.statuses.total())


def refresh_each(crowd: Crowd, tokens: list[str]) -> list[Answer]:
    """Refresh with all these tokens at the same moment, each over its own connection."""
    return crowd.at_once(lambda client, number: client.refresh(tokens[number]), len(tokens))


def assert_all_dead(crowd: Crowd, tokens: set[str]) -> None:
    """Assert that each of these tokens gets a 401 ``revoked``."""
    handed_out = sorted(tokens)
    for start in range(0, len(handed_out), CONNECTIONS):
        answers = refresh_each(crowd, handed_out[start : start + CONNECTIONS])
        assert {(answer.status, answer.reason) for answer in answers} == {(401, "revoked")}


def test_the_configuration_is_what_it_says(service: Service, request: pytest.FixtureRequest) -> None:
    """The database has the isolation level that the configuration names; SQLite has the journal mode WAL."""
    connection = connections[ALIAS]
    if connection.vendor == "sqlite":
        query, expected = "PRAGMA journal_mode", "wal"
    else:
        query, expected = ISOLATION_QUERY[connection.vendor], service.environment["PROOF_ISOLATION"]
    with connection.cursor() as cursor:
        cursor.execute(query)
        assert cursor.fetchone()[0].lower().replace("-", " ") == expected


@pytest.mark.usefixtures("turn")
def test_one_token_and_one_key(crowd: Crowd, tried: Tried) -> None:
    """If 64 requests refresh one token with one key, all get the same successor, and the next refresh works too."""
    r0 = start_family()
    answers = crowd.at_once(lambda client, _: client.refresh(r0, KEY))
    assert [answer.status for answer in answers] == [200] * CONNECTIONS
    (r1,) = {answer.token for answer in answers}
    assert row(r0).generation == 1
    client = crowd.connections[0]
    r2 = client.refresh(r1, f"another-{KEY}").token
    assert row(r0).generation == 2
    assert client.refresh(r0, KEY).reason == "reused"
    assert_all_dead(crowd, {r0, r1, r2})
    tried("contested refreshes", CONNECTIONS)


@pytest.mark.usefixtures("turn")
def test_one_token_and_no_key(crowd: Crowd, tried: Tried) -> None:
    """If 64 requests refresh one token without a key, at most one gets a new token, and the family is revoked."""
    r0 = start_family()
    answers = crowd.at_once(lambda client, _: client.refresh(r0))
    won = {answer.token for answer in answers if answer.status == 200}
    assert [answer.status for answer in answers].count(200) <= 1
    assert {answer.reason for answer in answers if answer.status == 401} <= {"reused", "revoked"}
    assert (row(r0).generation, row(r0).revoked_reason) == (1, "reuse")
    assert FamilyEvent.objects.filter(family=row(r0).pk, kind=EventKind.REUSE).count() == 1
    assert_all_dead(crowd, {r0, *won})
    tried("contested refreshes", CONNECTIONS)


@pytest.mark.usefixtures("turn")
def test_logouts_race_refreshes(crowd: Crowd, tried: Tried) -> None:
    """If a logout races three refreshes with one key, no token of the family works afterwards."""
    tokens = [start_family() for _ in range(FAMILIES)]

    def race(client: Connection, number: int) -> Answer:
        token = tokens[number % FAMILIES]
        return client.log_out(token) if number < FAMILIES else client.refresh(token, KEY)

    answers = crowd.at_once(race)
    assert {answer.status for answer in answers[:FAMILIES]} == {204}
    assert {row(token).revoked_reason for token in tokens} == {"logout"}
    assert_all_dead(crowd, {*tokens, *(answer.token for answer in answers if answer.token)})
    tried("logouts racing refreshes", FAMILIES)


@pytest.mark.usefixtures("turn")
def test_revocations_race_refreshes(crowd: Crowd, tried: Tried) -> None:
    """If ``families.revoke`` races three refreshes with one key, no token of the family works afterwards."""
    tokens = [start_family() for _ in range(FAMILIES)]
    ended: list[RefreshToken | None] = []

    def race(client: Connection, number: int) -> str:
        token = tokens[number % FAMILIES]
        if number >= FAMILIES:
            return client.refresh(token, KEY).token
        ended.append(families.revoke(UUID(claims_of(token)["sid"])))
        return ""

    handed_out = crowd.at_once(race)
    assert None not in ended
    assert {row(token).revoked_reason for token in tokens} == {"admin"}
    assert_all_dead(crowd, {*tokens, *filter(None, handed_out)})
    tried("revocations racing refreshes", FAMILIES)


def chain(client: Connection, token: str) -> set[str]:
    """Refresh again and again until the family is revoked; return every token that was handed out."""
    handed_out = {token}
    for step in range(5_000):
        answer = client.refresh(token, f"{KEY}-{step}")
        if answer.status == 401:
            assert answer.reason == "revoked"
            return handed_out
        token = answer.token
        handed_out.add(token)
    raise AssertionError("the family did not end")


def test_the_command_races_refreshes(service: Service, crowd: Crowd, tried: Tried) -> None:
    """``manage.py revoke_token_families`` revokes the families of sixteen clients that refresh without a pause."""
    user = new_user()
    tokens = [start_family(user) for _ in range(FAMILIES)]
    command = [sys.executable, "-m", "django", "revoke_token_families", "--user", user.get_username()]
    with subprocess.Popen(command, env=service.environment, stdout=subprocess.PIPE, text=True) as process:
        chains = crowd.at_once(lambda client, number: chain(client, tokens[number]), FAMILIES)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"{FAMILIES} token families revoked." in said
    handed_out = set().union(*chains)
    assert {row(token).revoked_reason for token in tokens} == {"admin"}
    assert_all_dead(crowd, handed_out)
    tried("revocations racing refreshes", FAMILIES)
    tried("refreshes beside a command", len(handed_out) - FAMILIES)


@pytest.mark.usefixtures("turn")
def test_logins_race_the_limit(crowd: Crowd, tried: Tried) -> None:
    """If one user logs in 32 times at once, exactly the five newest families stay active."""
    user = new_user()
    credentials = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD}
    answers = crowd.at_once(lambda client, _: client.post(f"{BODY}login/", credentials), 32)
    assert {answer.status for answer in answers} == {200}
    started = RefreshToken.objects.filter(user=user).order_by("-created_at", "-pk")
    newest = list(started.values_list("pk", flat=True))
    assert len(newest) == 32
    assert set(families.active(user).values_list("pk", flat=True)) == set(newest[:LIMIT])
    good = {answer.token for answer in answers if row(answer.token).revoked_at is None}
    assert_all_dead(crowd, {answer.token for answer in answers} - good)
    assert {crowd.connections[0].refresh(token).status for token in good} == {200}
    tried("logins racing the limit", len(answers))


def test_two_purges_beside_traffic(crowd: Crowd, tried: Tried) -> None:
    """If two purges race rotations, each old family is deleted once, and no active family is deleted."""
    user = new_user()
    long_ago = timezone.now() - timedelta(days=40)
    old = [
        RefreshToken(user=user, refreshed_at=long_ago, revoked_at=long_ago, revoked_reason="logout")
        for _ in range(5_000 if FULL else 1_500)
    ]
    RefreshToken.objects.bulk_create(old)
    FamilyEvent.objects.bulk_create(FamilyEvent(family=family, kind=EventKind.DEVICE) for family in old[::3])
    tokens = [start_family() for _ in range(FAMILIES)]

    def race(client: Connection, number: int) -> tuple[int, str]:
        if number >= FAMILIES:
            return families.purge(), ""
        token = tokens[number]
        for step in range(10 * ROUNDS):
            answer = client.refresh(token, f"{KEY}-{step}")
            assert answer.status == 200
            token = answer.token
        return 0, token

    results = crowd.at_once(race, FAMILIES + 2)
    assert sum(deleted for deleted, _ in results) == len(old)
    assert not RefreshToken.objects.filter(pk__in=[family.pk for family in old[:500]]).exists()
    assert not FamilyEvent.objects.filter(family__in=[family.pk for family in old[:500]]).exists()
    for r0, (_, token) in zip(tokens, results, strict=False):
        assert row(r0).generation == 10 * ROUNDS
        assert crowd.connections[0].refresh(token).status == 200
    tried("families under two purges", len(old))
    tried("rotations beside two purges", 10 * ROUNDS * FAMILIES)


def test_a_purge_of_what_is_refreshed(crowd: Crowd) -> None:
    """A token of an expired family is refused before, during and after the purge that deletes the family."""
    tokens = [start_family() for _ in range(FAMILIES)]
    long_ago = timezone.now() - timedelta(days=40)
    RefreshToken.objects.filter(pk__in=[claims_of(token)["sid"] for token in tokens]).update(
        refreshed_at=long_ago, earliest_end=long_ago
    )

    def race(client: Connection, number: int) -> set[str]:
        if number == FAMILIES:
            families.purge()
            return set()
        answers = [client.refresh(tokens[number]) for _ in range(20)]
        return {answer.reason for answer in answers}

    reasons = set().union(*crowd.at_once(race, FAMILIES + 1))
    assert reasons <= {"expired", "invalid"}
    assert "invalid" in {crowd.connections[0].refresh(token).reason for token in tokens}
    assert not RefreshToken.objects.filter(pk__in=[claims_of(token)["sid"] for token in tokens]).exists()


@pytest.fixture
def device(service: Service) -> Device:
    """Return the device to which a test binds its families."""
    return Device(EC_KEY, f"http://127.0.0.1:{service.port}")


@pytest.mark.usefixtures("turn")
def test_one_token_and_a_proof_each(crowd: Crowd, device: Device, tried: Tried) -> None:
    """If 64 requests refresh one token of a bound family with a proof each, all get the same successor."""
    r0 = start_family(device=device)
    answers = crowd.at_once(lambda client, _: client.refresh(r0, device=device))
    assert [answer.status for answer in answers] == [200] * CONNECTIONS
    (r1,) = {answer.token for answer in answers}
    assert (row(r0).generation, row(r0).revoked_at) == (1, None)
    assert crowd.connections[0].refresh(r1, device=device).status == 200
    assert crowd.connections[0].refresh(r0, device=device).reason == "reused"
    tried("contested refreshes", CONNECTIONS)


@pytest.mark.usefixtures("turn")
def test_copies_race_their_owner(service: Service, crowd: Crowd, device: Device, tried: Tried) -> None:
    """If sixty thieves without the private key send the tokens of four bound families, all these requests are refused.

    The owners refresh at the same time, and all their refreshes succeed.
    """
    handed_out = [[start_family(device=device)] for _ in range(4)]
    thief = Device(OTHER_KEY, device.host)

    def race(client: Connection, number: int) -> list[Answer]:
        mine = handed_out[number % 4]
        answers = []
        for step in range(12):
            if number < 4:
                answers.append(client.refresh(mine[-1], device=device))
                mine.append(answers[-1].token)
            else:
                token = mine[-1 - (number + step) % len(mine)]
                answers.append(client.refresh(token, device=thief if number % 3 else None))
        return answers

    owners: list[Answer] = []
    thieves: list[Answer] = []
    for number, answers in enumerate(crowd.at_once(race)):
        (owners if number < 4 else thieves).extend(answers)
    assert {answer.status for answer in owners} == {200}
    assert {(answer.status, answer.reason) for answer in thieves} == {(401, "wrong_device")}
    for tokens in handed_out:
        assert (row(tokens[0]).generation, row(tokens[0]).revoked_at) == (12, None)
        # Requests that count at the same moment may each write an event.
        events = FamilyEvent.objects.filter(family=row(tokens[0]).pk, kind=EventKind.WRONG_DEVICE).count()
        assert 1 <= events < 10 + CONNECTIONS
    tried("copied tokens of bound families", len(thieves))


def test_unbinding_races_refreshes(crowd: Crowd, device: Device, tried: Tried) -> None:
    """If families are unbound while owners refresh with proofs, each refresh succeeds, and no family is bound again."""
    tokens = [start_family(device=device) for _ in range(FAMILIES)]

    def race(client: Connection, number: int) -> str:
        if number == FAMILIES:
            ids = [claims_of(token)["sid"] for token in tokens]
            return str(families.unbind_each(families.select().filter(pk__in=ids)))
        token = tokens[number]
        for _ in range(10):
            answer = client.refresh(token, device=device)
            assert answer.status == 200
            token = answer.token
        return token

    *newest, unbound = crowd.at_once(race, FAMILIES + 1)
    assert unbound == str(FAMILIES)
    assert {(row(token).generation, row(token).device_key) for token in tokens} == {(10, "")}
    assert {crowd.connections[0].refresh(token).status for token in newest} == {200}
    tried("refreshes beside an unbinding", 10 * FAMILIES)


class Tabs:
    """The tabs of one browser, which share the refresh token of the last answer that set a cookie."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.lock = Lock()

    def refresh(self, client: Connection) -> Answer:
        """Refresh from one tab, and keep the token that the answer sets."""
        with self.lock:
            token = self.token
        answer = client.post(f"{COOKIE}refresh/", Cookie=cookies(token), Sec_Fetch_Site="same-origin")
        if answer.token:
            with self.lock:
                self.token = answer.token
        return answer


def test_tabs(crowd: Crowd, tried: Tried) -> None:
    """If eight browsers with eight tabs each refresh in all tabs at once, three times, nobody is logged out."""
    browsers = [Tabs(start_family(is_browser=True)) for _ in range(8)]
    first = [browser.token for browser in browsers]
    for _ in range(3):
        answers = crowd.at_once(lambda client, number: browsers[number % 8].refresh(client))
        assert {answer.status for answer in answers} == {200}
        tried("refreshes of tabs", len(answers))
    for r0, browser in zip(first, browsers, strict=True):
        assert row(r0).revoked_at is None
        assert browser.refresh(crowd.connections[0]).status == 200
