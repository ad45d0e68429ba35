"""Read a value of ``TWOTOKEN``, and turn it into the type that the property in ``conf.settings`` returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, TypeVar, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from twotoken.keys import KeyRing, key_ring

T = TypeVar("T")


def callable_of(key: str) -> Callable[[], object] | None:
    """Return the callable that a setting is or names by a dotted path. If the setting is a plain value, return None.

    Raises ImproperlyConfigured for a dotted path that leads to no callable. Otherwise a misspelt path in ISSUER would
    itself become the issuer, and all tenants would have the same issuer.
    """
    return callable_in(key, value_of(key, None))


def callable_in(key: str, value: Any) -> Callable[[], object] | None:
    """Do what ``callable_of`` does, for a setting with this value."""
    if not isinstance(value, str):
        return value if callable(value) else None
    if not _is_dotted_path(value):
        return None
    try:
        found = import_string(value)
    except ImportError as exc:
        raise ImproperlyConfigured(f"TWOTOKEN[{key!r}]: {exc}") from exc
    if not callable(found):
        raise ImproperlyConfigured(f"TWOTOKEN[{key!r}]: {value} is not callable.")
    return cast("Callable[[], object]", found)


@lru_cache(maxsize=32)
def _is_dotted_path(value: str) -> bool:
    """Tell whether a string is a dotted path to something in a module that Python can import.

    A host such as auth.example.com looks like a dotted path too. So a string counts as a dotted path only if its first
    part is a package that Python finds. If the string has only one dot, the first part may also be a module that is not
    a package. Nothing is imported.
    """
    names = value.split(".")
    if len(names) < 2 or not all(name.isidentifier() for name in names):
        return False
    try:
        spec = find_spec(names[0])
    except ValueError:  # the module is loaded but has no spec, such as __main__
        return True
    return spec is not None and (len(names) == 2 or spec.submodule_search_locations is not None)


def issuer_from(found: Callable[[], object]) -> str:
    """Return the string that ISSUER's callable returns. Raises ImproperlyConfigured if it is empty or not a string."""
    value = found()
    if not isinstance(value, str) or not value:
        # Without an issuer, each tenant would accept the tokens of the others.
        raise ImproperlyConfigured(
            f"The callable of TWOTOKEN['ISSUER'] must return a string, not {type(value).__name__}."
        )
    return value


def audience_from(found: Callable[[], object]) -> tuple[str, ...]:
    """Return the strings that the callable of AUDIENCE returns, as a tuple.

    Raises ImproperlyConfigured if the callable returns anything but a string or a list of strings.
    """
    value: Any = found()
    values = texts_of(value) if isinstance(value, str | list | tuple) else ()
    if not values or not all(isinstance(text, str) and text for text in values):
        raise ImproperlyConfigured("The callable of TWOTOKEN['AUDIENCE'] must return a string or a list of strings.")
    return values


def texts_of(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return a tuple of strings, made from one string, several strings or None."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def value_of(key: str, default: T) -> T:
    """Return the value of a key of ``TWOTOKEN``, or the default if the key is missing."""
    value: T = getattr(settings, "TWOTOKEN", {}).get(key, default)
    return value


def duration_of(key: str, default: float) -> timedelta:
    """Return a duration from ``TWOTOKEN`` as a timedelta. The key's value is a timedelta or a number of seconds."""
    value = value_of(key, default)
    return value if isinstance(value, timedelta) else timedelta(seconds=value)


def secrets_of(key: str) -> tuple[str, ...]:
    """Return the secrets in a setting. Raises ImproperlyConfigured if the value is no string or list of strings."""
    value: Any = value_of(key, None)
    if isinstance(value, str):
        return (value,)
    if value is None:
        raise ImproperlyConfigured(f"TWOTOKEN[{key!r}] is not set. Is the environment file loaded?")
    if not isinstance(value, list | tuple) or not value or not all(isinstance(secret, str) for secret in value):
        raise ImproperlyConfigured(f"TWOTOKEN[{key!r}] must be a string or a list of strings.")
    return tuple(value)


def keys_of(key: str, secrets: tuple[str, ...], algorithms: tuple[str, ...]) -> KeyRing:
    """Make the key ring from a setting's secrets. Raises ImproperlyConfigured if one of the secrets can't be used."""
    try:
        return key_ring(secrets, algorithms)
    except ValueError as exc:
        raise ImproperlyConfigured(f"TWOTOKEN[{key!r}]: {exc}.") from exc
