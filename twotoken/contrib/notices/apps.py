"""The Django app that mails notices to users. A project changes the app with a subclass of NoticesConfig."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.core.checks import register

from twotoken.contrib.notices import checks
from twotoken.contrib.notices.hooks import LABEL, Hooks
from twotoken.signals import family_started, reuse_detected


class NoticesConfig(Hooks, AppConfig):
    """Connects the receivers and registers the checks. The app has no table."""

    name = "twotoken.contrib.notices"
    label = LABEL

    def ready(self) -> None:
        """Connect the receivers and register the checks. Import the receivers here, because they need the models."""
        receivers = import_module("twotoken.contrib.notices.receivers")
        reuse_detected.connect(receivers.tell_of_reuse, dispatch_uid=LABEL)
        family_started.connect(receivers.tell_of_login, dispatch_uid=LABEL)
        for check in checks.CHECKS:
            register(check)
        register(checks.check_deployed_cache, deploy=True)
