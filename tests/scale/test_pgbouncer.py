"""Races, the main suite and commands behind PgBouncer, with transaction pooling and four server connections."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.proof.conftest import FULL, Tried
from tests.proof.servers import Crowd, Service, in_reach, new_user, start_family
from tests.proof.test_races import (
    KEY,
    crowd,
    test_a_purge_of_what_is_refreshed,
    test_logins_race_the_limit,
    test_logouts_race_refreshes,
    test_one_token_and_no_key,
    test_one_token_and_one_key,
    test_revocations_race_refreshes,
    test_tabs,
    test_the_command_races_refreshes,
    test_two_purges_beside_traffic,
    turn,
)
from tests.scale.postgres import PgBouncer, Postgres, pgbouncer, primary
from tests.scale.settings import VARIABLE
from twotoken.models import RefreshToken

POOL = 4  # connections to the server, for sixty-four clients in thirty-two threads
SUITE = [] if FULL else ["tests/conformance"]


@pytest.fixture(scope="module")
def server(django_db_blocker: Any) -> Iterator[Postgres]:
    """Start a PostgreSQL server for this module."""
    with django_db_blocker.unblock(), primary() as made:
        yield made


@pytest.fixture(scope="module")
def bouncer(server: Postgres) -> Iterator[PgBouncer]:
    """Start a PgBouncer in front of the server."""
    with pgbouncer(server, pool=POOL) as made:
        yield made


@pytest.fixture(scope="module")
def service(bouncer: PgBouncer, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Service]:
    """Serve twotoken with eight processes of four threads, connected to PgBouncer."""
    service = Service(bouncer.database, tmp_path_factory.mktemp("service"), atomic=False)
    different = {"DATABASES": {"default": {"OPTIONS": {}, "DISABLE_SERVER_SIDE_CURSORS": True}}}
    service.environment |= {"DJANGO_SETTINGS_MODULE": "tests.scale.settings", VARIABLE: json.dumps(different)}
    with django_db_blocker.unblock(), in_reach(bouncer.database):
        service.start()
        yield service
        service.stop()
    assert service.errors() == ""


def test_connections_are_shared(service: Service, server: Postgres, crowd: Crowd, tried: Tried) -> None:
    """If 64 clients refresh at once, PgBouncer uses at most four connections to the server."""
    tokens = [start_family() for _ in crowd.connections]

    def work(client: Any, number: int) -> int:
        for step in range(5):
            tokens[number] = client.refresh(tokens[number], f"{KEY}-{step}").token
        ((count,),) = server.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'scale' AND pid <> pg_backend_pid()"
            " AND query LIKE '%twotoken_refreshtoken%' AND query NOT LIKE '%pg_stat_activity%'"
        )
        return int(count)

    counts = crowd.at_once(work)
    assert 0 < max(counts) <= POOL
    tried("refreshes over a pool of four connections", 5 * len(tokens))


def test_the_purge_command(service: Service, crowd: Crowd) -> None:
    """``purge_token_families`` over PgBouncer deletes all old families, while clients refresh without an error."""
    user, long_ago = new_user(), timezone.now() - timedelta(days=90)
    RefreshToken.objects.bulk_create(RefreshToken(user=user, revoked_at=long_ago) for _ in range(12_000))
    tokens = [start_family() for _ in range(16)]
    command = [sys.executable, "-m", "django", "purge_token_families"]
    with subprocess.Popen(command, env=service.environment, stdout=subprocess.PIPE, text=True) as process:
        answers = crowd.at_once(lambda client, number: client.refresh(tokens[number], KEY), len(tokens))
        said, _ = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, "12000 token families deleted.\n")
    assert {answer.status for answer in answers} == {200}


def test_the_main_suite(bouncer: PgBouncer, tried: Tried) -> None:
    """The main suite passes on a database made through PgBouncer. The short run has only the conformance tests."""
    command = [sys.executable, "-m", "pytest", "-q", "--ds=tests.scale.pooled", "-p", "no:cacheprovider"]
    # PgBouncer's own connections would stand in the way of a DROP DATABASE; the server is deleted as a whole.
    command += ["--reuse-db", "--create-db", *SUITE]
    environment = {**os.environ, "DATABASE_URL": bouncer.url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    tried("tests of the main suite that passed over PgBouncer", int(passed))
