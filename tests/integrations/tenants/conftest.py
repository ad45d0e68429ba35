"""Two tenants with a schema and a host each, and in each a user with the same key."""

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
    """Make the schemas, once: they can't be made in a test's transaction."""
    with django_db_blocker.unblock():
        for name in ("a", "b"):
            tenant = get_tenant_model()(schema_name=name, name=name)
            tenant.save(verbosity=0)
            get_tenant_domain_model().objects.create(domain=f"{name}.localhost", tenant=tenant, is_primary=True)


@pytest.fixture(autouse=True)
def _at_no_tenant(tenants: None, db: None) -> Iterator[None]:
    """Start and end at no tenant, as before a request."""
    connection.set_schema_to_public()  # type: ignore[attr-defined]  # of django-tenants' backend
    yield
    connection.set_schema_to_public()  # type: ignore[attr-defined]


def caller(tenant: str, **values: Any) -> Caller:
    """Return a client at a tenant's host whose user has the key 1."""
    with schema_context(tenant):
        return Caller(UserFactory(pk=1, **values), mount="/api/app/auth/", SERVER_NAME=f"{tenant}.localhost")


@pytest.fixture
def ann() -> Caller:
    """A user of tenant A. Shared families need a user with this key in the shared schema too."""
    if ARE_SHARED:
        UserFactory(pk=1)
    return caller("a", username="ann")


@pytest.fixture
def boss() -> Caller:
    """The superuser of tenant B."""
    return caller("b", username="boss", is_superuser=True, is_staff=True)
