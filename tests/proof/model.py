"""The rule of rotation among all who may meet it, as a state machine that is explored to its last state.

What decides is ``twotoken.families.rule`` itself. Around it stand, as small steps that may interleave in any order: the
server (read the row, judge, write under the guard, judge again where the guard held it off, revoke), one honest
client, its network, a thief, the clock, and a logout or revocation at any moment. A step that never comes stands for
a lost request, a lost answer or a server that died, so these need no steps of their own.

A refresh token is a pure function of row and generation, so here it is its generation. Ages instead of times, and
what can't be told apart any more made equal: that is why the whole is finite, and small.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag, auto
from typing import NamedTuple

# All times are in seconds.
GRACE = 10
KEY_LIFE = 60
KEY_KEPT = 30  # by the client, after its last use
IDLE = 7 * 24 * 3600

REFUSED = -1


class Promise(Enum):
    """What holds in every state, whoever does what in whatever order."""

    ONE_LIVE = "Never would two tokens of a family both be taken for a new rotation."
    ONCE = "No token is rotated twice."
    DEAD = "Once a logout, revocation or reuse has been answered, no request that comes after is, and nothing rotates."
    IDLE = "A family that was left alone for the idle limit answers nobody."
    STAYS = "A client that nobody robbed is ended only by a logout, a revocation, the idle limit, or its own Excuse."
    NEVER_BOTH = "After a thief's refresh none of the keyed client's is answered: both are never there beyond the next."
    KEY = (
        "What was rotated under a key is given again only to who shows that key, "
        "and what a script rotated without one, to nobody: a thief who poses as a browser gains nothing."
    )
    WITHIN_GRACE = (
        "What a browser rotated without a key is given again within the grace only: "
        "thief and victim can both stay only while each refreshes within the grace of the other."
    )
    SAME = "An answer is the token presented or the one made from it: a retry gets the very token that it missed."
    CURRENT = "A current token is answered with itself for a minute under its key, for twice the grace without one."
    NOTHING_WRITTEN = "A retry writes nothing and moves no clock."


class Excuse(IntFlag):
    """What may end a client that nobody robbed."""

    NONE = 0
    # A request or an answer that it had stopped to wait for came when the client had gone on with another key.
    LATE = auto()
    # A key was sent again with the token that it had made, a minute after, and made another. If that answer gets lost
    # while an earlier one under this key arrives, the client takes the key for done and never learns of the rotation.
    # That is the price of the minute. Rejected: a key that is good for ever, for who always sends the same one would
    # never rotate.
    TWICE = auto()
    GAVE_UP = auto()  # a request without a key


class BrokenError(Exception):
    """A promise does not hold. ``trace`` is how it came to that, one state a line."""

    def __init__(self, promise: Promise, trace: str = "") -> None:
        super().__init__(promise, trace)
        self.promise, self.trace = promise, trace

    def __str__(self) -> str:
        return f"{self.promise.name}: {self.promise.value}\n{self.trace}"


class Maker(IntEnum):
    """Who made the family's last rotation."""

    LOGIN = auto()
    KEY = auto()
    BROWSER = auto()
    SCRIPT = auto()


class At(IntEnum):
    """How far a request has come."""

    SENT = auto()
    READ = auto()
    ROTATE = auto()
    REVOKE = auto()
    ANSWERED = auto()


class Doing(IntEnum):
    """What the client does. ``IDLE`` and ``ENDED`` for tabs without a key: of them it is known what is under way."""

    IDLE = auto()
    KEYED = auto()
    WAITING = auto()
    STORED = auto()
    ENDED = auto()


class Family(NamedTuple):
    """The row, and after it what only the model knows, to check the row by."""

    generation: int = 0
    key: int = 0
    grace: int = 0
    age: int = 0
    revoked: bool = False

    newest: int = 0  # of all generations that were ever handed out
    maker: Maker = Maker.LOGIN
    since: int = 0  # the last rotation, truly
    ended: bool = False  # by a logout, revocation or reuse that was answered
    robbed: bool = False  # a thief has acted
    answered_thief: bool = False
    excuse: Excuse = Excuse.NONE


class Request(NamedTuple):
    """A refresh under way. Its sender waits for it as long as it is ``awaited``."""

    token: int
    key: int
    is_browser: bool
    awaited: bool = True
    at: At = At.SENT
    seen: Family | tuple[()] = ()
    answer: int = 0
    age: int = 0  # of the way there, then of the way back; counted where the network is prompt


class Client(NamedTuple):
    """What the honest client keeps. Tabs share it."""

    token: int = 0
    key: int = 0
    key_age: int = 0
    key_answered: bool = False
    doing: Doing = Doing.IDLE


class Thief(NamedTuple):
    """The tokens that a thief knows, and its request under way."""

    tokens: tuple[int, ...] = ()
    request: Request | None = None


class Left(NamedTuple):
    """What bounds the model."""

    requests: int
    thefts: int
    ticks: int


class State(NamedTuple):
    """Everything."""

    family: Family
    client: Client
    network: tuple[Request, ...]
    thief: Thief
    left: Left


@dataclass(frozen=True)
class Scenario:
    """The kind of client, and the bound."""

    name: str
    has_key: bool
    is_browser: bool
    requests: int
    thefts: int = 0  # requests of the thief
    ticks: int = 0
    clock: tuple[int, ...] = ()  # how far one tick may go
    tabs: int = 1  # how many requests of a client without a key may be under way at once
    gives_up: bool = True  # stops to wait, at any moment: for a timeout, or because it crashed
    prompt: int | None = None  # there and back takes less, or, without a key, each way; None: any time
    key_kept: int = KEY_KEPT
    excuses: Excuse | None = Excuse.NONE  # None: nothing is promised to this client
