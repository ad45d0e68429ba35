"""Changes to the tests' settings that last for one test."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.test import override_settings


def with_settings(**values: Any) -> override_settings:
    """Override keys of TWOTOKEN, keeping the others."""
    return override_settings(TWOTOKEN={**settings.TWOTOKEN, **values})
