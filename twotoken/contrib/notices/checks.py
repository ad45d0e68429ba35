"""System checks: whether Django can write the notices (mails to users), send them, and remember which were sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps.config import AppConfig
from django.contrib.auth import get_user_model
from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import FieldDoesNotExist
from django.template import TemplateDoesNotExist
from django.template.loader import get_template

from twotoken.checks import CACHE_FAULTS, are_fine
from twotoken.conf import conf
from twotoken.contrib.notices.hooks import Hooks, hooks
from twotoken.contrib.notices.mail import FOLDER, KINDS

Apps = Sequence[AppConfig] | None


def check_templates(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E001: Django must find the templates of the mails."""
    try:
        for kind in KINDS:
            get_template(f"{FOLDER}/{kind}.txt")
    except TemplateDoesNotExist as exc:
        yield Error(
            f"The template {exc} is not found, so no notice can be written.",
            hint="Django's template engine must be in TEMPLATES, with 'APP_DIRS': True.",
            id="twotoken_notices.E001",
        )


def check_recorded_clients(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W001: RECORD_CLIENT must be True: a new device is found by comparing stored user agents."""
    if are_fine("RECORD_CLIENT") and not conf.record_client:
        yield Warning(
            "TWOTOKEN['RECORD_CLIENT'] is off, so nobody gets a mail about a login from a new device.",
            hint="Without stored user agents there is nothing to compare a login with. Users still get a mail when a "
            "refresh token is reused. Set RECORD_CLIENT to True, or silence this.",
            id="twotoken_notices.W001",
        )


def check_address(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W002: the user model must have a field for the e-mail address, or the project must override ``get_address``."""
    if type(hooks()).get_address is not Hooks.get_address:
        return
    model: Any = get_user_model()
    try:
        model._meta.get_field(model.get_email_field_name())
    except FieldDoesNotExist:
        yield Warning(
            f"{model._meta.label} has no field {model.get_email_field_name()!r}, so nobody gets a notice.",
            hint="Set EMAIL_FIELD on the user model, or override get_address in a subclass of NoticesConfig.",
            id="twotoken_notices.W002",
        )


def check_deployed_cache(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W003: the default cache must remember which notices were sent, and all processes must share it."""
    cache = caches[DEFAULT_CACHE_ALIAS]
    for kind, fault in CACHE_FAULTS:
        if isinstance(cache, kind):
            yield Warning(
                f"Which notices were sent is remembered in a {kind.__name__}, which {fault}.",
                hint="A user may get more than one mail an hour. Use a shared cache, such as Redis or Memcached.",
                id="twotoken_notices.W003",
            )


CHECKS = (check_templates, check_recorded_clients, check_address)
