"""System checks of the move from simplejwt: its settings, and its end. The module ``leftovers`` has more checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from twotoken.checks import are_fine
from twotoken.conf import conf as core
from twotoken.contrib.simplejwt.conf import NAME, SETTING_NAMES, conf
from twotoken.contrib.simplejwt.leftovers import (
    CONTRIB,
    check_old_authenticators,
    check_old_cookie,
    check_old_views,
)
from twotoken.contrib.simplejwt.replacements import REPLACEMENTS

Apps = Sequence[AppConfig] | None

SEE: Final = "See 'Coming from simplejwt' in the documentation."
UNTIL_HINT: Final = "an aware datetime, namely the time of the move plus simplejwt's REFRESH_TOKEN_LIFETIME"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_texts(value: object) -> bool:
    return _is_text(value) or (isinstance(value, list | tuple) and bool(value) and all(map(_is_text, value)))


def _is_duration(value: object) -> bool:
    if isinstance(value, timedelta):
        return timedelta() <= value <= timedelta(days=1)
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 86_400


# What a value must be, in words and as a test.
RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "ALGORITHM": ("the name of an algorithm", _is_text),
    "SIGNING_KEY": ("a string", lambda value: isinstance(value, str)),
    "VERIFYING_KEY": ("a string", lambda value: isinstance(value, str)),
    "UNTIL": (UNTIL_HINT, lambda value: isinstance(value, datetime) and timezone.is_aware(value)),
    "ISSUER": ("a string, or None", lambda value: value is None or _is_text(value)),
    "AUDIENCE": ("a string, a list of strings, or None", lambda value: value is None or _is_texts(value)),
    "LEEWAY": ("a number of seconds or a timedelta, up to a day", _is_duration),
    "USER_ID_FIELD": ("the name of a field", _is_text),
    "USER_ID_CLAIM": ("the name of a claim", _is_text),
    "TOKEN_TYPE_CLAIM": ("the name of a claim", _is_text),
    "JTI_CLAIM": ("the name of a claim", _is_text),
    "CHECK_REVOKE_TOKEN": ("True or False", lambda value: isinstance(value, bool)),
    "REVOKE_TOKEN_CLAIM": ("the name of a claim", _is_text),
    "AUTH_HEADER_TYPES": ("a string, or a tuple of strings", _is_texts),
    "AUTH_HEADER_NAME": ("the name of a header in request.META", _is_text),
}


def check_shape(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E001: TWOTOKEN_SIMPLEJWT must be a dict.

    E002: every key of TWOTOKEN_SIMPLEJWT must be one of its settings.

    E003: every value must be valid, and UNTIL must be set.
    """
    values = getattr(settings, NAME, None)
    if not isinstance(values, dict):
        yield Error(
            f"{NAME} must be a dict that says how simplejwt signed its tokens.", hint=SEE, id="twotoken_simplejwt.E001"
        )
        return
    for key in values:
        if key not in SETTING_NAMES:
            yield Error(f"{NAME} has no key {key!r}.", hint=_hint(key, SETTING_NAMES), id="twotoken_simplejwt.E002")
    for key in _wrong(values):
        yield Error(
            f"{NAME}[{key!r}] is wrong or missing.", hint=f"It must be {RULES[key][0]}.", id="twotoken_simplejwt.E003"
        )


def check_key(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E004: the key of simplejwt's tokens must be set, and must fit its algorithm.

    E005: ACCESS_SECRET and REFRESH_SECRET must differ from simplejwt's key.
    """
    if not _fine() or not are_fine():
        return
    try:
        conf.policy  # noqa: B018 - reading it validates the key
    except ImproperlyConfigured as exc:
        yield Error(
            str(exc),
            hint="For HS256, HS384 and HS512 copy simplejwt's SIGNING_KEY, by default SECRET_KEY. "
            "For other algorithms copy its VERIFYING_KEY.",
            id="twotoken_simplejwt.E004",
        )
        return
    try:
        secrets = {*core.access_secret, *core.refresh_secret}
    except ImproperlyConfigured:  # twotoken.E004 reports it
        return
    if conf.signing_key in secrets:
        yield Error(
            f"{NAME}['SIGNING_KEY'] is also used as ACCESS_SECRET or REFRESH_SECRET.",
            hint="The new tokens need new secrets: run 'manage.py generate_token_secrets'.",
            id="twotoken_simplejwt.E005",
        )


def check_retention(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E006: UNTIL must be at most RETENTION from now, so that until then no family of an exchanged token is purged."""
    if not _fine() or not are_fine("RETENTION"):
        return
    if conf.until.timestamp() - timezone.now().timestamp() > core.retention.total_seconds():
        yield Error(
            f"{NAME}['UNTIL'] is further away than TWOTOKEN['RETENTION'].",
            hint="Old tokens that were issued longer than RETENTION ago are refused, because their family may have "
            "been purged. Raise RETENTION to simplejwt's REFRESH_TOKEN_LIFETIME until the move is over.",
            id="twotoken_simplejwt.E006",
        )


def check_old_settings(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W001: SIMPLE_JWT must have no settings of simplejwt any more. The hint says what replaces each of them.

    W002: SIMPLE_JWT must have no key that simplejwt does not know.
    """
    values = getattr(settings, "SIMPLE_JWT", None)
    for key in values if isinstance(values, dict) else ():
        if key in REPLACEMENTS:
            yield Warning(
                f"SIMPLE_JWT[{key!r}] has no effect on twotoken.",
                hint=REPLACEMENTS[key],
                id="twotoken_simplejwt.W001",
            )
        else:
            yield Warning(
                f"SIMPLE_JWT[{key!r}] is not a setting of simplejwt either: it never had an effect.",
                hint=_hint(key, frozenset(REPLACEMENTS)),
                id="twotoken_simplejwt.W002",
            )


def check_end(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W006: after UNTIL, when simplejwt's last refresh token has expired, this app must be removed."""
    if _fine() and conf.is_over:
        yield Warning(
            f"The move from simplejwt is over: {NAME}['UNTIL'] was {conf.until}.",
            hint=f"Remove {CONTRIB} and {NAME} from the project. {SEE}",
            id="twotoken_simplejwt.W006",
        )


CHECKS = (
    check_shape,
    check_key,
    check_retention,
    check_old_cookie,
    check_old_settings,
    check_old_authenticators,
    check_old_views,
    check_end,
)


def _wrong(values: dict[str, Any]) -> list[str]:
    # Only UNTIL is required.
    return [key for key, (_, fits) in RULES.items() if not fits(values.get(key)) and (key in values or key == "UNTIL")]


def _fine() -> bool:
    """Tell whether TWOTOKEN_SIMPLEJWT can be read. If it can't, E001 or E003 reports why."""
    values = getattr(settings, NAME, None)
    return isinstance(values, dict) and not _wrong(values)


def _hint(key: object, names: frozenset[str]) -> str:
    if key in REPLACEMENTS:
        return REPLACEMENTS[str(key)]
    close = get_close_matches(str(key).strip().upper(), names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Delete it. {SEE}"
