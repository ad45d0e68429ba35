"""How often login and refresh are allowed: throttles, atomic counters, and one text for all spellings of a name."""

from __future__ import annotations

from twotoken.throttling.counters import (
    increments,
)
from twotoken.throttling.throttles import (
    LoginThrottle,
    RefreshThrottle,
)
from twotoken.throttling.usernames import (
    LONGEST_NAME,
    normalize_username,
)

__all__ = [
    "LONGEST_NAME",
    "LoginThrottle",
    "RefreshThrottle",
    "increments",
    "normalize_username",
]
