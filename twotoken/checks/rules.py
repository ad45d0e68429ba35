"""The rule for each key of TWOTOKEN: which type and range its value must have."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from twotoken.conf import Delivery
from twotoken.keys import ALGORITHMS

RATE = re.compile(r"[1-9]\d*/(s|sec|second|m|min|minute|h|hour|d|day)")
COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
COOKIE_PATH = re.compile(r"/[!-:<-~]*")
URL = re.compile(r"[!-~]+")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
LONGEST = timedelta(days=36_525)  # a hundred years: a time much further away is beyond what ``datetime`` can hold


def _is_duration(value: object) -> bool:
    return isinstance(value, timedelta) and timedelta(seconds=1) <= value <= LONGEST


def _is_grace(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return 0 <= value < timedelta.max.total_seconds()
    return isinstance(value, timedelta) and value >= timedelta()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_audience(value: object) -> bool:
    return (
        value is None
        or _is_text(value)
        or callable(value)
        or (isinstance(value, list | tuple) and bool(value) and all(map(_is_text, value)))
    )


def is_service_url(value: object) -> bool:
    """Tell whether a value is an https URL, or an http URL of localhost. Over a network, others could read http."""
    if not isinstance(value, str) or not URL.fullmatch(value):
        return False
    try:
        parts = urlsplit(value)
        is_port = parts.port != 0
    except ValueError:  # a port that is not a number, or half of an IPv6 address
        return False
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS)
    return is_safe and is_port and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment


def _is_rate(value: object) -> bool:
    return value is None or (isinstance(value, str) and RATE.fullmatch(value) is not None)


# For each key, what its value must be: in words, and as a function. The secrets have their own checks.
RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "ACCESS_ALGORITHM": ("'HS256', 'EdDSA', 'ES256' or 'RS256'", lambda value: value in ALGORITHMS),
    "ACCESS_LIFETIME": ("a timedelta from a second to a hundred years", _is_duration),
    "REFRESH_LIFETIME": ("a timedelta from a second to a hundred years", _is_duration),
    "FAMILY_LIFETIME": (
        "a timedelta from a second to a hundred years, or None",
        lambda value: value is None or _is_duration(value),
    ),
    "DELIVERY": ("'cookie', 'body' or 'none'", lambda value: value in list(Delivery)),
    "COOKIE_NAME": (
        "a cookie name of ASCII letters, digits and the signs that RFC 6265 allows, or None",
        lambda value: value is None or (isinstance(value, str) and COOKIE_NAME.fullmatch(value) is not None),
    ),
    "COOKIE_PATH": (
        "a path that starts with a slash, percent-encoded as in a URL, or None",
        lambda value: value is None or (isinstance(value, str) and COOKIE_PATH.fullmatch(value) is not None),
    ),
    "COOKIE_DOMAIN": ("a domain, or None", lambda value: value is None or _is_text(value)),
    "COOKIE_SAMESITE": ("'Strict', 'Lax' or 'None'", lambda value: value in ("Strict", "Lax", "None")),
    "COOKIE_SECURE": ("True or False", lambda value: isinstance(value, bool)),
    "BROWSER_GRACE": ("a number of seconds or a timedelta, not negative", _is_grace),
    "REUSE_GRACE": ("a number of seconds or a timedelta, not negative", _is_grace),
    "REVOKE_ON_REUSE": ("'family' or 'user'", lambda value: value in ("family", "user")),
    "MAX_FAMILIES_PER_USER": (
        "a whole number of 1 or more, or None",
        lambda value: value is None or (type(value) is int and value >= 1),
    ),
    "ACCESS_CLAIMS": ("a dotted path, or None", lambda value: value is None or _is_text(value)),
    "ISSUER": (
        "a string, a callable or its dotted path, or None",
        lambda value: value is None or _is_text(value) or callable(value),
    ),
    "AUDIENCE": ("a string, a list of strings, a callable or its dotted path, or None", _is_audience),
    "CLIENT_ID": ("a string, or None", lambda value: value is None or _is_text(value)),
    "JWKS_URL": (
        "an https URL, or an http URL of localhost, or None",
        lambda value: value is None or is_service_url(value),
    ),
    "LEEWAY": ("a number of seconds or a timedelta, not negative", _is_grace),
    "REVOCATIONS_URL": (
        "an https URL, or an http URL of localhost, or None",
        lambda value: value is None or is_service_url(value),
    ),
    "REVOCATION_INTERVAL": (
        "a timedelta of up to a hundred years, longer than 0, or None",
        lambda value: value is None or (isinstance(value, timedelta) and timedelta() < value <= LONGEST),
    ),
    "DPOP": ("'off', 'optional' or 'required'", lambda value: value in ("off", "optional", "required")),
    "DPOP_ACCESS": ("True or False", lambda value: isinstance(value, bool)),
    "DPOP_NONCE": ("True or False", lambda value: isinstance(value, bool)),
    "USER_ID_FIELD": ("the name of a field", _is_text),
    "LOGIN_THROTTLE": ("a rate such as '10/min', or None", _is_rate),
    "REFRESH_THROTTLE": ("a rate such as '60/min', or None", _is_rate),
    "STEP_UP_SESSIONS": (
        "a timedelta from a second to a hundred years, or None",
        lambda value: value is None or _is_duration(value),
    ),
    "RECORD_CLIENT": ("True or False", lambda value: isinstance(value, bool)),
    "RETENTION": (
        "a timedelta of up to a hundred years",
        lambda value: isinstance(value, timedelta) and timedelta() <= value <= LONGEST,
    ),
}


def values_of_project() -> dict[str, Any]:
    value = getattr(settings, "TWOTOKEN", {})
    return value if isinstance(value, dict) else {}


def is_dict() -> bool:
    return isinstance(getattr(settings, "TWOTOKEN", {}), dict)


def wrong_keys(values: dict[str, Any]) -> list[str]:
    return [key for key, (_words, fits) in RULES.items() if key in values and not fits(values[key])]


def are_fine(*keys: str) -> bool:
    """Tell whether these keys of TWOTOKEN have valid values. The checks E001 and E003 report invalid values."""
    return is_dict() and not set(keys).intersection(wrong_keys(values_of_project()))
