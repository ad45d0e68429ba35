"""Callables for ACCESS_CLAIMS."""

from __future__ import annotations

from typing import Any


def role(user: Any, family: Any) -> dict[str, Any]:
    """Return a claim that changes with the user."""
    return {"role": "staff" if user.is_staff else "user"}


def reserved(user: Any, family: Any) -> dict[str, Any]:
    """Return a claim that is not the project's to give."""
    return {"sub": "somebody else"}


def no_dict(user: Any, family: Any) -> Any:
    """Return no dict."""
    return ["role"]


def huge(user: Any, family: Any) -> dict[str, Any]:
    """Return more than a token may hold."""
    return {"text": "x" * 10_000}


def broken(user: Any, family: Any) -> dict[str, Any]:
    """Fail, as a project's code may."""
    raise RuntimeError("no claims today")
