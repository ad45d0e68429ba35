"""All reads of the project go to a replica that lags. twotoken's own reads still go to the primary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import PASSWORD
from tests.http import Caller
from tests.jar import cookies
from tests.proof.conftest import FULL, Tried
from tests.proof.servers import ALIAS, BODY, COOKIE, Answer, Connection, Crowd, Service, in_reach, new_user, row
from tests.proof.test_races import (
    crowd,
    test_logouts_race_refreshes,
    test_one_token_and_no_key,
    test_one_token_and_one_key,
    test_revocations_race_refreshes,
    test_tabs,
    test_the_command_races_refreshes,
    turn,
)
from tests.scale.postgres import Postgres, primary, replica_of
from tests.scale.settings import VARIABLE
from tests.staff import LIST, staff, text
from twotoken import families
from twotoken.models import RefreshToken

PAUSED, SECONDS = "stands still", "3s"  # how a replica is behind: as of a moment, or by so much
ROTATIONS = 100 if FULL else 15


@pytest.fixture(scope="module", params=[PAUSED, SECONDS] if FULL else [PAUSED])
def servers(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[tuple[Postgres, Postgres]]:
    """Start a primary and a replica that lags."""
    settings = {} if request.param == PAUSED else {"recovery_min_apply_delay": request.param}
    with django_db_blocker.unblock(), primary() as first, replica_of(first, **settings) as second:
        if request.param == PAUSED:
            second.stand_still()
        yield first, second


@contextmanager
def replica_in_reach(server: Postgres) -> Iterator[None]:
    """Connect this process to the replica under the alias ``replica``, which the served processes also use."""
    before = connections["replica"].settings_dict
    del connections["replica"]
    connections.settings["replica"] = {**connections.settings[ALIAS], "PORT": server.port}
    try:
        yield
    finally:
        connections["replica"].close()
        del connections["replica"]
        connections.settings["replica"] = before


@pytest.fixture(scope="module")
def service(
    servers: tuple[Postgres, Postgres], tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[Service]:
    """Serve twotoken with a database router that sends all reads to the replica."""
    first, second = servers
    server = Service(first.database, tmp_path_factory.mktemp("service"), atomic=False)
    different = {
        "DATABASES": {"default": {}, "replica": {"PORT": second.port}},
        "DATABASE_ROUTERS": ["tests.scale.routers.ReadsFromReplica"],
    }
    server.environment |= {"DJANGO_SETTINGS_MODULE": "tests.scale.settings", VARIABLE: json.dumps(different)}
    with django_db_blocker.unblock(), in_reach(first.database), replica_in_reach(second):
        server.start()
        yield server
        server.stop()
    assert server.errors() == ""


@pytest.fixture
def client(crowd: Crowd) -> Connection:
    """Return a connection to the served project."""
    return crowd.connections[0]


@pytest.fixture
def user(service: Service, servers: tuple[Postgres, Postgres]) -> Any:
    """Create a user, and wait until the replica has this user too."""
    made = new_user()
    catch_up(servers)
    return made


def catch_up(servers: tuple[Postgres, Postgres]) -> None:
    """Wait until the replica has everything that the primary has."""
    first, second = servers
    second.catch_up(first)


def log_in(client: Connection, user: Any, password: str = PASSWORD) -> Answer:
    """Log in as a script does."""
    return client.post(f"{BODY}login/", {user.USERNAME_FIELD: user.get_username(), "password": password})


def get(client: Connection, path: str, access: str, method: str = "GET") -> tuple[int, Any]:
    """Call a route with an access token."""
    client.http.request(method, path, headers={"Authorization": f"Bearer {access}"})
    response = client.http.getresponse()
    return response.status, json.loads(response.read() or b"null")


def test_the_replica_is_behind(servers: tuple[Postgres, Postgres], user: Any) -> None:
    """The replica gets a new family only after ``catch_up``: the other tests depend on this lag."""
    pair = families.start(user)
    replicated = RefreshToken.objects.using("replica").filter(pk=pair.family_id)
    assert not replicated.exists()
    catch_up(servers)
    assert replicated.exists()


@pytest.mark.parametrize("kind", ["keys", "no keys", "browser"])
def test_refreshes_one_upon_the_other(client: Connection, user: Any, kind: str, tried: Tried) -> None:
    """If refreshes follow each other before the replica has them, all succeed, and an old token is ``reused``."""
    mount, headers = (COOKIE, {"Sec_Fetch_Site": "same-origin"}) if kind == "browser" else (BODY, {})
    answer = client.post(f"{mount}login/", {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD}, **headers)
    tokens = [answer.token]
    for step in range(ROTATIONS):
        if kind == "browser":
            # Without a key a browser's current token would be taken for a retry within its grace.
            headers["Cookie"] = cookies(tokens[-1])
        if kind != "no keys":
            headers["Idempotency_Key"] = f"a-key-of-step-{step}"
        answer = client.post(f"{mount}refresh/", {"refresh": tokens[-1]}, **headers)
        assert answer.status == 200
        assert get(client, "/api/revocable/", answer.body["access"])[0] == 200
        tokens.append(answer.token)
    assert len(set(tokens)) == ROTATIONS + 1
    assert row(tokens[0]).generation == ROTATIONS
    assert client.refresh(tokens[0]).reason == "reused"
    assert client.refresh(tokens[-1]).reason == "revoked"
    assert get(client, "/api/revocable/", answer.body["access"])[1]["reason"] == "revoked"
    tried("refreshes ahead of a replica", ROTATIONS)


def test_what_was_ended_is_ended_at_once(client: Connection, user: Any) -> None:
    """A logout or a revocation takes effect at once for refreshes, the revocable class and the list of sessions."""
    pairs = [log_in(client, user) for _ in range(4)]
    access = pairs[0].body["access"]
    assert len(get(client, f"{BODY}sessions/", access)[1]) == 4
    assert client.log_out(pairs[1].token).status == 204
    assert_ended(client, pairs[1])
    listed = get(client, f"{BODY}sessions/", access)[1]
    assert len(listed) == 3
    assert get(client, f"{BODY}sessions/{listed[0]['id']}/", access, "DELETE")[0] == 204
    assert_ended(client, pairs[3])
    assert len(get(client, f"{BODY}sessions/", access)[1]) == 2
    assert get(client, f"{BODY}logout/all/", access, "POST")[0] == 204
    assert_ended(client, pairs[0])
    assert_ended(client, pairs[2])


def assert_ended(client: Connection, pair: Answer) -> None:
    """Assert that both tokens of a login are refused as revoked."""
    assert client.refresh(pair.token).reason == "revoked"
    assert get(client, "/api/revocable/", pair.body["access"])[1]["reason"] == "revoked"


def test_who_may_not_log_in_any_more(client: Connection, servers: tuple[Postgres, Postgres], user: Any) -> None:
    """A login with an old password, and a deactivated user's tokens, are refused, whatever the replica still has."""
    user.set_password("another password")
    user.save()
    assert log_in(client, user).status == 401
    # What Django reads from the replica to check a password is its own affair: it knows the new one later.
    assert log_in(client, user, "another password").status == 401
    catch_up(servers)
    pair = log_in(client, user, "another password")
    assert pair.status == 200
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)
    assert log_in(client, user, "another password").status == 401
    assert get(client, "/api/me/", pair.body["access"])[1]["reason"] == "user_inactive"
    assert client.refresh(pair.token).reason == "user_inactive"


@pytest.fixture
def in_this_process(user: Any) -> Iterator[None]:
    """Make this process read from the replica, as the served processes do."""
    with override_settings(
        DATABASE_ROUTERS=["tests.scale.routers.InThisProcess"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    ):
        yield


@pytest.mark.usefixtures("in_this_process")
def test_statements(user: Any) -> None:
    """On the primary, a refresh makes two statements, and an API request one. Only a login also reads the replica."""
    script = Caller(user, mount=BODY)
    pair = script.log_in().json()
    bearer: Any = {"HTTP_AUTHORIZATION": f"Bearer {pair['access']}"}
    for call, expected in (
        (lambda: script.log_in(), (["SELECT", "UPDATE", "SELECT", "INSERT"], ["SELECT"])),
        (lambda: script.refresh(pair["refresh"]), (["SELECT", "UPDATE"], [])),
        (lambda: script.get("/api/revocable/", **bearer), (["SELECT"], [])),
        (lambda: script.get("/api/me/", **bearer), (["SELECT"], [])),
        (lambda: script.get(f"{BODY}sessions/", **bearer), (["SELECT", "SELECT"], [])),
    ):
        with (
            CaptureQueriesContext(connections[ALIAS]) as written,
            CaptureQueriesContext(connections["replica"]) as read,
        ):
            assert call().status_code == 200
        statements = tuple([query["sql"].split()[0] for query in queries] for queries in (written, read))
        assert statements == expected


@override_settings(DATABASE_ROUTERS=["tests.scale.routers.UsersFromPrimary"])
def test_users_read_where_they_are_written(service: Service) -> None:
    """If users are read from the primary, a new user can log in at once, and a new password works at once."""
    user = new_user()
    script = Caller(user, mount=BODY)
    assert script.log_in().status_code == 200
    user.set_password("another password")
    user.save()
    assert script.log_in().status_code == 401
    credentials = {user.USERNAME_FIELD: user.get_username(), "password": "another password"}
    assert script.send("login/", credentials).status_code == 200


def test_the_admin(servers: tuple[Postgres, Postgres], user: Any, request: pytest.FixtureRequest) -> None:
    """In the admin, staff see a new family at once, revoke it, and see at once that it is revoked."""
    revoker = staff("view_refreshtoken", "revoke_refreshtoken")
    catch_up(servers)
    request.getfixturevalue("in_this_process")
    revoker.force_login(revoker.user)
    family = families.start(user).family_id
    url = f"{LIST}{family}/"
    assert "active" in text(revoker.get(f"{url}change/"))
    assert str(family) in revoker.get(LIST).content.decode()
    assert "Revoked 1 token family." in text(revoker.post(f"{url}revoke/", follow=True))
    assert "Revoked revoked by staff, by" in text(revoker.get(f"{url}change/"))


def test_the_purge(servers: tuple[Postgres, Postgres], user: Any, request: pytest.FixtureRequest) -> None:
    """The purge deletes an old family that the replica lacks, and keeps a family that is old only on the replica."""
    long_ago = timezone.now() - timedelta(days=90)
    kept = RefreshToken.objects.create(user=user, expires_at=long_ago)
    catch_up(servers)
    RefreshToken.objects.filter(pk=kept.pk).update(expires_at=None)
    RefreshToken.objects.create(user=user, revoked_at=long_ago)
    request.getfixturevalue("in_this_process")
    said = StringIO()
    call_command("purge_token_families", stdout=said)
    assert said.getvalue() == "1 token family deleted.\n"
    assert RefreshToken.objects.using(ALIAS).filter(pk=kept.pk).exists()
