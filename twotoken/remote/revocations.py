"""Keep a list of the token families that another project, the login project, has revoked lately.

Each process asks the RevocationsView of the login project once per interval.

This module loads no models and no views, because a service that only verifies tokens does not install the app.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from twotoken.exceptions import RevokedToken
from twotoken.polling import Polled
from twotoken.remote.fetching import FetchError, fetch
from twotoken.tokens import CURSOR, AccessToken, family_digest

FETCH_SECONDS = 3.0
FETCH_BYTES = 16_777_216  # a million families
CLOCKS_DIFFER = 60.0  # seconds that a family is kept after its tokens expire: the clocks of two services may differ
LONGEST_LIFETIME = 100 * 365 * 86_400  # seconds


class Listed(NamedTuple):
    """The content of an answer of RevocationsView. ``lifetime`` is in seconds."""

    revoked: list[str]
    since: str
    lifetime: int


class RevocationSource:
    """The digests of revoked families at a URL, kept in this process and fetched by a request that finds them old.

    Each fetch asks only for families that were revoked since the last fetch. During a fetch, other requests use the
    known digests, until these are two intervals old. After that, requests are refused with Unavailable until a fetch
    succeeds. ``leeway`` is how long a token is still accepted after its ``exp``. ``interval`` and ``leeway`` are in
    seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        interval: float,
        leeway: float = 0,
        headers: Mapping[str, str] | None = None,
        seconds: float = FETCH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._leeway = leeway
        self._headers = dict(headers or {})
        self._seconds = seconds
        self._clock = clock
        self._digests: set[str] = set()
        self._batches: deque[tuple[float, list[str]]] = deque()  # new digests, with the time at which they are dropped
        self._since = self._etag = ""
        self._polled = Polled(self._fetch, interval=interval, max_age=2 * interval, clock=clock)

    def refuse_revoked(self, access: AccessToken) -> None:
        """Raise RevokedToken if the token's family was revoked. Raises Unavailable if the digests are too old."""
        if family_digest(access["sid"]) in self._polled.get():
            raise RevokedToken

    def _fetch(self) -> Collection[str]:
        now = self._clock()
        address = f"{self.url}{'&' if '?' in self.url else '?'}since={self._since}" if self._since else self.url
        headers = {**self._headers, **({"If-None-Match": self._etag} if self._etag else {})}
        try:
            answer = fetch(address, seconds=self._seconds, limit=FETCH_BYTES, headers=headers)
            if answer.status == 200:
                self._add(read_list(answer.body), now)
                self._etag = answer.headers.get("ETag", "")
            elif not self._etag:  # there may be no list yet, and an empty one would let everybody in
                raise FetchError("a 304 that nobody asked for")
        except (FetchError, ValueError) as exc:
            raise FetchError(f"{self.url}: {exc}") from exc
        while self._batches and self._batches[0][0] < now:
            self._digests.difference_update(self._batches.popleft()[1])
        return self._digests

    def _add(self, listed: Listed, now: float) -> None:
        new = [digest for digest in listed.revoked if digest not in self._digests]
        if new:
            self._digests.update(new)
            self._batches.append((now + listed.lifetime + self._leeway + CLOCKS_DIFFER, new))
        self._since = listed.since


def read_list(document: bytes) -> Listed:
    """Parse the JSON of an answer of RevocationsView. Raises ValueError if the document is not such an answer."""
    try:
        found: Any = json.loads(document)
    except RecursionError as exc:
        raise ValueError("the answer is nested too deep") from exc
    found = found if isinstance(found, dict) else {}
    revoked, since, lifetime = (found.get(name) for name in Listed._fields)
    if not isinstance(revoked, list) or not all(isinstance(digest, str) for digest in revoked):
        raise ValueError("the answer is not a list of revoked families")
    if not isinstance(since, str) or CURSOR.fullmatch(since) is None:
        raise ValueError("the answer has no cursor")
    if type(lifetime) is not int or not 0 < lifetime <= LONGEST_LIFETIME:
        raise ValueError("the answer has no lifetime")
    return Listed(revoked, since, lifetime)
