"""Callables for ISSUER and AUDIENCE, as of a project whose tenants have tables of their own."""

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
    """Be at the host of another tenant."""
    token = TENANT.set(name)
    yield
    TENANT.reset(token)
