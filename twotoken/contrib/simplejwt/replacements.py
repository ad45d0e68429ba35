"""What replaces each of simplejwt's settings (those of version 5.5 and of older versions)."""

from __future__ import annotations

from typing import Final

_OLD_TOKENS = "For the old tokens set TWOTOKEN_SIMPLEJWT[{0!r}]. "
_GET_USER = "Override get_user(access) in a subclass of the authentication class"
_SLIDING = "Delete it: twotoken has no sliding tokens. Clients use login/ and refresh/, and have to log in again."
_SERIALIZER = "Delete it. Add claims with TWOTOKEN['ACCESS_CLAIMS']. Subclass the view to change what a login reads "
_SERIALIZER += "and answers. 'Coming from simplejwt' in the documentation shows both."
_REMOVED = "Delete it: simplejwt itself has removed this setting."

REPLACEMENTS: Final[dict[str, str]] = {
    "ACCESS_TOKEN_LIFETIME": "Use TWOTOKEN['ACCESS_LIFETIME'].",
    "REFRESH_TOKEN_LIFETIME": "Use TWOTOKEN['REFRESH_LIFETIME'], since the last refresh; FAMILY_LIFETIME, since login.",
    "ROTATE_REFRESH_TOKENS": "Delete it: refresh tokens always rotate.",
    "BLACKLIST_AFTER_ROTATION": "Delete it: after a rotation the old refresh token is always invalid.",
    "UPDATE_LAST_LOGIN": "Delete it: Django's login signal always updates last_login.",
    "ALGORITHM": _OLD_TOKENS.format("ALGORITHM") + "For the new ones set TWOTOKEN['ACCESS_ALGORITHM'].",
    "SIGNING_KEY": _OLD_TOKENS.format("SIGNING_KEY") + "For the new ones set ACCESS_SECRET and REFRESH_SECRET.",
    "VERIFYING_KEY": _OLD_TOKENS.format("VERIFYING_KEY") + "For the new ones put a private key into ACCESS_SECRET.",
    "AUDIENCE": _OLD_TOKENS.format("AUDIENCE") + "For the new ones set TWOTOKEN['AUDIENCE'].",
    "ISSUER": _OLD_TOKENS.format("ISSUER") + "For the new ones set TWOTOKEN['ISSUER'].",
    "LEEWAY": _OLD_TOKENS.format("LEEWAY") + "For the new access tokens set TWOTOKEN['LEEWAY'].",
    "USER_ID_FIELD": _OLD_TOKENS.format("USER_ID_FIELD") + "For the new ones set TWOTOKEN['USER_ID_FIELD'].",
    "USER_ID_CLAIM": _OLD_TOKENS.format("USER_ID_CLAIM") + "In the new ones it is 'sub'.",
    "TOKEN_TYPE_CLAIM": _OLD_TOKENS.format("TOKEN_TYPE_CLAIM") + "The new ones have a typ header.",
    "JTI_CLAIM": _OLD_TOKENS.format("JTI_CLAIM") + "In the new ones it is 'jti'.",
    "CHECK_REVOKE_TOKEN": _OLD_TOKENS.format("CHECK_REVOKE_TOKEN")
    + "A changed password always revokes the new refresh tokens. RevocableAccessTokenAuthentication then refuses the "
    "access tokens too.",
    "REVOKE_TOKEN_CLAIM": _OLD_TOKENS.format("REVOKE_TOKEN_CLAIM") + "The new ones have no such claim.",
    "AUTH_HEADER_TYPES": "Set TWOTOKEN_SIMPLEJWT['AUTH_HEADER_TYPES'] during the move. After it, it is always Bearer.",
    "AUTH_HEADER_NAME": "Set TWOTOKEN_SIMPLEJWT['AUTH_HEADER_NAME'] during the move. After it, it is always "
    "Authorization.",
    "JSON_ENCODER": "Delete it: ACCESS_CLAIMS must return values that JSON can hold.",
    "JWK_URL": "Delete it: put the public key itself into TWOTOKEN_SIMPLEJWT['VERIFYING_KEY'].",
    "USER_AUTHENTICATION_RULE": f"For the login, write a Django authentication backend. {_GET_USER} for API routes.",
    "CHECK_USER_IS_ACTIVE": "Delete it: inactive users are always refused.",
    "AUTH_TOKEN_CLASSES": "Delete it: the authentication class decides which tokens it accepts.",
    "TOKEN_USER_CLASS": f"{_GET_USER}. StatelessAccessTokenAuthentication loads the real user only when needed.",
    "TOKEN_OBTAIN_SERIALIZER": _SERIALIZER,
    "TOKEN_REFRESH_SERIALIZER": _SERIALIZER,
    "TOKEN_VERIFY_SERIALIZER": _SERIALIZER,
    "TOKEN_BLACKLIST_SERIALIZER": _SERIALIZER,
    "SLIDING_TOKEN_OBTAIN_SERIALIZER": _SLIDING,
    "SLIDING_TOKEN_REFRESH_SERIALIZER": _SLIDING,
    "SLIDING_TOKEN_REFRESH_EXP_CLAIM": _SLIDING,
    "SLIDING_TOKEN_LIFETIME": _SLIDING,
    "SLIDING_TOKEN_REFRESH_LIFETIME": _SLIDING,
    "ON_LOGIN_SUCCESS": "Connect a receiver to Django's user_logged_in.",
    "ON_LOGIN_FAILED": "Connect a receiver to Django's user_login_failed.",
    "AUTH_HEADER_TYPE": _REMOVED,
    "AUTH_TOKEN_CLASS": _REMOVED,
    "SECRET_KEY": _REMOVED,
    "TOKEN_BACKEND_CLASS": _REMOVED,
}
