"""The cookies that a browser keeps of the cookie mount, with their names written out. Imports no Django."""

from __future__ import annotations

import base64
import json

COOKIE_MOUNT = "/api/auth/"
COOKIE = "__Secure-refresh_token"
COMPANION = "__Host-refresh_token-8eb1863cefef-sid"  # of this mount


def family_of(token: str) -> str:
    """Return the ``sid`` of a token, unverified; nothing if it has none."""
    try:
        return str(json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sid"])
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        return ""


def cookies(token: str) -> str:
    """Return the Cookie header of a browser that got this refresh token at COOKIE_MOUNT, with its companion."""
    return f"{COOKIE}={token}; {COMPANION}={family_of(token)}"
