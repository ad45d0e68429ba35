"""Gives a view twotoken's schema class, which the project's own descriptions of the view override."""

from __future__ import annotations

from inspect import getmembers, isfunction
from typing import Any, TypeVar

from drf_spectacular.drainage import isolate_view_method
from drf_spectacular.openapi import AutoSchema
from rest_framework.views import APIView

Schema = TypeVar("Schema", bound=AutoSchema)


def with_schema(view: type[APIView], ours: type[AutoSchema], **attributes: Any) -> type[APIView]:
    """Return a subclass of a view that has twotoken's descriptions. The project's own descriptions override them."""
    schema = layered(type(view.schema), ours)()
    replacement = type(view.__name__, (view,), {"__module__": view.__module__, "schema": schema, **attributes})
    for name, method in getmembers(view, isfunction):
        # @extend_schema on a method gives the method its own schema class, which would replace the view's schema class.
        # So let the method's schema class inherit from ours too.
        decorated = getattr(method, "kwargs", {}).get("schema")
        if decorated is not None:
            isolated: Any = isolate_view_method(replacement, name)
            isolated.kwargs["schema"] = layered(decorated, ours)
    return replacement


def layered(schema: type[Any], ours: type[Schema]) -> type[Schema]:
    """Return a schema class that inherits from ``schema`` (the project's), ``ours`` and AutoSchema, in this order."""
    if not issubclass(schema, AutoSchema) or issubclass(ours, schema):
        return ours
    bases: tuple[Any, ...] = (schema, ours)
    return type(schema.__name__, bases, {})
