"""Step up: make an access token which says that the user has just proven their identity again (RFC 9470)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from twotoken.families.pairs import AuthEvent, mint_access, token_type_of
from twotoken.models import RefreshToken

logger = logging.getLogger("twotoken")


@dataclass(frozen=True, slots=True)
class SteppedUp:
    """What a step-up returns: an access token, its lifetime in seconds, and its ``token_type`` as in ``TokenPair``."""

    access: str = field(repr=False)
    expires_in: int
    token_type: str = ""


@sensitive_variables()
def step_up(family: RefreshToken, amr: Sequence[str] = ()) -> SteppedUp:
    """Return a new access token for a family, with the present time as its ``auth_time``. Nothing is written.

    Call this function after the family's user has proven their identity. ``family`` is what ``family_of(request.auth)``
    returns. ``amr`` names the methods of this proof (RFC 8176), not those of the login.

    Only this access token has the new ``auth_time``. After the next refresh, the access token has the ``auth_time`` of
    the login again. If the new time were stored in the family's row, a thief with a copy of the refresh token would get
    an access token with the new time by a refresh.

    Raises ClaimsError if the project's claims can't go into a token.
    """
    now = timezone.now()
    token, expires_in = mint_access(family, family.user, now, AuthEvent(int(now.timestamp()), amr))
    logger.info("User %s of token family %s proved their identity again.", family.user_id, family.pk)
    return SteppedUp(token, expires_in, token_type_of(family))
