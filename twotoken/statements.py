"""The statements of the hot path, compiled once and then only given their values.

To build a query and compile it costs Django several times what a database needs to run it. So each thread keeps, for
each of its connections, what Django's own compiler made of these few. Values are prepared by their fields, and cursors
wrapped, as ever.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager
from django.db.models.signals import post_save, pre_save
from django.db.models.sql.subqueries import InsertQuery, UpdateQuery
from django.utils import timezone

from twotoken.models import RefreshToken
from twotoken.rotation import guard

M = TypeVar("M", bound=Model)

# What a rotation writes. None of these columns is indexed.
ROTATED: Final = ("generation", "refreshed_at", "retry_key", "grace", "ip_address", "user_agent")


def has_fixed_rows(manager: BaseManager[Any]) -> bool:
    """Tell whether a manager looks at the whole table each time. One of a project's own may choose by the moment."""
    made_by: Any = manager
    return type(manager).get_queryset is BaseManager.get_queryset and made_by._queryset_class is QuerySet


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement as one connection has it. Without ``sql`` the ORM has to run it."""

    connection: BaseDatabaseWrapper
    compiler: Any
    sql: str
    converters: dict[int, tuple[list[Any], Any]]


class _Statement(threading.local, ABC):
    """Keeps what it was compiled to, for its thread: a connection belongs to one."""

    def __init__(self) -> None:
        self._compiled: dict[str, _Compiled] = {}

    def compiled(self, model: type[Model], *values: Any) -> _Compiled:
        """Return the statement as the model's database for writing has it. The first values are the compiler's to see.

        A replica that lags must never be believed, so reads go there too.
        """
        alias = router.db_for_write(model)
        connection = connections[alias]
        known = self._compiled.get(alias)
        if known is None or known.connection is not connection:
            known = self._compiled[alias] = self.compile(alias, connection, *values)
        return known

    @abstractmethod
    def compile(self, alias: str, connection: BaseDatabaseWrapper, *values: Any) -> _Compiled:
        """Have Django compile it."""


class Lookup(_Statement, Generic[M]):
    """The one row that has a value in a unique field, and with it the row that ``related`` points to. One SELECT."""

    def __init__(self, model: type[M], field: str, related: str | None = None) -> None:
        super().__init__()
        options: Any = model._meta
        self.model = model
        self.field = field
        self.related = related
        self.names = [column.attname for column in options.concrete_fields]
        self.pointer = None if related is None else options.get_field(related)

    def get(self, value: Any) -> M | None:
        """Return the row, or None. Raises ValueError or ValidationError for what is no value of the field."""
        try:
            select = self.compiled(self.model, value)
            params = _params(select.compiler, value)
        except EmptyResultSet:  # a number that the column can't hold
            return None
        if not select.sql:
            return next(iter(self._rows(select.connection.alias, value)[:1]), None)
        with select.connection.cursor() as cursor:
            cursor.execute(select.sql, params)
            row = cursor.fetchone()
        return None if row is None else self._load(select, list(row))

    def compile(self, alias: str, connection: BaseDatabaseWrapper, *values: Any) -> _Compiled:
        query: Any = self._rows(alias, values[0]).query
        compiler = query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        if list(params) != _params(compiler, values[0]):  # a column of the project's own has parameters besides
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


class RotationUpdate(_Statement):
    """The one conditional UPDATE that rotates a family: a faster rotation or a revocation makes it change nothing."""

    def write(self, family_id: UUID, presented: int, values: dict[str, Any]) -> bool:
        """Write the values of ROTATED where the guard of the presented generation holds; tell whether it did."""
        update = self.compiled(RefreshToken)
        options: Any = RefreshToken._meta
        written = [options.get_field(name).get_db_prep_save(values[name], update.connection) for name in ROTATED]
        key = options.pk.get_db_prep_value(family_id, update.connection)
        guarded = [value for value in guard(presented).values() if value is not None]
        return _write(update, [*written, key, *guarded])

    def compile(self, alias: str, connection: BaseDatabaseWrapper, *values: Any) -> _Compiled:
        rows = RefreshToken.objects.using(alias).filter(pk=UUID(int=0)).filter(**guard(0))
        query: Any = rows.query.chain(UpdateQuery)
        # Any values but None, which would be compiled in.
        query.add_update_values(dict(zip(ROTATED, (1, timezone.now(), b"key", 0.0, "::1", "agent"), strict=True)))
        compiler = query.get_compiler(connection=connection)
        return _Compiled(connection, compiler, compiler.as_sql()[0], {})


class FamilyInsert(_Statement):
    """The one INSERT that starts a family."""

    def write(self, family: RefreshToken) -> None:
        """Write a new row."""
        if pre_save.has_listeners(RefreshToken) or post_save.has_listeners(RefreshToken):  # a project's own
            family.save(force_insert=True, using=router.db_for_write(RefreshToken))
            return
        insert = self.compiled(RefreshToken, family)
        columns = RefreshToken._meta.concrete_fields
        _write(
            insert, [column.get_db_prep_save(getattr(family, column.attname), insert.connection) for column in columns]
        )
        family._state.adding, family._state.db = False, insert.connection.alias

    def compile(self, alias: str, connection: BaseDatabaseWrapper, *values: Any) -> _Compiled:
        query = InsertQuery(RefreshToken)
        query.insert_values(RefreshToken._meta.concrete_fields, list(values))
        compiler = query.get_compiler(connection=connection)
        ((sql, _),) = compiler.as_sql()
        return _Compiled(connection, compiler, sql, {})


def _params(compiler: Any, value: Any) -> list[Any]:
    """Return a value as the one condition of a query has it. Raises EmptyResultSet where no row can have it."""
    (condition,) = compiler.query.where.children
    _, params = type(condition)(condition.lhs, value).process_rhs(compiler, compiler.connection)
    return list(params)


def _write(statement: _Compiled, params: list[Any]) -> bool:
    with (
        transaction.mark_for_rollback_on_error(using=statement.connection.alias),
        statement.connection.cursor() as cursor,
    ):
        cursor.execute(statement.sql, params)
        return bool(cursor.rowcount)
