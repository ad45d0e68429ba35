"""Refresh, authentication and logout never read a replica, because it may lag."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from tests.http import Caller
from twotoken.models import RefreshToken


class StaleReplica:
    """A database router that sends reads to the alias ``replica``. These tests may not use it, so each read fails."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read from the replica."""
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Write to the default database."""
        return "default"


def test_a_replica_is_never_read(script: Caller) -> None:
    """A refresh, an authentication, a logout and a logout from everywhere read only the write database."""
    pair, other = script.log_in().json(), script.log_in().json()
    bearer: Any = {"HTTP_AUTHORIZATION": f"Bearer {pair['access']}"}
    with override_settings(DATABASE_ROUTERS=["tests.test_databases.StaleReplica"]):
        with pytest.raises(Exception, match="replica"):
            RefreshToken.objects.count()
        for route in ("me", "stateless", "revocable"):
            assert script.get(f"/api/{route}/", **bearer).status_code == 200
        assert script.refresh(pair["refresh"]).status_code == 200
        assert script.send("logout/", {"refresh": other["refresh"]}).status_code == 204
        assert script.send("logout/all/", **bearer).status_code == 204
        assert script.get("/api/revocable/", **bearer).json()["reason"] == "revoked"
