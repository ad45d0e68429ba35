"""The oracle: it predicts what the service does. It is written from the design alone, without twotoken's code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
ACCESS_LIFETIME = timedelta(minutes=15)
IDLE_LIMIT = timedelta(days=7)
BROWSER_GRACE = timedelta(seconds=10)
EVENTS_KEPT = {"device": 18, "retried": 10, "wrong_device": 10}  # of each family


class Client(NamedTuple):
    """The sender of a request: its address and its user agent."""

    address: str
    user_agent: str

    @property
    def device(self) -> str:
        """Return the user agent without version numbers, because an updated browser is the same device."""
        return re.sub(r"[\d._]+", "", self.user_agent)


class Event(NamedTuple):
    """An event of a family's timeline: its kind, and the client that caused it."""

    kind: str
    client: Client


@dataclass
class User:
    """What the oracle knows of a user. ``password`` counts the changes of the password."""

    is_active: bool = True
    password: int = 0


@dataclass
class Family:
    """A token family: one login on one device."""

    user: User
    is_browser: bool
    client: Client  # of the last rotation
    password: int
    secret_key: int  # that the hash of the password was made by
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime | None
    device: str = ""  # that the login bound it to
    generation: int = 0
    key: str = ""
    revoked_at: datetime | None = None
    reason: str = ""
    tokens: dict[int, str] = field(default_factory=dict)  # by generation, the newest of each
    events: list[Event] = field(default_factory=list)
    is_rewritten: bool = False  # by a backup or an unbinding, until it rotates: its token had other claims


@dataclass
class Outcome:
    """The result of a refresh: the generation of the token in the answer, or the reason of the refusal."""

    generation: int | None = None
    reason: str = ""
    rotated: bool = False
    is_traced: bool = False  # a retry from another device or address: it sends a signal
    statements: int = 0  # of an answer


@dataclass
class Oracle:
    """The state that the service should have: the time, the settings, and the families."""

    now: datetime
    lifetime: timedelta | None
    reuse_grace: timedelta
    revoke_on_reuse: str
    limit: int | None
    families: list[Family] = field(default_factory=list)
    secret_key: int = 0
    fallbacks: list[int] = field(default_factory=list)

    def log_in(
        self,
        user: User,
        client: Client,
        replaced: Family | None,
        device: str,
        *,
        by_cookie: bool,
        has_browser_headers: bool,
    ) -> Family:
        """Start a family. Revoke the family that it replaces, and the oldest families beyond the limit."""
        expires_at = None if self.lifetime is None else self.now + self.lifetime
        is_browser = by_cookie and has_browser_headers
        family = Family(
            user, is_browser, client, user.password, self.secret_key, self.now, self.now, expires_at, device
        )
        self.families.append(family)
        if self.limit is not None:
            for other in sorted(self.live(user), key=lambda other: other.created_at, reverse=True)[self.limit :]:
                self.revoke(other, "limit")
        if replaced is not None:
            self.revoke(replaced, "replaced")
        return family

    def refresh(self, family: Family, generation: int, key: str, device: str, client: Client) -> Outcome:
        """Judge a refresh by the table of the rotation rule. The request's browser headers make no difference.

        ``device`` is the device that made the request's proof; empty if the request has no proof.
        """
        reason = self.refusal(family)
        if reason:
            if reason in ("user_inactive", "password_changed"):
                self.revoke(family, reason)
            return Outcome(reason=reason)
        if family.device not in ("", device):
            self.record(family, "wrong_device", client)
            return Outcome(reason="wrong_device")
        behind = family.generation - generation
        age = abs(self.now - family.refreshed_at)
        has_grace = family.generation > 0 and not family.key
        grace = (BROWSER_GRACE if family.is_browser else self.reuse_grace) if has_grace else timedelta()
        again = {
            1: key == family.key if key else age < grace or (family.device != "" and family.key == ""),
            0: key == family.key and age < MINUTE if key else age < 2 * grace,
        }
        if again.get(behind, False):
            is_traced = client != family.client
            statements = self.record(family, "retried", client) if is_traced else 0
            return Outcome(family.generation, is_traced=is_traced, statements=1 + statements)
        if behind <= 0:
            statements = self.record(family, "device", client) if client.device != family.client.device else 0
            family.generation = generation + 1
            family.key = key
            family.client = client
            family.refreshed_at = self.now
            family.secret_key = self.secret_key
            family.is_rewritten = False
            return Outcome(family.generation, rotated=True, statements=2 + statements)
        self.revoke(family, "reuse")
        if self.revoke_on_reuse == "user":
            self.revoke_all(family.user, "reuse")
        return Outcome(reason="reused")

    def refuses_access(self, family: Family, expires_at: datetime) -> str:
        """Return why the revocable class refuses an access token, or an empty text."""
        return "expired" if self.now >= expires_at else self.refusal(family)

    def refusal(self, family: Family) -> str:
        """Return why a family refuses all tokens, or an empty text. It expires a second before its absolute limit."""
        if family.revoked_at is not None:
            return "revoked"
        if self.is_over(family) or (family.expires_at is not None and self.now > family.expires_at - SECOND):
            return "expired"
        if not family.user.is_active:
            return "user_inactive"
        is_same = family.password == family.user.password and family.secret_key in (self.secret_key, *self.fallbacks)
        return "" if is_same else "password_changed"

    def record(self, family: Family, kind: str, client: Client) -> int:
        """Add an event to a family's timeline, unless it has enough of this kind. Return the SQL statement count."""
        if sum(event.kind == kind for event in family.events) >= EVENTS_KEPT[kind]:
            return 1
        family.events.append(Event(kind, client))
        return 2

    def change_secret_key(self) -> None:
        """Change SECRET_KEY. The old key becomes the only fallback."""
        self.fallbacks = [self.secret_key]
        self.secret_key += 1

    def revoke(self, family: Family, reason: str) -> None:
        """Revoke a family, if it is not revoked already."""
        if family.revoked_at is None:
            family.revoked_at, family.reason = self.now, reason

    def revoke_all(self, user: User, reason: str, keep: Family | None = None) -> None:
        """Revoke a user's families, except the one to keep and those past their absolute limit."""
        for family in self.of(user):
            if family is not keep and (family.expires_at is None or self.now < family.expires_at):
                self.revoke(family, reason)

    def live(self, user: User) -> list[Family]:
        """Return a user's active families."""
        return [family for family in self.of(user) if family.revoked_at is None and not self.is_over(family)]

    def of(self, user: User) -> list[Family]:
        """Return all families of a user."""
        return [family for family in self.families if family.user is user]

    def is_over(self, family: Family) -> bool:
        """Tell whether a family is past its idle or its absolute limit."""
        return self.now >= self.end_of(family)

    def end_of(self, family: Family) -> datetime:
        """Return when a family expires if nobody refreshes it."""
        idle = family.refreshed_at + IDLE_LIMIT
        return idle if family.expires_at is None else min(idle, family.expires_at)

    def access_end(self, family: Family) -> datetime:
        """Return when an access token that is made now expires, in whole seconds."""
        end = self.now.replace(microsecond=0) + ACCESS_LIFETIME
        return end if family.expires_at is None else min(end, family.expires_at.replace(microsecond=0))


def row_of(family: Family) -> dict[str, Any]:
    """Return the values that the family's row should have, except its digests."""
    return {
        "generation": family.generation,
        "is_browser": family.is_browser,
        "ip_address": family.client.address,
        "user_agent": family.client.user_agent,
        "created_at": family.created_at,
        "refreshed_at": family.refreshed_at,
        "expires_at": family.expires_at,
        "revoked_at": family.revoked_at,
        "revoked_reason": family.reason,
    }
