"""The example's own claims in access tokens."""

from __future__ import annotations

from typing import Any


def access_claims(user: Any, family: Any) -> dict[str, Any]:
    """Return the project's own claims. twotoken calls this for each new access token, so a refresh updates them."""
    return {"staff": user.is_staff}
