"""Start a token family at a login, and keep it active when the user changes the password."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum, auto
from typing import Any, Final
from uuid import UUID, uuid4

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from twotoken import signals
from twotoken.clients import Client
from twotoken.conf import conf
from twotoken.conflicts import retry_on_conflict
from twotoken.dpop import PREFIXES
from twotoken.exceptions import MissingProof, UserInactive
from twotoken.families.events import send
from twotoken.families.pairs import TokenPair, make_pair, mint_access
from twotoken.families.queries import active, rows
from twotoken.families.revocation import revoke_each
from twotoken.models import RefreshToken, RevokedReason, new_secret
from twotoken.users import may_log_in

logger = logging.getLogger("twotoken")


class _FromSettings(Enum):
    FROM_SETTINGS = auto()


FROM_SETTINGS: Final = _FromSettings.FROM_SETTINGS
Lifetime = timedelta | None | _FromSettings


@sensitive_variables()
def start(
    user: AbstractBaseUser,
    client: Client | None = None,
    *,
    lifetime: Lifetime = FROM_SETTINGS,
    is_browser: bool = False,
    context: Mapping[str, Any] | None = None,
    family_id: UUID | None = None,
    device_key: str = "",
) -> TokenPair:
    """Start a token family for an authenticated user, and return its first token pair. One INSERT.

    ``lifetime`` is the absolute lifetime of this family, in place of FAMILY_LIFETIME; None means no limit. The idle
    limit REFRESH_LIFETIME applies too. ``is_browser`` gives the family the BROWSER_GRACE: pass True if a browser keeps
    the refresh token in a cookie, because its tabs may refresh at the same time. ``context`` is a JSON object with what
    the project wants to know of this login later: ACCESS_CLAIMS finds it in ``family.context``. Pass ``family_id`` if
    one proof of identity, such as an old token that is exchanged, must not start two families. Derive the id from the
    proof, as a UUID of version 5: then the second call fails. ``device_key`` binds the family to the key of a device:
    the caller must have verified the request's proof by this key. A device key consists of the prefix ``dpop:`` or
    ``dbsc:`` and the JSON from which RFC 7638 computes the thumbprint of the public key. Later, only ``bind`` can bind
    the family.

    If the user then has more active families than MAX_FAMILIES_PER_USER, the oldest are revoked. The caller has to send
    Django's ``user_logged_in``. Raises UserInactive if the user may not log in; IntegrityError if a family with this id
    exists; MissingProof if DPOP is ``"required"`` and there is no ``device_key``; and ValueError if the ``device_key``
    has no prefix.
    """
    if not may_log_in(user):
        raise UserInactive
    if device_key and not device_key.startswith(PREFIXES):
        raise ValueError(f"A device key starts with one of these: {', '.join(PREFIXES)}.")
    if conf.dpop == "required" and not device_key:
        raise MissingProof
    client = client or Client()
    lifetime = conf.family_lifetime if lifetime is FROM_SETTINGS else lifetime
    now = timezone.now()
    family = RefreshToken(
        id=family_id or uuid4(),
        user_id=user.pk,
        secret=new_secret(),
        is_browser=is_browser,
        device_key=device_key,
        context=dict(context or {}),
        auth_hash=user.get_session_auth_hash(),
        created_at=now,
        refreshed_at=now,
        expires_at=None if lifetime is None else now + lifetime,
        login_ip_address=client.ip_address,
        ip_address=client.ip_address,
        user_agent=client.user_agent,
    )
    family.earliest_end = family.idle_end()
    pair = make_pair(family, mint_access(family, user, now), now, generation=0, refreshed_at=now)
    retry_on_conflict(lambda: family.save(force_insert=True, using=rows().db))
    logger.info("Token family %s of user %s started from %s.", family.pk, user.pk, client.ip_address)
    send(signals.family_started, family.pk, family.user_id, ip_address=client.ip_address, user_agent=client.user_agent)
    if conf.max_families_per_user is not None:
        _revoke_oldest(user, conf.max_families_per_user)
    return pair


def update_auth_hash(family_id: UUID, user: AbstractBaseUser) -> None:
    """Keep a family active after its user changed the password, as ``update_session_auth_hash`` does for a session.

    Call this function in the transaction that saves the password. Otherwise a refresh after the change of the password
    and before this call would revoke the family.
    """
    families = rows().filter(pk=family_id, user_id=user.pk, revoked_at=None)
    retry_on_conflict(lambda: families.update(auth_hash=user.get_session_auth_hash()))


def _revoke_oldest(user: AbstractBaseUser, limit: int) -> None:
    # The families are read after the INSERT of the new one. Two concurrent logins that both see both new families
    # choose the same ones to revoke. A login that does not see the other's new family does not revoke it.
    beyond = list(active(user).values_list("pk", flat=True)[limit:])
    if beyond:
        revoke_each(rows().filter(pk__in=beyond), RevokedReason.LIMIT)
