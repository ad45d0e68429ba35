"""Fixtures: two tenants, each with its own schema and host, and in each a user with the primary key 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django_tenants.utils import get_tenant_domain_model, get_tenant_model, schema_context

from tests.factories import UserFactory
from tests.http import Caller

project: Any = settings
ARE_SHARED = "twotoken" in project.SHARED_APPS


@pytest.fixture(scope="session")
def tenants(django_db_setup: None, django_db_blocker: Any) -> None:
    """Make two tenants with their schemas once, because a test's transaction can't make a schema."""
    with django_db_blocker.unblock():
        for name in ("a", "b"):
            tenant = get_tenant_model()(schema_name=name, name=name)
            tenant.save(verbosity=0)
            get_tenant_domain_model().objects.create(domain=f"{name}.localhost", tenant=tenant, is_primary=True)


@pytest.fixture(autouse=True)
def _at_no_tenant(tenants: None, db: None) -> Iterator[None]:
    """Set the connection to the public schema before and after each test."""
    connection.set_schema_to_public()  # type: ignore[attr-defined]  # of django-tenants' backend
    yield
    connection.set_schema_to_public()  # type: ignore[attr-defined]


def caller(tenant: str, **values: Any) -> Caller:
    """Make a user with the primary key 1 in a tenant's schema. Return the user's client for the tenant's host."""
    with schema_context(tenant):
        return Caller(UserFactory(pk=1, **values), mount="/api/app/auth/", SERVER_NAME=f"{tenant}.localhost")


@pytest.fixture
def ann() -> Caller:
    """The client of a user of tenant A. Shared families need a user with this primary key in the public schema too."""
    if ARE_SHARED:
        UserFactory(pk=1)
    return caller("a", username="ann")


@pytest.fixture
def boss() -> Caller:
    """The client of a superuser of tenant B."""
    return caller("b", username="boss", is_superuser=True, is_staff=True)
