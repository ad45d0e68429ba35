"""The settings of the project, ``TWOTOKEN``. Read them through ``conf``, when you use them."""

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
