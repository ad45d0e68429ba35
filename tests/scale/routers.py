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
        """Treat rows of both as rows of one database."""
        return True


class InThisProcess(ReadsFromReplica):
    """The same router for a test that runs in a server's place."""

    written = ALIAS


class UsersFromPrimary(InThisProcess):
    """Sends all reads but those of users to the replica, so a login knows a new password at once."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read users from the primary."""
        return self.written if model is get_user_model() else super().db_for_read(model, **hints)
