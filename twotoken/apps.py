"""The Django app."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig, apps
from django.core.checks import Tags, register
from django.utils.translation import gettext_lazy as _

from twotoken import checks


class TwoTokenConfig(AppConfig):
    """Registers the system checks, and twotoken with drf-spectacular where it is installed."""

    name = "twotoken"
    verbose_name = _("Token authentication")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks: some run only with ``--deploy`` or ``--database``."""
        for check in checks.CHECKS:
            register(check)
        for check in checks.DEPLOY_CHECKS:
            register(check, deploy=True)
        for check in checks.DATABASE_CHECKS:
            register(check, Tags.database)
        if apps.is_installed("drf_spectacular"):
            import_module("twotoken.contrib.spectacular.extensions")
