"""Measures the sizes of a competitor's tables, and inserts hundreds of thousands of rows by one SQL statement."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.apps import apps
from django.db import connection
from django.utils import timezone

from benchmarks.competitor import Tokens
from twotoken import tokens
from twotoken.conf import conf
from twotoken.dpop import DPOP

NUMBERS = {
    "postgresql": "SELECT generate_series(1, {count}) AS n",
    "mysql": "SELECT seq AS n FROM seq_1_to_{count}",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s",
}
RANDOM = {
    "postgresql": "md5(random()::text || n::text){uuid}",
    # MariaDB wants the version and variant of a real UUID.
    "mysql": "CONCAT(LEFT(MD5(CONCAT(RAND(), n)), 12), '4', LEFT(MD5(RAND()), 3), '8', LEFT(MD5(RAND()), 15))",
    "sqlite": "lower(hex(randomblob(16)))",
}
# The time of row n: ``start`` seconds ago, plus n times ``step`` seconds.
MOMENTS = {
    "postgresql": "now() + (n * {step} - {start}) * interval '1 second'",
    "mysql": "TIMESTAMPADD(MICROSECOND, (n * {step} - {start}) * 1000000, UTC_TIMESTAMP(6))",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', julianday('now') + (n * {step} - {start}) / 86400.0)",
}
ROW_SECRET = b"sixteen bytes..."
DAY = 86_400  # seconds
FIRST_PERSON = 1000  # the ids of people begin after those of the users that every worker has
TOKEN_LENGTH = 250  # characters of a refresh token of simplejwt


def tables(labels: Sequence[str]) -> list[str]:
    """Return the tables of some apps."""
    return [
        model._meta.db_table
        for label in labels
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    ]


def sizes(names: Sequence[str]) -> dict[str, int]:
    """Return the rows and bytes of tables with their indexes. SQLite has one file for all tables: there bytes are 0."""
    found = {"rows": 0, "bytes": 0}
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(name)}")
            found["rows"] += cursor.fetchone()[0]
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [name])
                found["bytes"] += cursor.fetchone()[0]
            elif connection.vendor == "mysql":
                cursor.execute(f"ANALYZE TABLE {connection.ops.quote_name(name)}")
                cursor.execute(
                    "SELECT data_length + index_length FROM information_schema.tables"
                    " WHERE table_schema = DATABASE() AND table_name = %s",
                    [name],
                )
                found["bytes"] += cursor.fetchone()[0]
    return found


def updates(names: Sequence[str]) -> list[int]:
    """Return PostgreSQL's counts of updated rows and of heap-only updates in some tables; zeros on other databases."""
    if connection.vendor != "postgresql" or not names:
        return [0, 0]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT sum(n_tup_upd), sum(n_tup_hot_upd) FROM pg_stat_user_tables WHERE relname = ANY(%s)", [list(names)]
        )
        return [int(count) for count in cursor.fetchone()]


def vacuum(names: Sequence[str]) -> None:
    """Free the space of dead rows, as autovacuum does after some time. MariaDB frees it by itself."""
    if connection.vendor != "mysql":
        with connection.cursor() as cursor:
            for name in names if connection.vendor == "postgresql" else [""]:
                cursor.execute(f"VACUUM {connection.ops.quote_name(name) if name else ''}")


def insert(model: Any, count: int, values: dict[str, object]) -> None:
    """Insert rows with these values. A value ``[sql]`` is an SQL expression, in which n is the number of the row."""
    numbers = NUMBERS[connection.vendor].format(count=count)
    fields = [field for field in model._meta.concrete_fields if field.attname in values]
    expressions, parameters = [], []
    for field in fields:
        value = values[field.attname]
        if isinstance(value, list):
            expressions.append(value[0])
        else:
            expressions.append("%s")
            parameters.append(field.get_db_prep_save(value, connection))
            if connection.vendor == "postgresql":
                expressions[-1] += f"::{field.db_type(connection).partition(' GENERATED')[0]}"
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({columns}) SELECT {', '.join(expressions)} FROM ({numbers}) numbers", parameters
        )
        if connection.vendor == "postgresql":
            cursor.execute(f"VACUUM ANALYZE {table}")
        else:
            cursor.execute(f"ANALYZE {'TABLE ' if connection.vendor == 'mysql' else ''}{table}")


def live_families(count: int) -> None:
    """Insert active token families."""
    now = timezone.now()
    _families(count, created_at=now, refreshed_at=now, expires_at=now + timedelta(days=30))


def ended_families(count: int) -> None:
    """Insert token families that a purge deletes. Their logins are spread over ten days, from 90 to 80 days ago."""

    def days(ago: int) -> list[str]:
        return [MOMENTS[connection.vendor].format(start=ago * DAY, step=10 * DAY / count)]

    _families(count, created_at=days(90), refreshed_at=days(90), earliest_end=days(83), expires_at=days(60))


def revoked_families(count: int) -> None:
    """Insert families that were revoked one after the other, from 16 minutes ago until a minute from now.

    So for the next minute there are always new revocations, as if people logged out at this rate.
    """
    now = timezone.now()
    moment = MOMENTS[connection.vendor].format(start=16 * 60, step=17 * 60 / max(count, 1))
    _families(
        count,
        created_at=now,
        refreshed_at=now,
        expires_at=now + timedelta(days=30),
        revoked_at=[moment],
        revoked_reason="logout",
    )


def drop_revoked_index() -> None:
    """Drop the index on ``revoked_at``."""
    model = apps.get_model("twotoken", "RefreshToken")
    (index,) = (index for index in model._meta.indexes if index.name == "twotoken_revoked")
    with connection.schema_editor() as editor:
        editor.remove_index(model, index)


def _families(count: int, **different: object) -> None:
    user = apps.get_model("auth", "User").objects.get(username="user0")
    values: dict[str, object] = {
        "id": [RANDOM[connection.vendor].format(uuid="::uuid")],
        "user_id": user.pk,
        "secret": ROW_SECRET,
        "generation": 0,
        "retry_key": b"",
        "is_browser": False,
        "device_key": "",
        "context": {},
        "auth_hash": user.get_session_auth_hash(),
        "revoked_reason": "",
        "earliest_end": timezone.now() + timedelta(days=7),
        "login_ip_address": "127.0.0.1",
        "ip_address": "127.0.0.1",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
        **different,
    }
    insert(apps.get_model("twotoken", "RefreshToken"), count, values)


def people(first: int, count: int) -> None:
    """Insert active families, numbered from ``first`` on, and a user for every two of them. Only for PostgreSQL.

    A family's primary key is computed from its number. Its place in the index is as random as that of a real key.
    """
    user = apps.get_model("auth", "User").objects.get(username="user0")
    values: dict[str, object] = {
        "id": [f"{FIRST_PERSON} + {first} / 2 + n"],
        "password": user.password,
        "is_superuser": False,
        "username": [f"'person' || {first} / 2 + n"],
        "first_name": "",
        "last_name": "",
        "email": [f"'person' || {first} / 2 + n || '@example.com'"],
        "is_staff": False,
        "is_active": True,
        "date_joined": timezone.now(),
    }
    insert(apps.get_model("auth", "User"), count // 2, values)
    _families(
        count,
        id=[f"md5('family' || {first} + n)::uuid"],
        user_id=[f"{FIRST_PERSON} + {first} / 2 + (n + 1) / 2"],
        ip_address="198.51.100.7",
        login_ip_address="198.51.100.7",
        created_at=["now() - random() * interval '29 days'"],
        refreshed_at=["now() - random() * interval '1 hour'"],
        expires_at=["now() + interval '1 day' + random() * interval '28 days'"],
        earliest_end=["now() - random() * interval '22 days'"],
    )


def sixty_days(first: int, count: int) -> None:
    """Insert families as sixty days of logins leave them, for the users that ``people`` has made. Only for PostgreSQL.

    40% of the families are revoked, and one in 25,000 is revoked for reuse. Of the others, those from the first thirty
    days have expired. 1% of all families are bound to a device. No family ended longer ago than the default of
    RETENTION, so a purge finds nothing to delete.
    """
    number = f"({first} + n)"
    # The time since the login. A day less than sixty, so nothing becomes due during a run.
    age = f"mod({number}::bigint * 7919, {59 * DAY}) * interval '1 second'"
    is_revoked, is_old = f"mod({number}, 10) < 4", f"{age} > interval '30 days'"
    address = f"'10.0.0.0'::inet + mod({number}, 1000000)"
    refreshed = f"now() - CASE WHEN {is_revoked} OR {is_old} THEN {age} * 0.6 ELSE random() * interval '1 hour' END"
    _families(
        count,
        id=[f"md5('family' || {number})::uuid"],
        user_id=[f"{FIRST_PERSON} + {first} / 2 + (n + 1) / 2"],
        ip_address=[address],
        login_ip_address=[address],
        device_key=[f"CASE WHEN mod({number}, 100) = 55 THEN '{DPOP}{{}}' ELSE '' END"],
        created_at=[f"now() - {age}"],
        refreshed_at=[refreshed],
        expires_at=[f"now() - {age} + interval '30 days'"],
        # A login sets this to the end of the idle limit. For older families, a purge has moved it since.
        earliest_end=[
            f"now() - {age} + CASE WHEN {age} < interval '37 days' THEN interval '7 days' ELSE interval '30 days' END"
        ],
        revoked_at=[f"CASE WHEN {is_revoked} THEN now() - {age} * 0.5 END"],
        revoked_reason=[
            f"CASE WHEN NOT {is_revoked} THEN '' WHEN mod({number}, 25000) = 0 THEN 'reuse'"
            f" WHEN mod({number}, 300) = 1 THEN 'admin' ELSE 'logout' END"
        ],
    )


def drop_indexes() -> list[str]:
    """Drop the keys and indexes of the table of families, for a fast load. Return the statements to restore them."""
    table = apps.get_model("twotoken", "RefreshToken")._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = %s::regclass AND contype IN ('p', 'f') ORDER BY contype",
            [table],
        )
        constraints = dict(cursor.fetchall())
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [table])
        indexes = {name: statement for name, statement in cursor.fetchall() if name not in constraints}
        for name in constraints:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {connection.ops.quote_name(name)}")
        for name in indexes:
            cursor.execute(f"DROP INDEX {connection.ops.quote_name(name)}")
    keys = [
        f"ALTER TABLE {table} ADD CONSTRAINT {connection.ops.quote_name(name)} {definition}"
        for name, definition in constraints.items()
    ]
    return [*indexes.values(), *keys]


def run(statement: str) -> None:
    """Run an SQL statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def rotation() -> str:
    """Return the SQL of a rotation that writes all its columns, with ``%s`` for each value. No row is changed here."""
    statements = import_module("twotoken.statements")  # the workers of other competitors don't have this app
    family = apps.get_model("twotoken", "RefreshToken")()
    seen: list[str] = []

    def record(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        seen.append(sql)
        return execute(sql, *arguments)

    with connection.execute_wrapper(record):
        changed = statements.Rotation(1, timezone.now(), b"key", "hash", "198.51.100.8", "agent")
        statements.write_rotation(family, 0, changed)
    return seen[-1]


def expired_tokens(count: int) -> None:
    """Insert refresh tokens that simplejwt's purge deletes. None is blacklisted: blacklisted tokens cost more."""
    user = apps.get_model("auth", "User").objects.get(username="user0")
    then = timezone.now() - timedelta(days=90)
    values = {
        "user_id": user.pk,
        "jti": [RANDOM[connection.vendor].format(uuid="")],
        "token": "x" * TOKEN_LENGTH,
        "created_at": then,
        "expires_at": then + timedelta(days=1),
    }
    label = "token_blacklist.OutstandingToken"
    insert(apps.get_model(label), count, values)


def sample(count: int) -> list[Tokens]:
    """Return the tokens of families from all parts of the table."""
    families: Any = apps.get_model("twotoken", "RefreshToken")
    found = families.objects.filter(generation=0, secret=ROW_SECRET).order_by("?")
    now = int(time.time())
    return [
        Tokens(
            access=tokens.encode_access(
                conf.access_policy,
                subject=str(user_id),
                family_id=key,
                issued_at=now,
                expires_at=now + DAY,
                extra={},
            ),
            refresh=tokens.encode_refresh(
                conf.refresh_keys, family_id=key, generation=0, secret=ROW_SECRET, expires_at=expires_at
            ),
        )
        for key, user_id, expires_at in found.values_list("pk", "user_id", "expires_at")[:count]
    ]
