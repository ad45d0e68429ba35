"""Each SQL statement of a frequent request names one family by its key, so that it uses one shard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from tests.factories import PASSWORD, UserFactory
from tests.http import Caller
from tests.overrides import with_settings
from twotoken import families, urls
from twotoken.models import FamilyEvent, RefreshToken
from twotoken.testing import poll_revocations

PAGE = Path(__file__).parent.parent / "docs/how-to/scale-sharding.md"
KEY = "a-key-of-some-length"
TABLES: dict[str, Any] = {"family": RefreshToken, "event": FamilyEvent, "user": get_user_model()}
KEYS = {"family.id = %s", "event.family_id = %s"}


def statements(call: Callable[[], Any]) -> list[tuple[str, list[Any]]]:
    """Return the SQL statements about families and events that a call sends, with their parameters."""
    seen: list[tuple[str, list[Any]]] = []

    def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append((sql, list(params or ())))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        call()
    return [(sql, params) for sql, params in seen if re.search(r"\b(family|event)\b", plain(sql))]


def plain(sql: str) -> str:
    """Return a statement without quotes and with the short table names of TABLES."""
    sql = re.sub(r'["`]', "", sql)
    for name, model in TABLES.items():
        sql = re.sub(rf"\b{model._meta.db_table}\b", name, sql)
    return sql


def conditions(sql: str) -> list[str]:
    """Return the conditions of a statement's WHERE that are joined by AND."""
    where = re.split(r" ORDER BY | LIMIT ", plain(sql).partition(" WHERE ")[2])[0]
    if where.startswith("(") and where.endswith(")"):
        where = where[1:-1]
    parts, depth = [""], 0
    for word in where.split(" "):
        depth += word.count("(") - word.count(")")
        if word == "AND" and depth == 0:
            parts.append("")
        else:
            parts[-1] = f"{parts[-1]} {word}".strip()
    return parts


def has_key(sql: str) -> bool:
    """Tell whether a statement is an INSERT, or names its family by a condition on the key."""
    return sql.startswith("INSERT INTO") or not KEYS.isdisjoint(conditions(sql))


def kind(sql: str) -> str:
    """Describe a statement by its verb, its table, and the columns of its conditions."""
    verb, table = sql.split(" ")[0], re.search(r"\b(family|event)\b", plain(sql))
    assert table is not None
    columns = set(re.findall(r"\b(?:family|U0)\.(\w+)(?= (?:=|IN|<|>|IS))", " ".join(conditions(sql))))
    return f"{verb} {table[0]} by {', '.join(sorted(columns))}"


def scattered(call: Callable[[], Any]) -> set[str]:
    """Describe the statements of a call that do not name a family by key."""
    return {kind(sql) for sql, _ in statements(call) if not has_key(sql)}


class Session:
    """A user who has logged in by a script, and the calls that the script can make."""

    def __init__(self, user: Any) -> None:
        self.user = user
        self.script = Caller(user, mount="/api/app/auth/", HTTP_USER_AGENT="Agent One")
        self.browser = Caller(user, mount="/api/auth/", HTTP_SEC_FETCH_SITE="same-origin")
        self.pair = self.script.log_in().json()
        self.token = self.pair["refresh"]
        self.bearer: Any = {"HTTP_AUTHORIZATION": f"Bearer {self.pair['access']}"}
        self.pk = RefreshToken.objects.get(user=user).pk

    def send(self, path: str, method: str = "post") -> Any:
        """Call an endpoint with the access token in the header, and the refresh token and the password in the body."""
        mount = self.script.mount + path
        body = {"refresh": self.token, "password": PASSWORD}
        return getattr(self.script, method)(mount, body, format="json", **self.bearer)


def rotated(session: Session) -> None:
    """Rotate the session's refresh token with an Idempotency-Key."""
    assert session.script.refresh(session.token, KEY).status_code == 200


def rotated_beside_another(session: Session) -> None:
    """Start another family of the user, and rotate the session's refresh token."""
    session.browser.log_in()
    rotated(session)


def with_a_cookie(session: Session) -> None:
    """Log in with a browser."""
    session.browser.log_in()


def log_out_single_token(session: Session) -> Any:
    """Log in at a mount with the delivery ``none``, and log out."""
    tool = Caller(session.user, mount="/api/tool/auth/")
    return tool.send("logout/", HTTP_AUTHORIZATION=f"Bearer {tool.log_in().json()['access']}")


def change_password(session: Session) -> None:
    """Change the password."""
    session.user.set_password(f"another {PASSWORD}")
    session.user.save()


def expire(session: Session) -> None:
    """Let the session's family expire."""
    RefreshToken.objects.update(expires_at=timezone.now())


Call = Callable[[Session], Any]
Listed = tuple[Call, Call, dict[str, Any], set[str]]


def alone(session: Session) -> None:
    """Do nothing: the preparation of an operation that needs none."""


def of(call: Call, *, after: Call = alone, also: set[str] | None = None, **settings: Any) -> Listed:
    """Describe an operation: its preparation, its call, its settings, and its statements that name no family."""
    return after, call, settings, also or set()


OF_A_USER = "SELECT family by expires_at, revoked_at, user_id"
LIVE_OF_A_USER = "SELECT family by expires_at, refreshed_at, revoked_at, user_id"
A_BATCH = "UPDATE family by id, revoked_at"
# The keys are names of endpoints, routes and functions. A developer has to decide about each new statement. In a
# frequent request it must name the family's key. Elsewhere it may ask every shard, and then it is listed here.
OPERATIONS: dict[str, Listed] = {
    "login": of(lambda session: session.script.log_in()),
    "login, replacing a cookie's": of(lambda session: session.browser.log_in(), after=with_a_cookie),
    "login, over the limit": of(
        lambda session: session.script.log_in(),
        also={LIVE_OF_A_USER, "SELECT family by expires_at, id, revoked_at", A_BATCH},
        MAX_FAMILIES_PER_USER=1,
    ),
    "refresh": of(lambda session: session.script.refresh(session.token)),
    "refresh, by another device": of(
        lambda session: session.script.refresh(session.token, HTTP_USER_AGENT="Agent Two"),
    ),
    "refresh, a retry": of(lambda session: session.script.refresh(session.token, KEY), after=rotated),
    "refresh, a reuse": of(lambda session: session.script.refresh(session.token), after=rotated),
    "refresh, a reuse that ends all": of(
        lambda session: session.script.refresh(session.token),
        after=rotated_beside_another,
        also={OF_A_USER, A_BATCH},
        REVOKE_ON_REUSE="user",
    ),
    "refresh, an old password": of(lambda session: session.script.refresh(session.token), after=change_password),
    "refresh, too late": of(lambda session: session.script.refresh(session.token), after=expire),
    "reauthenticate": of(lambda session: session.send("reauthenticate/")),
    "logout": of(lambda session: session.send("logout/")),
    "logout, of a single token": of(log_out_single_token),
    "logout_all": of(lambda session: session.send("logout/all/"), also={OF_A_USER, A_BATCH}),
    "sessions": of(lambda session: session.send("sessions/", "get"), also={LIVE_OF_A_USER}),
    "sessions, all others ended": of(
        lambda session: session.send("sessions/", "delete"),
        after=with_a_cookie,
        also={"SELECT family by expires_at, id, revoked_at, user_id", A_BATCH},
    ),
    "session": of(lambda session: session.send(f"sessions/{session.pk}/", "delete")),
    "revocable": of(lambda session: session.script.get("/api/revocable/", **session.bearer)),
    "me": of(lambda session: session.script.get("/api/me/", **session.bearer)),
    "stateless": of(lambda session: session.script.get("/api/stateless/", **session.bearer)),
    "stateless, the list of an interval": of(
        lambda session: session.script.get("/api/stateless/", **session.bearer),
        after=lambda session: poll_revocations(),
        also={"SELECT family by revoked_at"},
        REVOCATION_INTERVAL=timedelta(hours=1),
    ),
    "revocations": of(lambda session: session.script.get("/api/revocations/"), also={"SELECT family by revoked_at"}),
    "families.revoke": of(lambda session: families.revoke(session.pk, actor="staff")),
    "families.exists": of(lambda session: families.exists(session.pk)),
    "families.update_auth_hash": of(lambda session: families.update_auth_hash(session.pk, session.user)),
    "families.purge": of(
        lambda session: families.purge(),
        also={"SELECT family by revoked_at", "SELECT family by earliest_end"},
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_statements_name_their_family(user: Any, name: str) -> None:
    """Each statement of an operation names a family by its key, except for the listed ones."""
    before, call, settings, listed = OPERATIONS[name]
    session = Session(user)
    before(session)
    with with_settings(**settings):
        assert scattered(lambda: call(session)) == listed


def test_every_endpoint_is_listed() -> None:
    """OPERATIONS has an entry for each endpoint."""
    assert {pattern.name for pattern in urls.urlpatterns} <= {name.partition(",")[0] for name in OPERATIONS}


def test_what_counts_as_a_key() -> None:
    """A condition ``=`` on the family's key counts if every row has to fulfil it. ``IN``, ``>`` and OR don't count."""
    select = 'SELECT "x" FROM "twotoken_refreshtoken" WHERE '
    key = '"twotoken_refreshtoken"."id" = %s'
    assert has_key(f"{select}{key} LIMIT 1")
    assert has_key(f'{select}(({key} OR "x" = %s) AND {key})')
    for other in (f"({key} OR {key})", '"twotoken_refreshtoken"."id" IN (%s)', '"twotoken_refreshtoken"."id" > %s'):
        assert not has_key(select + other)
    assert not has_key("DELETE FROM twotoken_refreshtoken")


@pytest.mark.django_db
def test_partitions() -> None:
    """On PostgreSQL with the docs' migration, a statement that names a family by key reads one partition."""
    if connection.vendor == "postgresql":
        namespace: dict[str, Any] = {}
        (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
        exec(block, namespace)  # noqa: S102 - our own page
        with connection.schema_editor() as editor:
            namespace["partition"](apps, editor)
        asked: dict[bool, set[int]] = {True: set(), False: set()}
        for before, call, settings, _ in OPERATIONS.values():
            session = Session(UserFactory())
            before(session)
            with with_settings(**settings):
                for sql, params in statements(partial(call, session)):
                    with connection.cursor() as cursor:
                        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
                        plan = json.dumps(cursor.fetchall())
                    if re.search(r"\bfamily\b", plain(sql)) and not sql.startswith("INSERT"):
                        partitions = re.findall(r'"Relation Name": "twotoken_refreshtoken_(\d+)"', plan)
                        asked[has_key(sql)].add(len(set(partitions)))
        assert asked[True] == {1}
        assert max(asked[False]) == namespace["PARTITIONS"]
