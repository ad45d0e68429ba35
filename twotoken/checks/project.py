"""Checks of a project's tenants, its user model, and its settings for Django and REST framework."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, cast

from django.apps import apps
from django.apps.config import AppConfig
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.settings import api_settings

from twotoken.checks.rules import are_fine
from twotoken.checks.settings import callable_of_fine
from twotoken.conf import conf

Apps = Sequence[AppConfig] | None


def check_tenants(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W010: with django-tenants, ISSUER or AUDIENCE must be a callable, so that each access token names its tenant.

    W011: if each tenant has its own users, each tenant must also have its own token families.
    """
    if not apps.is_installed("django_tenants"):
        return
    with suppress(ImproperlyConfigured):
        if callable_of_fine("ISSUER") is None and callable_of_fine("AUDIENCE") is None:
            yield Warning(
                "django-tenants is installed, and neither TWOTOKEN['ISSUER'] nor AUDIENCE is a callable.",
                hint="If each tenant has its own users, an access token of one tenant works at the others, for the "
                "user with the same primary key. Set ISSUER to a callable that names the current tenant.",
                id="twotoken.W010",
            )
    user_app = cast("Any", get_user_model())._meta.app_label
    if any(_has_app(listed, user_app) and not _has_app(listed, "twotoken") for listed in _tenant_apps()):
        yield Warning(
            "Each tenant has its own users, but all tenants share the token families.",
            hint="Put 'twotoken' into TENANT_APPS, beside the app of the user model. Otherwise the families of a user "
            "are mixed up with those of the users who have the same primary key at other tenants.",
            id="twotoken.W011",
        )


def check_user_id(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E012: USER_ID_FIELD must be 'pk' or a unique field of the user model.

    W003: USER_ID_FIELD must not be the field of the user name or of the e-mail address, because the same name or
    address may later belong to another user.
    """
    if not are_fine("USER_ID_FIELD") or conf.user_id_field == "pk":
        return
    model: Any = get_user_model()
    try:
        unique = getattr(model._meta.get_field(conf.user_id_field), "unique", False)
    except FieldDoesNotExist:
        unique = False
    if not unique:
        yield Error(
            f"TWOTOKEN['USER_ID_FIELD'] is not a unique field of {model.__name__}.",
            hint="Use 'pk'.",
            id="twotoken.E012",
        )
    elif conf.user_id_field in {model.USERNAME_FIELD, model.get_email_field_name()}:
        yield Warning(
            f"TWOTOKEN['USER_ID_FIELD'] is {conf.user_id_field!r}, and this value may pass to another user.",
            hint="Then a token of the first user would be valid for the second. Use 'pk'.",
            id="twotoken.W003",
        )


def check_authenticators(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W001: the authenticate_header of the first class in DEFAULT_AUTHENTICATION_CLASSES must return a value.

    Otherwise DRF answers a 403 where clients need a 401.
    """
    classes: list[type[BaseAuthentication]] = list(cast("Any", api_settings.DEFAULT_AUTHENTICATION_CLASSES))
    if not any(_is_ours(authenticator) for authenticator in classes) or _is_ours(classes[0]):
        return
    request = Request(HttpRequest())
    if classes[0]().authenticate_header(request) is None:
        yield Warning(
            f"In DEFAULT_AUTHENTICATION_CLASSES {classes[0].__name__} comes before twotoken's class and has no "
            "authenticate_header.",
            hint="So DRF answers 403, but clients refresh their token on a 401. Put twotoken's class first.",
            id="twotoken.W001",
        )


def check_permissions(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W019: DEFAULT_PERMISSION_CLASSES must require a login, because views without permission_classes use them."""
    if all(permission is AllowAny for permission in cast("Any", api_settings.DEFAULT_PERMISSION_CLASSES)):
        yield Warning(
            "Nothing in DEFAULT_PERMISSION_CLASSES needs a login.",
            hint="A view without permission_classes is open to everybody, with a token or without. Set "
            "REST_FRAMEWORK['DEFAULT_PERMISSION_CLASSES'] to ['rest_framework.permissions.IsAuthenticated'], and give "
            "AllowAny to the views that are public. twotoken's own views don't need it. Silence this if every view "
            "names its permissions.",
            id="twotoken.W019",
        )


def check_time_zone(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W007: USE_TZ must be True."""
    if not settings.USE_TZ:
        yield Warning(
            "USE_TZ is off.",
            hint="When daylight saving time starts or ends, lifetimes are an hour wrong. Set it to True.",
            id="twotoken.W007",
        )


def _tenant_apps() -> list[Sequence[str]]:
    """Return the lists of apps in the settings of django-tenants, one for each type of tenant."""
    project: Any = settings
    if not getattr(project, "HAS_MULTI_TYPE_TENANTS", False):
        return [project.TENANT_APPS]
    public = getattr(project, "PUBLIC_SCHEMA_NAME", "public")
    return [kind["APPS"] for name, kind in project.TENANT_TYPES.items() if name != public]


def _has_app(listed: Sequence[str], label: str) -> bool:
    """Tell whether a list contains an app's name or the path of its AppConfig: django-tenants accepts both."""
    config = apps.get_app_config(label)
    return config.name in listed or f"{config.__module__}.{type(config).__name__}" in listed


def _is_ours(authenticator: type) -> bool:
    return any(base.__module__.startswith("twotoken.") for base in authenticator.__mro__)
