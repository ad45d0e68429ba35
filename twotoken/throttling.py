"""Throttles for login and refresh, on DRF's own, with rates read from ``TWOTOKEN`` on use."""

from __future__ import annotations

import hashlib
import unicodedata
from uuid import UUID

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from twotoken.conf import conf


class _IdentThrottle(SimpleRateThrottle):
    """Counts requests of an identity that the view knows, under a digest, so that no cache holds a name."""

    def __init__(self, *parts: str) -> None:
        super().__init__()
        digest = hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest()
        self.ident_key = self.cache_format % {"scope": self.scope, "ident": digest}

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.ident_key


class LoginThrottle(_IdentThrottle):
    """Per address and name together: never per address alone, behind which a whole office may sit."""

    scope = "twotoken_login"

    def __init__(self, address: str, name: str) -> None:
        super().__init__(address, fold(name))

    def get_rate(self) -> str | None:
        return conf.login_throttle


class RefreshThrottle(_IdentThrottle):
    """Per token family, after the signature: nobody can use up somebody else's share."""

    scope = "twotoken_refresh"

    def __init__(self, family_id: UUID) -> None:
        super().__init__(str(family_id))

    def get_rate(self) -> str | None:
        return conf.refresh_throttle


def fold(name: str) -> str:
    """Fold what a database's collation may take for the same name: case, accents, spaces, invisible characters."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(
        character for character in decomposed if not unicodedata.category(character).startswith(("M", "C", "Z"))
    )
