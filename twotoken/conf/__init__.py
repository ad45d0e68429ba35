"""The project's settings for twotoken, the dict ``TWOTOKEN``. Read a setting through ``conf``, when you use it."""

from __future__ import annotations

from twotoken.conf.settings import (
    HOST,
    SECURE,
    SETTING_NAMES,
    Delivery,
    Settings,
    conf,
    delivery,
)
from twotoken.conf.values import (
    callable_of,
)

__all__ = [
    "HOST",
    "SECURE",
    "SETTING_NAMES",
    "Delivery",
    "Settings",
    "callable_of",
    "conf",
    "delivery",
]
