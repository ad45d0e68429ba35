"""Database routers that send reads to a replica, as projects write them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from tests.proof.servers import ALIAS


class ReadsFromReplica:
    """Sends all reads to the lagging ``replica``, as the router in Django's documentation does."""

    written = "default"

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read from the replica."""
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Write to the primary."""
        return self.written

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        """Treat rows of the primary and of the replica as rows of one database."""
        return True


class InThisProcess(ReadsFromReplica):
    """The router ``ReadsFromReplica`` for the process of the tests, where the primary has another alias."""

    written = ALIAS


class UsersFromPrimary(InThisProcess):
    """Sends all reads except reads of users to the replica, so a login knows a new password at once."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read users from the primary, and everything else from the replica."""
        return self.written if model is get_user_model() else super().db_for_read(model, **hints)
