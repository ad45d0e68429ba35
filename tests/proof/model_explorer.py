"""Every interleaving of a scenario: the server, the honest client, a thief, the clock, a logout at any moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.proof.model import (
    GRACE,
    IDLE,
    KEY_LIFE,
    REFUSED,
    At,
    BrokenError,
    Client,
    Doing,
    Excuse,
    Family,
    Left,
    Maker,
    Request,
    Scenario,
    State,
    Thief,
)
from tests.proof.model_server import Rule, Server

KEYS_OF_THIEF = (101, 102)


@dataclass
class Model:
    """A scenario under a rule. ``transitions`` counts how many were explored."""

    scenario: Scenario
    rule: Rule = field(default_factory=Rule)
    transitions: int = 0

    def __post_init__(self) -> None:
        self.server = Server(self.scenario, self.rule)

    def explore(self) -> int:
        """Visit every state that can be reached, the nearest first; return how many. Raises BrokenError."""
        start = State(
            Family(), Client(), (), Thief(), Left(self.scenario.requests, self.scenario.thefts, self.scenario.ticks)
        )
        came_from: dict[State, State | None] = {start: None}
        waiting = deque([start])
        while waiting:
            state = waiting.popleft()
            try:
                for after in self.steps(state):
                    self.transitions += 1
                    if after not in came_from:
                        came_from[after] = state
                        waiting.append(after)
            except BrokenError as exc:
                raise BrokenError(exc.promise, trace(came_from, state)) from exc
        return len(came_from)

    def steps(self, state: State) -> Iterator[State]:
        """Yield what may come next."""
        family, client, network, thief, left = state
        for place, request in enumerate(network):
            others = network[:place] + network[place + 1 :]
            if request.at is At.ANSWERED:
                yield self.arrive(state, request, others)
            else:
                served, after = self.server.serve(False, request, family)
                yield state._replace(family=after, network=self.under_way(others, served))
            if self.scenario.prompt is not None and self.scenario.gives_up and not request.awaited:
                yield state._replace(network=others)
        if client.doing is not Doing.ENDED:
            yield from self.client_steps(state) if self.scenario.has_key else self.keyless_steps(state)
        if thief.request is not None:
            served, after = self.server.serve(True, thief.request, family)
            yield state._replace(family=after, thief=learned(thief, served))
        elif left.thefts:
            # It may have taken the token long ago: tokens don't change.
            for token in thief.tokens or range(family.newest + 1):
                for request in self.crimes(token):
                    served, after = self.server.serve(True, request, family)
                    yield state._replace(
                        family=after,
                        thief=Thief(thief.tokens or (token,), served),
                        left=left._replace(thefts=left.thefts - 1),
                    )
        if not family.ended:
            # A logout's read decides nothing that its write does not decide again: one step is enough.
            yield state._replace(family=family._replace(revoked=True, ended=True))
            if left.ticks:
                yield from self.ticks(state)

    # --- the honest client

    def client_steps(self, state: State) -> Iterator[State]:
        """The discipline of a key: written down, sent, token stored, key forgotten; a crash between any two."""
        client, left = state.client, state.left
        if client.doing is Doing.IDLE and left.requests:
            keeps = client.key and (not client.key_answered or client.key_age < self.scenario.key_kept)
            key = client.key if keeps else fresh_key(state)
            yield state._replace(client=Client(client.token, key, doing=Doing.KEYED))
        elif client.doing is Doing.KEYED:
            yield state._replace(client=client._replace(doing=Doing.IDLE))
            yield state._replace(
                client=client._replace(doing=Doing.WAITING),
                network=self.under_way(state.network, Request(client.token, client.key, self.scenario.is_browser)),
                left=left._replace(requests=left.requests - 1),
            )
        elif client.doing is Doing.WAITING:
            yield state._replace(client=client._replace(doing=Doing.IDLE), network=given_up(state.network))
        elif client.doing is Doing.STORED:
            yield state._replace(client=client._replace(doing=Doing.IDLE))
            kept = Client(client.token, client.key, 0, True) if self.scenario.key_kept else Client(client.token)
            yield state._replace(client=kept)

    def keyless_steps(self, state: State) -> Iterator[State]:
        """Tabs that know nothing of each other, or a script that takes one step after the other."""
        awaited = sum(request.awaited for request in state.network)
        if state.left.requests and awaited < self.scenario.tabs:
            yield state._replace(
                network=self.under_way(state.network, Request(state.client.token, 0, self.scenario.is_browser)),
                left=state.left._replace(requests=state.left.requests - 1),
            )
        if awaited and self.scenario.gives_up:
            excused = state.family._replace(excuse=state.family.excuse | Excuse.GAVE_UP)
            yield state._replace(family=excused, network=given_up(state.network))

    def arrive(self, state: State, request: Request, others: tuple[Request, ...]) -> State:
        """An answer arrives. A browser takes its cookie even where nobody waits for it any more."""
        family, client = state.family, state.client
        if client.doing is Doing.ENDED:
            return state._replace(network=others)
        if request.answer == REFUSED:
            return state._replace(client=client._replace(doing=Doing.ENDED), network=others)
        token = client.token
        if not self.scenario.is_browser or self.rule.sets_cookie(request.token, request.answer):
            token = request.answer
        if token < client.token and self.scenario.has_key:
            family = family._replace(excuse=family.excuse | Excuse.LATE)
        doing = Doing.STORED if request.awaited and self.scenario.has_key else client.doing
        return state._replace(family=family, client=client._replace(token=token, doing=doing), network=others)

    def under_way(self, others: tuple[Request, ...], request: Request) -> tuple[Request, ...]:
        """Put a request on its way, unless nobody takes its answer. The order of requests means nothing."""
        changes_nothing = not self.scenario.is_browser or request.answer in (REFUSED, request.token)
        if request.at is At.ANSWERED and not request.awaited and changes_nothing:
            return others
        return tuple(sorted((*others, request)))

    # --- the others

    def crimes(self, token: int) -> Iterator[Request]:
        """What a thief may do with a token: pose as a script or a browser, with no key or one of its own."""
        yield Request(token, 0, is_browser=False)
        yield Request(token, 0, is_browser=True)
        for key in KEYS_OF_THIEF:
            yield Request(token, key, is_browser=True)

    def ticks(self, state: State) -> Iterator[State]:
        """Time passes. Where the network is prompt, only as far as what is under way allows."""
        prompt = self.scenario.prompt
        left = state.left._replace(ticks=state.left.ticks - 1)
        for seconds in self.scenario.clock:
            if prompt is not None and any(request.age + seconds >= prompt for request in state.network):
                continue
            client, request = state.client, state.thief.request
            if client.key_answered:
                client = client._replace(key_age=min(client.key_age + seconds, self.scenario.key_kept))
            yield State(
                older_family(state.family, seconds),
                client,
                tuple(sorted(self.older(request, seconds) for request in state.network)),
                state.thief if request is None else state.thief._replace(request=self.older(request, seconds)),
                left,
            )

    def older(self, request: Request, seconds: int) -> Request:
        """Let time pass for a request, and for the row as it has read it."""
        age = request.age if self.scenario.prompt is None else request.age + seconds
        seen = older_family(request.seen, seconds) if isinstance(request.seen, Family) else ()
        return request._replace(seen=seen, age=age)


@cache
def older_family(family: Family, seconds: int) -> Family:
    """Let time pass, up to where no more of it makes a difference but the idle limit."""
    bound = KEY_LIFE if family.key else 3 * GRACE if family.grace or family.maker is Maker.BROWSER else 0
    age, since = (IDLE if age + seconds >= IDLE else min(age + seconds, bound) for age in (family.age, family.since))
    return family._replace(age=age, since=since)


def given_up(network: tuple[Request, ...]) -> tuple[Request, ...]:
    """Return what is under way when its sender has stopped to wait."""
    return tuple(sorted(request._replace(awaited=False) for request in network))


def learned(thief: Thief, request: Request) -> Thief:
    """A thief loses no answer."""
    if request.at is not At.ANSWERED:
        return thief._replace(request=request)
    return Thief(tuple(sorted({*thief.tokens, request.answer} - {REFUSED})))


def fresh_key(state: State) -> int:
    """Return a key that nobody has: one that nobody remembers is as good as new."""
    seen = [request.seen.key for request in state.network if isinstance(request.seen, Family)]
    used = {state.family.key, state.client.key, *seen, *(request.key for request in state.network)}
    return next(key for key in range(1, len(used) + 2) if key not in used)


def trace(came_from: dict[State, State | None], state: State | None) -> str:
    """Return how a state was come to: what changed, a step a line."""
    lines: list[str] = []
    while state is not None:
        before = came_from[state]
        if before is not None:
            lines.append(", ".join(changes("", before, state)))
        state = before
    return "\n".join(reversed(lines))


def changes(name: str, before: Any, after: Any) -> Iterator[str]:
    """Yield what differs, field by field."""
    if hasattr(after, "_fields") and type(before) is type(after):
        for field_name in after._fields:
            yield from changes(f"{name}.{field_name}", getattr(before, field_name), getattr(after, field_name))
    elif before != after:
        yield f"{name[1:]}: {after!r}"
