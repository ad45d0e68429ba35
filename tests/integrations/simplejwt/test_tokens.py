"""The move accepts the tokens of simplejwt that simplejwt itself would accept, and refuses all others."""

from __future__ import annotations

import subprocess
import sys
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.utils import get_md5_hash_password

from tests.factories import UserFactory
from twotoken.clients import Client
from twotoken.contrib.simplejwt import blacklist, exchange
from twotoken.contrib.simplejwt.authentication import (
    AccessTokenAuthentication,
    RevocableAccessTokenAuthentication,
    StatelessAccessTokenAuthentication,
    verify_access,
)
from twotoken.contrib.simplejwt.conf import conf
from twotoken.contrib.simplejwt.tokens import NO_FAMILY
from twotoken.contrib.simplejwt.users import active_user, digest_of
from twotoken.exceptions import ExpiredToken, InvalidToken, PasswordChanged, UserInactive
from twotoken.families import start

KEY = "the key of an old project, and long enough for it"
OTHER = "the key of another project, and long enough too"
PRIVATE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def moved(**values: Any) -> Any:
    """Override TWOTOKEN_SIMPLEJWT with valid settings of a move, changed by ``values``."""
    usual = {"SIGNING_KEY": KEY, "UNTIL": datetime.now(UTC) + timedelta(days=1)}
    return override_settings(TWOTOKEN_SIMPLEJWT={**usual, **values})


def claims(**values: Any) -> dict[str, Any]:
    """Return the claims of an access token as simplejwt makes them. A claim with the value None is left out."""
    now = int(timezone.now().timestamp())
    usual = {"token_type": "access", "exp": now + 60, "iat": now, "jti": "7" * 32, "user_id": "1"}
    return {name: value for name, value in {**usual, **values}.items() if value is not None}


def signed(algorithm: str = "HS256", key: str = KEY, audience: Any = None, issuer: Any = None, **values: Any) -> str:
    """Return a token with these claims, signed by simplejwt's own code."""
    return TokenBackend(algorithm, key, audience=audience, issuer=issuer).encode(claims(**values))


UNSIGNED = jwt.encode(claims(), cast("Any", None), "none")


def pem(algorithm: str) -> tuple[str, str]:
    """Return a private key and its public key, as PEM."""
    private = PRIVATE[algorithm]
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_hmac(algorithm: str) -> None:
    """A token with the configured HMAC algorithm and key is accepted. Another algorithm or key is refused."""
    with moved(ALGORITHM=algorithm, SIGNING_KEY=KEY * 2):
        old = verify_access(signed(algorithm, KEY * 2))
        assert (old["sub"], old["user_id"], old.family_id, len(old)) == ("1", "1", NO_FAMILY, 7)
        others = {"HS256", "HS384", "HS512"} - {algorithm}
        for token in (signed(algorithm, OTHER * 2), *(signed(other, KEY * 2) for other in others)):
            with pytest.raises(InvalidToken):
                verify_access(token)


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_asymmetric(algorithm: str) -> None:
    """With a public key, a token of its algorithm is accepted. HS256 with the public key as the secret is refused."""
    private, public = pem(algorithm)
    with moved(ALGORITHM=algorithm, VERIFYING_KEY=public):
        assert verify_access(signed(algorithm, private))["sub"] == "1"
        header, payload, _ = jwt.encode(claims(), KEY, "HS256").split(".")
        forged = jwt.PyJWS(["HS256"])._algorithms["HS256"].sign(f"{header}.{payload}".encode(), public.encode())
        for token in (
            f"{header}.{payload}.{urlsafe_b64encode(forged).rstrip(b'=').decode()}",
            UNSIGNED,
            signed(),
        ):
            with pytest.raises(InvalidToken):
                verify_access(token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "..",
        "a.b",
        "ä.ö.ü",
        "\ud800.a.b",
        "\x00",
        f"{urlsafe_b64encode(b'[' * 5000).decode().rstrip('=')}.e30.e30",
        "x" * 100_000,
        UNSIGNED,
        signed() + "A",
        signed()[:-2],
        signed(key=OTHER),
        signed(token_type="refresh"),
        signed(token_type=None),
        signed(user_id=None),
        signed(user_id=[1]),
        signed(user_id=True),
        signed(exp=None),
        signed(exp="9999999999"),
        signed(exp=10**18),
        signed(exp=-1),
        jwt.encode(claims(), KEY, headers={"typ": "at+jwt"}),
        jwt.encode(claims(), KEY, headers={"crit": ["x"], "x": 1}),
    ],
    ids=lambda token: f"{len(token)} characters",
)
def test_what_is_no_token(token: str) -> None:
    """Verifying anything but a valid access token of simplejwt raises InvalidToken, and no other exception."""
    with moved(), pytest.raises(InvalidToken):
        verify_access(token)


def test_no_refresh_token() -> None:
    """A refresh token of simplejwt without a valid ``jti``, ``iat``, ``exp`` or token type is refused."""
    wrong: list[Any] = [None, "", 7, "\ud800", "7\x00", "7" * 256]
    with moved():
        assert exchange.verify(signed(token_type="refresh")).family_id.version == 5
        values: dict[str, Any]
        for values in (
            *({"jti": jti} for jti in wrong),
            {"iat": None},
            {"exp": None},
            {"token_type": "access"},
        ):
            with pytest.raises(InvalidToken):
                exchange.verify(signed("HS256", KEY, **{"token_type": "refresh", **values}))


def test_time() -> None:
    """A token of simplejwt expires at ``exp`` plus LEEWAY. A token with a future ``iat`` is accepted."""
    now = int(timezone.now().timestamp())
    with moved():
        assert verify_access(signed(iat=now + 30))
        with pytest.raises(ExpiredToken):
            verify_access(signed(exp=now))
    with moved(LEEWAY=10):
        assert verify_access(signed(exp=now - 5))
        with pytest.raises(ExpiredToken):
            verify_access(signed(exp=now - 11))
    with moved(LEEWAY=timedelta(seconds=10)):
        assert verify_access(signed(exp=now - 5))


def test_issuer_and_audience() -> None:
    """``iss`` and ``aud`` are checked if ISSUER and AUDIENCE are set, and ignored if these are not set."""
    with moved(ISSUER="us", AUDIENCE=["app", "site"]):
        assert verify_access(signed(issuer="us", audience="app"))
        for audience, issuer in (("app", None), ("app", "them"), (None, "us"), ("other", "us")):
            with pytest.raises(InvalidToken):
                verify_access(signed(issuer=issuer, audience=audience))
    with moved():
        assert verify_access(signed(issuer="us", audience="app"))


def test_names_of_claims() -> None:
    """USER_ID_CLAIM, TOKEN_TYPE_CLAIM and JTI_CLAIM name the claims to read. A numeric user id is read as a string."""
    names = {"USER_ID_CLAIM": "sub", "TOKEN_TYPE_CLAIM": "kind", "JTI_CLAIM": "id"}
    with moved(**names):
        assert verify_access(signed(token_type=None, kind="access", user_id=None, sub=7))["sub"] == "7"
        refresh = exchange.verify(signed(token_type=None, kind="refresh", jti=None, id="8", user_id=None, sub="7"))
        assert (refresh.user_id, refresh.jti) == ("7", "8")


def test_no_setting() -> None:
    """If SIGNING_KEY or UNTIL is missing, verifying a token raises ImproperlyConfigured."""
    for values in ({"SIGNING_KEY": ""}, {"UNTIL": None}):
        with moved(**values), pytest.raises(ImproperlyConfigured):
            verify_access(signed())


def ask(authentication: AccessTokenAuthentication, header: str, **extra: Any) -> Any:
    """Authenticate a request that has this Authorization header."""
    return authentication.authenticate(Request(APIRequestFactory().get("/", HTTP_AUTHORIZATION=header, **extra)))


def test_headers(user: Any) -> None:
    """Tokens of simplejwt and twotoken are accepted with the words and the header that AUTH_HEADER_… name."""
    classes = AccessTokenAuthentication()
    old, new = signed(user_id=str(user.pk)), start(user).access
    with moved(AUTH_HEADER_TYPES="JWT"):
        assert [ask(classes, f"JWT {token}")[0] for token in (old, new)] == [user, user]
        assert ask(classes, f"Bearer {new}")[0] == user
        assert ask(classes, "") is None
        with pytest.raises(InvalidToken):
            classes.get_token(Request(APIRequestFactory().get("/", HTTP_AUTHORIZATION="JWT a b")))
    with moved(AUTH_HEADER_NAME="HTTP_X_TOKEN"):
        assert ask(classes, "", HTTP_X_TOKEN=f"Bearer {old}")[0] == user


def test_users_by_another_field(user: Any) -> None:
    """If USER_ID_FIELD is the user name, each authentication class finds the user by the name in simplejwt's token."""
    name = get_user_model().USERNAME_FIELD
    header = f"Bearer {signed(user_id=user.get_username())}"
    with moved(USER_ID_FIELD=name):
        for kind in (
            AccessTokenAuthentication,
            RevocableAccessTokenAuthentication,
            StatelessAccessTokenAuthentication,
        ):
            assert ask(kind(), header)[0] == user
        with override_settings(TWOTOKEN={**settings.TWOTOKEN, "USER_ID_FIELD": name}):
            assert ask(StatelessAccessTokenAuthentication(), header)[0] == user


@pytest.mark.django_db
def test_stateless(django_assert_num_queries: Any) -> None:
    """StatelessAccessTokenAuthentication makes the user from the claims of simplejwt's token, without a query."""
    with moved(), django_assert_num_queries(0):
        user, access = ask(StatelessAccessTokenAuthentication(), f"Bearer {signed(user_id='7')}")
        assert (user.pk, access["jti"]) == (7, "7" * 32)


def test_whose_it_is(user: Any) -> None:
    """``active_user`` refuses unknown or inactive users, malformed ids and, with CHECK_REVOKE_TOKEN, wrong digests."""
    assert digest_of(user) == get_md5_hash_password(user.password)
    with moved(CHECK_REVOKE_TOKEN=True):
        assert active_user(str(user.pk), digest_of(user)) == user
        for digest in (None, "", digest_of(user).lower(), 7):
            with pytest.raises(PasswordChanged):
                active_user(str(user.pk), digest)
    with moved():
        assert active_user(str(user.pk), None) == user
        with pytest.raises(UserInactive):
            active_user("0", None)
        with pytest.raises(InvalidToken):
            active_user("nobody", None)
        get_user_model()._default_manager.filter(pk=user.pk).update(is_active=False)
        with pytest.raises(UserInactive):
            active_user(str(user.pk), None)


def test_an_id_of_several_users(user: Any) -> None:
    """If two users have the e-mail address that a token of simplejwt names, the token is refused."""
    get_user_model()._default_manager.filter(pk=user.pk).update(email="shared@example.com")
    with moved(USER_ID_FIELD="email"):
        assert active_user("shared@example.com", None) == user
        UserFactory(email="shared@example.com")
        with pytest.raises(InvalidToken):
            active_user("shared@example.com", None)


def test_a_jti_of_several_users(user: Any) -> None:
    """Two users' refresh tokens of simplejwt with one ``jti`` start two families."""
    other: Any = UserFactory()
    with moved():
        first = signed(token_type="refresh", user_id=str(user.pk))
        second = signed(token_type="refresh", user_id=str(other.pk))
        assert exchange.claims_of(first, Client()).family_id != exchange.claims_of(second, Client()).family_id


@pytest.mark.django_db(transaction=True)
def test_a_user_who_goes_in_this_moment(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the user is deleted during an exchange, the exchange raises UserInactive."""

    def gone(*args: Any) -> Any:
        get_user_model()._default_manager.filter(pk=user.pk).delete()
        return {}

    monkeypatch.setattr("tests.claims.constant", gone, raising=False)
    token = signed(token_type="refresh", user_id=str(user.pk))
    with (
        moved(),
        override_settings(TWOTOKEN={**settings.TWOTOKEN, "ACCESS_CLAIMS": "tests.claims.constant"}),
        pytest.raises(UserInactive),
    ):
        exchange.claims_of(token, Client())


def test_names_of_rows() -> None:
    """The rows of simplejwt's tables are shown as their ``jti``."""
    row = blacklist.OutstandingToken(jti="7")
    assert (str(row), str(blacklist.BlacklistedToken(token=row))) == ("7", "7")


def test_simplejwt_may_be_gone() -> None:
    """``contrib.simplejwt`` can be imported without simplejwt. Its authentication classes don't import DRF's views."""
    code = (
        "import os, sys, django; sys.modules['rest_framework_simplejwt'] = None;"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup();"
        "import twotoken.contrib.simplejwt.authentication; assert 'rest_framework.views' not in sys.modules;"
        "import twotoken.contrib.simplejwt.urls, twotoken.contrib.simplejwt.apps"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert conf
