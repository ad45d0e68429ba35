"""The tenants, and the hosts that are theirs."""

from __future__ import annotations

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


class Client(TenantMixin):  # type: ignore[misc]  # it has no types
    """A tenant with a schema of its own."""

    name = models.CharField(max_length=40)


class Domain(DomainMixin):  # type: ignore[misc]
    """A host of a tenant."""
