"""The model's server. It runs production's rule in small steps, and checks the promises at each answer and write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeAlias

from tests.proof.model import (
    ACCEPTED,
    BROWSER_GRACE,
    IDLE,
    KEY_LIFE,
    LOGIN,
    NOBODY,
    REFUSED,
    THIEF,
    At,
    BrokenError,
    Excuse,
    Family,
    Promise,
    Request,
    Scenario,
)
from twotoken.dpop import DPOP
from twotoken.families.rule import Verdict, judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rotated(family: Family, request: Request) -> Family:
    """Return the row after a rotation. The login has decided whether the family is a browser's."""
    return family._replace(generation=request.token + 1, key=request.key, age=0)


def may_write(family: Family, request: Request) -> bool:
    """Check the condition in the SQL of ``twotoken.statements.write_rotation``. In the model no password changes."""
    return family.generation <= request.token and not family.revoked


def nothing(family: Family) -> Family:
    """Return the row unchanged, as a retry does."""
    return family


@dataclass(frozen=True)
class Rule:
    """The server's rule: production's rule, unless a test replaces a part of it by a broken one."""

    judge: Callable[..., Verdict] = judge
    rotated: Callable[[Family, Request], Family] = rotated
    may_write: Callable[[Family, Request], bool] = may_write
    revokes: frozenset[Verdict] = frozenset({Verdict.REUSED})
    retried: Callable[[Family], Family] = nothing
    judges_again: bool = True  # after the guard refused a write
    proofs_once: bool = True
    checks_nonces: bool = True  # as with DPOP_NONCE
    sets_cookie: Callable[[int, int], bool] = int.__ne__  # by the token presented and the token answered


@dataclass(frozen=True)
class Row:
    """The columns of a family's row that ``judge`` reads."""

    generation: int
    retry_key: bytes
    is_browser: bool
    device_key: str
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
        # Pure functions of a few small values that come again and again.
        self.verdict = cache(self._verdict)
        self.serve = cache(self._serve)

    def _serve(self, is_thief: bool, request: Request, family: Family) -> Served:
        """Take the server's next step for a request. In each state a request has exactly one next step."""
        seen = request.seen
        if request.at is At.SENT:
            if is_thief and request.proof in (family.device, *([] if family.device else [THIEF])):
                family = family._replace(robbed=True)
            return request._replace(at=At.READ, seen=family, proof_age=ACCEPTED), family
        if request.at is At.READ:
            assert isinstance(seen, Family)
            return self.judged(is_thief, request, seen, family)
        if request.at is At.ROTATE:
            return self.written(is_thief, request, family)
        excuses = self.scenario.excuses
        if not (family.ended or family.robbed or excuses is None or family.excuse & excuses):
            raise BrokenError(Promise.STAYS)
        revoked = family.revoked or Verdict.REUSED in self.rule.revokes
        return self.answered(request, REFUSED), family._replace(revoked=revoked, ended=True)

    def judged(self, is_thief: bool, request: Request, seen: Family, family: Family) -> Served:
        """Judge a request by the row as the server has read it. The row may have changed since."""
        verdict = self.verdict_on(seen, request.token, request.key, request.proof)
        if verdict is Verdict.WRONG_DEVICE:
            if not is_thief:
                raise BrokenError(Promise.OWN_DEVICE)
            return self.answered(request, REFUSED), family
        if verdict is Verdict.ROTATE:
            return request._replace(at=At.ROTATE, seen=()), family
        if verdict is Verdict.REUSED:
            went_on = seen.generation - request.token > 1 or seen.key != request.key
            if not is_thief and not request.awaited and went_on:
                family = family._replace(excuse=family.excuse | Excuse.LATE)
            return request._replace(at=At.REVOKE, seen=()), family
        if verdict is not Verdict.RETRY:
            if not seen.ended and seen.since < IDLE:
                raise BrokenError(Promise.STAYS)
            return self.answered(request, REFUSED), family
        self.check_owner(is_thief, seen)
        self.check_retry(request, seen)
        after = self.rule.retried(family)
        if after != family:
            raise BrokenError(Promise.NOTHING_WRITTEN)
        return self.answered(request, seen.generation), after._replace(answered_thief=after.answered_thief or is_thief)

    def check_owner(self, is_thief: bool, family: Family) -> None:
        """Check NEVER_BOTH, if it is promised: the owner is not answered after a thief was answered."""
        if self.scenario.finds_a_thief and not is_thief and family.answered_thief:
            raise BrokenError(Promise.NEVER_BOTH)

    def check_nothing(self, request: Request, family: Family) -> None:
        """Check that a request without a proof by the family's key is refused, and that the row stays as it is."""
        for _ in range(2):
            request, after = self.serve(True, request, family)
            if after != family:
                raise BrokenError(Promise.NOTHING)
        if request.at is not At.ANSWERED or request.answer != REFUSED:
            raise BrokenError(Promise.NOTHING)

    def check_page(self, request: Request, family: Family) -> None:
        """Check that a proof which a thief signed while the page was open is not accepted when its nonce is too old."""
        if self.rule.checks_nonces:
            return  # refused, before the rule is asked
        if self.verdict_on(family, request.token, request.key, request.proof) in (Verdict.ROTATE, Verdict.RETRY):
            raise BrokenError(Promise.PAGE)

    def check_retry(self, request: Request, seen: Family) -> None:
        """Check a retry's answer against what the model knows. A broken rule may have written another row."""
        behind, grace = seen.generation - request.token, self.scenario.grace
        if seen.ended:
            raise BrokenError(Promise.DEAD)
        if seen.since >= IDLE:
            raise BrokenError(Promise.IDLE)
        if behind not in (0, 1):
            raise BrokenError(Promise.SAME)
        if seen.made_under == LOGIN:
            raise BrokenError(Promise.CURRENT)
        if request.key != seen.made_under:
            raise BrokenError(Promise.KEY)
        is_proven = self.scenario.bound == DPOP and request.proof == seen.device
        if behind == 1 and not request.key and seen.since >= grace and not is_proven:
            raise BrokenError(Promise.GRACE)
        if behind == 0 and seen.since >= (KEY_LIFE if request.key else 2 * grace):
            raise BrokenError(Promise.CURRENT)

    def written(self, is_thief: bool, request: Request, family: Family) -> Served:
        """Write the rotation to the present row, if the condition of the SQL allows it."""
        if not self.rule.may_write(family, request):
            if self.rule.judges_again:  # without end: production's 503 after four attempts is like a lost request
                return request._replace(at=At.SENT), family
            return self.answered(request, request.token + 1), family
        if family.ended:
            raise BrokenError(Promise.DEAD)
        is_second = not is_thief and request.key != 0 and request.key == family.key
        after = self.rule.rotated(family, request)._replace(
            newest=max(family.newest, request.token + 1),
            made_under=request.key,
            since=0,
            answered_thief=family.answered_thief or is_thief,
            excuse=family.excuse | (Excuse.TWICE if is_second else Excuse.NONE),
        )
        if sum(self.would_rotate(after, token) for token in range(after.newest + 1)) > 1:
            raise BrokenError(Promise.ONE_LIVE)
        if after.generation <= family.newest:
            raise BrokenError(Promise.ONCE)
        self.check_owner(is_thief, family)
        return self.answered(request, after.generation), after

    def would_rotate(self, family: Family, token: int) -> bool:
        """Tell whether a token would be rotated under a key that nobody has used before."""
        return self.verdict_on(family, token, -1, family.device) is Verdict.ROTATE

    def answered(self, request: Request, answer: int) -> Request:
        """Return the request with its answer, which is now on its way back."""
        return request._replace(at=At.ANSWERED, seen=(), answer=answer, age=request.age if self.scenario.has_key else 0)

    def verdict_on(self, family: Family, token: int, key: int, proof: int) -> Verdict:
        """Return the rule's verdict on a token, a key and a proof."""
        keys = bool(key), bool(family.key), key == family.key
        devices = family.device, proof
        return self.verdict(family.revoked, family.is_browser, family.generation, token, *keys, *devices, family.age)

    def device_key(self, device: int) -> str:
        """Return the device key of the owner or of the thief; empty for NOBODY."""
        return "" if device == NOBODY else f"{self.scenario.bound or DPOP}{device}"

    def _verdict(
        self,
        revoked: bool,
        is_browser: bool,
        generation: int,
        token: int,
        has_key: bool,
        row_has_key: bool,
        same_key: bool,
        device: int,
        proof: int,
        age: int,
    ) -> Verdict:
        row = Row(
            generation=generation,
            retry_key=b"the row's" if row_has_key else b"",
            is_browser=is_browser,
            device_key=self.device_key(device),
            refreshed_at=NOW - timedelta(seconds=age),
            revoked_at=NOW if revoked else None,
        )
        return self.rule.judge(
            row,
            generation=token,
            retry_key=b"" if not has_key else b"the row's" if same_key else b"another",
            device_key=self.device_key(proof),
            now=NOW,
            idle_limit=timedelta(seconds=IDLE),
            browser_grace=timedelta(seconds=BROWSER_GRACE),
            reuse_grace=timedelta(seconds=self.scenario.reuse_grace),
            user_is_active=True,
            password_unchanged=True,
        )
