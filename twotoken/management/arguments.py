"""Command-line arguments that name token families, and counts of families in words."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.db import router


def family(text: str) -> UUID:
    """Read the id of a token family."""
    try:
        return UUID(text)
    except ValueError as exc:
        raise ArgumentTypeError(f"{text!r} is not the id of a token family, which is a UUID.") from exc


def duration(text: str) -> timedelta:
    """Read a duration such as 30s, 10m or 1.5h."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text, re.ASCII)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not a duration. Use a number with s, m or h, such as 30s, 10m or 1.5h.")
    return timedelta(seconds=float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]])


def user_id(name: str) -> Any:
    """Return the primary key of the user with this login name. Raises CommandError if there is no such user."""
    model = get_user_model()
    # A lagging replica may have another user with this name, or none.
    manager: Any = model._default_manager.db_manager(router.db_for_write(model))
    try:
        return manager.get_by_natural_key(name).pk
    except model.DoesNotExist as exc:
        raise CommandError(f"There is no user {name!r}.") from exc


def counted(count: int) -> str:
    """Return a count in words, for example "1 token family"."""
    return f"{count} token {'family' if count == 1 else 'families'}"


def confirm(stream: Any, warning: str, otherwise: str) -> None:
    """Print a warning and ask for confirmation. Raises CommandError, which says ``otherwise``, without a yes."""
    stream.write(warning)
    try:
        answer = input("Type 'yes' to continue: ")
    except EOFError as exc:
        raise CommandError(f"{otherwise} Without a terminal, use --no-input.") from exc
    if answer != "yes":
        raise CommandError(otherwise)
