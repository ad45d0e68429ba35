"""Find the database schema of the current tenant, in a project with django-tenants."""

from __future__ import annotations

from functools import cache

from django.db import connections


def schema(alias: str) -> str | None:
    """Return the schema of the current tenant, from the connection. Without django-tenants, return None."""
    return getattr(connections[alias], "schema_name", None) if has_schemas(alias) else None


@cache
def has_schemas(alias: str) -> bool:
    """Tell whether a database's back end is that of django-tenants. Cached, because opening a connection is slow."""
    return hasattr(connections[alias], "set_schema")
