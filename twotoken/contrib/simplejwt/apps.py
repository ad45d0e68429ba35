"""The Django app that a project lists while it moves."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register

from twotoken.contrib.simplejwt import checks


class SimpleJWTConfig(AppConfig):
    """Registers the checks of the move. There is no table."""

    name = "twotoken.contrib.simplejwt"
    label = "twotoken_simplejwt"

    def ready(self) -> None:
        """Register every check."""
        for check in checks.CHECKS:
            register(check)
