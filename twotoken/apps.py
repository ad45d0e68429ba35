"""The app configuration of ``twotoken`` for Django."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig, apps
from django.core.checks import Tags, register
from django.utils.translation import gettext_lazy as _

from twotoken import checks


class TwoTokenConfig(AppConfig):
    """Registers the checks, the receivers and, if drf-spectacular is installed, the OpenAPI description."""

    name = "twotoken"
    verbose_name = _("Token authentication")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, and import the receivers and the OpenAPI description, which register themselves.

        Both imports need the models. So they happen here, after Django has loaded the models.
        """
        for check in checks.CHECKS:
            register(check)
        for check in checks.DEPLOY_CHECKS:
            register(check, deploy=True)
        for check in checks.DATABASE_CHECKS:
            register(check, Tags.database)
        import_module("twotoken.families")
        if apps.is_installed("drf_spectacular"):
            import_module("twotoken.contrib.spectacular.extensions")
