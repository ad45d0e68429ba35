"""What takes the place of each of simplejwt's settings (5.5, and those that older versions had)."""

from __future__ import annotations

from typing import Final

_OLD_TOKENS = "TWOTOKEN_SIMPLEJWT[{0!r}] says it of the old tokens. "
_GET_USER = "Override get_user(access) in a subclass of the authentication class"
_SLIDING = "There is none: twotoken has no sliding tokens. Clients take login/ and refresh/, and log in once more."
_SERIALIZER = "There is none. Claims of your own come from TWOTOKEN['ACCESS_CLAIMS']; what a login takes and answers, "
_SERIALIZER += "from a subclass of the view: 'Coming from simplejwt' in the documentation shows both."
_REMOVED = "There is none: simplejwt itself has removed it."

REPLACEMENTS: Final[dict[str, str]] = {
    "ACCESS_TOKEN_LIFETIME": "Use TWOTOKEN['ACCESS_LIFETIME'].",
    "REFRESH_TOKEN_LIFETIME": "Use TWOTOKEN['REFRESH_LIFETIME'], since its last use, and FAMILY_LIFETIME, since login.",
    "ROTATE_REFRESH_TOKENS": "There is none: they always rotate.",
    "BLACKLIST_AFTER_ROTATION": "There is none: an old one never works again.",
    "UPDATE_LAST_LOGIN": "There is none: Django's login signal always does it.",
    "ALGORITHM": _OLD_TOKENS.format("ALGORITHM") + "TWOTOKEN['ACCESS_ALGORITHM'] says it of the new ones.",
    "SIGNING_KEY": _OLD_TOKENS.format("SIGNING_KEY") + "The new ones take ACCESS_SECRET and REFRESH_SECRET.",
    "VERIFYING_KEY": _OLD_TOKENS.format("VERIFYING_KEY") + "The new ones take a key pair in ACCESS_SECRET.",
    "AUDIENCE": _OLD_TOKENS.format("AUDIENCE") + "TWOTOKEN['AUDIENCE'] says it of the new ones.",
    "ISSUER": _OLD_TOKENS.format("ISSUER") + "TWOTOKEN['ISSUER'] says it of the new ones.",
    "LEEWAY": _OLD_TOKENS.format("LEEWAY") + "TWOTOKEN['LEEWAY'] says it of the new access tokens.",
    "USER_ID_FIELD": _OLD_TOKENS.format("USER_ID_FIELD") + "TWOTOKEN['USER_ID_FIELD'] says it of the new ones.",
    "USER_ID_CLAIM": _OLD_TOKENS.format("USER_ID_CLAIM") + "In the new ones it is 'sub'.",
    "TOKEN_TYPE_CLAIM": _OLD_TOKENS.format("TOKEN_TYPE_CLAIM") + "The new ones have a typ header.",
    "JTI_CLAIM": _OLD_TOKENS.format("JTI_CLAIM") + "In the new ones it is 'jti'.",
    "CHECK_REVOKE_TOKEN": _OLD_TOKENS.format("CHECK_REVOKE_TOKEN")
    + "A changed password always ends the new refresh tokens; access tokens with RevocableAccessTokenAuthentication.",
    "REVOKE_TOKEN_CLAIM": _OLD_TOKENS.format("REVOKE_TOKEN_CLAIM") + "The new ones have none.",
    "AUTH_HEADER_TYPES": "TWOTOKEN_SIMPLEJWT['AUTH_HEADER_TYPES'] keeps it while you move. Then it is Bearer.",
    "AUTH_HEADER_NAME": "TWOTOKEN_SIMPLEJWT['AUTH_HEADER_NAME'] keeps it while you move. Then it is Authorization.",
    "JSON_ENCODER": "There is none: ACCESS_CLAIMS returns what JSON has.",
    "JWK_URL": "There is none: put the public key itself into TWOTOKEN_SIMPLEJWT['VERIFYING_KEY'].",
    "USER_AUTHENTICATION_RULE": f"Write a Django authentication back end for the login. {_GET_USER} for the routes.",
    "CHECK_USER_IS_ACTIVE": "There is none: inactive users are always refused.",
    "AUTH_TOKEN_CLASSES": "There is none: the authentication class says what it takes.",
    "TOKEN_USER_CLASS": f"{_GET_USER}. StatelessAccessTokenAuthentication has a user that is loaded when touched.",
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
