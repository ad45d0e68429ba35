"""The settings of twotoken. Each key of the dict ``TWOTOKEN`` has a typed property, which reads the key on each use.

Settings are not cached, so ``override_settings`` works. ``manage.py check`` reports wrong values. This module raises
ImproperlyConfigured only for a value that it can't use.
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
    """How the client gets and sends the refresh token: in a cookie, in the body, or not at all."""

    COOKIE = "cookie"
    BODY = "body"
    NONE = "none"


def delivery(value: object) -> Delivery:
    """Return the Delivery with this value. Raises ImproperlyConfigured if there is no such Delivery."""
    try:
        return Delivery(cast("str", value))
    except ValueError as exc:
        choices = ", ".join(repr(str(choice)) for choice in Delivery)
        raise ImproperlyConfigured(f"{value!r} is not a delivery of twotoken. Use one of {choices}.") from exc


class Settings:
    """The keys of ``TWOTOKEN``, in lower case, with their defaults. Durations are ``timedelta``."""

    @property
    def access_secret(self) -> tuple[str, ...]:
        """The secret that signs access tokens (32 bytes or more), or a key as PEM.

        In a list, the first secret signs new tokens, and a token is accepted if any secret of the list signed it.
        """
        return secrets_of("ACCESS_SECRET")

    @property
    def access_algorithm(self) -> str:
        """The algorithm of the first ACCESS_SECRET: HS256 for a secret; EdDSA, ES256 or RS256 for a private key."""
        return value_of("ACCESS_ALGORITHM", HS256)

    @property
    def refresh_secret(self) -> tuple[str, ...]:
        """The secret that signs refresh tokens (32 bytes or more). It must differ from ACCESS_SECRET and SECRET_KEY.

        In a list, the first secret signs new tokens, and a token is accepted if any secret of the list signed it.
        """
        return secrets_of("REFRESH_SECRET")

    @property
    def access_lifetime(self) -> timedelta:
        """How long an access token is valid."""
        return value_of("ACCESS_LIFETIME", timedelta(minutes=15))

    @property
    def refresh_lifetime(self) -> timedelta:
        """How long a token family may stay unused before it expires (the idle limit).

        If you make it shorter, existing families expire earlier at once, but the purge may still delete them as late
        as before.
        """
        return value_of("REFRESH_LIFETIME", timedelta(days=7))

    @property
    def family_lifetime(self) -> timedelta | None:
        """How long after the login a token family expires, even if it is used. None: there is no such limit."""
        return value_of("FAMILY_LIFETIME", timedelta(days=30))

    @property
    def delivery(self) -> Delivery:
        """How the refresh token is delivered: in a cookie, in the body, or not at all.

        An ``include`` of ``twotoken.urls`` may choose another delivery.
        """
        return delivery(value_of("DELIVERY", Delivery.COOKIE))

    @property
    def cookie_name(self) -> str:
        """The name of the refresh token's cookie. None: the name is ``refresh_token`` with a prefix.

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
        """The Path of the refresh token's cookie. None: the parent of the refresh URL, such as ``/api/auth/``."""
        return value_of("COOKIE_PATH", None)

    @property
    def cookie_domain(self) -> str | None:
        """The Domain of the refresh token's cookie. None: only the host that set the cookie gets it.

        With a Domain, every host below it gets the cookie and can replace it.
        """
        return value_of("COOKIE_DOMAIN", None)

    @property
    def cookie_samesite(self) -> str:
        """The SameSite attribute of the refresh token's cookie, a string: "Strict", "Lax" or "None"."""
        return value_of("COOKIE_SAMESITE", "Strict")

    @property
    def cookie_secure(self) -> bool:
        """Whether browsers send the refresh token's cookie over https only."""
        return value_of("COOKIE_SECURE", True)

    @property
    def browser_grace(self) -> timedelta:
        """How long after a rotation the replaced refresh token is still accepted, in a family that a browser started.

        If the rotation or the repeated request has an Idempotency-Key, there is no grace.
        """
        return duration_of("BROWSER_GRACE", 10)

    @property
    def reuse_grace(self) -> timedelta:
        """How long after a rotation the replaced refresh token is still accepted, in a family that no browser started.

        If the rotation or the repeated request has an Idempotency-Key, there is no grace.
        """
        return duration_of("REUSE_GRACE", 0)

    @property
    def revoke_on_reuse(self) -> str:
        """What the reuse of a refresh token revokes: its ``family``, or all families of the ``user``."""
        return value_of("REVOKE_ON_REUSE", "family")

    @property
    def max_families_per_user(self) -> int | None:
        """How many active families a user may have. A login beyond this number revokes the oldest. None: no limit."""
        return value_of("MAX_FAMILIES_PER_USER", None)

    @property
    def access_claims(self) -> Callable[[Any, Any], Mapping[str, Any]] | None:
        """Dotted path to a callable ``(user, family) -> dict``, which returns a project's own claims for access tokens.

        The callable is called at every login and refresh. The dict may hold only what JSON can hold: text, finite
        numbers, booleans, None, lists, and dicts with text as keys. Turn UUIDs, dates and lazy translations into text.
        """
        path = value_of("ACCESS_CLAIMS", None)
        return None if path is None else import_string(path)

    @property
    def issuer(self) -> str | None:
        """The ``iss`` claim of access tokens: each new token has it, and a token without it is refused.

        The value is a string, or a callable without arguments that returns a string, or the callable's dotted path. A
        callable is called on each use. With a callable, refresh tokens have the claim too.
        """
        value: Any = value_of("ISSUER", None)
        found = callable_in("ISSUER", value)
        return value if found is None else issuer_from(found)

    @property
    def audience(self) -> tuple[str, ...]:
        """The ``aud`` claim of access tokens. New tokens have all values. A token is accepted if it has one of them.

        The setting is a string, or a list of strings, or a callable without arguments that returns one of these, or the
        callable's dotted path. A callable is called on each use.
        """
        value: Any = value_of("AUDIENCE", None)
        found = callable_in("AUDIENCE", value)
        return texts_of(value) if found is None else audience_from(found)

    @property
    def client_id(self) -> str | None:
        """The ``client_id`` claim of access tokens, for services that require RFC 9068. None: there is no such claim.

        With ISSUER, AUDIENCE and CLIENT_ID an access token has every claim that RFC 9068 requires.
        """
        return value_of("CLIENT_ID", None)

    @property
    def jwks_url(self) -> str | None:
        """The URL of the JWK Set with the public keys for ``RemoteAccessTokenAuthentication``.

        None: the keys are in ACCESS_SECRET.

        Only a service that verifies the access tokens of another service needs this setting.
        """
        return value_of("JWKS_URL", None)

    @property
    def leeway(self) -> timedelta:
        """How long after its ``exp`` an access token is still accepted, because clocks differ."""
        return duration_of("LEEWAY", 0)

    @property
    def revocations_url(self) -> str | None:
        """The URL of a ``RevocationsView``: it tells ``RemoteAccessTokenAuthentication`` which families were revoked.

        Only a service that verifies the access tokens of another service needs this setting.
        """
        return value_of("REVOCATIONS_URL", None)

    @property
    def revocation_interval(self) -> timedelta | None:
        """How often a process reads which token families were revoked, as long as it gets requests. None: never.

        ``StatelessAccessTokenAuthentication`` reads the database, and ``RemoteAccessTokenAuthentication`` reads
        REVOCATIONS_URL. A revoked family is refused within this time plus the duration of one reading, or within twice
        this time if the reading is slow or fails.
        """
        return value_of("REVOCATION_INTERVAL", None)

    @property
    def dpop(self) -> str:
        """Whether a login with a DPoP proof binds its token family to the client's key (RFC 9449).

        ``"optional"``: a login with a proof binds its family, a login without a proof does not. ``"required"``: every
        new family is bound, and a login without a proof is refused. ``"off"``: proofs are ignored, and tokens that are
        already bound are refused. Without the package cryptography ``"optional"`` means ``"off"``.
        """
        return value_of("DPOP", "optional")

    @property
    def dpop_access(self) -> bool:
        """Whether, in a family that DPoP binds, the access tokens are bound too, so that each API call needs a proof.

        False: only the family's refresh token is bound.
        """
        return value_of("DPOP_ACCESS", True)

    @property
    def dpop_nonce(self) -> bool:
        """Whether each DPoP proof must contain a nonce from the server (RFC 9449 section 8).

        Without a nonce, a malicious script in a page could sign proofs with later times and send them to an attacker,
        who could use them at these times.
        """
        return value_of("DPOP_NONCE", False)

    @property
    def user_id_field(self) -> str:
        """The field of the user model that gives the ``sub`` claim of access tokens."""
        return value_of("USER_ID_FIELD", "pk")

    @property
    def login_throttle(self) -> str | None:
        """How often one IP address may try to log in with one user name. None: no limit.

        Spellings of a name that the database treats as equal count as one name.
        """
        return value_of("LOGIN_THROTTLE", "10/min")

    @property
    def refresh_throttle(self) -> str | None:
        """How often one token family may be refreshed. None: no limit."""
        return value_of("REFRESH_THROTTLE", "60/min")

    @property
    def step_up_sessions(self) -> timedelta | None:
        """How old the user's last proof of identity may be when they list or revoke their sessions. None: no limit."""
        return value_of("STEP_UP_SESSIONS", None)

    @property
    def record_client(self) -> bool:
        """Whether to store the IP address and user agent of logins and refreshes."""
        return value_of("RECORD_CLIENT", True)

    @property
    def retention(self) -> timedelta:
        """How long ``purge_token_families`` keeps a revoked or expired family, so that people can look at it.

        The family is kept at least for the life of an access token plus a minute, because REVOCATION_INTERVAL and
        ``RevocationsView`` need the family for that long.
        """
        return value_of("RETENTION", timedelta(days=30))

    @property
    def tenant_issuer(self) -> str | None:
        """What ISSUER returns if it is a callable, otherwise None. Refresh tokens and cache keys contain this value."""
        found = callable_of("ISSUER")
        return None if found is None else issuer_from(found)

    @property
    def nonce_secrets(self) -> tuple[bytes, ...]:
        """The secrets from which nonces for DPoP proofs are computed. The first secret makes new nonces.

        They come from REFRESH_SECRET or, if it is not set, from Django's SECRET_KEY and SECRET_KEY_FALLBACKS.
        """
        if value_of("REFRESH_SECRET", None) is None:
            return tuple(map(force_bytes, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)))
        return tuple(secret.encode() for secret in self.refresh_secret)

    @property
    def access_policy(self) -> AccessPolicy:
        """The keys and rules for signing and verifying access tokens, made from the settings."""
        return _access_policy(
            self.access_secret, self.access_algorithm, self.issuer, self.audience, self.leeway, self.client_id
        )

    @property
    def access_keys(self) -> KeyRing:
        """The keys of access tokens, made from ACCESS_SECRET and ACCESS_ALGORITHM."""
        return _access_keys(self.access_secret, self.access_algorithm)

    @property
    def refresh_keys(self) -> KeyRing:
        """The keys of refresh tokens, made from REFRESH_SECRET: for HS256 only, because no other service needs them."""
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
