"""Authenticate with an access token that another project, the login project, has issued. Make a user from its claims.

This module also fetches and keeps the public keys of the login project.

``"twotoken"`` need not be in INSTALLED_APPS, so no system check runs. Instead, the settings are checked on first use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from jwt.algorithms import has_crypto

from twotoken import tokens
from twotoken.bearer import BearerAuthentication
from twotoken.checks import check_shape
from twotoken.conf import conf
from twotoken.exceptions import InvalidToken
from twotoken.keys import KeyRing, verifying_ring
from twotoken.polling import Polled
from twotoken.remote.fetching import FetchError, fetch
from twotoken.remote.jwks import named_key, read_key_set
from twotoken.remote.revocations import RevocationSource
from twotoken.tokens import AccessPolicy, AccessToken

KEYS_INTERVAL = 300.0  # seconds after which the keys are fetched again: the JWKS_MAX_AGE of JWKSView
# Seconds between two fetches for an unknown ``kid``, because anybody can make one up. Also the pause after a fetch that
# failed.
UNKNOWN_KEY_PAUSE = 30.0
FETCH_SECONDS = 3.0
FETCH_BYTES = 262_144
NO_PAIR = "A service that only verifies needs both REVOCATIONS_URL and REVOCATION_INTERVAL in TWOTOKEN, or neither."
NO_CRYPTO = "Public keys need the package cryptography: pip install 'twotoken[crypto]'."


class RemoteUser:
    """A user made from an access token's claims. Each claim is an attribute: ``user.email`` is the claim ``email``.

    The user's permissions and groups are the strings in the claims ``permissions`` and ``groups``. ``is_staff``,
    ``is_superuser`` and ``is_active`` are claims too. Without these claims the user is active, and is neither staff nor
    superuser.
    """

    is_authenticated = True
    is_anonymous = False

    def __init__(self, access: AccessToken) -> None:
        self._access = access

    @property
    def pk(self) -> str:
        """The ``sub`` claim, as text: the user's key in the project where users log in."""
        subject: str = self._access["sub"]
        return subject

    @property
    def id(self) -> str:
        return self.pk

    @property
    def is_active(self) -> bool:
        return self._access.get("is_active", True) is True

    @property
    def is_staff(self) -> bool:
        return self._access.get("is_staff") is True

    @property
    def is_superuser(self) -> bool:
        return self._access.get("is_superuser") is True

    @property
    def groups(self) -> frozenset[str]:
        """The names in the ``groups`` claim."""
        return self._names("groups")

    def get_username(self) -> str:
        """Return the ``username`` claim, or the ``sub`` claim if there is none."""
        name = self._access.get("username")
        return name if isinstance(name, str) else self.pk

    def get_all_permissions(self, obj: object = None) -> frozenset[str]:
        """Return the ``permissions`` claim. For a single object, return an empty set, as Django's own back end does."""
        return self._names("permissions") if self.is_active and obj is None else frozenset()

    def get_user_permissions(self, obj: object = None) -> frozenset[str]:
        return self.get_all_permissions(obj)

    def get_group_permissions(self, obj: object = None) -> frozenset[str]:
        """Return an empty set, because the claims don't tell which permissions come from a group."""
        return frozenset()

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return self.is_active and (self.is_superuser or perm in self.get_all_permissions(obj))

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        if isinstance(perm_list, str):  # Django refuses it too: each of its letters would be a permission
            raise ValueError("perm_list must be an iterable of permissions.")
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        own = self.get_all_permissions()
        return self.is_active and (self.is_superuser or any(name.startswith(f"{app_label}.") for name in own))

    def _names(self, claim: str) -> frozenset[str]:
        """Return the strings in a claim that is a list. If the claim is missing or not a list, return an empty set."""
        value = self._access.get(claim)
        return frozenset(name for name in value if isinstance(name, str)) if isinstance(value, list) else frozenset()

    def __getattr__(self, name: str) -> Any:
        # Python also reads private names, for example to copy or to display an object. A claim must not be returned for
        # these.
        if not name.startswith("_"):
            try:
                return self._access[name]
            except KeyError:
                pass
        raise AttributeError(f"The access token has no claim {name!r}.")

    def __str__(self) -> str:
        return self.get_username()

    def __repr__(self) -> str:
        return f"<RemoteUser {self.pk}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteUser) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[Any, str]:
        return self._access.get("iss"), self.pk


class KeySource:
    """The public keys at a URL, kept in this process and fetched again by a request that finds them old.

    Requests that come during this fetch use the old keys. If the other service does not answer, the old keys stay in
    use, and only the log shows the failure.
    """

    def __init__(
        self, url: str, *, seconds: float = FETCH_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.url = url
        self._seconds = seconds
        self._polled = Polled(
            self._fetch, interval=KEYS_INTERVAL, in_background=True, pause=UNKNOWN_KEY_PAUSE, clock=clock
        )

    def keys(self) -> KeyRing:
        """Return the keys. Raises Unavailable if no keys were fetched before and none can be fetched now."""
        return self._polled.get()

    def newer_keys(self) -> KeyRing:
        """Return the keys for a token whose key is unknown: fetch the keys again, at most once in UNKNOWN_KEY_PAUSE.

        Other requests whose token has an unknown key wait for this fetch.
        """
        return self._polled.get(interval=UNKNOWN_KEY_PAUSE, wait=True)

    def _fetch(self) -> KeyRing:
        try:
            return read_key_set(fetch(self.url, seconds=self._seconds, limit=FETCH_BYTES).body)
        except (FetchError, ValueError) as exc:
            raise FetchError(f"{self.url}: {exc}") from exc


@lru_cache(maxsize=1024)  # a service may have a list for each tenant
def revocation_source(
    url: str, interval: float, leeway: float, headers: tuple[tuple[str, str], ...]
) -> RevocationSource:
    """Return the one object of this process that keeps the list of revoked families at a URL. Times are in seconds."""
    return RevocationSource(url, interval=interval, leeway=leeway, headers=dict(headers))


@lru_cache(maxsize=32)
def key_source(url: str) -> KeySource:
    """Return the one object of this process that keeps the public keys at a URL."""
    return KeySource(url)


class RemoteAccessTokenAuthentication(BearerAuthentication):
    """Authenticate with an access token that another project issued. The user is a RemoteUser. This makes no query.

    The keys come from JWKS_URL, or are the public keys that ACCESS_SECRET has as PEM. With REVOCATIONS_URL and
    REVOCATION_INTERVAL, tokens of revoked families are refused. The answer is a 503 if the keys or the list of revoked
    families can't be fetched and no earlier ones are kept. Override ``get_user`` to make another user from the claims.
    ``revocations_headers`` are sent to REVOCATIONS_URL, for example an Authorization header.
    """

    revocations_headers: ClassVar[Mapping[str, str]] = {}
    _checked: ClassVar[object] = None

    def verify(self, token: str) -> AccessToken:
        self.check_settings()
        if conf.jwks_url is None:
            access = self.decode(token, verifying_ring(conf.access_secret))
        else:
            access = self.verify_with(key_source(conf.jwks_url), token)
        if conf.revocations_url is not None:
            self.revocation_source(conf.revocations_url).refuse_revoked(access)
        return access

    def revocation_source(self, url: str) -> RevocationSource:
        """Return the object that keeps the list of revoked families at a URL.

        A service with several lists overrides ``verify``, and calls this method with the URL of the list that it needs.
        """
        interval: Any = conf.revocation_interval  # set, as check_settings has made sure
        headers = tuple(self.revocations_headers.items())
        return revocation_source(url, interval.total_seconds(), conf.leeway.total_seconds(), headers)

    def verify_with(self, source: KeySource, token: str) -> AccessToken:
        """Return the claims of a token that a key of ``source`` signed; raise a TokenNotValid to refuse the token."""
        keys = source.keys()
        try:
            return self.decode(token, keys)
        except InvalidToken:
            kid = named_key(token)
            if kid is None or any(key.kid == kid for key in keys.keys):
                raise
            newer = source.newer_keys()
            if newer is keys:
                raise
        return self.decode(token, newer)

    def decode(self, token: str, keys: KeyRing) -> AccessToken:
        """Return the claims of a token that one of the keys signed; raise a TokenNotValid to refuse the token."""
        policy = AccessPolicy(keys, conf.issuer, conf.audience, conf.leeway.total_seconds())
        return tokens.decode_access(token, policy, timezone.now())

    def get_user(self, access: AccessToken) -> Any:
        return RemoteUser(access)

    @classmethod
    def check_settings(cls) -> None:
        """Check the settings on their first use. Raises ImproperlyConfigured, whose text says what is wrong."""
        value = getattr(settings, "TWOTOKEN", None)
        if value is not None and value is cls._checked:
            return
        problems = [f"{error.msg} {error.hint}" for error in check_shape(None)]
        problems += [] if has_crypto else [NO_CRYPTO]
        if not problems and (conf.revocations_url is None) != (conf.revocation_interval is None):
            problems.append(NO_PAIR)
        if problems:
            raise ImproperlyConfigured(problems[0])
        if conf.jwks_url is None:
            _check_public_keys()
        cls._checked = value


def _check_public_keys() -> None:
    if not (getattr(settings, "TWOTOKEN", None) or {}).get("ACCESS_SECRET"):
        raise ImproperlyConfigured("TWOTOKEN needs JWKS_URL, or ACCESS_SECRET with a public key as PEM.")
    try:
        verifying_ring(conf.access_secret)
    except ValueError as exc:
        raise ImproperlyConfigured(f"TWOTOKEN['ACCESS_SECRET']: {exc}.") from exc
