"""The stateless class with REVOCATION_INTERVAL: each thread of each process refuses a revoked family in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import connections

from tests.proof.conftest import FULL, Tried
from tests.proof.databases import database
from tests.proof.servers import Answer, Connection, Crowd, Service, in_reach, new_user
from tests.proof.settings import READ_COMMITTED, REPEATABLE_READ
from twotoken import families

ROUTE = "/api/stateless/"
INTERVAL = 5.0 if FULL else 1.0  # seconds
ROUNDS = 4 if FULL else 2
PROCESSES, THREADS = 2, 32  # of the service; a client for each thread
CONFIGURATIONS = [
    ("sqlite", READ_COMMITTED, False),
    ("postgresql", REPEATABLE_READ, True),
    ("mariadb", REPEATABLE_READ, True),
    ("mariadb", READ_COMMITTED, False),
]


class Asked(NamedTuple):
    """A request: when it began, how many seconds it took, and its answer."""

    begun: float
    took: float
    answer: Answer


@pytest.fixture(params=CONFIGURATIONS, ids=lambda values: f"{values[0]}-{values[1]}")
def service(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any) -> Iterator[Service]:
    """Return a service, which the test starts, and connect the ORM to its database."""
    vendor, isolation, atomic = request.param
    with django_db_blocker.unblock(), database(vendor, tmp_path) as made, in_reach(made, isolation):
        yield Service(
            made,
            tmp_path,
            isolation=isolation,
            atomic=atomic,
            processes=PROCESSES,
            threads=THREADS,
            PROOF_REVOCATION_SECONDS=str(INTERVAL),
        )


def asking(connection: Connection, access: str, done: threading.Event) -> list[Asked]:
    """Send requests in a loop until ``done`` is set, and return them."""
    asked = []
    while not done.is_set():
        begun = time.monotonic()
        answer = connection.get(ROUTE, access)
        asked.append(Asked(begun, time.monotonic() - begun, answer))
        time.sleep(0.05)
    return asked


def revoke_beside_requests(crowd: Crowd, tried: Tried) -> float:
    """Revoke a family while all threads send its token. Return after how many seconds the token was last accepted."""
    pair = families.start(new_user())
    done, revoked_at = threading.Event(), []

    def revoke() -> None:
        time.sleep(INTERVAL / 3)
        families.revoke(pair.family_id)
        connections.close_all()  # this thread's own
        revoked_at.append(time.monotonic())
        time.sleep(INTERVAL + 1)
        done.set()

    thread = threading.Thread(target=revoke)
    thread.start()
    asked = [each for some in crowd.at_once(lambda one, _: asking(one, pair.access, done)) for each in some]
    thread.join()
    (moment,) = revoked_at
    tried("requests beside a revocation", len(asked))
    assert {each.answer.status for each in asked} == {200, 401}
    assert {each.answer.reason for each in asked if each.answer.status == 401} == {"revoked"}
    assert not [each for each in asked if each.answer.status == 401 and each.begun + each.took < moment - 1]
    longest = max(each.took for each in asked if each.begun > moment)
    late = max(each.begun for each in asked if each.answer.status == 200) - moment
    assert late <= INTERVAL + longest, f"let in {late:.2f} s after its revocation; requests took up to {longest:.2f} s"
    return late


def refuses_at_once(crowd: Crowd) -> None:
    """Revoke a family. Two intervals later, each thread must refuse its token at once, and accept another token."""
    user = new_user()
    gone, other = families.start(user), families.start(user)
    families.revoke(gone.family_id)
    time.sleep(INTERVAL * 2)
    answers = crowd.at_once(lambda one, _: one.get(ROUTE, gone.access))
    assert {(answer.status, answer.reason) for answer in answers} == {(401, "revoked")}
    assert {answer.status for answer in crowd.at_once(lambda one, _: one.get(ROUTE, other.access))} == {200}


def test_everywhere_within_the_interval(service: Service, tried: Tried) -> None:
    """All 64 threads refuse a revoked family's token within the interval. New and idle processes refuse it at once."""
    pair = families.start(new_user())
    families.revoke(pair.family_id)
    service.start()
    crowd = Crowd(service.port, PROCESSES * THREADS)
    try:
        answers = crowd.at_once(lambda one, _: one.get(ROUTE, pair.access))
        assert {(answer.status, answer.reason) for answer in answers} == {(401, "revoked")}
        for _ in range(ROUNDS):
            late = revoke_beside_requests(crowd, tried)
            tried("revocations beside requests")
            print(f"let in until {late:.2f} s after the revocation, at an interval of {INTERVAL} s")
        refuses_at_once(crowd)
    finally:
        crowd.close()
        service.stop()
    assert service.processes() == PROCESSES
    assert "Traceback" not in service.errors()
