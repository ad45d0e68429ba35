"""The names and values of the cookies that the cookie mount sets. This module does not import Django."""

from __future__ import annotations

import base64
import json

COOKIE_MOUNT = "/api/auth/"
COOKIE = "__Secure-refresh_token"
COMPANION = "__Host-refresh_token-8eb1863cefef-sid"  # the name for COOKIE_MOUNT


def family_of(token: str) -> str:
    """Return the ``sid`` of a token without verifying it, or an empty string if there is none."""
    try:
        return str(json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sid"])
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        return ""


def cookies(token: str) -> str:
    """Return the Cookie header of a browser with this refresh token and the companion cookie (the family's id)."""
    return f"{COOKIE}={token}; {COMPANION}={family_of(token)}"
