"""Writes that lose against another, in a transaction of the caller's."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from twotoken import families
from twotoken.clients import Client
from twotoken.models import RefreshToken


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_a_transaction_that_lost_is_for_its_owner_to_repeat(user: Any, verb: str) -> None:
    """Nothing is written again in what the database has undone: the conflict itself is raised, by which to tell."""
    pair = families.start(user)
    claims = families.verify(pair.refresh)
    lost: list[str] = []

    def lose(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and not lost:
            lost.append(sql)
            raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")
        return execute(sql, params, many, context)

    with (
        connection.execute_wrapper(lose),
        pytest.raises(OperationalError, match="Deadlock"),
        transaction.atomic(),
    ):
        families.rotate(claims, Client()) if verb == "rotate" else families.revoke(pair.family_id)
    with transaction.atomic():
        assert families.rotate(claims, Client()).generation == 1
    assert RefreshToken.objects.get().revoked_at is None
