"""Throttles for login and refresh. They extend DRF's throttle, read rates from ``TWOTOKEN``, and count atomically.

DRF's throttle reads a list of times, adds one and writes the list back. Concurrent requests all read the same list, so
all of them pass. Here each request takes one place of a time window, and the cache gives each place to one request
only.
"""

from __future__ import annotations

import hashlib
import logging
import math
from abc import ABC, abstractmethod
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from twotoken.clients import network
from twotoken.conf import conf
from twotoken.dpop import DBSC, thumbprint
from twotoken.throttling.counters import counter_of
from twotoken.throttling.usernames import normalize_username
from twotoken.tokens import RefreshClaims

logger = logging.getLogger("twotoken")


class _IdentThrottle(SimpleRateThrottle, ABC):
    """Counts the requests of one identity, such as a token family. The cache key is a digest, which shows no user name.

    The throttle approximates a sliding window. For ``10/min``, each minute of the clock is a window. All requests of
    the current window count. The previous window's requests count in proportion to the part of that window that lies
    within the last 60 seconds. A refused request is not counted: otherwise a client that retries too often would never
    get in again.
    """

    _wait = 0.0

    @abstractmethod
    def ident(self) -> str:
        """Return the identity whose requests are counted. This method is called only if a rate is set."""

    def get_cache_key(self, request: Request, view: APIView) -> str:
        ident = f"{conf.tenant_issuer or ''}\n{self.ident()}"
        digest = hashlib.sha256(ident.encode(errors="surrogatepass")).hexdigest()
        return self.cache_format % {"scope": self.scope, "ident": digest}

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count a request, and tell whether it may pass. If not, ``wait`` returns the seconds to wait.

        If the cache fails, every request passes: a login without a throttle is better than no login.
        """
        if self.rate is None:
            return True
        self.key = self.get_cache_key(request, view)
        try:
            return self._count(self.key)
        except Exception:
            logger.exception("The cache failed, so %s did not count a request and let it pass.", type(self).__name__)
            return True

    def _count(self, key: str) -> bool:
        parsed: Any = self
        limit, period = parsed.num_requests, parsed.duration
        counter = counter_of(self.cache, timeout=2 * period + 1)
        window, elapsed = divmod(self.timer(), period)
        passed = elapsed / period
        current, previous = (f"{key}:{int(window) - back}" for back in (0, 1))
        taken, before = counter.read(current, previous, limit)
        room = limit - int(round(before * (1 - passed), 9))  # rounded, because float arithmetic may give 8.9999… for 9
        if taken < room and counter.take(current, taken, room):
            return True
        taken = max(taken, room)  # other requests took the last places
        # There is room again when the share of the previous window is small enough, or in the next window.
        free = 1.0 if taken >= limit else 1 - (limit - taken) / before
        self._wait = (free - passed) * period
        return False

    def wait(self) -> float:
        """Return after how many whole seconds a refused request would pass, if no other request comes first."""
        return max(math.floor(round(self._wait, 6)) + 1, 1)


class LoginThrottle(_IdentThrottle):
    """Counts logins by the client's IP address and the user name together.

    It never counts by the IP address alone, because all people of an office may share an IP address.
    """

    scope = "twotoken_login"

    def __init__(self, address: str, name: str) -> None:
        super().__init__()
        self.address = address
        self.name = name

    def get_rate(self) -> str | None:
        return conf.login_throttle

    def ident(self) -> str:
        return f"{network(self.address)}\n{normalize_username(self.name)}"


class RefreshThrottle(_IdentThrottle):
    """Counts refreshes by token family.

    The view verifies the token before it counts the request, so nobody can use up another family's requests.

    Requests with a proof by the key of the token's device are counted separately. Otherwise a thief with a copied token
    of a bound family could use up the requests that the user may make. Requests with a proof by any other key are not
    counted separately, because a client could make a new key for each request.
    """

    scope = "twotoken_refresh"

    def __init__(self, claims: RefreshClaims, device_key: str = "") -> None:
        super().__init__()
        self.family_id = claims.family_id
        # A key of DBSC comes from a device cookie that this server signed for this family, so it is not compared with
        # the token's thumbprint. The family's first refresh token has no thumbprint: it was issued before the browser
        # registered the key.
        fits = bool(device_key) and thumbprint(device_key) == claims.thumbprint
        self.is_owner = fits or device_key.startswith(DBSC)

    def get_rate(self) -> str | None:
        return conf.refresh_throttle

    def ident(self) -> str:
        return f"{self.family_id}\nowner" if self.is_owner else str(self.family_id)
