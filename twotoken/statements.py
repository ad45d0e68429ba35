"""The SQL statements of a refresh and a logout: a SELECT that is compiled only once, and UPDATEs in plain SQL."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager
from django.utils import timezone

from twotoken.models import RefreshToken

M = TypeVar("M", bound=Model)


def has_fixed_rows(manager: BaseManager[Any]) -> bool:
    """Tell whether a manager returns all rows of its table. A project's own manager may filter the rows."""
    made_by: Any = manager
    return type(manager).get_queryset is BaseManager.get_queryset and made_by._queryset_class is QuerySet


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A SELECT that was compiled for one connection. If ``sql`` is empty, the query must run through the ORM."""

    connection: BaseDatabaseWrapper
    compiler: Any
    sql: str
    converters: dict[int, tuple[list[Any], Any]]


class CompiledSelect(threading.local, Generic[M]):
    """Finds a row by a unique field, and the row to which its foreign key ``related`` points. One SELECT.

    Django takes several times as long to build and compile a query as the database takes to run it. So each thread
    compiles this query only once for each of its connections, with Django's own compiler, and keeps the result.
    Everything else works as in any query: the field prepares the value, and the connection wraps the cursor.
    """

    def __init__(self, model: type[M], field: str, related: str | None = None) -> None:
        options: Any = model._meta
        self._compiled: dict[tuple[str, bool], _Compiled] = {}
        self.model = model
        self.field = field
        self.related = related
        self.names = [column.attname for column in options.concrete_fields]
        self.pointer = None if related is None else options.get_field(related)

    def get(self, value: Any) -> M | None:
        """Return the row with this value, or None. Raises ValueError or ValidationError for an invalid value."""
        try:
            select = self.compiled(value)
            params = _params(select.compiler, value)
        except EmptyResultSet:  # a number that the column can't hold
            return None
        if not select.sql:
            return next(iter(self._rows(select.connection.alias, value)[:1]), None)
        with select.connection.cursor() as cursor:
            cursor.execute(select.sql, params)
            row = cursor.fetchone()
        return None if row is None else self._load(select, list(row))

    def compiled(self, value: Any) -> _Compiled:
        """Return the SELECT, compiled for the write database, because a replica may lag.

        Django needs a ``value``, any example, to compile the condition.
        """
        alias = router.db_for_write(self.model)
        connection = connections[alias]
        key = alias, settings.USE_TZ  # USE_TZ decides how the connection converts times
        known = self._compiled.get(key)
        if known is None or known.connection is not connection:
            known = self._compiled[key] = self.compile(connection, value)
        return known

    def compile(self, connection: BaseDatabaseWrapper, value: Any) -> _Compiled:
        """Compile the SELECT for one connection, with Django's compiler."""
        query: Any = self._rows(connection.alias, value).query
        compiler = query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        if list(params) != _params(compiler, value):  # a column of the project's own model adds parameters
            sql = ""
        return _Compiled(connection, compiler, sql, compiler.get_converters([column for column, *_ in compiler.select]))

    def _rows(self, alias: str, value: Any) -> QuerySet[M]:
        rows = self.model._default_manager.using(alias).filter(**{self.field: value}).order_by()
        return rows.select_related(self.related) if self.related else rows

    def _load(self, select: _Compiled, row: list[Any]) -> M:
        alias = select.connection.alias
        for place, (converters, column) in select.converters.items():
            for convert in converters:
                row[place] = convert(row[place], column, select.connection)
        found = self.model.from_db(alias, self.names, row[: len(self.names)])
        if self.pointer is not None:
            model = self.pointer.related_model
            names = [column.attname for column in model._meta.concrete_fields]
            self.pointer.set_cached_value(found, model.from_db(alias, names, row[len(self.names) :]))
        return found


class Rotation(NamedTuple):
    """The values that a rotation writes to the family's row. These columns have no indexes."""

    generation: int
    refreshed_at: datetime
    retry_key: bytes
    auth_hash: str
    ip_address: str | None
    user_agent: str


# These columns are written only if they differ from the row that was read: a driver takes microseconds for each value.
# If the token is newer than its row, as after a restore of the database, all columns are written: then the condition
# "generation <= presented" holds even if another request has rotated the row since it was read. A restore between the
# read and the write could leave another request's values in the columns: after a restore, revoke every family anyway.
SELDOM_CHANGED = frozenset({"auth_hash", "ip_address", "retry_key", "user_agent"})


def write_rotation(family: RefreshToken, presented: int, rotation: Rotation) -> bool:
    """Rotate a family in one UPDATE, if the family's row still allows this; tell whether the row was updated.

    The row must not be revoked, and its generation must not be newer than ``presented``, that of the client's token.
    Without these conditions, two requests that read the same row would both rotate it, or a request would rotate a
    family that a logout has just revoked. The row's ``auth_hash`` must still be the one in ``family``. Otherwise, if
    ``update_auth_hash`` has just written the hash of a new password, the rotation could overwrite it with the hash of
    the old one.
    """
    written = {
        name: value
        for name, value in rotation._asdict().items()
        if name not in SELDOM_CHANGED or value != getattr(family, name) or family.generation != presented
    }
    return _update(
        written, {"id": family.pk, "generation": presented, "revoked_at": None, "auth_hash": family.auth_hash}
    )


def write_revocation(family_id: UUID, reason: str) -> bool:
    """Revoke a family in one UPDATE, if it is not revoked yet; tell whether the row was updated."""
    return _update({"revoked_at": timezone.now(), "revoked_reason": reason}, {"id": family_id, "revoked_at": None})


CONDITIONS = {"id": "= %s", "generation": "<= %s", "revoked_at": "IS NULL", "auth_hash": "= %s"}


def _update(values: dict[str, Any], where: dict[str, Any]) -> bool:
    """Write ``values`` to the row that meets the CONDITIONS on the fields in ``where``; tell whether such a row exists.

    ``where`` has the value for each condition, or None for the condition ``IS NULL``, which has no value.
    """
    alias = router.db_for_write(RefreshToken)
    connection = connections[alias]
    options: Any = RefreshToken._meta
    params = [options.get_field(name).get_db_prep_save(value, connection) for name, value in values.items()]
    params += [
        options.get_field(name).get_db_prep_value(value, connection)
        for name, value in where.items()
        if value is not None
    ]
    with transaction.mark_for_rollback_on_error(using=alias), connection.cursor() as cursor:
        cursor.execute(_update_sql(alias, connection.vendor, tuple(values), tuple(where)), params)
        return bool(cursor.rowcount)


@cache
def _update_sql(alias: str, vendor: str, names: tuple[str, ...], conditions: tuple[str, ...]) -> str:
    """Return an UPDATE of the fields ``names``. Its WHERE clause has the CONDITIONS on the fields ``conditions``.

    The UPDATE's parameters are first the values to set, then those of the WHERE clause. ``vendor`` belongs to the key
    of the cache: an alias can lead to another kind of database later, as in our tests.
    """
    quote = connections[alias].ops.quote_name
    options: Any = RefreshToken._meta
    table = quote(options.db_table)
    columns = {name: quote(options.get_field(name).column) for name in {*names, *conditions}}
    values = ", ".join(f"{columns[name]} = %s" for name in names)
    where = " AND ".join(f"{table}.{columns[name]} {CONDITIONS[name]}" for name in conditions)
    return f"UPDATE {table} SET {values} WHERE {where}"  # noqa: S608


def _params(compiler: Any, value: Any) -> list[Any]:
    """Return the query's parameters for this value. Raises EmptyResultSet if no row can have this value."""
    (condition,) = compiler.query.where.children
    _, params = type(condition)(condition.lhs, value).process_rhs(compiler, compiler.connection)
    return list(params)
