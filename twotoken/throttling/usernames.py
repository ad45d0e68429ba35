"""Turn all spellings of a user name into one text, so that the login throttle counts these spellings as one name."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

# How much of a name is compared: characters, or on MySQL collation weights. Longer names that begin alike are counted
# together.
LONGEST_NAME = 512


def normalize_username(name: str) -> str:
    """Return the same text for all spellings that the database treats as one name, whether such a user exists or not.

    On MariaDB and MySQL, and on PostgreSQL if the field has a ``db_collation``, one statement asks the database for
    this text. The statement reads no rows of the user table: if the text depended on these rows, the throttle's counts
    would reveal who has an account. Raises a DatabaseError if the statement fails.
    """
    model: Any = get_user_model()
    field: Any = model._meta.get_field(model.USERNAME_FIELD)
    with suppress(TypeError, ValueError, ValidationError):  # the column can't hold such a name
        name = str(field.get_prep_value(name))
    connection = connections[router.db_for_write(model)]
    digest = None
    if connection.vendor == "mysql":
        digest = _mysql_digest(connection, field, name)
    if connection.vendor == "postgresql" and getattr(field, "db_collation", None):
        digest = _postgresql_digest(connection, field.db_collation, name)
    return digest or _fold(name)


def _mysql_digest(
    connection: BaseDatabaseWrapper, field: Any, name: str
) -> str | None:  # pragma: no cover - not on SQLite
    """Return a digest of the weights by which the collation of a MySQL column compares a name.

    In the query, a UNION with the column makes the name take the column's collation. ``AS CHAR`` pads the name with
    spaces, so spaces at its end make no difference: most collations ignore them.
    """
    quote = connection.ops.quote_name
    column, table = quote(field.column), quote(field.model._meta.db_table)
    sql = (
        f"SELECT SHA2(WEIGHT_STRING(name AS CHAR({LONGEST_NAME})), 256) FROM "  # noqa: S608 - the project's own names
        f"(SELECT {column} AS name FROM {table} WHERE FALSE UNION ALL SELECT %s) AS spelling"
    )
    return _select_text(connection, sql, [name])


def _postgresql_digest(
    connection: BaseDatabaseWrapper, collation: str, name: str
) -> str | None:  # pragma: no cover - not on SQLite
    """Return the hash by which PostgreSQL groups names of a collation, or None for a deterministic collation."""
    collation = connection.ops.quote_name(collation)
    sql = (
        f"SELECT CASE WHEN NOT collisdeterministic THEN hashtextextended(%s::text COLLATE {collation}, 0) END "  # noqa: S608
        "FROM pg_collation WHERE oid = %s::regcollation"
    )
    return _select_text(connection, sql, [name.replace("\x00", ""), collation])


def _select_text(
    connection: BaseDatabaseWrapper, sql: str, params: list[str]
) -> str | None:  # pragma: no cover - not on SQLite
    with connection.cursor() as cursor:
        cursor.execute(sql, [param.encode(errors="replace").decode() for param in params])
        ((text,),) = cursor.fetchall()
    return None if text is None else str(text)


def _fold(name: str) -> str:
    """Return a name without the differences between its spellings: case, accents, spaces, invisible characters.

    This is for databases that compare names exactly. Case is removed too, because authentication back ends may look up
    a name by ``iexact``, and the column type citext ignores case. The name is cut first, because the time that
    ``unicodedata.normalize`` takes grows with the square of the number of accents: 100,000 accents take half a minute.
    """
    name = name[:LONGEST_NAME]
    name = unicodedata.normalize("NFKD", name).upper().casefold()  # upper(), because casefold() keeps the dotless i
    return "".join(
        character
        for character in unicodedata.normalize("NFKD", name)
        if not unicodedata.category(character).startswith(("M", "C", "Z"))
    )
