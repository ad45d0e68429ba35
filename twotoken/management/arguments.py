"""Reads command-line arguments that name token families, and asks for confirmation before all families are changed.

The commands' texts are translated: Django runs the commands in the language of LANGUAGE_CODE.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.db import router
from django.utils.translation import gettext

from twotoken import families


def family(text: str) -> UUID:
    """Return the id of a token family, read from an argument. Raises ArgumentTypeError if it is not a UUID."""
    try:
        return UUID(text)
    except ValueError as exc:
        said = gettext("%(text)r is not the id of a token family, which is a UUID.")
        raise ArgumentTypeError(said % {"text": text}) from exc


def duration(text: str) -> timedelta:
    """Return a duration, read from an argument such as 30s, 10m or 1.5h. Other texts raise ArgumentTypeError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text, re.ASCII)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not a duration. Use a number with s, m or h, such as 30s, 10m or 1.5h.")
    return timedelta(seconds=float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]])


def user_id(name: str) -> Any:
    """Return the primary key of the user with this login name. Raises CommandError if there is no such user."""
    model = get_user_model()
    # Don't read from a replica: if it lags, it may have another user with this name, or no such user.
    manager: Any = model._default_manager.db_manager(router.db_for_write(model))
    try:
        return manager.get_by_natural_key(name).pk
    except model.DoesNotExist as exc:
        raise CommandError(gettext("There is no user %(name)r.") % {"name": name}) from exc


def check_family(family_id: UUID) -> None:
    """Raise CommandError if there is no token family with this id."""
    if not families.exists(family_id):
        raise CommandError(gettext("There is no token family %(id)r.") % {"id": str(family_id)})


def confirm(stream: Any, warning: str, otherwise: str) -> None:
    """Print a warning and ask for "yes". If the answer is anything else, raise CommandError with ``otherwise``."""
    stream.write(warning)
    try:
        answer = input(gettext("Type 'yes' to continue: "))
    except EOFError as exc:
        hint = gettext("Without a terminal, use --no-input.")
        raise CommandError(f"{otherwise} {hint}") from exc
    if answer != "yes":
        raise CommandError(otherwise)
