"""Describes the 401 of a project's views that have the permission RecentLogin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rest_framework import status
from rest_framework.views import APIView

from twotoken.contrib.spectacular.layers import with_schema
from twotoken.contrib.spectacular.parts import CHALLENGE, ErrorSchema, Schema
from twotoken.contrib.spectacular.schemas import asks_for_login
from twotoken.exceptions import InsufficientUserAuthentication
from twotoken.permissions import recent_logins

UNAUTHORIZED = str(status.HTTP_401_UNAUTHORIZED)


class StepUpSchema(ErrorSchema):
    """Adds the 401 of the permission RecentLogin to an operation, unless the project describes a 401 itself."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Schema | None:
        operation: Schema | None = super().get_operation(*args, **kwargs)
        if operation is not None and asks_for_login(self.view):
            answer = self._get_response_for_code(self.error_response([InsufficientUserAuthentication]), UNAUTHORIZED)
            described = {"description": str(CHALLENGE.description), "schema": {"type": "string"}, "required": True}
            operation["responses"].setdefault(UNAUTHORIZED, {**answer, "headers": {CHALLENGE.name: described}})
        return operation


def replacement_of(view: type[APIView]) -> type[APIView]:
    """Return a subclass of a view, with RecentLogin's 401. drf-spectacular describes the subclass."""
    return with_schema(view, StepUpSchema)


def has_recent_login(view: type[APIView]) -> bool:
    """Tell whether a view, or an extra action of a viewset, has RecentLogin among its permissions."""
    return any(recent_logins(permissions_of(view)))


def permissions_of(view: type[APIView]) -> Iterator[Any]:
    """Yield the permission classes of a view and, if it is a viewset, those of its extra actions."""
    yield from view.permission_classes
    for action in getattr(view, "get_extra_actions", list)():
        yield from action.kwargs.get("permission_classes", ())
