"""The models of django-tenants: tenants and their hosts."""

from __future__ import annotations

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


class Client(TenantMixin):  # type: ignore[misc]  # it has no types
    """A tenant, which has a PostgreSQL schema of its own."""

    name = models.CharField(max_length=40)


class Domain(DomainMixin):  # type: ignore[misc]
    """A host name of a tenant."""
