"""What the service should do, told from the design alone: dicts and dates, nothing of the package."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

MINUTE = timedelta(minutes=1)
ACCESS_LIFETIME = timedelta(minutes=15)
IDLE_LIMIT = timedelta(days=7)
BROWSER_GRACE = timedelta(seconds=10)


@dataclass
class User:
    """A user as far as tokens go. ``password`` counts how often it was changed."""

    is_active: bool = True
    password: int = 0


@dataclass
class Family:
    """One login on one device."""

    user: User
    password: int
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime | None
    generation: int = 0
    key: str = ""
    grace: timedelta = timedelta()
    revoked_at: datetime | None = None
    reason: str = ""
    tokens: dict[int, str] = field(default_factory=dict)  # by generation, the newest of each
    is_restored: bool = False  # from a backup, and not rotated since: its token may have said another end


@dataclass
class Outcome:
    """What a refresh comes to: the generation answered, or the reason of the refusal."""

    generation: int | None = None
    reason: str = ""
    rotated: bool = False


@dataclass
class Oracle:
    """The families of a service with these settings, at a time."""

    now: datetime
    lifetime: timedelta | None
    reuse_grace: timedelta
    revoke_on_reuse: str
    limit: int | None
    families: list[Family] = field(default_factory=list)

    def log_in(self, user: User, replaced: Family | None) -> Family:
        """Start a family; end the oldest live ones beyond the limit, and the one whose cookie came along."""
        expires_at = None if self.lifetime is None else self.now + self.lifetime
        family = Family(user, user.password, self.now, self.now, expires_at)
        self.families.append(family)
        if self.limit is not None:
            live = [other for other in self.of(user) if other.revoked_at is None and not self.is_over(other)]
            for other in sorted(live, key=lambda other: other.created_at, reverse=True)[self.limit :]:
                self.end(other, "limit")
        if replaced is not None:
            self.end(replaced, "replaced")
        return family

    def refresh(self, family: Family, generation: int, key: str, *, is_browser: bool) -> Outcome:
        """Judge by the table of the rotation rule."""
        if family.revoked_at is not None:
            return Outcome(reason="revoked")
        if self.is_over(family):
            return Outcome(reason="expired")
        for is_wrong, reason in (
            (not family.user.is_active, "user_inactive"),
            (family.password != family.user.password, "password_changed"),
        ):
            if is_wrong:
                self.end(family, reason)
                return Outcome(reason=reason)
        behind = family.generation - generation
        age = abs(self.now - family.refreshed_at)
        again = {
            1: key == family.key if key else age < family.grace,
            0: key == family.key and age < MINUTE if key else age < 2 * family.grace,
        }
        if again.get(behind, False):
            return Outcome(family.generation)
        if behind <= 0:
            family.generation = generation + 1
            family.key = key
            family.grace = timedelta() if key else BROWSER_GRACE if is_browser else self.reuse_grace
            family.refreshed_at = self.now
            family.is_restored = False
            return Outcome(family.generation, rotated=True)
        self.end(family, "reuse")
        if self.revoke_on_reuse == "user":
            self.end_all(family.user, "reuse")
        return Outcome(reason="reused")

    def refuses_access(self, family: Family, expires_at: datetime) -> str:
        """Why an access token is refused where its family counts; empty where it is not."""
        if self.now >= expires_at:
            return "expired"
        if family.revoked_at is not None:
            return "revoked"
        if self.is_over(family):
            return "expired"
        if not family.user.is_active:
            return "user_inactive"
        return "" if family.password == family.user.password else "password_changed"

    def end(self, family: Family, reason: str) -> None:
        """End a family. One that has been ended stays as it is."""
        if family.revoked_at is None:
            family.revoked_at, family.reason = self.now, reason

    def end_all(self, user: User, reason: str, keep: Family | None = None) -> None:
        """End all of a user's families but one, and but those past their absolute end, which are over for good."""
        for family in self.of(user):
            if family is not keep and (family.expires_at is None or self.now < family.expires_at):
                self.end(family, reason)

    def live(self, user: User) -> list[Family]:
        """The families that a user is shown."""
        return [family for family in self.of(user) if family.revoked_at is None and not self.is_over(family)]

    def of(self, user: User) -> list[Family]:
        """All families of a user."""
        return [family for family in self.families if family.user is user]

    def is_over(self, family: Family) -> bool:
        """Tell whether a family is past its idle or its absolute end."""
        return self.now >= self.end_of(family)

    def end_of(self, family: Family) -> datetime:
        """When a family ends if nobody refreshes it."""
        idle = family.refreshed_at + IDLE_LIMIT
        return idle if family.expires_at is None else min(idle, family.expires_at)

    def access_end(self, family: Family) -> datetime:
        """When an access token ends that is given now, in whole seconds."""
        end = self.now.replace(microsecond=0) + ACCESS_LIFETIME
        return end if family.expires_at is None else min(end, family.expires_at.replace(microsecond=0))


def row_of(family: Family) -> dict[str, Any]:
    """What the family's row should say, its key aside."""
    return {
        "generation": family.generation,
        "grace": family.grace.total_seconds(),
        "created_at": family.created_at,
        "refreshed_at": family.refreshed_at,
        "expires_at": family.expires_at,
        "revoked_at": family.revoked_at,
        "revoked_reason": family.reason,
    }
