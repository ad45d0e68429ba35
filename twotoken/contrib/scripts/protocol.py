"""Decides when a client logs in, refreshes and gives up: a protocol without I/O, as generators of steps.

The Idempotency-Key of each refresh is saved before the request is sent. So after a lost answer, a crash or a
``kill -9`` the client can send the same request again. One thread, task or process refreshes at a time, and the others
use the new token.
"""

from __future__ import annotations

import logging
from copy import copy
from dataclasses import replace

from twotoken.contrib.scripts.answers import (
    PROOF,
    STEP_UP,
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
    TokenAuthError,
    Unavailable,
    UnexpectedAnswer,
)
from twotoken.contrib.scripts.keeping import Keeping
from twotoken.contrib.scripts.options import Options, lock_pauses
from twotoken.contrib.scripts.sending import proving
from twotoken.contrib.scripts.session import Session
from twotoken.contrib.scripts.steps import Answer, Flow, Pause, Save
from twotoken.contrib.scripts.stores import Store

logger = logging.getLogger("twotoken.scripts")

EARLY_PAUSE = 10  # seconds until the next try if an early refresh failed, while the access token is still good


class TokenProtocol(Keeping):
    """Decides what to do for one session. Changes the session only while the store is locked. Safe for threads."""

    def __init__(self, options: Options, store: Store) -> None:
        super().__init__(options, store)
        self._failures: tuple[int, TokenAuthError | None] = (0, None)
        self._login_refused: LoginFailed | None = None

    def token(self, stale: str = "") -> Flow[str]:
        """Return an access token other than ``stale``, a token that the API has refused.

        Raises a TokenAuthError.
        """
        since, failures = self._options.now(), self._failures[0]
        if fresh := self._usable(stale, fresh=True):
            return fresh
        pauses = lock_pauses()
        while not self.store.try_lock():
            if usable := self._usable(stale):  # another thread or process is refreshing early: no need to wait
                return usable
            self._share_failure(failures)
            yield self._turn(since, next(pauses))
        try:
            self._share_failure(failures)
            return self._usable(stale, fresh=True) or (yield from self._renew(stale, since))
        finally:
            self.store.unlock()

    def refused(self, token: str, answer: Answer, tried: set[str]) -> Flow[str]:
        """Return the access token with which to repeat a request after a 401. Empty if a repetition can't help.

        ``tried`` has the remedies that were tried for this request, because each is tried only once. If the API wants a
        more recent login, a refresh would not help, so the function ``on_step_up`` is asked once for the credentials.
        Raises StepUpRequired if this function gives none, or another TokenAuthError.
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
        """End the session on the server, then in the store.

        If no answer comes, keep the session in the store and raise Unavailable.
        """
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
        """Return an access token with a new ``auth_time`` (RFC 9470). Store it, so that other threads use it too."""
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
            if session.refresh:  # no other thread or process has logged out meanwhile
                yield Save(self._with_access(session, answer.body))
        finally:
            self.store.unlock()
        return str(answer.body["access"])

    # --- called while the store is locked

    def _renew(self, stale: str, since: float) -> Flow[str]:
        """Refresh or log in, and return the new access token.

        If an early refresh raises Unavailable, return the old access token, which has not expired yet.
        """
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
        yield Save(session)  # before the request: if its answer is lost, the next request has the same key
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
            if not callable(credentials):  # to send them again and again could lock the account
                self._login_refused = refusal
            raise refusal
        if answer.status == 200:
            raise UnexpectedAnswer(f"{self._url} gave no refresh token: its mount needs the delivery 'body'.", 200)
        raise unexpected(answer)

    def _adopt(self, session: Session, answer: Answer) -> Flow[Session]:
        """Save an answer's tokens, together with the note that the request with the Idempotency-Key was answered."""
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

    # --- waiting for the lock

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
        """If the login or refresh that this call waited for has failed, raise its error instead of trying once more.

        ``seen`` is how many logins and refreshes had failed when this call began.
        """
        number, error = self._failures
        if error is not None and number != seen:
            raise copy(error) from error.__cause__
