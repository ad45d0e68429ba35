"""The tree of errors, with the codes and reasons that clients know."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest

from twotoken import exceptions
from twotoken.exceptions import (
    ClaimsError,
    ConflictingCookies,
    CrossOrigin,
    ExpiredToken,
    InsufficientUserAuthentication,
    InvalidIdempotencyKey,
    InvalidProof,
    InvalidToken,
    MissingProof,
    MissingToken,
    NoActiveAccount,
    NonceRequired,
    PasswordChanged,
    ProofAddress,
    ProofReplayed,
    ProofTime,
    ReusedToken,
    RevokedToken,
    RotationConflict,
    TokenNotValid,
    TwoTokenError,
    Unavailable,
    UserInactive,
    WrongDevice,
)

REASONS: dict[type[TokenNotValid], str] = {
    MissingToken: "missing",
    InvalidToken: "invalid",
    ConflictingCookies: "invalid",
    ExpiredToken: "expired",
    RevokedToken: "revoked",
    ReusedToken: "reused",
    PasswordChanged: "password_changed",
    UserInactive: "user_inactive",
    WrongDevice: "wrong_device",
}
CODES: dict[type[TwoTokenError], str] = {
    InvalidProof: "invalid_dpop_proof",
    MissingProof: "invalid_dpop_proof",
    ProofAddress: "invalid_dpop_proof",
    ProofReplayed: "invalid_dpop_proof",
    ProofTime: "invalid_dpop_proof",
    NonceRequired: "use_dpop_nonce",
    NoActiveAccount: "no_active_account",
    InsufficientUserAuthentication: "insufficient_user_authentication",
    CrossOrigin: "cross_origin",
    InvalidIdempotencyKey: "invalid_idempotency_key",
    RotationConflict: "rotation_conflict",
    Unavailable: "unavailable",
}


@pytest.mark.parametrize(("error", "reason"), REASONS.items())
def test_a_refused_token_has_one_code_and_its_reason(error: Any, reason: str) -> None:
    """Each error for a refused token has the code ``token_not_valid`` and exactly the reason that clients know."""
    assert issubclass(error, TokenNotValid)
    assert (error.code, error.reason) == ("token_not_valid", reason)


@pytest.mark.parametrize(("error", "code"), CODES.items())
def test_other_errors_have_a_code_and_no_reason(error: Any, code: str) -> None:
    """Each error that is not about a refused token has its own code and no reason."""
    assert error.code == code
    assert not issubclass(error, TokenNotValid)
    assert not hasattr(error, "reason")


@pytest.mark.parametrize("error", [*REASONS, *CODES])
def test_messages_fit_into_a_header(error: Any) -> None:
    """Each message fits ``error_description``: printable ASCII without quotes and backslashes (RFC 6750 section 3)."""
    assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", error.message)
    assert str(error()) == error.message


def test_every_error_is_in_these_tables() -> None:
    """Every error class is in the tables of this test, so a new class must be added to them."""
    found = {value for value in vars(exceptions).values() if isinstance(value, type)}
    assert found == {*REASONS, *CODES, TwoTokenError, TokenNotValid, ClaimsError}


def test_an_error_of_the_project_says_what_it_is() -> None:
    """ClaimsError is not a refusal of a token, and can be pickled."""
    error = ClaimsError("These claim names are reserved: sub.")
    assert str(error) == "These claim names are reserved: sub."
    assert error.code == "claims_error"
    assert not isinstance(error, TokenNotValid)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("error", [*REASONS, *CODES])
def test_an_error_can_be_pickled(error: Any) -> None:
    """Each error can be pickled, so that process pools and task queues can send it to another process."""
    assert type(pickle.loads(pickle.dumps(error()))) is error
