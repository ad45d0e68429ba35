"""The example's own claims in access tokens."""

from __future__ import annotations

from typing import Any


def access_claims(user: Any, family: Any) -> dict[str, Any]:
    """Return the project's own claims. Called for each new access token: a changed user shows at the next refresh."""
    return {"staff": user.is_staff}
