"""The ``jti`` of a refresh token."""

from __future__ import annotations

from tests.test_tokens import FAMILY
from twotoken import tokens
from twotoken.tokens import RefreshClaims


def test_a_token_id_is_bound_to_its_row_and_generation() -> None:
    """Each pair of a secret and a generation has its own ``jti`` of 128 bits. Any other ``jti`` does not fit."""
    found = {tokens.token_id(secret, generation) for secret in (b"x" * 16, b"y" * 16) for generation in range(50)}
    assert len(found) == 100
    assert {len(identifier) for identifier in found} == {22}
    for identifier in ("", "x", tokens.token_id(b"x" * 16, 2), tokens.token_id(b"x" * 16, 1) + "="):
        assert not tokens.token_id_fits(RefreshClaims(FAMILY, 1, identifier), b"x" * 16)
