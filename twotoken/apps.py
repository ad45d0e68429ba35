"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.utils.translation import gettext_lazy as _

from twotoken import checks


class TwoTokenConfig(AppConfig):
    """Registers the system checks."""

    name = "twotoken"
    verbose_name = _("Token authentication")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register every check, those for ``--deploy`` and for ``--database`` apart."""
        for check in checks.CHECKS:
            register(check)
        for check in checks.DEPLOY_CHECKS:
            register(check, deploy=True)
        for check in checks.DATABASE_CHECKS:
            register(check, Tags.database)
