"""The settings: one dict, ``TWOTOKEN``. Each key has a typed property, which reads it on every use.

Because settings are not cached, ``override_settings`` works. ``manage.py check`` reports wrong values. This module
raises ImproperlyConfigured only for a value that it can't use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.encoding import force_bytes
from django.utils.module_loading import import_string

from twotoken.conf.values import (
    audience_from,
    callable_in,
    callable_of,
    duration_of,
    issuer_from,
    keys_of,
    secrets_of,
    texts_of,
    value_of,
)
from twotoken.keys import ALGORITHMS, HS256, KeyRing
from twotoken.tokens import AccessPolicy

# Prefixes of cookie names (RFC 6265bis). Browsers require Secure for both. HOST also requires Path "/" and no Domain.
HOST = "__Host-"
SECURE = "__Secure-"


class Delivery(StrEnum):
    """How the refresh token travels: in a cookie, in the body, or not at all, because a login returns none."""

    COOKIE = "cookie"
    BODY = "body"
    NONE = "none"


def delivery(value: object) -> Delivery:
    """Return the delivery with this name. Raises ImproperlyConfigured for any other value."""
    try:
        return Delivery(cast("str", value))
    except ValueError as exc:
        choices = ", ".join(repr(str(choice)) for choice in Delivery)
        raise ImproperlyConfigured(f"{value!r} is not a delivery of twotoken. Use one of {choices}.") from exc


class Settings:
    """The keys of ``TWOTOKEN``, in lower case, with their defaults. Durations are ``timedelta``."""

    @property
    def access_secret(self) -> tuple[str, ...]:
        """Secret of access tokens (32 bytes or more), or a key as PEM.

        In a list, the first one signs new tokens, and a token is accepted if any of them has signed it.
        """
        return secrets_of("ACCESS_SECRET")

    @property
    def access_algorithm(self) -> str:
        """Algorithm of the first ACCESS_SECRET: HS256 for a secret; EdDSA, ES256 or RS256 for a private key."""
        return value_of("ACCESS_ALGORITHM", HS256)

    @property
    def refresh_secret(self) -> tuple[str, ...]:
        """Secret of refresh tokens (32 bytes or more). It must differ from ACCESS_SECRET and SECRET_KEY.

        In a list, the first one signs new tokens, and a token is accepted if any of them has signed it.
        """
        return secrets_of("REFRESH_SECRET")

    @property
    def access_lifetime(self) -> timedelta:
        """How long an access token is valid."""
        return value_of("ACCESS_LIFETIME", timedelta(minutes=15))

    @property
    def refresh_lifetime(self) -> timedelta:
        """How long a token family may stay unused before it expires (the idle limit)."""
        return value_of("REFRESH_LIFETIME", timedelta(days=7))

    @property
    def family_lifetime(self) -> timedelta | None:
        """How long after login a token family expires, even if it is used. None: never."""
        return value_of("FAMILY_LIFETIME", timedelta(days=30))

    @property
    def delivery(self) -> Delivery:
        """How the refresh token is delivered: in a cookie, in the body, or not at all.

        An ``include`` of ``twotoken.urls`` may choose another delivery.
        """
        return delivery(value_of("DELIVERY", Delivery.COOKIE))

    @property
    def cookie_name(self) -> str:
        """Name of the refresh token's cookie. With None the name is ``refresh_token`` after a prefix.

        The prefix is ``__Host-`` if COOKIE_PATH is "/" and COOKIE_DOMAIN is None, otherwise ``__Secure-``. If
        COOKIE_SECURE is False, the name has no prefix.
        """
        name = value_of("COOKIE_NAME", None)
        if name is not None:
            return name
        is_host = self.cookie_path == "/" and self.cookie_domain is None
        return f"{(HOST if is_host else SECURE) if self.cookie_secure else ''}refresh_token"

    @property
    def cookie_path(self) -> str | None:
        """Path of the cookie. None: the parent of the refresh URL, such as ``/api/auth/``."""
        return value_of("COOKIE_PATH", None)

    @property
    def cookie_domain(self) -> str | None:
        """Domain of the cookie. None: only the host that set it.

        With a domain, every host below it gets the cookie and can replace it.
        """
        return value_of("COOKIE_DOMAIN", None)

    @property
    def cookie_samesite(self) -> str:
        """SameSite attribute of the cookie, a string: "Strict", "Lax" or "None"."""
        return value_of("COOKIE_SAMESITE", "Strict")

    @property
    def cookie_secure(self) -> bool:
        """Whether browsers send the cookie over https only."""
        return value_of("COOKIE_SECURE", True)

    @property
    def browser_grace(self) -> timedelta:
        """How long after a rotation the replaced refresh token is still accepted, in a family that a browser started.

        Only a rotation without an Idempotency-Key has this grace.
        """
        return duration_of("BROWSER_GRACE", 10)

    @property
    def reuse_grace(self) -> timedelta:
        """How long after a rotation the replaced refresh token is still accepted, in any other family.

        Only a rotation without an Idempotency-Key has this grace.
        """
        return duration_of("REUSE_GRACE", 0)

    @property
    def revoke_on_reuse(self) -> str:
        """What the reuse of a refresh token revokes: its ``family``, or all families of the ``user``."""
        return value_of("REVOKE_ON_REUSE", "family")

    @property
    def max_families_per_user(self) -> int | None:
        """How many active families a user may have: one more login revokes the oldest. None: any number."""
        return value_of("MAX_FAMILIES_PER_USER", None)

    @property
    def access_claims(self) -> Callable[[Any, Any], Mapping[str, Any]] | None:
        """Dotted path to a callable ``(user, family) -> dict``: the project's own claims for each access token.

        It is called at every login and refresh. The dict may hold only what JSON can: text, finite numbers, booleans,
        None, lists, and dicts with text as keys. Turn a UUID, a date or a lazy translation into text.
        """
        path = value_of("ACCESS_CLAIMS", None)
        return None if path is None else import_string(path)

    @property
    def issuer(self) -> str | None:
        """The ``iss`` claim of access tokens: each new token has it, and a token without it is refused.

        A string; or a callable without arguments that returns the string and is called on each use; or the callable's
        dotted path. With a callable, refresh tokens have the claim too.
        """
        value: Any = value_of("ISSUER", None)
        found = callable_in("ISSUER", value)
        return value if found is None else issuer_from(found)

    @property
    def audience(self) -> tuple[str, ...]:
        """The ``aud`` claim of access tokens: new tokens have all values. A token is accepted if it has one of them.

        A string or a list of strings; or a callable without arguments that returns a string or a list and is called on
        each use; or the callable's dotted path.
        """
        value: Any = value_of("AUDIENCE", None)
        found = callable_in("AUDIENCE", value)
        return texts_of(value) if found is None else audience_from(found)

    @property
    def client_id(self) -> str | None:
        """The ``client_id`` claim of access tokens, for verifiers that require RFC 9068. None: no such claim.

        With ISSUER, AUDIENCE and CLIENT_ID an access token has every claim that RFC 9068 requires.
        """
        return value_of("CLIENT_ID", None)

    @property
    def jwks_url(self) -> str | None:
        """Where ``RemoteAccessTokenAuthentication`` fetches the public keys (a JWK Set). None: ACCESS_SECRET has them.

        Only a service that verifies the access tokens of another service needs this setting.
        """
        return value_of("JWKS_URL", None)

    @property
    def leeway(self) -> timedelta:
        """How long after its ``exp`` an access token is still accepted, because clocks differ."""
        return duration_of("LEEWAY", 0)

    @property
    def revocations_url(self) -> str | None:
        """Where ``RemoteAccessTokenAuthentication`` asks which token families were revoked: a ``RevocationsView``.

        Only a service that verifies the access tokens of another service needs this setting.
        """
        return value_of("REVOCATIONS_URL", None)

    @property
    def revocation_interval(self) -> timedelta | None:
        """How often a process reads which token families were revoked. It reads only when a request comes. None: never.

        ``StatelessAccessTokenAuthentication`` reads the database, and ``RemoteAccessTokenAuthentication`` reads
        REVOCATIONS_URL. A revoked family is refused within this time plus the duration of one reading, or within twice
        this time if the reading is slow or fails.
        """
        return value_of("REVOCATION_INTERVAL", None)

    @property
    def dpop(self) -> str:
        """Whether a login with a DPoP proof binds its token family to the client's key (RFC 9449).

        ``"optional"``: a login with a proof binds its family, a login without one does not. ``"required"``: every new
        family is bound, and a login without a proof is refused. ``"off"``: proofs are ignored, and families that DPoP
        has bound already are refused. Without the package cryptography ``"optional"`` means ``"off"``.
        """
        return value_of("DPOP", "optional")

    @property
    def dpop_access(self) -> bool:
        """Whether the access tokens of a family that is bound by DPoP are bound too: each API call needs a proof.

        False: only the refresh token is bound.
        """
        return value_of("DPOP_ACCESS", True)

    @property
    def dpop_nonce(self) -> bool:
        """Whether each DPoP proof must have a nonce of the server.

        Otherwise a malicious script in a page could sign proofs for later times, and send them to an attacker, who
        could use them then.
        """
        return value_of("DPOP_NONCE", False)

    @property
    def user_id_field(self) -> str:
        """The field of the user model whose value is the ``sub`` claim."""
        return value_of("USER_ID_FIELD", "pk")

    @property
    def login_throttle(self) -> str | None:
        """How often one address may try one user name. None: off.

        Spellings of a name that the database treats as equal count together.
        """
        return value_of("LOGIN_THROTTLE", "10/min")

    @property
    def refresh_throttle(self) -> str | None:
        """How often one family may refresh. None: off."""
        return value_of("REFRESH_THROTTLE", "60/min")

    @property
    def step_up_sessions(self) -> timedelta | None:
        """How recent the user's last proof of identity must be to list or revoke sessions. None: any age."""
        return value_of("STEP_UP_SESSIONS", None)

    @property
    def record_client(self) -> bool:
        """Whether to store the address and user agent of logins and refreshes."""
        return value_of("RECORD_CLIENT", True)

    @property
    def retention(self) -> timedelta:
        """How long ``purge_token_families`` keeps a revoked or expired family, for people to look at.

        The family is kept at least for the life of an access token plus a minute, because REVOCATION_INTERVAL and
        ``RevocationsView`` need it for that long.
        """
        return value_of("RETENTION", timedelta(days=30))

    @property
    def tenant_issuer(self) -> str | None:
        """The issuer if ISSUER is a callable, otherwise None. It is part of refresh tokens and of cache keys."""
        found = callable_of("ISSUER")
        return None if found is None else issuer_from(found)

    @property
    def nonce_secrets(self) -> tuple[bytes, ...]:
        """The secrets from which the nonces of DPOP_NONCE are computed. The first one makes new nonces.

        They are REFRESH_SECRET, or Django's SECRET_KEY if REFRESH_SECRET is not set.
        """
        if value_of("REFRESH_SECRET", None) is None:
            return tuple(map(force_bytes, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)))
        return tuple(secret.encode() for secret in self.refresh_secret)

    @property
    def access_policy(self) -> AccessPolicy:
        """How access tokens are signed and verified, made from the settings above."""
        return _access_policy(
            self.access_secret, self.access_algorithm, self.issuer, self.audience, self.leeway, self.client_id
        )

    @property
    def access_keys(self) -> KeyRing:
        """The keys of access tokens, made from the settings above."""
        return _access_keys(self.access_secret, self.access_algorithm)

    @property
    def refresh_keys(self) -> KeyRing:
        """The keys of refresh tokens, made from the settings above. Only HS256, because no other service needs them."""
        return keys_of("REFRESH_SECRET", self.refresh_secret, (HS256,))


@lru_cache(maxsize=32)
def _access_policy(
    secrets: tuple[str, ...],
    algorithm: str,
    issuer: str | None,
    audience: tuple[str, ...],
    leeway: timedelta,
    client_id: str | None,
) -> AccessPolicy:
    return AccessPolicy(_access_keys(secrets, algorithm), issuer, audience, leeway.total_seconds(), client_id)


def _access_keys(secrets: tuple[str, ...], algorithm: str) -> KeyRing:
    return keys_of("ACCESS_SECRET", secrets, (algorithm, *ALGORITHMS))


conf: Settings = Settings()

SETTING_NAMES = frozenset(
    name.upper()
    for name in vars(Settings)
    if not name.startswith("_")
    and name not in {"tenant_issuer", "nonce_secrets", "access_policy", "access_keys", "refresh_keys"}
)
