"""The Django app that a project installs while it moves from simplejwt to twotoken."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register

from twotoken.contrib.simplejwt import checks


class SimpleJWTConfig(AppConfig):
    """Registers the checks of the move from simplejwt. The app has no table."""

    name = "twotoken.contrib.simplejwt"
    label = "twotoken_simplejwt"

    def ready(self) -> None:
        """Register every system check of this package."""
        for check in checks.CHECKS:
            register(check)
