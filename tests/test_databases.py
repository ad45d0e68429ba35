"""Replicas, isolation levels, and several server processes on one database."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections
from django.test import override_settings

from tests.factories import PASSWORD
from tests.http import Caller
from tests.server import Gunicorn
from twotoken.models import RefreshToken

ISOLATION: dict[str, dict[str, str]] = {
    "postgresql": {"options": "-c default_transaction_isolation=repeatable\\ read"},
    "mysql": {"isolation_level": "repeatable read"},
    "sqlite": {},
}


class StaleReplica:
    """Sends reads to a replica that these tests may not touch, so that a single read fails."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read elsewhere."""
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Write here."""
        return "default"


def test_a_replica_is_never_read(script: Caller) -> None:
    """Neither by a refresh nor by an authentication class, logout or logout all."""
    pair, other = script.log_in().json(), script.log_in().json()
    bearer: Any = {"HTTP_AUTHORIZATION": f"Bearer {pair['access']}"}
    with override_settings(DATABASE_ROUTERS=["tests.test_databases.StaleReplica"]):
        with pytest.raises(Exception, match="replica"):
            RefreshToken.objects.count()
        for route in ("me", "stateless", "revocable"):
            assert script.get(f"/api/{route}/", **bearer).status_code == 200
        assert script.refresh(pair["refresh"]).status_code == 200
        assert script.send("logout/", {"refresh": other["refresh"]}).status_code == 204
        assert script.send("logout/all/", **bearer).status_code == 204
        assert script.get("/api/revocable/", **bearer).json()["reason"] == "revoked"


def in_parallel(count: int, call: Any) -> list[Any]:
    """Call in so many threads at once, each with connections of its own."""

    def run(number: int) -> Any:
        try:
            return call(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.fixture(params=[False, True])
def repeatable_read(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[None]:
    """Have new connections read repeatably, with and without ATOMIC_REQUESTS."""
    options = dict(connection.settings_dict["OPTIONS"])
    connection.settings_dict["OPTIONS"] = {**options, **ISOLATION[connection.vendor]}
    connection.settings_dict["ATOMIC_REQUESTS"] = request.param
    connection.close()
    yield
    connection.settings_dict["OPTIONS"] = options
    connection.settings_dict["ATOMIC_REQUESTS"] = False
    connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("repeatable_read")
def test_repeatable_read(script: Caller) -> None:
    """One key, no key, and logouts that race refreshes: no fork, no survivor, no error of the server."""
    for key in ("a-key-of-some-length", None):
        token = script.log_in().json()["refresh"]
        answers = in_parallel(8, lambda _, token=token, key=key: at(script).refresh(token, key))
        good = [answer.json()["refresh"] for answer in answers if answer.status_code == 200]
        assert {answer.status_code for answer in answers} <= {200, 401}
        assert (len(good), len(set(good))) == (8, 1) if key else len(good) <= 1
    for _ in range(10):
        token = script.log_in().json()["refresh"]

        def race(number: int, token: str = token) -> Any:
            caller = at(script)
            return caller.refresh(token) if number else caller.send("logout/", {"refresh": token})

        logout, refresh = in_parallel(2, race)
        assert logout.status_code == 204
        assert refresh.status_code in {200, 401}
        assert script.refresh(refresh.json().get("refresh", token)).json()["reason"] == "revoked"


def at(caller: Caller) -> Caller:
    """Return a caller of the same mount with a jar of its own."""
    return Caller(caller.user, mount=caller.mount)


@pytest.fixture
def server(transactional_db: None) -> Iterator[int]:
    """Serve the test database by four processes; give the port."""
    values = connection.settings_dict
    schemes = {"postgresql": "postgres", "mysql": "mysql", "sqlite": "sqlite"}
    who = f"{values['USER']}:{values['PASSWORD']}@{values['HOST']}:{values['PORT']}"
    url = f"{schemes[connection.vendor]}://{'' if connection.vendor == 'sqlite' else who}/{values['NAME']}"
    environment = {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    server = Gunicorn("tests.wsgi", "-w", "4", environment=environment)
    server.start()
    yield server.port
    server.stop()


def post(port: int, path: str, data: Any, **headers: str) -> tuple[int, Any]:
    """POST JSON over a connection of its own."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": "application/json", **headers}
        client.request("POST", f"/api/app/auth/{path}", json.dumps(data), headers)
        response = client.getresponse()
        return response.status, json.loads(response.read() or b"null")
    finally:
        client.close()


@pytest.mark.django_db(transaction=True)
def test_several_processes(server: int, user: Any) -> None:
    """Cases 13 to 15, by four server processes on one database."""
    credentials = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD}

    def log_in() -> str:
        status, body = post(server, "login/", credentials)
        assert status == 200
        return str(body["refresh"])

    def refresh(token: str, **headers: str) -> tuple[int, Any]:
        return post(server, "refresh/", {"refresh": token}, **headers)

    with ThreadPoolExecutor(20) as pool:
        token = log_in()
        key = {"Idempotency-Key": "a-key-of-some-length"}
        answers = list(pool.map(lambda _: refresh(token, **key), range(20)))
        assert [status for status, _ in answers] == [200] * 20
        assert len({body["refresh"] for _, body in answers}) == 1
        assert RefreshToken.objects.get().generation == 1

        token = log_in()
        codes = [status for status, _ in pool.map(lambda _: refresh(token), range(20))]
        assert codes.count(200) <= 1
        assert set(codes) <= {200, 401}
        assert RefreshToken.objects.latest("created_at").revoked_reason == "reuse"

        for _ in range(20):
            token = log_in()
            refreshed = pool.submit(refresh, token)
            logged_out = pool.submit(post, server, "logout/", {"refresh": token})
            assert logged_out.result()[0] == 204
            status, body = refreshed.result()
            assert status in {200, 401}
            assert refresh(body.get("refresh", token))[1]["reason"] == "revoked"
