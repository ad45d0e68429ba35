"""What goes into an access token, and when the project's own claims can't."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from tests.http import Caller
from tests.overrides import with_settings
from twotoken.exceptions import ClaimsError


@pytest.mark.parametrize("claims", ["reserved", "no_dict", "huge", "unfit"])
def test_claims_that_can_t_go_in(script: Caller, claims: str) -> None:
    """An error of the project: 500, and the old refresh token still works."""
    token = script.log_in().json()["refresh"]
    with with_settings(ACCESS_CLAIMS=f"tests.claims.{claims}"), pytest.raises(ClaimsError):
        script.refresh(token)
    assert script.refresh(token).status_code == 200


def test_claims_are_read_afresh(script: Caller) -> None:
    """A changed role shows at the next refresh."""
    with with_settings(ACCESS_CLAIMS="tests.claims.role"):
        pair = script.log_in().json()
        get_user_model().objects.update(is_staff=True)
        pairs = [pair, script.refresh(pair["refresh"]).json()]
    roles = [
        script.get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {pair['access']}").json()["claims"]["role"] for pair in pairs
    ]
    assert roles == ["user", "staff"]
