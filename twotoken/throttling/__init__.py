"""Limit how often a client may log in and refresh: throttles, atomic counters, and a comparison of user names."""

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
