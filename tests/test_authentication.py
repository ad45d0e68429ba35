"""The authentication classes: how an Authorization header becomes claims and a user."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, UserManager
from django.db.models import QuerySet
from django.test import override_settings
from django.utils import timezone, translation
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.test import APIClient, APIRequestFactory

from tests.factories import PASSWORD, UserFactory
from tests.overrides import with_settings
from twotoken import families, tokens
from twotoken.authentication import (
    AccessTokenAuthentication,
    RevocableAccessTokenAuthentication,
    StatelessAccessTokenAuthentication,
)
from twotoken.bearer import bearer_token
from twotoken.conf import conf
from twotoken.exceptions import ExpiredToken, InvalidToken, MissingToken, UserInactive
from twotoken.models import RefreshToken, RevokedReason
from twotoken.responses import body_of, challenge
from twotoken.tokens import AccessToken
from twotoken.users import ClaimsUser, load_user

factory = APIRequestFactory()
User = get_user_model()
ANY_TEXT_IS_A_KEY = User._meta.pk.get_internal_type() == "CharField"
CLASSES = [AccessTokenAuthentication, RevocableAccessTokenAuthentication, StatelessAccessTokenAuthentication]
ROUTES = ["me", "revocable", "stateless"]
REALM = 'Bearer realm="api"'
INVALID = f'{REALM}, error="invalid_token", error_description="The token is not valid."'
SPACES = ["\t", "  "]


def ask(route: str, header: str | None) -> Any:
    """GET a route with this Authorization header, or without one."""
    extra: dict[str, Any] = {} if header is None else {"HTTP_AUTHORIZATION": header}
    return APIClient().get(f"/api/{route}/", **extra)


def signed(subject: Any, **extra: Any) -> str:
    """Return a correctly signed access token with this subject and these extra claims."""
    now = int(timezone.now().timestamp())
    return tokens.encode_access(
        conf.access_policy, subject=subject, family_id=uuid.uuid4(), issued_at=now, expires_at=now + 900, extra=extra
    )


def claims_of(user: Any) -> AccessToken:
    """Start a family for a user, and return the verified claims of its access token."""
    return tokens.decode_access(families.start(user).access, conf.access_policy, timezone.now())


def reason(error: AuthenticationFailed) -> str:
    """Check that an error is a 401 ``token_not_valid``, and return its reason."""
    detail: Any = error.detail
    assert (error.status_code, detail["code"]) == (401, "token_not_valid")
    return str(detail["reason"])


# Headers


def test_a_challenge() -> None:
    """WWW-Authenticate has an ``error`` only if the request has a token (RFC 6750 section 3)."""
    assert challenge() == challenge(MissingToken()) == REALM
    assert challenge(InvalidToken()) == INVALID
    assert challenge(ExpiredToken()).endswith('error="invalid_token", error_description="The token has expired."')


def test_a_challenge_is_english_and_a_body_is_translated() -> None:
    """WWW-Authenticate stays English, because a header must be ASCII. The body of the 401 is translated."""
    with translation.override("de"):
        assert challenge(InvalidToken()) == INVALID
        assert body_of(InvalidToken()) == {
            "detail": "Das Token ist ungültig.",
            "code": "token_not_valid",
            "reason": "invalid",
        }


@pytest.mark.parametrize("header", ["", " ", "Basic YTpi", "Token a.b.c", "Bearerx a", "x", "a Bearer b", "Basic"])
@pytest.mark.parametrize("authentication", CLASSES)
def test_another_scheme_is_none_of_ours(authentication: type[AccessTokenAuthentication], header: str) -> None:
    """For a scheme other than Bearer, ``authenticate`` returns None, so that DRF asks the next authentication class."""
    request = Request(factory.get("/", HTTP_AUTHORIZATION=header))
    assert authentication().authenticate(request) is None
    assert authentication().authenticate_header(request) == REALM


def test_no_header_at_all() -> None:
    """Without an Authorization header, ``bearer_token`` returns None."""
    assert bearer_token(factory.get("/")) is None


@pytest.mark.parametrize("header", ["Bearer a", "bearer a", "BEARER a", "bEaReR\ta", "  Bearer   a  "])
def test_the_scheme_is_a_word_in_any_case(header: str) -> None:
    """``bearer_token`` accepts the scheme Bearer in upper and lower case (RFC 9110 section 11.1)."""
    assert bearer_token(factory.get("/", HTTP_AUTHORIZATION=header)) == "a"


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer a b", "bearer a b c"])
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.django_db
def test_a_bearer_header_that_is_not_one_word(route: str, header: str) -> None:
    """A Bearer header without exactly one token is a 401 ``invalid``, and DRF does not ask the next class."""
    with pytest.raises(InvalidToken):
        bearer_token(factory.get("/", HTTP_AUTHORIZATION=header))
    response = ask(route, header)
    assert (response.status_code, response.json()["reason"]) == (401, "invalid")
    assert response["WWW-Authenticate"] == INVALID


# The classes


@pytest.mark.parametrize(("route", "count"), [("me", 1), ("revocable", 1), ("stateless", 0)])
def test_queries(user: Any, route: str, count: int, django_assert_num_queries: Any) -> None:
    """``request.auth`` has the claims.

    The default and the revocable class make one query each. The stateless class makes no query.
    """
    with with_settings(ACCESS_CLAIMS="tests.claims.role"):
        header = f"Bearer {families.start(user).access}"
    with django_assert_num_queries(count):
        response = ask(route, header)
    assert response.json()["claims"]["role"] == "user"


def test_only_the_revocable_class_looks_at_the_family(user: Any) -> None:
    """After a logout or a password change, only the revocable class refuses the access token. The others accept it."""
    pair, other = families.start(user), families.start(user)
    families.revoke(pair.family_id, RevokedReason.LOGOUT)
    user.set_password(PASSWORD + "!")
    user.save()
    for token, expected in ((pair.access, "revoked"), (other.access, "password_changed")):
        assert ask("revocable", f"Bearer {token}").json()["reason"] == expected
        assert ask("me", f"Bearer {token}").status_code == 200
        assert ask("stateless", f"Bearer {token}").status_code == 200


@pytest.mark.parametrize("subject", ["no key", "", "1.5", "-", "9" * 5000, "\x00"])
@pytest.mark.django_db
def test_a_subject_of_the_wrong_type(subject: str) -> None:
    """A ``sub`` that can't be a primary key is a 401 ``invalid``. If primary keys are text, any ``sub`` can be one."""
    header = f"Bearer {signed(subject)}"
    response = ask("me", header)
    assert response.status_code == 401
    assert response.json()["reason"] in ({"invalid", "user_inactive"} if ANY_TEXT_IS_A_KEY else {"invalid"})
    response = ask("stateless", header)
    assert response.status_code == (200 if ANY_TEXT_IS_A_KEY else 401)
    assert ANY_TEXT_IS_A_KEY or response.json()["reason"] == "invalid"


@pytest.mark.django_db
def test_a_subject_that_is_too_large_for_a_key() -> None:
    """A ``sub`` that is too large for the primary key's column is a 401, not a database error."""
    assert ask("me", f"Bearer {signed('9' * 30)}").json()["reason"] in {"invalid", "user_inactive"}


class OnlyStaff(AccessTokenAuthentication):
    """A project's authentication class that accepts only staff."""

    def get_user(self, access: AccessToken) -> Any:
        user = super().get_user(access)
        if not user.is_staff:
            raise UserInactive
        return user


def test_whom_a_token_stands_for_can_be_overridden(user: Any) -> None:
    """A subclass can override ``get_user``. If it raises UserInactive, the answer is a 401 with this reason."""
    request = Request(factory.get("/", HTTP_AUTHORIZATION=f"Bearer {families.start(user).access}"))
    with pytest.raises(AuthenticationFailed) as caught:
        OnlyStaff().authenticate(request)
    assert reason(caught.value) == "user_inactive"
    assert OnlyStaff().authenticate_header(request) == challenge(UserInactive())
    user.is_staff = True
    user.save()
    found: Any = OnlyStaff().authenticate(request)
    assert found[0] == user
    assert found[1]["sub"] == str(user.pk)


class HidingManager(UserManager[Any]):
    """A manager that can hide all users, like the manager of a project that filters users by tenant."""

    hidden: ClassVar[bool] = False

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().none() if self.hidden else super().get_queryset()


def test_a_manager_that_chooses_is_asked_each_time(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the project's user manager overrides ``get_queryset``, each request calls it, as the result may change."""
    manager: Any = HidingManager()
    manager.model = User
    monkeypatch.setitem(vars(User._meta), "default_manager", manager)
    access = claims_of(user)
    assert load_user(access) == user
    monkeypatch.setattr(HidingManager, "hidden", True)
    with pytest.raises(UserInactive):
        load_user(access)


# A user made of the claims


@pytest.fixture
def claimed(user: Any) -> ClaimsUser:
    """A ClaimsUser, made from the claims of an access token of ``user``."""
    return ClaimsUser(claims_of(user))


def test_what_costs_no_query(user: Any, claimed: Any, django_assert_num_queries: Any) -> None:
    """For a ClaimsUser, the primary key, comparisons, the hash and IsAuthenticated need no query.

    The primary key has the type of the user model's field.
    """
    stranger = UserFactory.build(pk=User._meta.pk.to_python(uuid.uuid4().int % 10**6 if user.pk == 0 else user.pk))
    with django_assert_num_queries(0):
        assert claimed.pk == user.pk
        assert type(claimed.pk) is type(user.pk)
        assert getattr(claimed, User._meta.pk.attname) == user.pk
        assert (claimed.is_authenticated, claimed.is_anonymous) == (True, False)
        assert bool(claimed) is True
        assert isinstance(claimed, User)
        assert not isinstance(claimed, AnonymousUser)
        assert claimed._meta is User._meta
        assert claimed == user
        assert user == claimed
        assert not claimed != user  # noqa: SIM202 - the operator is what is tested
        assert claimed == stranger
        assert claimed != AnonymousUser()  # type: ignore[comparison-overlap]
        assert claimed != "user"  # type: ignore[comparison-overlap]
        assert claimed is not None
        assert hash(claimed) == hash(user)
        assert {claimed, user} == {user}
        assert IsAuthenticated().has_permission(of(claimed), None)  # type: ignore[arg-type]


def of(user: Any) -> Any:
    """Return a DRF request of a user."""
    request = Request(factory.get("/"))
    request.user = user
    return request


def test_related_fields_take_it(user: Any, claimed: Any, django_assert_num_queries: Any) -> None:
    """A foreign key accepts a ClaimsUser in filters, constructors and assignments, without an extra query."""
    rows: QuerySet[RefreshToken] = RefreshToken.objects.all()
    with django_assert_num_queries(1):
        assert rows.filter(user=claimed).count() == 1
    with django_assert_num_queries(1):
        assert rows.filter(user__in=[claimed]).count() == 1
    with django_assert_num_queries(1):
        assert rows.exclude(user=claimed).count() == 0
    with django_assert_num_queries(1):
        assert rows.filter(user_id=claimed.pk).count() == 1
    with django_assert_num_queries(0):
        row = RefreshToken(user=claimed)
        assert row.user_id == user.pk
        row.user = claimed
        assert row.user is claimed
    with django_assert_num_queries(1):
        row.save(force_insert=True)
    assert rows.filter(user=user).count() == 2


def test_another_user_is_another(claimed: Any, django_assert_num_queries: Any) -> None:
    """A ClaimsUser is not equal to a user with another primary key. The comparison makes no query."""
    other = UserFactory()
    with django_assert_num_queries(0):
        assert claimed != other
        assert not claimed == other  # noqa: SIM201 - the operator is what is tested
        assert claimed not in {other}


def test_anything_else_loads_the_real_one_once(user: Any, claimed: Any, django_assert_num_queries: Any) -> None:
    """A ClaimsUser loads the real user once, when an attribute other than the primary key is first used."""
    with django_assert_num_queries(1):
        assert claimed.email == user.email
        assert claimed.get_username() == user.get_username()
        assert str(claimed) == str(user)
        assert claimed.check_password(PASSWORD)
        assert not IsAdminUser().has_permission(of(claimed), None)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        _ = claimed.nothing_of_that_name
    claimed.email = "new@example.com"
    claimed.save()
    user.refresh_from_db()
    assert user.email == "new@example.com"
    assert list(claimed.token_families.all()) == list(RefreshToken.objects.all())


def test_it_is_no_expression(claimed: Any, django_assert_num_queries: Any) -> None:
    """Django checks whether a query's value is an expression. For a ClaimsUser this check does not load the user."""
    with django_assert_num_queries(0):
        assert not hasattr(claimed, "resolve_expression")
        assert not hasattr(claimed, "as_sql")


@pytest.mark.parametrize("gone", [True, False])
def test_one_who_is_gone_or_inactive(user: Any, claimed: Any, gone: bool) -> None:
    """If a ClaimsUser's real user is deleted or inactive, each attempt to load the user is a 401 ``user_inactive``."""
    users = User.objects.filter(pk=user.pk)
    _ = users.delete() if gone else users.update(is_active=False)
    for _ in range(2):
        with pytest.raises(AuthenticationFailed) as caught:
            _ = claimed.email
        assert reason(caught.value) == "user_inactive"
    assert claimed.pk == user.pk or gone


def test_another_field_is_the_subject(user: Any, django_assert_num_queries: Any) -> None:
    """If USER_ID_FIELD is not the primary key, reading the primary key of a ClaimsUser loads the user."""
    name = User.USERNAME_FIELD
    with with_settings(USER_ID_FIELD=name):
        access = claims_of(user)
        assert access["sub"] == user.get_username()
        assert load_user(access) == user
        with django_assert_num_queries(0):
            claimed: Any = ClaimsUser(access)
            assert claimed.is_authenticated
            assert claimed
        with django_assert_num_queries(1):
            assert claimed.pk == user.pk
            assert hash(claimed) == hash(user)
        for route in ROUTES:
            assert ask(route, f"Bearer {families.start(user).access}").json()["id"] == str(user.pk)


@pytest.mark.parametrize("name", ["pk", User._meta.pk.name, User._meta.pk.attname])
def test_the_key_by_any_of_its_names(user: Any, name: str, django_assert_num_queries: Any) -> None:
    """USER_ID_FIELD may be any name of the primary key. Reading the key of a ClaimsUser then makes no query."""
    with with_settings(USER_ID_FIELD=name):
        access = claims_of(user)
        with django_assert_num_queries(0):
            claimed: Any = ClaimsUser(access)
            assert claimed.pk == user.pk


@pytest.mark.skipif(ANY_TEXT_IS_A_KEY, reason="any text is a key of this model")
def test_claims_that_hold_no_key() -> None:
    """If ``sub`` can't be a primary key of the user model, making a ClaimsUser raises InvalidToken."""
    access = AccessToken({"sub": "no key", "sid": str(uuid.uuid4()), "exp": 0})
    with pytest.raises(InvalidToken):
        ClaimsUser(access)


def test_the_user_is_read_where_is_written(user: Any) -> None:
    """``load_user`` reads from the write database, because a replica may lag."""
    access = claims_of(user)
    with override_settings(DATABASE_ROUTERS=["tests.test_databases.StaleReplica"]):
        assert load_user(access) == user
