"""Three nodes of MariaDB Galera that all take writes: what holds between them, and what for it takes a setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from tests.factories import PASSWORD
from tests.http import Caller
from tests.proof.conftest import Tried
from tests.proof.servers import new_user, row
from tests.scale.galera import Node, at, cluster, in_reach

KEY = "a-key-of-some-length"


@pytest.fixture(scope="module")
def nodes(django_db_blocker: Any) -> Iterator[list[Node]]:
    """The cluster, in reach."""
    with django_db_blocker.unblock(), cluster() as made, in_reach(made):
        yield made


@pytest.fixture
def script(nodes: list[Node]) -> Caller:
    """A script with a user of its own."""
    return Caller(new_user(), mount="/api/app/auth/")


class Meanwhile:
    """Calls at a node that is behind. Where they wait for it, it is let go on."""

    def __init__(self, node: Node, other: Node) -> None:
        self.node, self.other = node, other


def at_a_node_that_is_behind(
    node: Node, other: Node, before: Callable[[], Any], call: Callable[[], Any], *, waits: bool
) -> tuple[Any, bool]:
    """Do something elsewhere, then call at a node that does not know of it; tell whether it has waited until it did."""

    def run() -> Any:
        try:
            with at(node, waits=waits):
                return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with node.behind(other):
            before()
            future = pool.submit(run)
            try:
                return future.result(1), False
            except TimeoutError:
                pass
        return future.result(30), True


CASES = ["refresh new", "logout new", "refresh successor", "retry", "replay", "revoked", "retry of revoked", "bearer", "password", "all"]


@pytest.mark.parametrize("waits", [False, True])
def test_explore(nodes, script, waits) -> None:
    first, second, _ = nodes
    bearer = lambda pair: {"HTTP_AUTHORIZATION": f"Bearer {pair['access']}"}
    def j(r):
        return r.status_code, (r.json().get("reason") or r.json().get("code") if r.content and r.status_code>=400 else "")
    script.raise_request_exception = False
    for case in CASES:
        pair = script.log_in().json()
        r0 = pair["refresh"]
        if case == "refresh new":
            box = {}
            out = at_a_node_that_is_behind(second, first, lambda: box.update(script.log_in().json()), lambda: script.refresh(box["refresh"]), waits=waits); r0=box["refresh"]
        elif case == "logout new":
            box = {}
            out = at_a_node_that_is_behind(second, first, lambda: box.update(script.log_in().json()), lambda: script.send("logout/", {"refresh": box["refresh"]}), waits=waits); r0=box["refresh"]
        elif case == "refresh successor":
            out = at_a_node_that_is_behind(second, first, lambda: box.update(script.refresh(r0, KEY).json()), lambda: script.refresh(box["refresh"]), waits=waits)
        elif case == "retry":
            out = at_a_node_that_is_behind(second, first, lambda: box.update(script.refresh(r0, KEY).json()), lambda: script.refresh(r0, KEY), waits=waits)
            print(out[0].json()["refresh"] == box["refresh"])
        elif case == "replay":
            out = at_a_node_that_is_behind(second, first, lambda: box.update(script.refresh(r0, KEY).json()), lambda: script.refresh(r0), waits=waits)
        elif case == "revoked":
            out = at_a_node_that_is_behind(second, first, lambda: script.send("logout/", {"refresh": r0}), lambda: script.refresh(r0), waits=waits)
        elif case == "retry of revoked":
            script.refresh(r0, KEY)
            out = at_a_node_that_is_behind(second, first, lambda: script.send("logout/", {"refresh": r0}), lambda: script.refresh(r0, KEY), waits=waits)
        elif case == "bearer":
            out = at_a_node_that_is_behind(second, first, lambda: script.send("logout/", {"refresh": r0}), lambda: script.get("/api/revocable/", **bearer(pair)), waits=waits)
        elif case == "password":
            def change():
                script.user.set_password(PASSWORD+"x"); script.user.save()
            out = at_a_node_that_is_behind(second, first, change, lambda: script.refresh(r0), waits=waits)
            script.user.set_password(PASSWORD); script.user.save()
        elif case == "all":
            out = at_a_node_that_is_behind(second, first, lambda: box.update(script.log_in().json()), lambda: script.send("logout/all/", **bearer(pair)), waits=waits); r0=box["refresh"]
        r, waited = out
        print(waits, case, j(r), "waited" if waited else "", (row(r0).generation, row(r0).revoked_reason))
