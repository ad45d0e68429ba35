"""What the example's access tokens say of a user besides who it is."""

from __future__ import annotations

from typing import Any


def access_claims(user: Any, family: Any) -> dict[str, Any]:
    """Return the project's own claims: asked for at every issue, so a change shows at the next refresh."""
    return {"staff": user.is_staff}
