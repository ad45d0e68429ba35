"""Makes the headers of the program's requests and the POSTs to the auth URL. Repeats a POST if the server is busy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from itertools import count
from typing import Any

from twotoken.contrib.scripts.answers import BUSY, gave_up
from twotoken.contrib.scripts.errors import Unavailable
from twotoken.contrib.scripts.options import Options, backoff, origin_of
from twotoken.contrib.scripts.session import Session
from twotoken.contrib.scripts.steps import Answer, Flow, Lost, Pause, Post, Save
from twotoken.contrib.scripts.stores import Store

LONGEST_REST = 3600  # seconds. A longer Retry-After is cut to this. A longer rest means that the clock was set back
PROVEN = {"login/", "refresh/", "reauthenticate/"}  # need a proof, if the session is bound to a key


class Sending:
    """Makes the requests of one session. Knows which origins get its tokens, and the nonces that servers have given."""

    def __init__(self, options: Options, store: Store) -> None:
        self._options = options
        self._url = options.auth_url.rstrip("/") + "/"
        self._origins = {origin_of(self._url), *map(origin_of, options.origins)}
        self.store = store
        self._nonces: dict[tuple[str, str, int], str] = {}
        if options.dpop:
            proving().new_key()  # fail now, not at the first login, if cryptography is missing

    def covers(self, url: str) -> bool:
        """Tell whether a request to this URL gets the access token."""
        try:
            return origin_of(url) in self._origins
        except ValueError:
            return False

    def headers(self, token: str, method: str, url: str) -> dict[str, str]:
        """Return the headers that send an access token: Authorization, and DPoP if the token is bound (RFC 9449)."""
        session = self.store.load()
        if session.scheme != "DPoP":
            return {"Authorization": f"Bearer {token}"}
        return {"Authorization": f"DPoP {token}", **self._proof(session, method, url, access=token)}

    def note(self, url: str, headers: Mapping[str, str]) -> None:
        """Remember the nonce in an answer's headers for the next proof to the URL's origin (RFC 9449 section 8).

        After a redirect, the answer may come from another server, which must not choose the nonces for the API. So an
        answer from an origin that does not get the access token is ignored.
        """
        if (nonce := headers.get("DPoP-Nonce")) and self.covers(url):
            self._nonces[origin_of(url)] = nonce

    def _post(
        self,
        path: str,
        body: Mapping[str, Any],
        session: Session,
        since: float,
        headers: Mapping[str, str] | None = None,
        *,
        patience: float | None = None,
    ) -> Flow[Answer]:
        """POST a body, and repeat the request until the server answers and is not busy.

        Raises Unavailable as soon as the next try would begin later than ``patience`` seconds after ``since``.
        """
        deadline = since + (self._options.patience if patience is None else patience)
        now = self._options.now()
        if 0 < (rest := session.not_before - now) <= LONGEST_REST:
            if session.not_before > deadline:
                raise Unavailable(f"The server asked to wait {rest:.0f} seconds more.", rest)
            yield Pause(rest)
        attempts = count()
        while True:
            answer = yield from self._post_once(path, body, session, headers or {})
            if isinstance(answer, Answer) and answer.status not in BUSY:
                return answer
            now = self._options.now()
            rest = 0.0 if isinstance(answer, Lost) else min(answer.retry_after(now), LONGEST_REST)
            pause = max(rest, backoff(next(attempts)) * (1 - self._options.random() / 2))
            if now + pause > deadline:
                # A step-up does not lock the store. Another thread may have refreshed meanwhile, so save nothing old.
                if rest and path != "reauthenticate/":
                    yield Save(replace(session, not_before=now + rest))
                raise gave_up(answer, rest) from (answer.error if isinstance(answer, Lost) else None)
            yield Pause(pause)

    def _post_once(
        self, path: str, body: Mapping[str, Any], session: Session, headers: Mapping[str, str]
    ) -> Flow[Answer | Lost]:
        """POST a body. If the server asks for a proof with its nonce, repeat the request once (RFC 9449 section 8)."""
        answer: Answer | Lost = yield self._proven(path, body, session, headers)
        if isinstance(answer, Answer):
            self.note(self._url, answer.headers)
            if answer.code == "use_dpop_nonce":
                answer = yield self._proven(path, body, session, headers)
        return answer

    def _proven(self, path: str, body: Mapping[str, Any], session: Session, headers: Mapping[str, str]) -> Post:
        """Return a request to the auth URL, with a new proof if the session is bound to a key."""
        url = self._url + path
        proof = self._proof(session, "POST", url, headers.get("Authorization", "")) if path in PROVEN else {}
        return Post(url, body, {**headers, **proof})

    def _proof(self, session: Session, method: str, url: str, access: str = "") -> dict[str, str]:
        """Return the ``DPoP`` header with a proof for one request. Empty if the session is not bound to a key."""
        if not session.device_key:
            return {}
        token = access.rpartition(" ")[2]
        now, nonce = self._options.now(), self._nonces.get(origin_of(url), "")
        return {"DPoP": proving().proof(session.device_key, method, url, now, access=token, nonce=nonce)}


def proving() -> Any:
    """Return the module that makes keys and proofs. It is imported only when needed: it needs cryptography."""
    return import_module("twotoken.contrib.scripts.proving")
