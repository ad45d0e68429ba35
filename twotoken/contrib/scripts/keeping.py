"""Checks the account, the URL and the access token of the stored session. Makes the session to store next."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from twotoken.contrib.scripts.errors import StoreError
from twotoken.contrib.scripts.options import Options, account_of
from twotoken.contrib.scripts.sending import Sending
from twotoken.contrib.scripts.session import Session
from twotoken.contrib.scripts.stores import Store

# Shares of an access token's life. The token is refreshed when EARLY plus a random part of JITTER is left, so that not
# all clients refresh at once.
EARLY, JITTER = 0.2, 0.1
KEY_KEPT = 30  # seconds in which an Idempotency-Key is used again, so that a delayed request does not look like a theft
PROOF_LIFE = 60  # seconds in which a DPoP proof is valid, and a delayed refresh with this proof may still be accepted


class Keeping(Sending):
    """Reads the stored session, and makes the next session to store. The subclass TokenProtocol saves this session."""

    key_kept = KEY_KEPT

    def __init__(self, options: Options, store: Store) -> None:
        super().__init__(options, store)
        self._account = account_of(options.credentials)
        self._started_with = hashlib.sha256(options.refresh.encode()).hexdigest() if options.refresh else ""
        self._rest_until = 0.0

    def _load(self) -> Session:
        """Return the stored session. If the program gave a new refresh token, return a session with this token."""
        session = self.store.load()
        if session.auth_url not in ("", self._url):  # never send a token to another server
            raise StoreError(f"The store holds a session at {session.auth_url}, not at {self._url}. Use another store.")
        if session.account and self._account not in ("", session.account):
            raise StoreError(f"The store holds the session of {session.account!r}, not of {self._account!r}.")
        if self._started_with not in ("", session.started_with):
            return replace(self._empty(session), refresh=self._options.refresh)
        return session

    def _empty(self, session: Session, ended: str = "") -> Session:
        """Return a session without tokens, for the account and the device key of a given session."""
        return Session(
            auth_url=self._url,
            account=self._account or session.account,
            device_key=session.device_key,
            started_with=self._started_with or session.started_with,
            ended=ended,
        )

    def _usable(self, stale: str, *, fresh: bool = False) -> str:
        """Return the access token if it has not expired and is not ``stale``, otherwise an empty string.

        ``stale`` is a token that the API has refused. With ``fresh``, also return an empty string if it is time to
        refresh the token early.
        """
        session, now = self._load(), self._options.now()
        limit = session.renew_at if fresh and now >= self._rest_until else session.expires_at
        return session.access if session.access != stale and now < limit else ""

    def _with_access(self, session: Session, body: Mapping[str, Any]) -> Session:
        now, lifetime = self._options.now(), float(body["expires_in"])
        renew_at = now + lifetime * (1 - EARLY - JITTER * self._options.random())
        return replace(session, access=body["access"], renew_at=renew_at, expires_at=now + lifetime)

    def _with_key(self, session: Session) -> Session:
        """Return the session with the Idempotency-Key for its next refresh.

        If the last refresh got no answer, its key is used again, however old the key is: the server may have replaced
        the token. The key is also used again for a short time after an answer.
        """
        now = self._options.now()
        kept = PROOF_LIFE if session.device_key else self.key_kept
        is_kept = session.key and (not session.key_answered or abs(now - session.key_used_at) < kept)
        key = session.key if is_kept else secrets.token_urlsafe(16)
        return replace(session, key=key, key_used_at=now, key_answered=False)
