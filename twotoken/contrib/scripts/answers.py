"""Functions that tell what an answer of the server means for the client, TokenAuth."""

from __future__ import annotations

import re

from twotoken.contrib.scripts.errors import LoginFailed, Unavailable, UnexpectedAnswer
from twotoken.contrib.scripts.steps import Answer, Lost

REFUSED = {400, 401, 403}
BUSY = {429, 502, 503, 504}
PROOF_CODES = {"invalid_dpop_proof", "use_dpop_nonce"}
NO_REFUSALS = {*PROOF_CODES, "token_not_valid"}  # a login can get these errors for other reasons than its credentials
STEP_UP = "insufficient_user_authentication"
PROOF, REFRESH = "proof", "refresh"  # what remedy_of returns besides STEP_UP
MAX_AGE = re.compile(r'max_age="?(\d{1,9})')


def has_access(answer: Answer) -> bool:
    """Tell whether an answer has an access token."""
    body = answer.body if answer.status == 200 and isinstance(answer.body, dict) else {}
    return is_token(body.get("access")) and type(body.get("expires_in")) in (int, float)


def is_pair(answer: Answer) -> bool:
    """Tell whether an answer has an access token and a refresh token."""
    return has_access(answer) and is_token(answer.body.get("refresh"))


def is_token(value: object) -> bool:
    """Tell whether a value in an answer's body can be a token: a string that is not empty."""
    return isinstance(value, str) and value != ""


def login_refusal(answer: Answer) -> LoginFailed | None:
    """Return a LoginFailed if twotoken refused the credentials, otherwise None.

    A proxy may answer with the same status, so the body must have the form of twotoken's errors.
    """
    is_ours = answer.code not in NO_REFUSALS and (answer.code or answer.status == 400)
    if answer.status not in REFUSED or not isinstance(answer.body, dict) or not is_ours:
        return None
    fields = answer.body if answer.status == 400 else {}
    return LoginFailed(answer.detail or f"The login was refused: {fields}", answer.code, fields)


def remedy_of(answer: Answer) -> str:
    """Return what may help after a 401: STEP_UP (a more recent login), PROOF (a new DPoP proof), or REFRESH."""
    challenge = answer.headers.get("WWW-Authenticate", "")
    if answer.code == STEP_UP or f'error="{STEP_UP}"' in challenge:
        return STEP_UP
    # A proof is for one URL. If the API has redirected the request, the proof was for the URL before the redirect.
    return (
        PROOF if answer.code in PROOF_CODES or any(f'error="{code}"' in challenge for code in PROOF_CODES) else REFRESH
    )


def max_age(answer: Answer) -> int | None:
    """Return the ``max_age`` of a step-up challenge (RFC 9470), in seconds; None if the challenge has none."""
    if isinstance(answer.body, dict) and type(age := answer.body.get("max_age")) is int:
        return age
    match = MAX_AGE.search(answer.headers.get("WWW-Authenticate", ""))
    return int(match[1]) if match else None


def gave_up(answer: Answer | Lost, retry_after: float) -> Unavailable:
    """Return the error to raise after a last try that got no answer, or the answer of a busy server."""
    if isinstance(answer, Lost):
        return Unavailable(f"No answer came: {answer.error!r}")
    return Unavailable(answer.detail or f"The server was busy: its answer was {answer.status}.", retry_after)


def unexpected(answer: Answer) -> UnexpectedAnswer:
    """Return the error for an answer that twotoken does not give to this request, such as a proxy's page."""
    place = answer.headers.get("Location", "")
    body = "not one of twotoken's" if answer.status == 200 else answer.body  # with status 200 it may contain a token
    text = f", to {place}: use that address" if place else f": {answer.detail or body}"
    return UnexpectedAnswer(f"The answer was {answer.status}{text}", answer.status)
