"""The settings: one dict, ``TWOTOKEN``, one typed property per key, read on every use.

Because settings are not cached, ``override_settings`` works. ``manage.py check`` reports wrong values. This module
raises ImproperlyConfigured only for a value that it can't use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, TypeVar, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.encoding import force_bytes
from django.utils.module_loading import import_string

from twotoken.keys import ALGORITHMS, HS256, KeyRing, key_ring
from twotoken.tokens import AccessPolicy

T = TypeVar("T")

# Prefixes of cookie names (RFC 6265bis). Browsers require Secure for both. HOST also requires Path "/" and no Domain.
HOST = "__Host-"
SECURE = "__Secure-"


class Delivery(StrEnum):
    """How the refresh token travels."""

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
        """Secret of access tokens (32 bytes or more), or a key as PEM. In a list the first signs and all verify."""
        return _secrets("ACCESS_SECRET")

    @property
    def access_algorithm(self) -> str:
        """Algorithm of the first ACCESS_SECRET: HS256 for a secret; EdDSA, ES256 or RS256 for a private key."""
        return _get("ACCESS_ALGORITHM", HS256)

    @property
    def refresh_secret(self) -> tuple[str, ...]:
        """Secret of refresh tokens only (32 bytes or more). In a list the first signs and all verify."""
        return _secrets("REFRESH_SECRET")

    @property
    def access_lifetime(self) -> timedelta:
        """How long an access token is valid."""
        return _get("ACCESS_LIFETIME", timedelta(minutes=15))

    @property
    def refresh_lifetime(self) -> timedelta:
        """How long a token family may stay unused before it expires (the idle limit)."""
        return _get("REFRESH_LIFETIME", timedelta(days=7))

    @property
    def family_lifetime(self) -> timedelta | None:
        """How long after login a token family expires, even if it is used. None: never."""
        return _get("FAMILY_LIFETIME", timedelta(days=30))

    @property
    def delivery(self) -> Delivery:
        """The default delivery of mounts: the refresh token in a cookie, in the body, or no refresh token."""
        return delivery(_get("DELIVERY", Delivery.COOKIE))

    @property
    def cookie_name(self) -> str:
        """Name of the cookie. None: ``refresh_token`` with the strongest prefix that browsers accept.

        The prefix depends on COOKIE_PATH, COOKIE_DOMAIN and COOKIE_SECURE.
        """
        name = _get("COOKIE_NAME", None)
        if name is not None:
            return name
        is_host = self.cookie_path == "/" and self.cookie_domain is None
        return f"{(HOST if is_host else SECURE) if self.cookie_secure else ''}refresh_token"

    @property
    def cookie_path(self) -> str | None:
        """Path of the cookie. None: the parent of the mount's own refresh URL."""
        return _get("COOKIE_PATH", None)

    @property
    def cookie_domain(self) -> str | None:
        """Domain of the cookie. None: only the host that set it. With a domain, every host below it is trusted."""
        return _get("COOKIE_DOMAIN", None)

    @property
    def cookie_samesite(self) -> str:
        """SameSite attribute of the cookie, a string: "Strict", "Lax" or "None"."""
        return _get("COOKIE_SAMESITE", "Strict")

    @property
    def cookie_secure(self) -> bool:
        """Whether browsers send the cookie over https only."""
        return _get("COOKIE_SECURE", True)

    @property
    def browser_grace(self) -> timedelta:
        """How long the old token may be presented again after a rotation, in the family of a browser.

        Only a rotation without an Idempotency-Key has this grace.
        """
        return _duration("BROWSER_GRACE", 10)

    @property
    def reuse_grace(self) -> timedelta:
        """How long the old token may be presented again after a rotation, in a family that is not a browser's.

        Only a rotation without an Idempotency-Key has this grace.
        """
        return _duration("REUSE_GRACE", 0)

    @property
    def revoke_on_reuse(self) -> str:
        """What the reuse of a refresh token revokes: its ``family``, or all families of the ``user``."""
        return _get("REVOKE_ON_REUSE", "family")

    @property
    def max_families_per_user(self) -> int | None:
        """How many active families a user may have: one more login revokes the oldest. None: any number."""
        return _get("MAX_FAMILIES_PER_USER", None)

    @property
    def access_claims(self) -> Callable[[Any, Any], Mapping[str, Any]] | None:
        """Dotted path to a callable ``(user, family) -> dict``: the project's own claims for each access token.

        It is called at every login and refresh. The dict may hold only what JSON can: text, finite numbers, booleans,
        None, lists, and dicts with text as keys. Turn a UUID, a date or a lazy translation into text.
        """
        path = _get("ACCESS_CLAIMS", None)
        return None if path is None else import_string(path)

    @property
    def issuer(self) -> str | None:
        """The ``iss`` claim of access tokens: each is issued with it, and refused without it.

        A string; or a callable without arguments that returns the string and is called on each use; or the callable's
        dotted path. With a callable, refresh tokens have the claim too.
        """
        value, found = _get("ISSUER", None), callable_of("ISSUER")
        return value if found is None else _issuer_from(found)

    @property
    def audience(self) -> tuple[str, ...]:
        """The ``aud`` claim of access tokens: each is issued with all values, and accepted if it names one of them.

        A string or a list of strings; or a callable without arguments that returns a string or a list and is called on
        each use; or the callable's dotted path.
        """
        value, found = _get("AUDIENCE", None), callable_of("AUDIENCE")
        return _texts(value) if found is None else _audience_from(found)

    @property
    def client_id(self) -> str | None:
        """The ``client_id`` claim of access tokens, for verifiers that require RFC 9068. None: no such claim.

        With ISSUER, AUDIENCE and CLIENT_ID an access token has every claim that RFC 9068 requires.
        """
        return _get("CLIENT_ID", None)

    @property
    def jwks_url(self) -> str | None:
        """Where ``RemoteAccessTokenAuthentication`` fetches the public keys (a JWK Set). None: ACCESS_SECRET has them.

        Only a service that verifies the access tokens of another one needs it.
        """
        return _get("JWKS_URL", None)

    @property
    def leeway(self) -> timedelta:
        """How long after its ``exp`` an access token is still accepted, because clocks differ."""
        return _duration("LEEWAY", 0)

    @property
    def revocations_url(self) -> str | None:
        """Where ``RemoteAccessTokenAuthentication`` asks which token families were revoked: a ``RevocationsView``.

        Only a service that verifies the access tokens of another one needs it.
        """
        return _get("REVOCATIONS_URL", None)

    @property
    def revocation_interval(self) -> timedelta | None:
        """How often a process reads which token families were revoked. It reads only when a request comes. None: never.

        ``StatelessAccessTokenAuthentication`` reads the database, ``RemoteAccessTokenAuthentication`` REVOCATIONS_URL.
        A revoked family is refused within this time and that of a reading; if the reading is slow or fails, within
        twice this time.
        """
        return _get("REVOCATION_INTERVAL", None)

    @property
    def dpop(self) -> str:
        """Whether a login with a DPoP proof binds its token family to the client's key (RFC 9449).

        ``"optional"``: a login with a proof binds, any other does not. ``"required"``: every new family is bound.
        ``"off"``: proofs are ignored, and families that are bound already are refused. Without the package cryptography
        ``"optional"`` means ``"off"``.
        """
        return _get("DPOP", "optional")

    @property
    def dpop_access(self) -> bool:
        """Whether the access tokens of a family that is bound by DPoP are bound too: each API call needs a proof.

        False: only the refresh token is bound.
        """
        return _get("DPOP_ACCESS", True)

    @property
    def dpop_nonce(self) -> bool:
        """Whether each DPoP proof must have a nonce of the server, so a page's script can't sign proofs for later."""
        return _get("DPOP_NONCE", False)

    @property
    def user_id_field(self) -> str:
        """The field of the user model whose value is the ``sub`` claim."""
        return _get("USER_ID_FIELD", "pk")

    @property
    def login_throttle(self) -> str | None:
        """How often one address may try one user name. None: off.

        Spellings that the database treats as equal count together.
        """
        return _get("LOGIN_THROTTLE", "10/min")

    @property
    def refresh_throttle(self) -> str | None:
        """How often one family may refresh. None: off."""
        return _get("REFRESH_THROTTLE", "60/min")

    @property
    def step_up_sessions(self) -> timedelta | None:
        """How recent the user's last proof of identity must be to list or revoke sessions. None: it does not matter."""
        return _get("STEP_UP_SESSIONS", None)

    @property
    def record_client(self) -> bool:
        """Whether to store the address and user agent of logins and refreshes."""
        return _get("RECORD_CLIENT", True)

    @property
    def retention(self) -> timedelta:
        """How long ``purge_token_families`` keeps a revoked or expired family, for people to look at.

        A time shorter than the life of an access token counts as that life and a minute: until then the family is
        needed for REVOCATION_INTERVAL and ``RevocationsView``.
        """
        return _get("RETENTION", timedelta(days=30))

    @property
    def tenant_issuer(self) -> str | None:
        """The issuer if ISSUER is a callable, else None. It is part of refresh tokens and of cache keys."""
        found = callable_of("ISSUER")
        return None if found is None else _issuer_from(found)

    @property
    def nonce_secrets(self) -> tuple[bytes, ...]:
        """The secrets of DPOP_NONCE: REFRESH_SECRET, or SECRET_KEY in a service without it. The first makes nonces."""
        if _get("REFRESH_SECRET", None) is None:
            return tuple(map(force_bytes, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)))
        return tuple(secret.encode() for secret in self.refresh_secret)

    @property
    def access_policy(self) -> AccessPolicy:
        """How access tokens are signed and verified, made from the settings above."""
        return AccessPolicy(self.access_keys, self.issuer, self.audience, self.leeway.total_seconds(), self.client_id)

    @property
    def access_keys(self) -> KeyRing:
        """The keys of access tokens, made from the settings above."""
        return _keys("ACCESS_SECRET", self.access_secret, (self.access_algorithm, *ALGORITHMS))

    @property
    def refresh_keys(self) -> KeyRing:
        """The keys of refresh tokens, made from the settings above. Only we verify them, so HS256 is enough."""
        return _keys("REFRESH_SECRET", self.refresh_secret, (HS256,))


conf: Settings = Settings()

SETTING_NAMES = frozenset(
    name.upper()
    for name in vars(Settings)
    if not name.startswith("_")
    and name not in {"tenant_issuer", "nonce_secrets", "access_policy", "access_keys", "refresh_keys"}
)


def callable_of(key: str) -> Callable[[], object] | None:
    """Return a setting's callable, given directly or as a dotted path. None: the setting is a plain value.

    Raises ImproperlyConfigured for a dotted path that leads to no callable. Otherwise a misspelt path would itself be
    used as the issuer, the same one for all tenants.
    """
    value: Any = _get(key, None)
    if not isinstance(value, str):
        return value if callable(value) else None
    if not _is_dotted_path(value):
        return None
    try:
        found = import_string(value)
    except ImportError as exc:
        raise ImproperlyConfigured(f"TWOTOKEN[{key!r}]: {exc}") from exc
    if not callable(found):
        raise ImproperlyConfigured(f"TWOTOKEN[{key!r}]: {value} is not callable.")
    return cast("Callable[[], object]", found)


@lru_cache(maxsize=32)
def _is_dotted_path(value: str) -> bool:
    """Tell whether a string is a dotted path to something in a module that Python can import.

    A host such as auth.example.com looks like a dotted path too. So a string counts as a dotted path only if Python
    finds a package named like its first part. If the string has only one dot, a module is enough. Nothing is imported.
    """
    names = value.split(".")
    if len(names) < 2 or not all(name.isidentifier() for name in names):
        return False
    try:
        spec = find_spec(names[0])
    except ValueError:  # the module is loaded but has no spec, such as __main__
        return True
    return spec is not None and (len(names) == 2 or spec.submodule_search_locations is not None)


def _issuer_from(found: Callable[[], object]) -> str:
    value = found()
    if not isinstance(value, str) or not value:
        # Without an issuer, each tenant would accept the tokens of the others.
        raise ImproperlyConfigured(
            f"The callable of TWOTOKEN['ISSUER'] must return a string, not {type(value).__name__}."
        )
    return value


def _audience_from(found: Callable[[], object]) -> tuple[str, ...]:
    value: Any = found()
    texts = _texts(value) if isinstance(value, str | list | tuple) else ()
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ImproperlyConfigured("The callable of TWOTOKEN['AUDIENCE'] must return a string or a list of strings.")
    return texts


def _texts(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _get(key: str, default: T) -> T:
    value: T = getattr(settings, "TWOTOKEN", {}).get(key, default)
    return value


def _duration(key: str, default: float) -> timedelta:
    value = _get(key, default)
    return value if isinstance(value, timedelta) else timedelta(seconds=value)


def _secrets(key: str) -> tuple[str, ...]:
    value = _get(key, None)
    if value is None:
        raise ImproperlyConfigured(f"TWOTOKEN[{key!r}] is not set. Is the environment file loaded?")
    secrets = (value,) if isinstance(value, str) else value
    if not isinstance(secrets, list | tuple) or not secrets or not all(isinstance(secret, str) for secret in secrets):
        raise ImproperlyConfigured(f"TWOTOKEN[{key!r}] must be a string or a list of strings.")
    return tuple(secrets)


def _keys(key: str, secrets: tuple[str, ...], algorithms: tuple[str, ...]) -> KeyRing:
    try:
        return key_ring(secrets, algorithms)
    except ValueError as exc:
        raise ImproperlyConfigured(f"TWOTOKEN[{key!r}]: {exc}.") from exc
