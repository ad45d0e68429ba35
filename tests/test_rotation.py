"""The pure half of rotation: what a rotation writes, and over which row it may. The verdicts are tested over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from twotoken import families
from twotoken.models import RefreshToken
from twotoken.rotation import guard, rotation

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("retry_key", "is_browser", "grace"),
    [(b"", True, 10), (b"", False, 2.5), (b"key", True, 0), (b"key", False, 0)],
)
def test_what_a_rotation_writes(retry_key: bytes, is_browser: bool, grace: float) -> None:
    """Who makes it without a key decides the grace; under a key there is none."""
    rotated = rotation(
        generation=4,
        retry_key=retry_key,
        now=NOW,
        is_browser=is_browser,
        browser_grace=timedelta(seconds=10),
        reuse_grace=timedelta(seconds=2.5),
    )
    assert rotated == (5, NOW, retry_key, grace)


@pytest.mark.parametrize(
    ("generation", "revoked_at", "may"),
    [(2, None, True), (3, None, True), (4, None, False), (2, NOW, False), (3, NOW, False)],
)
def test_the_guard_of_the_write(user: Any, generation: int, revoked_at: datetime | None, may: bool) -> None:
    """The database finds the row of generation 3 or, restored from a backup, an older one, and none that is revoked."""
    pk = families.start(user).family_id
    RefreshToken.objects.update(generation=generation, revoked_at=revoked_at)
    assert RefreshToken.objects.filter(pk=pk, **guard(3)).exists() is may
