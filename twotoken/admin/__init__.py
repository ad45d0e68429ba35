"""The admin's pages for token families. Django finds them by this module's name."""

from __future__ import annotations

from twotoken.admin.pages import RefreshTokenAdmin, TokenFamiliesMixin

__all__ = ["RefreshTokenAdmin", "TokenFamiliesMixin"]
