"""A model of the rotation rule and everyone who uses it: a state machine of which the tests explore every state.

The verdicts come from ``twotoken.families.rule.judge`` itself. The model adds the server, an honest client (the owner),
its network, a thief, the clock, and a logout or revocation at any moment. They act in small steps, which may interleave
in any order. The server's steps are: read the row, judge, write if the condition of the SQL holds, judge again if it
does not, revoke. If a step never comes, this stands for a lost request, a lost answer or a server that died.

A thief may claim whatever a request can claim: any token that was ever handed out, no key or a key of its own, and to
be a browser at the cookie mount or a script at the body mount.

A family may be bound to the key of a device. Then, in every state, a thief without the private key tries every token,
every Idempotency-Key, also that of the client, and every proof that it can get. A second kind of thief can also use the
private key. It can do so always or, as a script in the client's page, only while this page is open. Such a script also
signs proofs for later.

A refresh token is a pure function of the row and a generation, so the model represents a token by its generation. The
model keeps ages instead of times. If two states differ only in what can't matter later, the model treats them as one
state. So the number of states is finite, and small.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag, auto
from typing import NamedTuple

# All times are in seconds.
BROWSER_GRACE = 10
KEY_LIFE = 60
KEY_KEPT = 30  # by the client, after its last use
IDLE = 7 * 24 * 3600
PROOF_LIFE = 60  # how long the server accepts a proof
NONCE_LIFE = 60  # how long it accepts a nonce. In the model it only has to end

# Whose key a family is bound to, and by whose key a request has a proof.
NOBODY, OWNER, THIEF = 0, 1, 2
ACCEPTED = -1  # in place of a proof's age: the server checked it, or there is none

REFUSED = -1
LOGIN = -1  # in place of the last rotation's key: there was no rotation yet


class Promise(Enum):
    """A property that holds in every state, whatever everyone does, in any order."""

    ONE_LIVE = "At no moment would the rule rotate two tokens of one family."
    ONCE = "No token is rotated twice."
    DEAD = "After a logout, revocation or reuse has been answered, no later request is answered, and nothing rotates."
    IDLE = "A family that nobody has refreshed for the idle limit answers nobody."
    STAYS = (
        "A client that nobody robbed loses its family only by a logout, a revocation, the idle limit, or an Excuse "
        "of its own."
    )
    NEVER_BOTH = (
        "After a thief was answered, the owner is not answered again, so thief and owner never both stay beyond the "
        "owner's next refresh. Holds for clients that send keys, and for scripts without keys if REUSE_GRACE is 0."
    )
    KEY = "A rotation under a key is repeated only for a request with that key."
    GRACE = (
        "A rotation without a key is repeated only within the family's grace: BROWSER_GRACE if a browser logged in, "
        "else REUSE_GRACE, whatever a later request claims to be. So thief and owner can both stay only while each "
        "refreshes within the grace of the other."
    )
    SAME = "An answer is the token presented or the one made from it: a retry gets the very token that it missed."
    CURRENT = (
        "The current token is answered with itself only after a rotation: for a minute under its key, for twice the "
        "grace without a key."
    )
    NOTHING = (
        "A thief who has every token, every Idempotency-Key and every used proof of a bound family, but not its "
        "private key, gets nothing: no answer, nothing is written, and the family goes on."
    )
    PAGE = (
        "A thief who can have proofs made only while the owner's page is open is answered no more when the page is "
        "closed and the nonces of that time are too old."
    )
    OWN_DEVICE = "The owner is never refused as another device, so nobody else binds the family."
    NOTHING_WRITTEN = "A retry writes nothing and moves no clock."


class Excuse(IntFlag):
    """A reason for which an honest client may lose its family although nobody stole its tokens."""

    NONE = 0
    # The client stopped waiting for a request, and the request or its answer arrived after the client had gone on with
    # another key.
    LATE = auto()
    # The client sent a key again with the token that this key had made, after the key's minute, so the key made another
    # token. If that answer is lost while an earlier one under the same key arrives, the client forgets the key and
    # never learns of the rotation. That is the price of the minute. Rejected: a key that is good for ever, because a
    # client that always sends the same key would never rotate.
    TWICE = auto()
    GAVE_UP = auto()  # the client stopped waiting for a request without a key


class Thieves(Enum):
    """What a thief of a bound family has in addition to its tokens."""

    NO_KEY = auto()  # every Idempotency-Key, and every proof that was used
    PAGE = auto()  # proofs by the private key as long as the owner's page is open, for later too
    KEY = auto()  # the private key; or, bound by DBSC, the device cookie


class BrokenError(Exception):
    """A promise does not hold in some state. ``trace`` has the steps that lead to this state, one per line."""

    def __init__(self, promise: Promise, trace: str = "") -> None:
        super().__init__(promise, trace)
        self.promise, self.trace = promise, trace

    def __str__(self) -> str:
        return f"{self.promise.name}: {self.promise.value}\n{self.trace}"


class At(IntEnum):
    """How far the server has come with a request."""

    SENT = auto()
    READ = auto()
    ROTATE = auto()
    REVOKE = auto()
    ANSWERED = auto()


class Doing(IntEnum):
    """What the client is doing. A client that sends neither keys nor proofs is always ``IDLE`` or ``ENDED``."""

    IDLE = auto()
    KEYED = auto()
    WAITING = auto()
    STORED = auto()
    ENDED = auto()


class Family(NamedTuple):
    """A family: first the columns of its row, and then what only the model knows, to check the answers."""

    is_browser: bool
    device: int = NOBODY
    generation: int = 0
    key: int = 0
    age: int = 0
    revoked: bool = False

    newest: int = 0  # of all generations that were ever handed out
    made_under: int = LOGIN  # the key of the request that made the last rotation, or 0 if it had none
    since: int = 0  # the last rotation, truly
    ended: bool = False  # by a logout, revocation or reuse that was answered
    robbed: bool = False  # a thief has acted
    answered_thief: bool = False
    excuse: Excuse = Excuse.NONE


class Request(NamedTuple):
    """A refresh under way. ``awaited`` says whether its sender still waits for the answer."""

    token: int
    key: int
    claims_browser: bool  # the cookie mount and the headers of a browser: anyone can send these
    proof: int = NOBODY
    proof_age: int = ACCEPTED
    awaited: bool = True
    at: At = At.SENT
    seen: Family | tuple[()] = ()
    answer: int = 0
    age: int = 0  # of the way there, then of the way back; counted where the network is prompt


class Client(NamedTuple):
    """What the honest client stores. Its tabs, or the processes of one script, share these values."""

    token: int = 0
    key: int = 0
    key_age: int = 0
    key_answered: bool = False
    doing: Doing = Doing.IDLE
    sent: int = REFUSED  # the token of the request that a bound client waits for
    proof_age: int = ACCEPTED  # of that request
    gave_up: int = REFUSED  # the token of a request that it gave up, whose proof is not old enough yet
    gave_up_age: int = 0  # the age of that proof, the youngest one


class Thief(NamedTuple):
    """The tokens that a thief knows, and its request under way."""

    tokens: tuple[int, ...] = ()
    request: Request | None = None
    closed_for: int = -1  # the age of the moment when the owner closed the page; -1: it is open


class Left(NamedTuple):
    """The numbers of requests, thefts and ticks that may still come, which bound the model."""

    requests: int
    thefts: int
    ticks: int


class State(NamedTuple):
    """The whole state: server, client, thief, network and clock."""

    family: Family
    client: Client
    network: tuple[Request, ...]
    thief: Thief
    left: Left


@dataclass(frozen=True)
class Scenario:
    """The kinds of client, network and thief, and the bound of the exploration."""

    name: str
    has_key: bool
    is_browser: bool  # settled at login
    requests: int
    thefts: int = 0  # requests of the thief
    ticks: int = 0
    clock: tuple[int, ...] = ()  # how far one tick may go
    tabs: int = 1  # how many requests of a client without a key may be under way at once
    gives_up: bool = True  # stops waiting, at any moment: after a timeout, or because it crashed
    prompt: int | None = None  # there and back takes less, or, without a key, each way; None: any time
    key_kept: int = KEY_KEPT
    excuses: Excuse | None = Excuse.NONE  # None: STAYS is not promised to this client
    reuse_grace: int = 0
    bound: str = ""  # the prefix of the device key: DPoP or DBSC
    thief: Thieves = Thieves.NO_KEY  # of a bound family
    offers_proof: bool = False  # the thief of a family that is not bound sends a proof by a key of its own
    waits: int = PROOF_LIFE  # before a newer token than that of a request given up: until its proof is so old
    skew: int = 0  # how far the client's clock is ahead: the server accepts its proofs so much longer

    @property
    def grace(self) -> int:
        """Return for how many seconds the family's last rotation may be retried without a key."""
        return BROWSER_GRACE if self.is_browser else self.reuse_grace

    @property
    def finds_a_thief(self) -> bool:
        """Tell whether NEVER_BOTH is promised: to clients with keys, and to unbound clients without a grace."""
        return self.has_key or not (self.grace or self.bound)
