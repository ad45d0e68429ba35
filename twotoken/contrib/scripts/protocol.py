"""When a client logs in, refreshes and gives up: a protocol without I/O, as generators of steps.

Every refresh has an Idempotency-Key that is saved before it, so after a lost answer, a crash or a ``kill -9`` the
same request can be sent again. One thread, task or process refreshes at a time, and the others use what it gets.
"""

from __future__ import annotations

import hashlib
import logging
import random
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import count
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from twotoken.contrib.scripts.answers import (
    BUSY,
    PROOF,
    STEP_UP,
    gave_up,
    has_access,
    is_pair,
    login_refusal,
    max_age,
    remedy_of,
    unexpected,
)
from twotoken.contrib.scripts.errors import (
    LoginFailed,
    SessionEnded,
    StepUpRequired,
    StoreError,
    TokenAuthError,
    Unavailable,
    UnexpectedAnswer,
)
from twotoken.contrib.scripts.session import Session
from twotoken.contrib.scripts.steps import Answer, Flow, Lost, Pause, Post, Save
from twotoken.contrib.scripts.stores import Store

logger = logging.getLogger("twotoken.scripts")

StepUp: TypeAlias = Callable[[int | None], Mapping[str, Any] | None]
Credentials: TypeAlias = Mapping[str, Any] | Callable[[], Mapping[str, Any] | None]

PATIENCE = 30.0  # seconds
EARLY, JITTER = 0.2, 0.1  # of a token's life, is left when it is refreshed; at random, so not all clients do it at once
EARLY_PAUSE = 10  # seconds, after an early refresh failed; the token is still good
KEY_KEPT = 30  # seconds after its last use: a request that a proxy delayed must not look like a theft
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0  # seconds between tries
LONGEST_REST = 3600  # seconds: a longer Retry-After, or a clock that was set back, is not believed
LOCK_PAUSE, LONGEST_LOCK_PAUSE = 0.005, 0.1  # seconds between looks at a lock
PROVEN = {"login/", "refresh/", "reauthenticate/"}  # what carries a proof, if the session is bound to a key
PROOF_LIFE = 60  # seconds, of a proof; as long, a refresh that was given up may still arrive
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a client behaves.

    ``patience`` is how many seconds a call may wait for a login or refresh. ``dpop`` binds new sessions to a key.
    ``on_step_up`` gets the ``max_age`` of a route, and returns the body of ``reauthenticate/``, or None.
    """

    auth_url: str
    credentials: Credentials | None = None
    refresh: str = ""
    origins: Collection[str] = ()
    patience: float = PATIENCE
    dpop: bool = False
    on_step_up: StepUp | None = None
    now: Callable[[], float] = time.time
    random: Callable[[], float] = random.random


class TokenProtocol:
    """Decides for one session. Threads share it: it changes only while its store is locked."""

    key_kept = KEY_KEPT

    def __init__(self, options: Options, store: Store) -> None:
        self._options = options
        self._url = options.auth_url.rstrip("/") + "/"
        self._origins = {origin_of(self._url), *map(origin_of, options.origins)}
        self._account = account_of(options.credentials)
        self._started_with = hashlib.sha256(options.refresh.encode()).hexdigest() if options.refresh else ""
        self.store = store
        self._rest_until = 0.0
        self._failures: tuple[int, TokenAuthError | None] = (0, None)
        self._login_refused: LoginFailed | None = None
        self._nonces: dict[tuple[str, str, int], str] = {}
        if options.dpop:
            proving()  # or a missing cryptography would be noticed at the first request

    def covers(self, url: str) -> bool:
        """Tell whether a request to this URL gets the access token."""
        try:
            return origin_of(url) in self._origins
        except ValueError:
            return False

    def headers(self, token: str, method: str, url: str) -> dict[str, str]:
        """Return the headers that carry an access token, with a proof if it is bound to a key (RFC 9449)."""
        session = self.store.load()
        if session.scheme != "DPoP":
            return {"Authorization": f"Bearer {token}"}
        return {"Authorization": f"DPoP {token}", **self._proof(session, method, url, access=token)}

    def note(self, url: str, headers: Mapping[str, str]) -> None:
        """Remember the nonce that an answer gives for the next proof to its origin (RFC 9449 section 8).

        After a redirect, the answer may be another server's. It has no say in the proofs for this one.
        """
        if (nonce := headers.get("DPoP-Nonce")) and self.covers(url):
            self._nonces[origin_of(url)] = nonce

    def token(self, stale: str = "") -> Flow[str]:
        """Return an access token other than ``stale``, the one that the API has refused.

        Raises a TokenAuthError.
        """
        since, failures = self._options.now(), self._failures[0]
        if fresh := self._usable(stale, fresh=True):
            return fresh
        pauses = lock_pauses()
        while not self.store.try_lock():
            if usable := self._usable(stale):  # somebody refreshes it early: no need to wait
                return usable
            self._share_failure(failures)
            yield self._turn(since, next(pauses))
        try:
            self._share_failure(failures)
            return self._usable(stale, fresh=True) or (yield from self._renew(stale, since))
        finally:
            self.store.unlock()

    def refused(self, token: str, answer: Answer, tried: set[str]) -> Flow[str]:
        """Return the token for repeating a request after a 401, or an empty string.

        ``tried`` has what was done for this request: each remedy is tried once. If the API wants a more recent login,
        a refresh would not help. Raises StepUpRequired, or another TokenAuthError.
        """
        remedy = remedy_of(answer)
        is_new = remedy not in tried
        tried.add(remedy)
        if remedy == STEP_UP:
            required = StepUpRequired(answer.detail or "A more recent login is required.", max_age(answer))
            return (yield from self._step_up(token, required, is_new=is_new))
        if not is_new:
            return ""
        return token if remedy == PROOF else (yield from self.token(token))

    def log_out(self) -> Flow[None]:
        """End the session on the server and in the store. Without an answer both stay, and it raises Unavailable."""
        since = self._options.now()
        yield from self._lock(since)
        try:
            session = self._load()
            if session.refresh:
                answer = yield from self._post("logout/", {"refresh": session.refresh}, session, since)
                if answer.status != 204:
                    raise unexpected(answer)
            yield Save(self._empty(session, ended="logout"))
        finally:
            self.store.unlock()

    def _step_up(self, token: str, required: StepUpRequired, *, is_new: bool) -> Flow[str]:
        """Return an access token with a new ``auth_time`` (RFC 9470), and store it for other threads and processes."""
        ask = self._options.on_step_up
        given = ask(required.max_age) if ask is not None and is_new else None
        if given is None:
            raise required
        since = self._options.now()
        headers = self.headers(token, "POST", self._url + "reauthenticate/")
        answer = yield from self._post("reauthenticate/", given, self._load(), since, headers)
        if (refusal := login_refusal(answer)) is not None:
            raise refusal
        if not has_access(answer):
            raise unexpected(answer)
        yield from self._lock(since)
        try:
            session = self._load()
            if session.refresh:  # nobody has logged out meanwhile
                yield Save(self._with_access(session, answer.body))
        finally:
            self.store.unlock()
        return str(answer.body["access"])

    # --- under the lock

    def _renew(self, stale: str, since: float) -> Flow[str]:
        """Refresh or log in. If an early refresh gets no answer, the old token still serves."""
        usable = self._usable(stale)
        try:
            session = yield from self._renewed(since, patience=0 if usable else self._options.patience)
        except Unavailable as error:
            if usable:
                self._rest_until = self._options.now() + EARLY_PAUSE
                return usable
            self._fail(error)
            raise
        except TokenAuthError as error:
            self._fail(error)
            raise
        return session.access

    def _renewed(self, since: float, *, patience: float) -> Flow[Session]:
        session = self._load()
        ended = session.ended or "missing"
        if session.refresh:
            try:
                return (yield from self._refresh(session, since, patience))
            except SessionEnded as error:
                logger.warning("The session at %s ended: %s.", self._url, error.reason)
                ended, session = error.reason, self._empty(session, ended=error.reason)
                yield Save(session)
                if self._options.credentials is None:
                    raise
        return (yield from self._log_in(session, ended, since))

    def _refresh(self, session: Session, since: float, patience: float) -> Flow[Session]:
        session = self._with_key(session)
        yield Save(session)  # before the request: if its answer is lost, the next one has the same key
        body, headers = {"refresh": session.refresh}, {"Idempotency-Key": session.key}
        answer = yield from self._post("refresh/", body, session, since, headers, patience=patience)
        if is_pair(answer):
            return (yield from self._adopt(session, answer))
        if answer.status == 401 and answer.code == "token_not_valid":
            reason = str(answer.body.get("reason", ""))
            raise SessionEnded(answer.detail or "The session has ended.", reason)
        raise unexpected(answer)

    def _log_in(self, session: Session, ended: str, since: float) -> Flow[Session]:
        if self._login_refused is not None:
            raise copy(self._login_refused)
        credentials = self._options.credentials
        given = credentials() if callable(credentials) else credentials
        if given is None:
            raise SessionEnded(f"There is no session ({ended}), and there are no credentials to log in.", ended)
        if self._options.dpop:
            session = replace(session, device_key=session.device_key or proving().new_key())
        answer = yield from self._post("login/", given, session, since)
        if is_pair(answer):
            return (yield from self._adopt(self._empty(session), answer))
        if (refusal := login_refusal(answer)) is not None:
            if not callable(credentials):  # again and again they would lock the account
                self._login_refused = refusal
            raise refusal
        if answer.status == 200:
            raise UnexpectedAnswer(f"{self._url} gave no refresh token: its mount needs the delivery 'body'.", 200)
        raise unexpected(answer)

    def _adopt(self, session: Session, answer: Answer) -> Flow[Session]:
        """Save both tokens, and that the key has its answer, in one write."""
        session = replace(
            self._with_access(session, answer.body),
            scheme="DPoP" if str(answer.body.get("token_type")).lower() == "dpop" else "Bearer",
            refresh=answer.body["refresh"],
            key_used_at=self._options.now(),
            key_answered=True,
            not_before=0.0,
        )
        yield Save(session)
        return session

    def _with_access(self, session: Session, body: Mapping[str, Any]) -> Session:
        now, lifetime = self._options.now(), float(body["expires_in"])
        renew_at = now + lifetime * (1 - EARLY - JITTER * self._options.random())
        return replace(session, access=body["access"], renew_at=renew_at, expires_at=now + lifetime)

    def _with_key(self, session: Session) -> Session:
        """Return the session with the key for its next refresh.

        A key without an answer is used again, however old it is: its request may have used up the token.
        """
        now = self._options.now()
        kept = PROOF_LIFE if session.device_key else self.key_kept
        is_kept = session.key and (not session.key_answered or abs(now - session.key_used_at) < kept)
        key = session.key if is_kept else secrets.token_urlsafe(16)
        return replace(session, key=key, key_used_at=now, key_answered=False)

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
        """POST, and retry until a meaningful answer comes or patience is over. Raises Unavailable."""
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
                # A step-up does not hold the lock: it would put tokens back that another thread has refreshed.
                if rest and path != "reauthenticate/":
                    yield Save(replace(session, not_before=now + rest))
                raise gave_up(answer, rest) from (answer.error if isinstance(answer, Lost) else None)
            yield Pause(pause)

    def _post_once(
        self, path: str, body: Mapping[str, Any], session: Session, headers: Mapping[str, str]
    ) -> Flow[Answer | Lost]:
        """POST, and once more if the server gives a nonce for the proof (RFC 9449 section 8)."""
        answer: Answer | Lost = yield self._proven(path, body, session, headers)
        if isinstance(answer, Answer):
            self.note(self._url, answer.headers)
            if answer.code == "use_dpop_nonce":
                answer = yield self._proven(path, body, session, headers)
        return answer

    def _proven(self, path: str, body: Mapping[str, Any], session: Session, headers: Mapping[str, str]) -> Post:
        """Return a request, with a proof of its own if the session is bound to a key."""
        url = self._url + path
        proof = self._proof(session, "POST", url, headers.get("Authorization", "")) if path in PROVEN else {}
        return Post(url, body, {**headers, **proof})

    def _proof(self, session: Session, method: str, url: str, access: str = "") -> dict[str, str]:
        """Return the header with the proof for one request. Nothing if the session is not bound to a key."""
        if not session.device_key:
            return {}
        token = access.rpartition(" ")[2]
        now, nonce = self._options.now(), self._nonces.get(origin_of(url), "")
        return {"DPoP": proving().proof(session.device_key, method, url, now, access=token, nonce=nonce)}

    # --- the session that is stored

    def _load(self) -> Session:
        """Return the session of the store. A refresh token that the program gave starts a session, once."""
        session = self.store.load()
        if session.auth_url not in ("", self._url):  # never send a token to another server
            raise StoreError(f"The store holds a session at {session.auth_url}, not at {self._url}. Use another store.")
        if session.account and self._account not in ("", session.account):
            raise StoreError(f"The store holds the session of {session.account!r}, not of {self._account!r}.")
        if self._started_with not in ("", session.started_with):
            return replace(self._empty(session), refresh=self._options.refresh)
        return session

    def _empty(self, session: Session, ended: str = "") -> Session:
        """Return a session without tokens, for the same account as another."""
        return Session(
            auth_url=self._url,
            account=self._account or session.account,
            device_key=session.device_key,
            started_with=self._started_with or session.started_with,
            ended=ended,
        )

    def _usable(self, stale: str, *, fresh: bool = False) -> str:
        """Return the access token if it has not expired, or an empty string.

        ``fresh`` also asks that it need not be refreshed yet.
        """
        session, now = self._load(), self._options.now()
        limit = session.renew_at if fresh and now >= self._rest_until else session.expires_at
        return session.access if session.access != stale and now < limit else ""

    # --- turns

    def _lock(self, since: float) -> Flow[None]:
        pauses = lock_pauses()
        while not self.store.try_lock():
            yield self._turn(since, next(pauses))

    def _turn(self, since: float, pause: float) -> Pause:
        if self._options.now() > since + self._options.patience:
            raise Unavailable("Another thread or process has been refreshing for too long.")
        return Pause(pause)

    def _fail(self, error: TokenAuthError) -> None:
        self._failures = (self._failures[0] + 1, error)

    def _share_failure(self, seen: int) -> None:
        """Raise the error of the login or refresh that this call has waited for, instead of another try."""
        number, error = self._failures
        if error is not None and number != seen:
            raise copy(error) from error.__cause__


def proving() -> Any:
    """Return the module that makes keys and proofs. It is loaded only where a session is bound to a key."""
    return import_module("twotoken.contrib.scripts.proving")


def lock_pauses() -> Iterator[float]:
    """Yield the seconds to wait between looks at a lock, growing and at random."""
    growing = (min(LOCK_PAUSE * 1.3 ** min(number, 20), LONGEST_LOCK_PAUSE) for number in count())
    return (pause * random.uniform(0.5, 1) for pause in growing)  # noqa: S311 - no secret


def backoff(attempt: int) -> float:
    """Return the longest pause after an attempt, in seconds."""
    return min(FIRST_PAUSE * 2.0 ** min(attempt, 10), LONGEST_PAUSE)


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an absolute URL. Raises ValueError if it is not one of http or https."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is not an absolute http URL.")
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]


def account_of(credentials: Credentials | None) -> str:
    """Return the account that credentials name: their first entry. Empty for a function, or without credentials."""
    if credentials is None or callable(credentials):
        return ""
    return next((str(value) for name, value in credentials.items() if name != "password"), "")
