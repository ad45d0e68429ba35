"""twotoken's exceptions. Each class has a stable ``code``. The classes for a refused token also have a ``reason``.

This module does not import Django. The messages are in English and in ASCII, because ``error_description`` must be
ASCII (RFC 6750 section 3). The ``detail`` of an answer is the translated message.
"""

from __future__ import annotations

from typing import ClassVar


def gettext_noop(message: str) -> str:
    """Mark a message for ``makemessages`` without importing Django."""
    return message


class TwoTokenError(Exception):
    """The root of all errors that twotoken raises."""

    code: ClassVar[str]
    message: ClassVar[str]

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else self.message


class TokenNotValid(TwoTokenError):
    """A token was refused. ``reason`` says why, as a fixed string that clients can test."""

    code: ClassVar[str] = "token_not_valid"
    reason: ClassVar[str]


class MissingToken(TokenNotValid):
    """The request carries no token."""

    reason: ClassVar[str] = "missing"
    message: ClassVar[str] = gettext_noop("No token was given.")


class InvalidToken(TokenNotValid):
    """The token is malformed, has no valid signature for a token of its kind, or has another issuer or audience.

    This error is also raised if the token's family is unknown, or if no refresh cookie can be trusted.
    """

    reason: ClassVar[str] = "invalid"
    message: ClassVar[str] = gettext_noop("The token is not valid.")


class ConflictingCookies(InvalidToken):
    """It is unclear which refresh cookie is the browser's own: another subdomain may have set or evicted cookies.

    See RFC 6265 section 8.6.
    """

    message: ClassVar[str] = gettext_noop("The cookies do not show which refresh token is this browser's own.")


class ExpiredToken(TokenNotValid):
    """The access token is past its ``exp``, or the token family was unused for too long or is too old."""

    reason: ClassVar[str] = "expired"
    message: ClassVar[str] = gettext_noop("The token has expired.")


class RevokedToken(TokenNotValid):
    """The token family was revoked."""

    reason: ClassVar[str] = "revoked"
    message: ClassVar[str] = gettext_noop("The token was revoked.")


class ReusedToken(TokenNotValid):
    """A refresh token was used again after it was replaced. The family is now revoked (RFC 9700 section 4.14.2)."""

    reason: ClassVar[str] = "reused"
    message: ClassVar[str] = gettext_noop("The refresh token was used before. Its token family is revoked.")


class PasswordChanged(TokenNotValid):
    """The user's password was changed after the login."""

    reason: ClassVar[str] = "password_changed"
    message: ClassVar[str] = gettext_noop("The user's password was changed.")


class UserInactive(TokenNotValid):
    """The user is inactive or was deleted."""

    reason: ClassVar[str] = "user_inactive"
    message: ClassVar[str] = gettext_noop("The user is inactive or was deleted.")


class WrongDevice(TokenNotValid):
    """The family is bound to a device's key, and the request has no proof by this key. The family stays active."""

    reason: ClassVar[str] = "wrong_device"
    message: ClassVar[str] = gettext_noop("The token belongs to another device.")


class NoActiveAccount(TwoTokenError):
    """The credentials are wrong, or the account is unknown or inactive. The answer does not say which is the case."""

    code: ClassVar[str] = "no_active_account"
    message: ClassVar[str] = gettext_noop("No active account found with the given credentials.")


class InsufficientUserAuthentication(TwoTokenError):
    """The user's last proof of identity is too old for this request, and a new proof would be enough (RFC 9470).

    ``max_age`` says how old the proof may be, in seconds. The access token stays valid.
    """

    code: ClassVar[str] = "insufficient_user_authentication"
    message: ClassVar[str] = gettext_noop("Confirm your identity again.")
    max_age: int = 300

    def __init__(self, max_age: int = max_age) -> None:
        super().__init__()
        self.max_age = max_age


class CrossOrigin(TwoTokenError):
    """A browser sent the request from an untrusted origin. The refresh cookie is not changed.

    The log names the origin. If DEBUG is True, ``detail`` also names the origin.
    """

    code: ClassVar[str] = "cross_origin"
    message: ClassVar[str] = gettext_noop("Cross-origin requests are not allowed here.")


class InvalidIdempotencyKey(TwoTokenError):
    """The Idempotency-Key is not 8 to 255 visible ASCII characters. The refresh token stays valid."""

    code: ClassVar[str] = "invalid_idempotency_key"
    message: ClassVar[str] = gettext_noop("Idempotency-Key must be 8 to 255 visible ASCII characters.")


class InvalidProof(TwoTokenError):
    """The DPoP proof is missing, malformed, or signed by another key (RFC 9449 section 4.3). The log says why.

    If the proof belongs to an access token, the status is 401, otherwise 400. No token is revoked.
    """

    code: ClassVar[str] = "invalid_dpop_proof"
    message: ClassVar[str] = gettext_noop("The DPoP proof is not valid.")


class MissingProof(InvalidProof):
    """The request has no DPoP proof, but needs one.

    A login needs a proof if DPOP is ``"required"``. A request with a bound access token always needs a proof.
    """

    message: ClassVar[str] = gettext_noop("A DPoP proof is required.")


class ProofAddress(InvalidProof):
    """The DPoP proof's method or URL (``htm``, ``htu``) differs from the request's. The log names both values."""

    message: ClassVar[str] = gettext_noop("The DPoP proof is for another method or address.")


class ProofTime(InvalidProof):
    """The DPoP proof is older than a minute, or the client's clock is more than a minute off."""

    message: ClassVar[str] = gettext_noop("The time of the DPoP proof is more than a minute from the server's time.")


class ProofReplayed(InvalidProof):
    """The DPoP proof was used before. Each request needs a new proof."""

    message: ClassVar[str] = gettext_noop("The DPoP proof was used before.")


class NonceRequired(InvalidProof):
    """The DPoP proof lacks the server's current nonce. The client sends a new proof with the nonce of this answer."""

    code: ClassVar[str] = "use_dpop_nonce"
    message: ClassVar[str] = gettext_noop("The DPoP proof needs the nonce of this answer.")


class RotationConflict(TwoTokenError):
    """Other requests kept changing the token family. The client may send the same request again."""

    code: ClassVar[str] = "rotation_conflict"
    message: ClassVar[str] = gettext_noop("The token family is busy. Try again.")


class Unavailable(TwoTokenError):
    """The database, or something else that the answer needs, is not available now. The client may try again."""

    code: ClassVar[str] = "unavailable"
    message: ClassVar[str] = gettext_noop("The service is not available right now. Try again.")


class ClaimsError(TwoTokenError):
    """The project's own claims can't go into an access token. Clients see only a 500. The refresh token stays valid."""

    code: ClassVar[str] = "claims_error"
    message: ClassVar[str] = "The claims can not go into an access token."
