"""The protocol of the client for scripts, without network and clock: the tests give it a list of answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Any, TypeVar

import pytest

from twotoken.contrib.scripts import (
    Answer,
    FileStore,
    Flow,
    LoginFailed,
    Lost,
    MemoryStore,
    Pause,
    Post,
    SessionEnded,
    StepUpRequired,
    Store,
    StoreError,
    TokenAuthError,
    TokenProtocol,
    Unavailable,
    UnexpectedAnswer,
    answer,
)
from twotoken.contrib.scripts.base import BaseTokenAuth
from twotoken.contrib.scripts.options import Options
from twotoken.contrib.scripts.session import Session, from_json, to_json
from twotoken.dpop import token_hash
from twotoken.keys import b64decode

T = TypeVar("T")

URL = "https://api.example.com/api/app/auth/"
OTHER = "https://notes.example.com/"
ANN = {"username": "ann", "password": "correct horse"}
LIFE = 900
START = 1_700_000_000.0
LOST = Lost(ConnectionError("gone"))


def refusal(reason: str) -> Answer:
    """Return the server's 401 to a refresh, with this reason."""
    return Answer(401, {"detail": "No.", "code": "token_not_valid", "reason": reason}, {})


def pair(number: int) -> Answer:
    """Return an answer with the tokens of this number: ``a1`` and ``r1`` for 1."""
    return Answer(200, {"access": f"a{number}", "expires_in": LIFE, "refresh": f"r{number}"}, {})


def claims_of(proof: str) -> Any:
    """Return the claims of a DPoP proof, unverified."""
    return json.loads(b64decode(proof.split(".")[1]))


def busy(status: int, retry_after: str = "") -> Answer:
    """Return the answer of a busy server, with Retry-After if it is given."""
    return Answer(status, None, {"Retry-After": retry_after} if retry_after else {})


@dataclass
class Sent:
    """A request that the client sent, and the session that was in the store at that time."""

    path: str
    body: Mapping[str, Any]
    key: str
    stored: Session


class World:
    """A client of a server that gives these answers in turn. The clock moves only while the client waits."""

    def __init__(self, *answers: Answer | Lost, store: Store | None = None, **options: Any) -> None:
        self.now = START
        self.answers = list(answers)
        self.sent: list[Sent] = []
        self.proofs: list[str] = []
        self.pauses: list[float] = []
        self.store = store or MemoryStore()
        given = {"auth_url": URL, "credentials": ANN, **options}
        self.protocol = TokenProtocol(Options(**given, now=lambda: self.now, random=lambda: 0.5), self.store)

    def run(self, flow: Flow[T]) -> T:
        """Do all steps of a flow, and return the result of the flow."""
        result: Any = None
        try:
            while True:
                result = self.do(flow.send(result))
        except StopIteration as stop:
            value: T = stop.value
            return value

    def do(self, step: Any) -> Any:
        """Do one step of a flow: send a request, wait, or store a session."""
        if isinstance(step, Post):
            key = step.headers.get("Idempotency-Key", "")
            self.proofs.append(step.headers.get("DPoP", ""))
            self.sent.append(Sent(step.url.removeprefix(URL), step.body, key, self.store.load()))
            return self.answers.pop(0)
        if isinstance(step, Pause):
            self.pauses.append(step.seconds)
            self.now += step.seconds
        else:
            self.store.save(step.session)
        return None

    def token(self, stale: str = "") -> str:
        """Return an access token of the client, but not ``stale``, which the API has refused."""
        return self.run(self.protocol.token(stale))

    @property
    def paths(self) -> list[str]:
        """Return the paths of the sent requests."""
        return [sent.path for sent in self.sent]


def test_it_logs_in_once() -> None:
    """The first request logs in, and the next ones use its token."""
    world = World(pair(1))
    assert [world.token(), world.token()] == ["a1", "a1"]
    assert [(sent.path, sent.body, sent.key) for sent in world.sent] == [("login/", ANN, "")]


def test_it_refreshes_early() -> None:
    """A client refreshes in the last quarter of the token's life. It stores the Idempotency-Key before the request."""
    world = World(pair(1), pair(2))
    world.token()
    world.now += LIFE * 0.7
    assert world.token() == "a1"
    world.now += LIFE * 0.06
    assert world.token() == "a2"
    sent = world.sent[1]
    assert (sent.path, sent.body) == ("refresh/", {"refresh": "r1"})
    assert len(sent.key) >= 20
    assert (sent.stored.key, sent.stored.key_answered, sent.stored.refresh) == (sent.key, False, "r1")
    stored = world.store.load()
    assert (stored.key, stored.key_answered, stored.refresh) == (sent.key, True, "r2")


@pytest.mark.parametrize(("seconds", "is_kept"), [(29, True), (31, False), (-31, False)])
def test_a_key_is_kept_for_thirty_seconds(seconds: float, is_kept: bool) -> None:
    """An Idempotency-Key is used for thirty seconds, so that requests that overtake each other have the same key."""
    world = World(pair(1), pair(2), pair(3))
    world.token()
    world.token("a1")
    world.now += seconds
    world.token("a2")
    assert (world.sent[1].key == world.sent[2].key) is is_kept


def test_a_key_without_an_answer_is_used_again() -> None:
    """If a refresh gets no answer, the next one has the same Idempotency-Key, even hours later in another process."""
    world = World(pair(1), *[LOST] * 20, patience=1)
    world.token()
    with pytest.raises(Unavailable, match="gone") as caught:
        world.token("a1")
    assert caught.value.__cause__ is LOST.error
    assert 2 <= len(world.pauses) <= 6
    assert world.pauses == sorted(world.pauses)
    assert world.now <= START + 1
    restarted = World(pair(2), store=world.store)
    restarted.now = world.now + 7200
    assert restarted.token() == "a2"
    assert {sent.key for sent in [*world.sent[1:], *restarted.sent]} == {world.sent[1].key}


def test_an_answered_key_that_is_sent_again_has_no_answer() -> None:
    """If the second refresh with an Idempotency-Key gets no answer, the third has this key too: a new key is reuse."""
    world = World(pair(1), pair(2), pair(2), patience=0)
    world.token()
    world.token("a1")
    world.answers = [LOST]
    with pytest.raises(Unavailable):
        world.token("a2")
    world.now += 60
    world.answers = [pair(3)]
    assert world.token("a2") == "a3"
    assert len({sent.key for sent in world.sent[1:]}) == 1


@pytest.mark.parametrize("lost", [LOST, busy(502), busy(503), busy(504), busy(503, "2"), busy(429, "2")])
def test_it_tries_again(lost: Answer | Lost) -> None:
    """If an answer is lost or the server is busy, the client pauses and sends the same request again."""
    world = World(lost, pair(1), lost, lost, pair(2))
    assert [world.token(), world.token("a1")] == ["a1", "a2"]
    assert world.paths == ["login/", "login/", "refresh/", "refresh/", "refresh/"]
    assert len({sent.key for sent in world.sent[2:]}) == 1
    pauses = [2.0] * 3 if isinstance(lost, Answer) and lost.headers else [0.1875, 0.1875, 0.375]
    assert world.pauses == pauses


@pytest.mark.parametrize("retry_after", ["600", formatdate(START + 600, usegmt=True)])
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_patience(status: int, retry_after: str) -> None:
    """Until the time of Retry-After is over, no process sends a request. The session stays in the store."""
    world = World(pair(1), busy(status, retry_after))
    world.token()
    with pytest.raises(Unavailable, match=str(status)) as caught:
        world.token("a1")
    assert (caught.value.retry_after, world.pauses) == (600, [])
    other = World(store=world.store)
    other.now += 100
    with pytest.raises(Unavailable, match="500 seconds") as caught:
        other.token("a1")
    assert caught.value.retry_after == 500
    other.now, other.answers = START + 590, [pair(2)]
    assert other.token("a1") == "a2"
    assert other.pauses == [10]


@pytest.mark.parametrize("value", ["soon", "-1", "9" * 400, ""])
def test_a_retry_after_that_says_nothing(value: str) -> None:
    """A Retry-After that is invalid is ignored, and one that is too long counts as an hour."""
    world = World(busy(429, value), patience=0)
    with pytest.raises(Unavailable) as caught:
        world.token()
    assert caught.value.retry_after in (0, 3600)


def test_a_clock_that_was_set_back() -> None:
    """If the stored wait ends in more than an hour, it is ignored, because the clock was set back."""
    world = World(busy(429, "600"), pair(1))
    with pytest.raises(Unavailable):
        world.token()
    world.now -= 7200
    assert world.token() == "a1"


def test_an_early_refresh_that_fails() -> None:
    """If an early refresh fails, the old token is used, and no request is sent for ten seconds."""
    world = World(pair(1), LOST, pair(2))
    world.token()
    world.now += LIFE * 0.9
    assert [world.token(), world.token()] == ["a1", "a1"]
    assert world.pauses == []
    world.now += 11
    assert world.token() == "a2"
    assert world.sent[1].key == world.sent[2].key


def test_an_expired_token_is_not_sent() -> None:
    """If an expired token can't be refreshed, the call raises an error."""
    world = World(pair(1), LOST, patience=0)
    world.token()
    world.now += LIFE
    with pytest.raises(Unavailable):
        world.token()


def test_a_401_with_an_older_token() -> None:
    """If the API refused an older token, the client uses the newer one in the store, and does not refresh."""
    world = World(pair(1), pair(2))
    world.token()
    assert [world.token("a1"), world.token("a1"), world.token("a0")] == ["a2", "a2", "a2"]
    assert world.paths == ["login/", "refresh/"]


@pytest.mark.parametrize("reason", ["expired", "revoked", "reused", "password_changed"])
def test_a_session_that_ended(reason: str) -> None:
    """If the session has ended, a client with credentials logs in again. Without them each call raises SessionEnded."""
    world = World(pair(1), refusal(reason), pair(2))
    world.token()
    assert world.token("a1") == "a2"
    assert (world.paths, world.store.load().key) == (["login/", "refresh/", "login/"], "")
    world = World(refusal(reason), credentials=None, refresh="r0")
    for _ in range(2):
        with pytest.raises(SessionEnded) as caught:
            world.token()
        assert caught.value.reason == reason
    assert len(world.sent) == 1


def test_no_session_and_no_credentials() -> None:
    """Without a session and without credentials the call raises SessionEnded."""
    with pytest.raises(SessionEnded, match="no credentials") as caught:
        World(credentials=None).token()
    assert caught.value.reason == "missing"


FIELDS = {"username": ["This field is required."]}


@pytest.mark.parametrize(
    ("refused", "message", "code", "fields"),
    [
        (Answer(401, {"detail": "Wrong.", "code": "no_active_account"}, {}), "Wrong.", "no_active_account", {}),
        (Answer(403, {"detail": "Locked.", "code": "locked"}, {}), "Locked.", "locked", {}),
        (Answer(400, FIELDS, {}), f"The login was refused: {FIELDS}", "", FIELDS),
    ],
)
def test_credentials_that_are_refused(refused: Answer, message: str, code: str, fields: Any) -> None:
    """Refused credentials are not sent again, because that could lock the account. A callable may return new ones."""
    world = World(refused)
    for _ in range(2):
        with pytest.raises(LoginFailed) as caught:
            world.token()
        assert (str(caught.value), caught.value.code, caught.value.fields) == (message, code, fields)
    assert len(world.sent) == 1
    given = iter([ANN, {**ANN, "password": "right"}, None])
    world = World(refused, pair(1), refusal("revoked"), credentials=lambda: next(given))
    with pytest.raises(LoginFailed):
        world.token()
    assert world.token() == "a1"
    with pytest.raises(SessionEnded) as ended:
        world.token("a1")
    assert ended.value.reason == "revoked"


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (Answer(200, {"access": "a1", "expires_in": 900}, {}), "delivery 'body'"),
        (Answer(200, None, {}), "delivery 'body'"),
        (Answer(200, {"access": "a1", "expires_in": True, "refresh": "r1"}, {}), "delivery 'body'"),
        (Answer(200, {"access": "a1", "expires_in": 900, "refresh": ""}, {}), "delivery 'body'"),
        (Answer(301, None, {"Location": "https://other.example.com/"}), "301, to https://other.example.com/"),
        (Answer(401, None, {}), "401"),
        (Answer(404, {"detail": "Not found."}, {}), "Not found"),
        (Answer(500, None, {}), "500"),
    ],
)
def test_answers_that_are_not_twotoken_s(odd: Answer, message: str) -> None:
    """An unexpected answer, such as a proxy's page, raises UnexpectedAnswer, and the session stays."""
    with pytest.raises(UnexpectedAnswer, match=message) as caught:
        World(odd).token()
    assert caught.value.status == odd.status
    world = World(pair(1), odd, pair(2))
    world.token()
    with pytest.raises(UnexpectedAnswer):
        world.token("a1")
    assert world.token("a1") == "a2"
    assert world.paths == ["login/", "refresh/", "refresh/"]


def test_a_refresh_token_to_begin_with() -> None:
    """The given refresh token is used once, and later the stored one. Another given token starts another session."""
    world = World(pair(1), credentials=None, refresh="r0")
    assert world.token() == "a1"
    restarted = World(pair(2), credentials=None, refresh="r0", store=world.store)
    assert [restarted.token(), restarted.token("a1")] == ["a1", "a2"]
    assert restarted.sent[0].body == {"refresh": "r1"}
    another = World(pair(3), credentials=None, refresh="another token", store=world.store)
    assert another.token() == "a3"
    assert another.sent[0].body == {"refresh": "another token"}
    assert "another token" not in to_json(world.store.load())


def test_a_store_of_another_session() -> None:
    """If the stored session is of another server or account, StoreError is raised, and no token is sent."""
    world = World(pair(1))
    world.token()
    with pytest.raises(StoreError, match="not at https://other"):
        World(store=world.store, auth_url="https://other.example.com/auth").token()
    with pytest.raises(StoreError, match="'ann', not of 'bob'"):
        World(store=world.store, credentials={**ANN, "username": "bob"}).token()
    assert World(store=world.store, credentials=None).token() == "a1"


def test_it_waits_for_a_refresh() -> None:
    """While another process refreshes, a call waits, and uses the new token."""
    world = World(pair(1))
    world.token()
    assert world.store.try_lock()
    flow = world.protocol.token("a1")
    assert isinstance(next(flow), Pause)
    assert isinstance(flow.send(None), Pause)
    world.store.save(replace(world.store.load(), access="a2"))
    with pytest.raises(StopIteration) as stop:
        flow.send(None)
    assert stop.value.value == "a2"


def test_nobody_waits_for_an_early_refresh() -> None:
    """While another process refreshes early, calls use the old token."""
    world = World(pair(1))
    world.token()
    world.now += LIFE * 0.9
    assert world.store.try_lock()
    assert world.token() == "a1"


def test_a_lock_that_stays() -> None:
    """If the lock is never released, a call or a logout ends with an error."""
    world = World()
    assert world.store.try_lock()
    for flow in (world.protocol.token(), world.protocol.log_out()):
        begun = world.now
        with pytest.raises(Unavailable, match="too long"):
            world.run(flow)
        assert world.now - begun == pytest.approx(30, abs=1)


@pytest.mark.parametrize("is_locked", [True, False])
def test_those_who_waited_share_a_failure(is_locked: bool) -> None:
    """If a refresh fails, each thread that waited for it raises an error with the same cause. A later call retries."""
    world = World(LOST, pair(1), patience=0)
    assert world.store.try_lock()
    waiting = world.protocol.token()
    next(waiting)
    world.store.unlock()
    world.now += 1
    with pytest.raises(Unavailable) as first:
        world.token()
    assert not is_locked or world.store.try_lock()
    with pytest.raises(Unavailable, match="gone") as second:
        waiting.send(None)
    assert (first.value is second.value, second.value.__cause__) == (False, LOST.error)
    if is_locked:
        world.store.unlock()
    world.now += 1
    assert world.token() == "a1"


def test_a_flow_that_is_given_up_unlocks() -> None:
    """If a flow is closed, as in a cancelled task, the lock is released."""
    world = World(pair(1))
    flow = world.protocol.token()
    next(flow)
    flow.close()
    assert world.token() == "a1"


@pytest.mark.parametrize(
    ("body", "challenge", "age"),
    [
        ({"code": "insufficient_user_authentication", "detail": "Again.", "max_age": 300}, "", 300),
        ({"code": "insufficient_user_authentication", "max_age": "300"}, "", None),
        (None, 'Bearer error="insufficient_user_authentication", max_age="60"', 60),
        (None, 'Bearer error="insufficient_user_authentication", max_age=60', 60),
        (None, 'Bearer error="insufficient_user_authentication"', None),
    ],
)
def test_a_step_up(body: Any, challenge: str, age: int | None) -> None:
    """If the API requires a more recent login, StepUpRequired is raised, and no refresh is sent."""
    world = World(pair(1))
    token = world.token()
    refused = Answer(401, body, {"WWW-Authenticate": challenge})
    with pytest.raises(StepUpRequired) as caught:
        world.run(world.protocol.refused(token, refused, set()))
    assert caught.value.max_age == age
    assert len(world.sent) == 1


STEP_UP = Answer(401, {"code": "insufficient_user_authentication", "max_age": 60}, {})


def test_a_step_up_that_somebody_answers() -> None:
    """One request causes at most one refresh and one step-up. The access token of the step-up is stored."""
    asked: list[int | None] = []

    def ask(age: int | None) -> Any:
        asked.append(age)
        return {"password": "correct horse"}

    stepped_up = Answer(200, {"access": "up", "expires_in": 600}, {})
    world = World(pair(1), pair(2), LOST, stepped_up, on_step_up=ask)
    tried: set[str] = set()
    token = world.run(world.protocol.refused(world.token(), Answer(401, None, {}), tried))
    token = world.run(world.protocol.refused(token, STEP_UP, tried))
    assert (token, world.token(), asked) == ("up", "up", [60])
    assert [(sent.path, sent.body) for sent in world.sent[2:]] == [
        ("reauthenticate/", {"password": "correct horse"}),
        ("reauthenticate/", {"password": "correct horse"}),
    ]
    assert world.store.load().refresh == "r2"
    assert world.run(world.protocol.refused(token, Answer(401, None, {}), tried)) == ""
    with pytest.raises(StepUpRequired):
        world.run(world.protocol.refused(token, STEP_UP, tried))
    assert asked == [60]


@pytest.mark.parametrize(
    ("given", "answer", "error"),
    [
        (None, None, StepUpRequired),
        ({}, Answer(400, {"password": ["Required."]}, {}), LoginFailed),
        ({}, Answer(401, {"code": "no_active_account"}, {}), LoginFailed),
        ({}, refusal("revoked"), UnexpectedAnswer),
        ({}, Answer(200, {"access": ""}, {}), UnexpectedAnswer),
        ({}, Answer(404, None, {}), UnexpectedAnswer),
    ],
)
def test_a_step_up_that_fails(given: Any, answer: Any, error: type[TokenAuthError]) -> None:
    """If a step-up fails, the session and its access token stay."""
    world = World(pair(1), answer, on_step_up=lambda age: given)
    with pytest.raises(error):
        world.run(world.protocol.refused(world.token(), STEP_UP, set()))
    assert world.token() == "a1"


def test_a_logout_during_a_step_up() -> None:
    """If a logout happens during a step-up, the store stays empty."""
    store = MemoryStore()

    def ask(age: int | None) -> Any:
        store.save(Session(ended="logout"))
        return {"password": "correct horse"}

    world = World(pair(1), Answer(200, {"access": "up", "expires_in": 600}, {}), store=store, on_step_up=ask)
    assert world.run(world.protocol.refused(world.token(), STEP_UP, set())) == "up"
    assert store.load() == Session(ended="logout")


def test_a_step_up_that_has_to_wait() -> None:
    """If a step-up is throttled, tokens from a refresh that another thread made meanwhile stay in the store."""
    world = World(pair(1), pair(2), busy(429, "60"), pair(3), on_step_up=lambda age: {"password": "correct horse"})
    flow = world.protocol.refused(world.token(), STEP_UP, set())
    request = next(flow)
    assert world.token("a1") == "a2"
    answer = world.do(request)
    with pytest.raises(Unavailable):
        flow.send(answer)
    assert world.store.load().refresh == "r2"
    assert world.token("a2") == "a3"  # the throttle of step-ups does not stop refreshes


def test_a_bound_session() -> None:
    """In a bound session each login and refresh has a new proof by the stored key. A logout has no proof."""
    bound = Answer(200, {**pair(1).body, "token_type": "DPoP"}, {"DPoP-Nonce": "n1"})
    world = World(bound, LOST, bound, Answer(204, None, {}), dpop=True)
    world.token()
    key = world.store.load().device_key
    world.token("a1")
    world.run(world.protocol.log_out())
    assert [path for path, proof in zip(world.paths, world.proofs, strict=True) if proof] == [
        "login/",
        *["refresh/"] * 2,
    ]
    assert len(set(world.proofs)) == 4
    assert [claims_of(proof).get("nonce") for proof in world.proofs[:3]] == [None, "n1", "n1"]
    assert (world.store.load().device_key, world.store.load().scheme) == (key, "Bearer")


def test_a_bound_session_without_the_option() -> None:
    """A client without ``dpop`` sends proofs in a shared bound session, and uses an Idempotency-Key for a minute."""
    bound = Answer(200, {**pair(1).body, "token_type": "DPoP"}, {})
    world = World(bound, bound, dpop=True)
    world.token()
    world.token("a1")
    other = World(bound, bound, store=world.store)
    for seconds in (59, 61):
        other.now = world.store.load().key_used_at + seconds
        other.store.save(replace(other.store.load(), access=""))
        other.token()
    assert [sent.key == world.sent[1].key for sent in other.sent] == [True, False]
    headers = other.protocol.headers("a1", "GET", "https://api.example.com/api/me/?page=1")
    assert headers["Authorization"] == "DPoP a1"
    claims = claims_of(headers["DPoP"])
    assert (claims["htm"], claims["htu"]) == ("GET", "https://api.example.com/api/me/")
    assert claims["ath"] == token_hash("a1")


@pytest.mark.parametrize("times", [1, 2])
def test_a_nonce_of_the_server(times: int) -> None:
    """A request that lacks the server's nonce is sent once more with it. The credentials don't count as refused."""
    asked = Answer(400, {"code": "use_dpop_nonce", "detail": "A nonce, please."}, {"DPoP-Nonce": "n1"})
    world = World(*[asked] * times, pair(1), dpop=True)
    if times == 2:
        with pytest.raises(UnexpectedAnswer, match="A nonce"):
            world.token()
    assert world.token() == "a1"
    assert [claims_of(proof).get("nonce") for proof in world.proofs[:2]] == [None, "n1"]


def test_each_origin_has_its_nonces() -> None:
    """Each origin has its own nonces. The nonce of a server behind a redirect is not used."""
    world = World(Answer(200, {**pair(1).body, "token_type": "DPoP"}, {"DPoP-Nonce": "n1"}), dpop=True, origins=[OTHER])
    world.token()
    world.protocol.note(f"{OTHER}notes/", {"DPoP-Nonce": "n2"})
    world.protocol.note("https://evil.example/notes/", {"DPoP-Nonce": "n3" * 9999})
    headers = [world.protocol.headers("a1", "GET", f"{url}notes/") for url in (URL, OTHER)]
    assert [claims_of(each["DPoP"])["nonce"] for each in headers] == ["n1", "n2"]


@pytest.mark.parametrize("code", ["invalid_dpop_proof", "use_dpop_nonce"])
@pytest.mark.parametrize("has_body", [True, False])
def test_a_proof_that_the_api_refuses(code: str, has_body: bool) -> None:
    """If the API refuses a proof, the same token is sent once more with another proof."""
    world = World(pair(1))
    answer = Answer(
        401, {"code": code} if has_body else None, {"WWW-Authenticate": f'DPoP algs="ES256", error="{code}"'}
    )
    tried: set[str] = set()
    assert world.run(world.protocol.refused(world.token(), answer, tried)) == "a1"
    assert world.run(world.protocol.refused(world.token(), answer, tried)) == ""
    assert world.paths == ["login/"]


def test_a_401_of_the_api() -> None:
    """A 401 of the API that asks for neither a proof nor a step-up causes a refresh."""
    world = World(pair(1), pair(2))
    assert world.run(world.protocol.refused(world.token(), Answer(401, None, {}), set())) == "a2"


def test_logout() -> None:
    """A logout is sent to the server, and once more if the answer is lost. Without a session nothing is sent."""
    world = World(pair(1), LOST, Answer(204, None, {}), pair(2))
    world.run(world.protocol.log_out())
    assert world.sent == []
    world.token()
    world.run(world.protocol.log_out())
    assert [(sent.path, sent.body) for sent in world.sent[1:]] == [("logout/", {"refresh": "r1"})] * 2
    assert (world.store.load().ended, world.store.load().refresh) == ("logout", "")
    assert world.token() == "a2"


def test_a_logout_that_is_not_answered() -> None:
    """If the server does not confirm a logout, the session stays in the store, because it may still be active."""
    world = World(pair(1), LOST, Answer(500, None, {}), patience=0)
    world.token()
    for error in (Unavailable, UnexpectedAnswer):
        with pytest.raises(error):
            world.run(world.protocol.log_out())
    assert world.token() == "a1"


@pytest.mark.parametrize(
    ("url", "is_covered"),
    [
        ("https://api.example.com/api/me/", True),
        ("https://API.example.com:443/", True),
        ("https://more.example.com/", True),
        ("http://api.example.com/", False),
        ("https://api.example.com:8443/", False),
        ("https://api.example.com.evil.example/", False),
        ("https://api.example.com@evil.example/", False),
        ("https://example.com/", False),
        ("ftp://api.example.com/", False),
        ("https://[", False),
        ("/api/me/", False),
    ],
)
def test_where_the_token_goes(url: str, is_covered: bool) -> None:
    """The token is sent only to the origins of the API."""
    assert World(origins=["https://more.example.com"]).protocol.covers(url) is is_covered


def test_an_address_that_is_none() -> None:
    """An invalid URL is an error when the client is made."""
    with pytest.raises(ValueError, match="not an absolute http URL"):
        World(auth_url="api/auth/")


@pytest.mark.parametrize(
    "options", [{"username": "ann"}, {"password": "x"}, {"username": "ann", "password": "x", "credentials": ANN}]
)
def test_half_of_the_credentials(options: Any) -> None:
    """A user name or a password alone, or together with ``credentials``, raises TypeError."""
    with pytest.raises(TypeError, match="Give username and password"):
        BaseTokenAuth(URL, **options)


def test_who_sends() -> None:
    """The base class can't send requests. Its subclasses for httpx and requests can."""
    with pytest.raises(NotImplementedError):
        BaseTokenAuth(URL, **ANN).access_token()  # type: ignore[arg-type]  # mypy knows only the dict's values


def test_errors_have_one_root() -> None:
    """Every error is a TokenAuthError."""
    for error in (SessionEnded, LoginFailed, StepUpRequired, Unavailable, UnexpectedAnswer, StoreError):
        assert issubclass(error, TokenAuthError)
    assert str(StoreError("what is wrong")) == "what is wrong"


def test_what_is_no_json() -> None:
    """An answer that is not JSON has an empty code."""
    page = answer(200, b"<html>", {})
    assert (page.body, page.code, page.detail) == (None, "", "")
    assert answer(200, b"[" * 100_000, {}).body is None
    assert answer(401, b'{"code": "x", "detail": "y"}', {}).code == "x"


def test_an_unexpected_answer_with_tokens() -> None:
    """The error for an unexpected answer does not contain the answer's tokens, because programs log errors."""
    world = World(pair(1), Answer(200, {"access": "a2", "refresh": "r2"}, {}))
    world.token()
    with pytest.raises(UnexpectedAnswer) as caught:
        world.token("a1")
    assert "a2" not in str(caught.value)
    assert "a2" not in repr(pair(2))


def test_nothing_secret_is_shown() -> None:
    """Reprs of sessions and requests contain no secret, so they can be logged."""
    world = World(pair(1), pair(2))
    flow = world.protocol.token()
    shown = repr(next(flow))
    flow.close()
    world.token()
    world.token("a1")
    session = world.store.load()
    assert ANN["password"] not in shown
    assert not [secret for secret in (session.access, session.refresh, session.key) if repr(secret) in repr(session)]


WHOLE = to_json(Session(access="a1", key="a-key-of-some-length"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        WHOLE[: len(WHOLE) // 2],
        "[]",
        "{}",
        WHOLE.replace('"version": 1', '"version": 2'),
        WHOLE.replace('"access": "a1"', '"access": 1'),
        WHOLE.replace('"access": "a1",', ""),
        WHOLE.replace("a-key", "a key"),
        WHOLE.replace("false", "0"),
    ],
)
def test_a_text_that_is_no_session(text: str) -> None:
    """A damaged text of a session raises ValueError. No part of it is used."""
    assert from_json(WHOLE).access == "a1"
    with pytest.raises(ValueError, match=r".+"):
        from_json(text)


def test_a_damaged_file(tmp_path: Any) -> None:
    """If the session's file is damaged, the client logs in again and replaces the file."""
    store = FileStore(tmp_path / "session")
    world = World(pair(1), store=store)
    world.token()
    store.path.write_text(WHOLE[:40])
    damaged = World(pair(2), store=store)
    assert damaged.token() == "a2"
    assert FileStore(store.path).load().refresh == "r2"


def test_a_missing_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package cryptography, ``dpop=True`` raises ImportError when the client is made."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ec", None)
    World()
    with pytest.raises(ImportError):
        World(dpop=True)
