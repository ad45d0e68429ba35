"""The settings of the move from simplejwt: one dict, ``TWOTOKEN_SIMPLEJWT``, read on every use.

The keys of the dict say how simplejwt made its tokens, which are called "old" here. The keys have simplejwt's names,
meanings and defaults, so that lines of ``SIMPLE_JWT`` can be copied unchanged. There are two exceptions:
``SIGNING_KEY`` has no default here, and ``UNTIL`` is new.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from twotoken.contrib.simplejwt.tokens import Policy, prepared_key

T = TypeVar("T")

NAME = "TWOTOKEN_SIMPLEJWT"


class Settings:
    """The keys of ``TWOTOKEN_SIMPLEJWT``, in lower case, with their defaults."""

    @property
    def algorithm(self) -> str:
        """The algorithm with which simplejwt signed its tokens. A token with another algorithm is refused."""
        return _get("ALGORITHM", "HS256")

    @property
    def signing_key(self) -> str:
        """The secret of HS256, HS384 or HS512. simplejwt's own default is SECRET_KEY; here it has no default."""
        return _get("SIGNING_KEY", "")

    @property
    def verifying_key(self) -> str:
        """The public key, as PEM, if the algorithm is not HS256, HS384 or HS512."""
        return _get("VERIFYING_KEY", "")

    @property
    def until(self) -> datetime:
        """When simplejwt's last refresh token expires. After that every token of simplejwt is refused. Required."""
        value = _get("UNTIL", None)
        if value is None:
            raise ImproperlyConfigured(f"{NAME}['UNTIL'] is not set.")
        return value

    @property
    def issuer(self) -> str | None:
        """The ``iss`` claim that a token of simplejwt must have. With None, ``iss`` is not checked."""
        return _get("ISSUER", None)

    @property
    def audience(self) -> Any:
        """The ``aud`` claim that a token of simplejwt must have. With None, ``aud`` is not checked.

        If the setting is a list, the token must have at least one entry of the list.
        """
        return _get("AUDIENCE", None)

    @property
    def leeway(self) -> timedelta:
        """How long after its ``exp`` a token of simplejwt is still accepted: seconds or a ``timedelta``."""
        value = _get("LEEWAY", 0)
        return value if isinstance(value, timedelta) else timedelta(seconds=value)

    @property
    def user_id_field(self) -> str:
        """The field of the user model by which simplejwt's tokens name their user."""
        return _get("USER_ID_FIELD", "id")

    @property
    def user_id_claim(self) -> str:
        """The claim that holds the value of USER_ID_FIELD."""
        return _get("USER_ID_CLAIM", "user_id")

    @property
    def token_type_claim(self) -> str:
        """The claim that tells an access token from a refresh token."""
        return _get("TOKEN_TYPE_CLAIM", "token_type")

    @property
    def jti_claim(self) -> str:
        """The claim that identifies a token."""
        return _get("JTI_CLAIM", "jti")

    @property
    def check_revoke_token(self) -> bool:
        """Whether simplejwt's tokens have a digest of the password hash.

        If they have it, the digest must fit the user's present hash.
        """
        return _get("CHECK_REVOKE_TOKEN", False)

    @property
    def revoke_token_claim(self) -> str:
        """The claim that holds the digest of the password hash."""
        return _get("REVOKE_TOKEN_CLAIM", "hash_password")

    @property
    def auth_header_types(self) -> tuple[str, ...]:
        """The words, such as ``Bearer``, before an access token of simplejwt or twotoken in the header."""
        value = _get("AUTH_HEADER_TYPES", ("Bearer",))
        return (value,) if isinstance(value, str) else tuple(value)

    @property
    def auth_header_name(self) -> str:
        """The header that carries access tokens, by its name in ``request.META``."""
        return _get("AUTH_HEADER_NAME", "HTTP_AUTHORIZATION")

    @property
    def is_over(self) -> bool:
        """Whether UNTIL is past. ``TWOTOKEN_SIMPLEJWT`` has no such key."""
        return timezone.now().timestamp() >= self.until.timestamp()

    @property
    def policy(self) -> Policy:
        """The key and the rules for checking simplejwt's tokens, made from the other settings."""
        is_secret = self.algorithm.startswith("HS")
        try:
            key = prepared_key(self.algorithm, self.signing_key if is_secret else self.verifying_key)
        except ValueError as exc:
            name = "SIGNING_KEY" if is_secret else "VERIFYING_KEY"
            raise ImproperlyConfigured(f"{NAME}[{name!r}]: {exc}") from exc
        return Policy(
            key=key,
            algorithm=self.algorithm,
            issuer=self.issuer,
            audience=self.audience,
            leeway=self.leeway.total_seconds(),
            user_id_claim=self.user_id_claim,
            token_type_claim=self.token_type_claim,
            jti_claim=self.jti_claim,
            revoke_token_claim=self.revoke_token_claim,
        )


conf = Settings()

SETTING_NAMES = frozenset(
    name.upper() for name in vars(Settings) if not name.startswith("_") and name not in {"is_over", "policy"}
)


def _get(key: str, default: T) -> T:
    value: T = getattr(settings, NAME, {}).get(key, default)
    return value
