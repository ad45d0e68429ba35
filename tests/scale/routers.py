"""How projects send their reads to a replica."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from tests.proof.servers import ALIAS


class ReadsFromReplica:
    """All reads, as the example of Django's documentation does; ``replica`` lags behind what is written to."""

    written = "default"

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read from the replica."""
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Write to the primary."""
        return self.written

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        """Take rows of both for rows of one database."""
        return True


class InThisProcess(ReadsFromReplica):
    """The same where the tests' own process stands for a server process."""

    written = ALIAS


class UsersFromPrimary(InThisProcess):
    """All reads but those of users, so that a login knows a new password at once."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read users where they are written."""
        return self.written if model is get_user_model() else super().db_for_read(model, **hints)
