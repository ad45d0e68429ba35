"""The Django app that a project installs during the move."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register

from twotoken.contrib.simplejwt import checks


class SimpleJWTConfig(AppConfig):
    """Registers the checks of the move. The app has no table."""

    name = "twotoken.contrib.simplejwt"
    label = "twotoken_simplejwt"

    def ready(self) -> None:
        """Register every check."""
        for check in checks.CHECKS:
            register(check)
