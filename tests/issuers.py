"""Callables for ISSUER and AUDIENCE, as in a project whose tenants have their own tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TENANT = ContextVar("tenant", default="a")
NOT_CALLABLE = "a"


def issuer() -> str:
    """Return the issuer of the current tenant."""
    return f"https://{TENANT.get()}.example.com"


def audience() -> list[str]:
    """Return the audience of the current tenant."""
    return [f"{TENANT.get()} api", f"{TENANT.get()} admin"]


@contextmanager
def tenant(name: str) -> Iterator[None]:
    """Make another tenant the current one inside a ``with`` block."""
    token = TENANT.set(name)
    yield
    TENANT.reset(token)
