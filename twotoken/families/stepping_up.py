"""Stepping up: an access token that says that its user has just proven their identity again (RFC 9470)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from twotoken.families.pairs import Proof, mint_access
from twotoken.families.queries import family_of
from twotoken.tokens import AccessToken

logger = logging.getLogger("twotoken")


@dataclass(frozen=True, slots=True)
class SteppedUp:
    """What a step-up gives: an access token, and its lifetime in seconds."""

    access: str = field(repr=False)
    expires_in: int


@sensitive_variables()
def step_up(access: AccessToken, amr: Sequence[str] = ()) -> SteppedUp:
    """Return a new access token of the same family whose ``auth_time`` is now. One SELECT, and nothing is written.

    Call it after the user of ``access`` has proven their identity in this request. ``amr`` names the methods of this
    proof (RFC 8176), not those of the login.

    Only this access token says so. The next refresh returns to the login's ``auth_time``: if the family's row had the
    new time, the owner's proof would also step up a thief's copy of the refresh token.

    Raises RevokedToken, ExpiredToken, UserInactive or PasswordChanged if the family is not active, and ClaimsError.
    """
    family = family_of(access)
    now = timezone.now()
    token, expires_in = mint_access(family, family.user, now, Proof(int(now.timestamp()), [*amr]))
    logger.info("User %s of token family %s proved their identity again.", family.user_id, family.pk)
    return SteppedUp(token, expires_in)
