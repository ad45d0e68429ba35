"""Explores every interleaving of a scenario: server, honest client, thief and clock, and a logout at any moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any

from tests.proof.model import (
    ACCEPTED,
    BROWSER_GRACE,
    IDLE,
    KEY_LIFE,
    NOBODY,
    NONCE_LIFE,
    OWNER,
    PROOF_LIFE,
    REFUSED,
    THIEF,
    At,
    BrokenError,
    Client,
    Doing,
    Excuse,
    Family,
    Left,
    Request,
    Scenario,
    State,
    Thief,
    Thieves,
)
from tests.proof.model_server import Rule, Server
from twotoken.dpop import DPOP

KEYS_OF_THIEF = (101, 102)


@dataclass
class Model:
    """A scenario, explored under a rule. ``transitions`` counts the steps that were explored."""

    scenario: Scenario
    rule: Rule = field(default_factory=Rule)
    transitions: int = 0

    def __post_init__(self) -> None:
        self.server = Server(self.scenario, self.rule)
        self.older_family = cache(self._older_family)
        self.owner = OWNER if self.scenario.bound else NOBODY
        # A thief with the whole storage of the device, but without the private key.
        self.proofs_of_copier = (NOBODY, THIEF) if self.rule.proofs_once else (NOBODY, THIEF, OWNER)

    def explore(self) -> int:
        """Visit every state that can be reached, the nearest first. Return how many there are. Raises BrokenError."""
        start = State(
            Family(self.scenario.is_browser, self.owner),
            Client(),
            (),
            Thief(),
            Left(self.scenario.requests, self.scenario.thefts, self.scenario.ticks),
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
        """Yield the states that can follow a state."""
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
        if family.device == OWNER:
            self.check_copier(state)
        if client.doing is not Doing.ENDED:
            yield from self.owner_steps(state)
        if thief.request is not None:
            served, after = self.server.serve(True, thief.request, family)
            yield state._replace(family=after, thief=learned(thief, served))
        elif left.thefts:
            # The thief may have copied the token long ago: tokens don't change.
            for token in thief.tokens or range(family.newest + 1):
                for request in self.crimes(state, token):
                    served, after = self.server.serve(True, request, family)
                    yield state._replace(
                        family=after,
                        thief=thief._replace(tokens=thief.tokens or (token,), request=served),
                        left=left._replace(thefts=left.thefts - 1),
                    )
        if self.scenario.thief is Thieves.PAGE and thief.closed_for < 0:
            yield state._replace(thief=thief._replace(closed_for=0))
        if not family.ended:
            # One step is enough for a logout: its write decides anew whatever its read decided.
            yield state._replace(family=family._replace(revoked=True, ended=True))
            if left.ticks:
                yield from self.ticks(state)

    # --- the honest client

    def owner_steps(self, state: State) -> Iterator[State]:
        """Yield the states that the honest client's next step can lead to."""
        if self.scenario.has_key:
            return self.client_steps(state)
        is_one = self.scenario.bound == DPOP and self.scenario.tabs == 1
        return self.bound_steps(state) if is_one else self.keyless_steps(state)

    def request(self, token: int, key: int = 0) -> Request:
        """Return a request of the owner, with a proof if the family is bound. With DBSC the proof has no age."""
        proof_age = 0 if self.scenario.bound == DPOP else ACCEPTED
        return Request(token, key, self.scenario.is_browser, self.owner, proof_age)

    def bound_steps(self, state: State) -> Iterator[State]:
        """Yield the next states of a client with proofs and no keys. Its tabs share a lock, so they are one client.

        The client may give up and send the same token again at once. It sends a newer token only when the proof of the
        given-up request is too old to be accepted. It stores token and time before it sends, so a crash is no special
        case.
        """
        client, left = state.client, state.left
        if client.doing is Doing.WAITING:
            free = client._replace(doing=Doing.IDLE, sent=REFUSED, proof_age=ACCEPTED)
            if client.proof_age < self.scenario.waits:
                free = free._replace(gave_up=client.sent, gave_up_age=client.proof_age)
            # A browser takes the cookie of an answer that came after all. A script drops the answer.
            kept = [request for request in state.network if self.scenario.is_browser or request.at is not At.ANSWERED]
            yield state._replace(client=free, network=given_up(tuple(kept)))
        elif left.requests and client.gave_up in (REFUSED, client.token):
            yield state._replace(
                client=client._replace(doing=Doing.WAITING, sent=client.token, proof_age=0),
                network=self.under_way(state.network, self.request(client.token)),
                left=left._replace(requests=left.requests - 1),
            )

    def client_steps(self, state: State) -> Iterator[State]:
        """Yield the next states of a client with a key. It stores the key, sends, stores the token, drops the key."""
        client, left = state.client, state.left
        if client.doing is Doing.IDLE and left.requests:
            keeps = client.key and (not client.key_answered or client.key_age < self.scenario.key_kept)
            key = client.key if keeps else fresh_key(state)
            yield state._replace(client=Client(client.token, key, doing=Doing.KEYED))
        elif client.doing is Doing.KEYED:
            yield state._replace(client=client._replace(doing=Doing.IDLE))
            yield state._replace(
                client=client._replace(doing=Doing.WAITING),
                network=self.under_way(state.network, self.request(client.token, client.key)),
                left=left._replace(requests=left.requests - 1),
            )
        elif client.doing is Doing.WAITING:
            yield state._replace(client=client._replace(doing=Doing.IDLE), network=given_up(state.network))
        elif client.doing is Doing.STORED:
            yield state._replace(client=client._replace(doing=Doing.IDLE))
            kept = Client(client.token, client.key, 0, True) if self.scenario.key_kept else Client(client.token)
            yield state._replace(client=kept)

    def keyless_steps(self, state: State) -> Iterator[State]:
        """Yield the next states of tabs or processes without keys, each of which sends one request at a time."""
        awaited = sum(request.awaited for request in state.network)
        if state.left.requests and awaited < self.scenario.tabs:
            yield state._replace(
                network=self.under_way(state.network, self.request(state.client.token)),
                left=state.left._replace(requests=state.left.requests - 1),
            )
        if awaited and self.scenario.gives_up:
            excused = state.family._replace(excuse=state.family.excuse | Excuse.GAVE_UP)
            yield state._replace(family=excused, network=given_up(state.network))

    def arrive(self, state: State, request: Request, others: tuple[Request, ...]) -> State:
        """Return the state after an answer arrives. A browser stores its cookie even if nobody waits for the answer."""
        family, client = state.family, state.client
        if client.doing is Doing.ENDED:
            return state._replace(network=others)
        if request.answer == REFUSED:
            return state._replace(client=client._replace(doing=Doing.ENDED), network=others)
        # A script with a key stores each answer: the worst case. Others store it if it is another token than they sent.
        stores_all = self.scenario.has_key and not self.scenario.is_browser
        token = client.token
        if stores_all or self.rule.sets_cookie(request.token, request.answer):
            token = request.answer
        if token < client.token and (self.scenario.has_key or self.scenario.bound):
            family = family._replace(excuse=family.excuse | Excuse.LATE)
        client = client._replace(token=token)
        if request.awaited and self.scenario.has_key:
            client = client._replace(doing=Doing.STORED)
        elif request.awaited:
            client = client._replace(doing=Doing.IDLE, sent=REFUSED, proof_age=ACCEPTED)
        return state._replace(family=family, client=client, network=others)

    def under_way(self, others: tuple[Request, ...], request: Request) -> tuple[Request, ...]:
        """Add a request to the network, unless its answer would be discarded. The requests' order does not matter."""
        changes_nothing = not self.scenario.is_browser or request.answer in (REFUSED, request.token)
        if request.at is At.ANSWERED and not request.awaited and changes_nothing:
            return others
        return tuple(sorted((*others, request)))

    # --- the others

    def crimes(self, state: State, token: int) -> Iterator[Request]:
        """Yield the requests that a thief may send with a token. A thief may claim anything, except a client's key.

        In a bound family, this thief can use the private key. ``check_copier`` tries the requests of other thieves.
        """
        proofs = (self.owner, THIEF) if self.scenario.offers_proof else (self.owner,)
        for key, proof in product((0, *KEYS_OF_THIEF), proofs):
            for claims_browser in (False, True):
                request = Request(token, key, claims_browser, proof)
                if self.owner and state.thief.closed_for >= NONCE_LIFE:
                    self.server.check_page(request, state.family)
                else:
                    yield request

    def check_copier(self, state: State) -> None:
        """Check that a thief who has copied everything except the private key can send nothing that has an effect."""
        keys = {0, KEYS_OF_THIEF[0], state.client.key, state.family.key}
        for token, key, proof in product(range(state.family.newest + 1), keys, self.proofs_of_copier):
            self.server.check_nothing(Request(token, key, self.scenario.is_browser, proof), state.family)

    def ticks(self, state: State) -> Iterator[State]:
        """Yield the states after the clock has moved. A prompt network delivers each request before its deadline."""
        prompt = self.scenario.prompt
        left = state.left._replace(ticks=state.left.ticks - 1)
        if self.scenario.bound == DPOP and any(is_held(request) for request in state.network):
            return
        for seconds in self.scenario.clock:
            if prompt is not None and any(request.age + seconds >= prompt for request in state.network):
                continue
            network = (self.older(request, seconds) for request in state.network)
            yield State(
                self.older_family(state.family, seconds),
                self.older_client(state.client, seconds),
                tuple(sorted(request for request in network if self.is_timely(request))),
                self.older_thief(state.thief, seconds),
                left,
            )

    def is_timely(self, request: Request) -> bool:
        """Tell whether a request can still matter. A request with too old a proof is refused and changes nothing."""
        return request.at is not At.SENT or request.proof_age < PROOF_LIFE + self.scenario.skew

    def older_client(self, client: Client, seconds: int) -> Client:
        """Let time pass for the client: its Idempotency-Key and its proofs get older."""
        if client.key_answered:
            client = client._replace(key_age=min(client.key_age + seconds, self.scenario.key_kept))
        if client.proof_age != ACCEPTED:
            client = client._replace(proof_age=min(client.proof_age + seconds, self.scenario.waits))
        if client.gave_up == REFUSED:
            return client
        age = client.gave_up_age + seconds
        if age >= self.scenario.waits:
            return client._replace(gave_up=REFUSED, gave_up_age=0)
        return client._replace(gave_up_age=age)

    def older_thief(self, thief: Thief, seconds: int) -> Thief:
        """Let time pass for a thief's request, and for the nonces that it got while the page was open."""
        if thief.request is not None:
            thief = thief._replace(request=self.older(thief.request, seconds))
        if thief.closed_for >= 0:
            thief = thief._replace(closed_for=min(thief.closed_for + seconds, NONCE_LIFE))
        return thief

    def older(self, request: Request, seconds: int) -> Request:
        """Let time pass for a request, and for the copy of the row that the server has read for it."""
        age = request.age if self.scenario.prompt is None else request.age + seconds
        seen = self.older_family(request.seen, seconds) if isinstance(request.seen, Family) else ()
        proof_age = request.proof_age if request.proof_age == ACCEPTED else request.proof_age + seconds
        return request._replace(seen=seen, age=age, proof_age=proof_age)

    def _older_family(self, family: Family, seconds: int) -> Family:
        """Let time pass for a row. From a key's minute, or three graces, to the idle limit all ages count as equal."""
        grace = BROWSER_GRACE if family.is_browser else self.scenario.grace
        bound = KEY_LIFE if family.key or family.made_under > 0 else 3 * grace
        age, since = (
            IDLE if age + seconds >= IDLE else min(age + seconds, bound) for age in (family.age, family.since)
        )
        return family._replace(age=age, since=since)


def is_held(request: Request) -> bool:
    """Tell whether the server has accepted a request's proof and not yet answered. In this state no time passes.

    Otherwise no client could wait long enough, because an accepted proof no longer gets too old.
    """
    return request.at is not At.ANSWERED and request.proof_age == ACCEPTED


def given_up(network: tuple[Request, ...]) -> tuple[Request, ...]:
    """Return the requests on the network, marked as requests that nobody waits for any more."""
    return tuple(sorted(request._replace(awaited=False) for request in network))


def learned(thief: Thief, request: Request) -> Thief:
    """Add the token of an answer to the tokens that the thief knows. A thief never loses an answer."""
    if request.at is not At.ANSWERED:
        return thief._replace(request=request)
    return thief._replace(tokens=tuple(sorted({*thief.tokens, request.answer} - {REFUSED})), request=None)


def fresh_key(state: State) -> int:
    """Return a key that is used nowhere in a state. A key that nobody remembers counts as new."""
    seen = [request.seen.key for request in state.network if isinstance(request.seen, Family)]
    used = {state.family.key, state.client.key, *seen, *(request.key for request in state.network)}
    return next(key for key in range(1, len(used) + 2) if key not in used)


def trace(came_from: dict[State, State | None], state: State | None) -> str:
    """Return the steps that lead to a state, one per line, each with the fields that it changes."""
    lines: list[str] = []
    while state is not None:
        before = came_from[state]
        if before is not None:
            lines.append(", ".join(changes("", before, state)))
        state = before
    return "\n".join(reversed(lines))


def changes(name: str, before: Any, after: Any) -> Iterator[str]:
    """Yield the differences between two states, field by field."""
    if hasattr(after, "_fields") and type(before) is type(after):
        for field_name in after._fields:
            yield from changes(f"{name}.{field_name}", getattr(before, field_name), getattr(after, field_name))
    elif before != after:
        yield f"{name[1:]}: {after!r}"
