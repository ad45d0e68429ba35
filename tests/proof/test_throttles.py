"""Throttles: eight processes count in a shared cache, and names that a database treats as equal share one count.

The same caches remember DPoP proofs, so that each proof is accepted once.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from tests.proof.caches import cache
from tests.proof.conftest import FULL, Tried
from tests.proof.databases import database
from tests.proof.servers import (
    ALIAS,
    BODY,
    CONNECTIONS,
    PROCESSES,
    Answer,
    Connection,
    Crowd,
    Service,
    in_reach,
    new_user,
    start_family,
)
from tests.proofs import Device
from twotoken import families
from twotoken.throttling import normalize_username

ROUNDS = 5 if FULL else 1
NAMES = 30_000 if FULL else 1_500
KEY = "a-key-of-some-length"
LOGINS, REFRESHES = 10, 20
CONFIGURATIONS = [
    ("redis", "sqlite"),
    ("memcached", "sqlite"),
    ("database", "sqlite"),
    ("database", "postgresql"),
    ("database", "mariadb"),
]
MARIADB_COLLATIONS = [
    "utf8mb4_general_ci",
    "utf8mb4_unicode_ci",
    "utf8mb4_unicode_520_ci",
    "utf8mb4_unicode_nopad_ci",
    "utf8mb4_turkish_ci",
    "utf8mb4_german2_ci",
    "utf8mb4_bin",
]
ICU_LOCALES = ["und-u-ks-level1", "und-u-ks-level2", "und-u-ka-shifted-ks-level1"]


def guess(credentials: dict[str, str], client: Connection, number: int) -> Answer:
    """Try to log in."""
    return client.post(f"{BODY}login/", credentials)


def refresh(token: str, client: Connection, number: int) -> Answer:
    """Refresh a token with the Idempotency-Key KEY."""
    return client.refresh(token, KEY)


@pytest.fixture(params=CONFIGURATIONS, ids="-".join)
def service(request: pytest.FixtureRequest, tmp_path: Any, django_db_blocker: Any) -> Iterator[Service]:
    """Serve twotoken with throttles and a shared cache. At the end, no error is logged."""
    kind, vendor = request.param
    with django_db_blocker.unblock(), ExitStack() as stack:
        ours = stack.enter_context(database(vendor, tmp_path))
        values = stack.enter_context(cache(kind))
        stack.enter_context(in_reach(ours))
        with override_settings(CACHES={"default": values}):
            call_command("createcachetable", database=ALIAS)
        server = Service(ours, tmp_path, atomic=False)
        server.environment |= {
            "PROOF_CACHES": json.dumps({"default": {**values, "KEY_PREFIX": uuid4().hex}}),
            "PROOF_THROTTLES": json.dumps(
                {"LOGIN_THROTTLE": f"{LOGINS}/min", "REFRESH_THROTTLE": f"{REFRESHES}/min"},
            ),
        }
        server.start()
        wait_for_all_processes(server)
        try:
            yield server
        finally:
            server.stop()
        assert server.errors() == ""
        assert server.processes() > 1


def wait_for_all_processes(server: Service) -> None:
    """Wait until most processes have answered; otherwise the first process would get all requests."""
    deadline = time.monotonic() + 30
    while server.processes() <= PROCESSES // 2 and time.monotonic() < deadline:
        crowd = Crowd(server.port)
        crowd.at_once(partial(refresh, "no token"))
        crowd.close()
    server.access_log.write_text("")


def wait_for_the_middle_of_a_minute() -> None:
    """Wait for a moment after which all requests of a test fall into one window of the throttle."""
    while not 2 < time.time() % 60 < 45:
        time.sleep(0.1)


def test_many_tries_at_once(service: Service, tried: Tried) -> None:
    """Of 64 logins of one name at once, and of 64 refreshes of one family, exactly as many pass as the rate allows."""
    crowd = Crowd(service.port)
    try:
        for _ in range(ROUNDS):
            user, token = new_user(), start_family()
            credentials = {"username": user.get_username(), "password": "wrong"}
            wait_for_the_middle_of_a_minute()
            guesses = crowd.at_once(partial(guess, credentials))
            refreshes = crowd.at_once(partial(refresh, token))
            assert Counter(answer.status for answer in guesses) == {401: LOGINS, 429: CONNECTIONS - LOGINS}
            assert Counter(answer.status for answer in refreshes) == {200: REFRESHES, 429: CONNECTIONS - REFRESHES}
            tried("tries at once of one name or family", 2 * CONNECTIONS)
    finally:
        crowd.close()


def test_one_proof_many_times_at_once(service: Service, tried: Tried) -> None:
    """Of twenty refreshes at once with one proof, exactly one succeeds. The others are refused: the proof was used."""
    crowd = Crowd(service.port)
    device = Device(host=f"http://127.0.0.1:{service.port}")
    try:
        for _ in range(ROUNDS):
            token = families.start(new_user(), device_key=device.device_key).refresh
            proof = device.proof(f"{BODY}refresh/")
            wait_for_the_middle_of_a_minute()
            with_room = min(CONNECTIONS, REFRESHES)

            def refresh_bound(client: Connection, number: int, token: str = token, proof: str = proof) -> Answer:
                return client.post(f"{BODY}refresh/", {"refresh": token}, DPoP=proof)

            answers = crowd.at_once(refresh_bound, with_room)
            assert Counter(answer.status for answer in answers) == {200: 1, 400: with_room - 1}
            codes = {answer.body["detail"] for answer in answers if answer.status == 400}
            assert codes == {"The DPoP proof was used before."}
            tried("uses at once of one proof", with_room)
    finally:
        crowd.close()


def names() -> list[str]:
    """Return user names with many characters, each alone, between letters, and beside blanks and accents."""
    letters = [
        chr(point) for point in itertools.chain(range(1, 0x3100), range(0xFB00, 0x10000), range(0x1D400, 0x1D800))
    ]
    forms = ["{}", "a{}", "a{}b", "a{} ", "a {}", "{}\u0301", "a\u200b{}"]
    made = [form.format(letter) for letter in letters for form in forms]
    kept = random.sample(made, min(NAMES, len(made)))
    return [*kept, "", "a", "a ", "A", "\u00e1", "\uff41", "ss", "\u00df", "s", "STRASSE", "stra\u00dfe", "i", "\u0131"]


def groups(column: str) -> dict[int, list[str]]:
    """Store names in a new table. Return them in groups that the database treats as equal."""
    found: dict[int, list[str]] = defaultdict(list)
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS spellings")
        cursor.execute(f"CREATE TABLE spellings (name {column})")
        cursor.executemany("INSERT INTO spellings VALUES (%s)", [(name,) for name in names()])
        cursor.execute("SELECT DENSE_RANK() OVER (ORDER BY name), name FROM spellings")
        for rank, name in cursor.fetchall():
            found[rank].append(name)
    return found


def assert_counted_alike(same: dict[int, list[str]], tried: Tried) -> None:
    """Assert that names which the database treats as equal share one count, and that nearly all others don't."""
    counts = [{normalize_username(name) for name in spellings} for spellings in same.values()]
    assert [len(count) for count in counts] == [1] * len(counts)
    assert any(len(spellings) > 1 for spellings in same.values())
    assert len(set.union(*counts)) > 0.99 * len(counts)
    tried("names that are compared as a database does", sum(map(len, same.values())))


def test_spellings_in_mariadb(tmp_path: Any, django_db_blocker: Any, tried: Tried) -> None:
    """Names that the collation of the user table's column treats as equal share one count."""
    with django_db_blocker.unblock(), database("mariadb", tmp_path) as ours, in_reach(ours):
        for collation in MARIADB_COLLATIONS:
            with connections[ALIAS].cursor() as cursor:
                cursor.execute(f"ALTER TABLE auth_user MODIFY username varchar(150) COLLATE {collation} NOT NULL")
            assert_counted_alike(groups(f"varchar(150) COLLATE {collation}"), tried)


def test_spellings_in_postgresql(
    tmp_path: Any, django_db_blocker: Any, tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that are equal under a nondeterministic collation share one count. With collation C, names are folded."""
    field = get_user_model()._meta.get_field("username")
    with django_db_blocker.unblock(), database("postgresql", tmp_path) as ours, in_reach(ours):
        for number, locale in enumerate(ICU_LOCALES):
            monkeypatch.setattr(field, "db_collation", f"spelling{number}")
            with connections[ALIAS].cursor() as cursor:
                cursor.execute(
                    f"CREATE COLLATION spelling{number} (provider = icu, locale = '{locale}', deterministic = false)"
                )
            assert_counted_alike(groups(f"text COLLATE spelling{number}"), tried)
        monkeypatch.setattr(field, "db_collation", "C")
        assert normalize_username("ANN\x00") == normalize_username("\u00e4nn") == "ann"
