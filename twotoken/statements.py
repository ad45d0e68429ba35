"""The statements of the hot path, compiled once and then only given their values.

To build and compile a query costs Django several times what a database needs to run it. So each thread keeps, for each
of its connections, what Django's own compiler made of these few. Values are prepared, rows loaded and cursors wrapped
as ever.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager
from django.db.models.query import ModelIterable
from django.db.models.sql.subqueries import UpdateQuery

from twotoken.models import RefreshToken
from twotoken.rotation import guard

M = TypeVar("M", bound=Model)

# What a rotation writes, with values for the compiler to see. None of these columns is indexed.
ROTATED: Final[dict[str, Any]] = {
    "generation": 1,
    "refreshed_at": datetime(2000, 1, 1, tzinfo=UTC),
    "retry_key": b"key",
    "grace": 0.0,
    "ip_address": "::1",
    "user_agent": "agent",
}


def has_fixed_rows(manager: BaseManager[Any]) -> bool:
    """Tell whether a manager looks at the whole table each time. One of a project's own may choose by the moment."""
    made_by: Any = manager
    return type(manager).get_queryset is BaseManager.get_queryset and made_by._queryset_class is QuerySet


class Lookup(threading.local, Generic[M]):
    """The one row that has a value in a unique field, with its related rows, read where is written. One SELECT."""

    def __init__(self, model: type[M], field: str, *related: str) -> None:
        self.model = model
        self.field = field
        self.related = related
        self.selects: dict[str, _Select[M]] = {}

    def get(self, value: Any) -> M | None:
        """Return the row, or None. Raises ValueError or ValidationError for what is no value of the field."""
        alias = router.db_for_write(self.model)
        connection = connections[alias]
        select = self.selects.get(alias)
        try:
            if select is None or select.connection is not connection:
                rows = self.model._default_manager.using(alias).select_related(*self.related)
                select = self.selects[alias] = _Select(rows.filter(**{self.field: value}), connection)
            return select.row(value)
        except EmptyResultSet:  # a number that the column can't hold
            return None


class _Select(Generic[M]):
    """A queryset of one condition that is compiled no more."""

    def __init__(self, rows: QuerySet[M], connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.rows = rows
        query: Any = rows.query
        self.compiler = query.get_compiler(connection=connection)
        sql, self.params = self.compiler.as_sql()
        converters = self.compiler.get_converters([column for column, *_ in self.compiler.select])
        (self.condition,) = query.where.children
        self.compiler.as_sql = lambda *args, **kwargs: (sql, self.params)
        self.compiler.get_converters = lambda *args, **kwargs: converters
        query.get_compiler = lambda *args, **kwargs: self.compiler

    def row(self, value: Any) -> M | None:
        condition = type(self.condition)(self.condition.lhs, value)
        _, self.params = condition.process_rhs(self.compiler, self.connection)
        return next(iter(ModelIterable(self.rows)), None)


class RotationUpdate(threading.local):
    """The one conditional UPDATE that rotates a family: a faster rotation or a revocation makes it change nothing."""

    def __init__(self) -> None:
        self.compiled: dict[str, tuple[BaseDatabaseWrapper, str]] = {}

    def write(self, family_id: UUID, presented: int, values: dict[str, Any]) -> bool:
        """Write the values of ROTATED where the guard of the presented generation holds; tell whether it did."""
        alias = router.db_for_write(RefreshToken)
        connection = connections[alias]
        compiled_for, sql = self.compiled.get(alias, (None, ""))
        if compiled_for is not connection:
            sql = _compile_rotation(alias, connection)
            self.compiled[alias] = (connection, sql)
        options: Any = RefreshToken._meta
        written = [options.get_field(name).get_db_prep_save(values[name], connection) for name in ROTATED]
        guarded = [value for value in guard(presented).values() if value is not None]
        with transaction.mark_for_rollback_on_error(using=alias), connection.cursor() as cursor:
            cursor.execute(sql, [*written, options.pk.get_db_prep_value(family_id, connection), *guarded])
            return bool(cursor.rowcount)


def _compile_rotation(alias: str, connection: BaseDatabaseWrapper) -> str:
    rows = RefreshToken.objects.using(alias).filter(pk=UUID(int=0)).filter(**guard(0))
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(ROTATED)
    sql: str = query.get_compiler(connection=connection).as_sql()[0]
    return sql
