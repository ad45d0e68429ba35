"""The model's server: production's rule in small steps, each answer and each write held against the promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeAlias

from tests.proof.model import (
    GRACE,
    IDLE,
    KEY_LIFE,
    REFUSED,
    At,
    BrokenError,
    Excuse,
    Family,
    Maker,
    Promise,
    Request,
    Scenario,
)
from twotoken import rotation
from twotoken.families.rule import Rotation, Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def nothing(family: Family) -> Family:
    """What a retry writes."""
    return family


@dataclass(frozen=True)
class Rule:
    """What the server goes by: production's, unless a test breaks it."""

    judge: Callable[..., Verdict] = rotation.judge
    rotate: Callable[..., Rotation] = rotation.rotation
    guard: Callable[[int], dict[str, Any]] = rotation.guard
    ends: frozenset[Verdict] = frozenset({Verdict.REUSED})
    repeat: Callable[[Family], Family] = nothing
    judges_again: bool = True  # a rotation that the guard held off
    sets_cookie: Callable[[int, int], bool] = int.__ne__  # by the token presented and the one answered


@dataclass(frozen=True)
class Row:
    """What ``judge`` reads."""

    generation: int
    retry_key: bytes
    grace: float
    refreshed_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None = None


Served: TypeAlias = tuple[Request, Family]


@dataclass
class Server:
    """Serves the refreshes of a scenario under a rule."""

    scenario: Scenario
    rule: Rule = field(default_factory=Rule)

    def __post_init__(self) -> None:
        # Each is a pure function of few small values that are met again and again.
        self.verdict = cache(self._verdict)
        self.may_write = cache(self._may_write)
        self.rotated = cache(self._rotated)
        self.serve = cache(self._serve)

    def _serve(self, is_thief: bool, request: Request, family: Family) -> Served:
        """One step of the server for a request. It is the only one that this request has."""
        seen = request.seen
        if request.at is At.SENT:
            if is_thief:
                family = family._replace(robbed=True)
            return request._replace(at=At.READ, seen=family), family
        if request.at is At.READ:
            assert isinstance(seen, Family)
            return self.judged(is_thief, request, seen, family)
        if request.at is At.ROTATE:
            return self.written(is_thief, request, family)
        excuses = self.scenario.excuses
        if not (family.ended or family.robbed or excuses is None or family.excuse & excuses):
            raise BrokenError(Promise.STAYS)
        revoked = family.revoked or Verdict.REUSED in self.rule.ends
        return self.answered(request, REFUSED), family._replace(revoked=revoked, ended=True)

    def judged(self, is_thief: bool, request: Request, seen: Family, family: Family) -> Served:
        """Judge the row as it was read; by now it may be another."""
        behind = seen.generation - request.token
        same_key = bool(request.key) and request.key == seen.key
        verdict = self.verdict(seen.revoked, behind, bool(request.key), same_key, bool(seen.key), seen.grace, seen.age)
        if verdict is Verdict.ROTATE:
            return request._replace(at=At.ROTATE, seen=()), family
        if verdict is Verdict.REUSED:
            went_on = behind > 1 or seen.key != request.key
            if not is_thief and not request.awaited and went_on:
                family = family._replace(excuse=family.excuse | Excuse.LATE)
            return request._replace(at=At.REVOKE, seen=()), family
        if verdict is not Verdict.RETRY:
            if not seen.ended and seen.since < IDLE:
                raise BrokenError(Promise.STAYS)
            return self.answered(request, REFUSED), family
        self.check_repeat(request, seen, behind)
        if self.scenario.has_key and not is_thief and seen.answered_thief:
            raise BrokenError(Promise.NEVER_BOTH)
        after = self.rule.repeat(family)
        if after != family:
            raise BrokenError(Promise.NOTHING_WRITTEN)
        return self.answered(request, seen.generation), after._replace(answered_thief=after.answered_thief or is_thief)

    def check_repeat(self, request: Request, seen: Family, behind: int) -> None:
        """Hold an answer without a rotation against the promises, by what the model knows and the row may not."""
        if seen.ended:
            raise BrokenError(Promise.DEAD)
        if seen.since >= IDLE:
            raise BrokenError(Promise.IDLE)
        if behind not in (0, 1):
            raise BrokenError(Promise.SAME)
        if request.key:
            if seen.maker is not Maker.KEY or seen.key != request.key:
                raise BrokenError(Promise.KEY)
            if behind == 0 and seen.since >= KEY_LIFE:
                raise BrokenError(Promise.CURRENT)
        elif seen.maker is not Maker.BROWSER:
            raise BrokenError(Promise.KEY)
        elif behind and seen.since >= GRACE:
            raise BrokenError(Promise.WITHIN_GRACE)
        elif seen.since >= 2 * GRACE:
            raise BrokenError(Promise.CURRENT)

    def written(self, is_thief: bool, request: Request, family: Family) -> Served:
        """Write the rotation over the row as it is now, if the guard lets it."""
        if not self.may_write(request.token, family.generation, family.revoked):
            if self.rule.judges_again:  # without end: production's 503 after four times is a request that was lost
                return request._replace(at=At.SENT), family
            return self.answered(request, request.token + 1), family
        if family.ended:
            raise BrokenError(Promise.DEAD)
        rotated, key, maker = self.rotated(request)
        is_second = not is_thief and request.key != 0 and request.key == family.key
        after = family._replace(
            generation=rotated.generation,
            key=key,
            grace=int(rotated.grace),
            age=0,
            newest=max(family.newest, rotated.generation),
            maker=maker,
            since=0,
            answered_thief=family.answered_thief or is_thief,
            excuse=family.excuse | (Excuse.TWICE if is_second else Excuse.NONE),
        )
        if sum(self.takes(after, token) for token in range(after.newest + 1)) > 1:
            raise BrokenError(Promise.ONE_LIVE)
        if rotated.generation <= family.newest:
            raise BrokenError(Promise.ONCE)
        if self.scenario.has_key and not is_thief and family.answered_thief:
            raise BrokenError(Promise.NEVER_BOTH)
        return self.answered(request, rotated.generation), after

    def takes(self, family: Family, token: int) -> bool:
        """Tell whether a token would be rotated under a key that nobody has used before."""
        behind = family.generation - token
        verdict = self.verdict(family.revoked, behind, True, False, family.key != 0, family.grace, family.age)
        return verdict is Verdict.ROTATE

    def answered(self, request: Request, answer: int) -> Request:
        """Return the request on its way back."""
        return request._replace(at=At.ANSWERED, seen=(), answer=answer, age=request.age if self.scenario.has_key else 0)

    def _verdict(
        self, revoked: bool, behind: int, has_key: bool, same_key: bool, row_has_key: bool, grace: int, age: int
    ) -> Verdict:
        generation = 100
        row = Row(
            generation=generation + behind,
            retry_key=b"the row's" if row_has_key else b"",
            grace=grace,
            refreshed_at=NOW - timedelta(seconds=age),
            revoked_at=NOW if revoked else None,
        )
        return self.rule.judge(
            row,
            generation=generation,
            retry_key=b"the row's" if same_key else b"another" if has_key else b"",
            now=NOW,
            idle_limit=timedelta(seconds=IDLE),
            user_is_active=True,
            password_unchanged=True,
        )

    def _may_write(self, token: int, generation: int, revoked: bool) -> bool:
        """Read the guard as the database does."""
        row: dict[str, Any] = {"generation": generation, "revoked_at": NOW if revoked else None}
        for lookup, value in self.rule.guard(token).items():
            name, _, operator = lookup.partition("__")
            if not (row[name] <= value if operator == "lte" else row[name] == value):
                return False
        return True

    def _rotated(self, request: Request) -> tuple[Rotation, int, Maker]:
        rotated = self.rule.rotate(
            generation=request.token,
            retry_key=b"a key" if request.key else b"",
            now=NOW,
            is_browser=request.is_browser,
            browser_grace=timedelta(seconds=GRACE),
            reuse_grace=timedelta(),
        )
        maker = Maker.KEY if request.key else Maker.BROWSER if request.is_browser else Maker.SCRIPT
        return rotated, request.key if rotated.retry_key else 0, maker
