"""Throttles for login and refresh, on DRF's own, with rates read from ``TWOTOKEN`` on use."""

from __future__ import annotations

import hashlib
import unicodedata
from abc import ABC, abstractmethod
from uuid import UUID

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from twotoken.clients import network
from twotoken.conf import conf


class _IdentThrottle(SimpleRateThrottle, ABC):
    """Counts requests of an identity that the view knows, under a digest, so that no cache holds a name."""

    @abstractmethod
    def ident(self) -> str:
        """Return the identity. Asked only where there is a rate."""

    def get_cache_key(self, request: Request, view: APIView) -> str:
        ident = f"{conf.tenant_issuer or ''}\n{self.ident()}"
        digest = hashlib.sha256(ident.encode(errors="surrogatepass")).hexdigest()
        return self.cache_format % {"scope": self.scope, "ident": digest}

    def wait(self) -> float:
        """Return the seconds to wait. DRF says None where a rate was lowered below what is counted already."""
        return super().wait() or self.duration  # type: ignore[attr-defined]  # its stubs don't know it


class LoginThrottle(_IdentThrottle):
    """Per address and name together: never per address alone, behind which a whole office may sit."""

    scope = "twotoken_login"

    def __init__(self, address: str, name: str) -> None:
        super().__init__()
        self.address = address
        self.name = name

    def get_rate(self) -> str | None:
        return conf.login_throttle

    def ident(self) -> str:
        return f"{network(self.address)}\n{fold(self.name)}"


class RefreshThrottle(_IdentThrottle):
    """Per token family, after the signature: nobody can use up somebody else's share."""

    scope = "twotoken_refresh"

    def __init__(self, family_id: UUID) -> None:
        super().__init__()
        self.family_id = family_id

    def get_rate(self) -> str | None:
        return conf.refresh_throttle

    def ident(self) -> str:
        return str(self.family_id)


def fold(name: str) -> str:
    """Fold what a database's collation may take for the same name: case, accents, spaces, invisible characters."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(
        character for character in decomposed if not unicodedata.category(character).startswith(("M", "C", "Z"))
    )
