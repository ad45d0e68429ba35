"""Django admin pages for token families. Django's admin autodiscovery imports this package."""

from __future__ import annotations

from twotoken.admin.pages import RefreshTokenAdmin, TokenFamiliesMixin

__all__ = ["RefreshTokenAdmin", "TokenFamiliesMixin"]
