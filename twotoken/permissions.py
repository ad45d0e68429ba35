"""``RecentLogin``: a DRF permission that asks for a recent proof of identity (RFC 9470).

This module imports no models. It must not import ``rest_framework.views``, not even indirectly: that module reads
DEFAULT_PERMISSION_CLASSES when it is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar, Final, Self, cast

from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission, BasePermissionMetaclass
from rest_framework.request import Request

from twotoken.bearer import BearerAuthentication, by_dpop
from twotoken.conf import conf
from twotoken.exceptions import InsufficientUserAuthentication
from twotoken.responses import body_of, challenge, status_of
from twotoken.tokens import AccessToken

SHORTEST: Final = timedelta(seconds=1)


class AskedFirst(BasePermissionMetaclass):
    """Makes ``IsOwner | RecentLogin`` the same as ``RecentLogin | IsOwner``.

    In ``IsOwner | RecentLogin``, if IsOwner grants the request, DRF asks RecentLogin only while it checks an object.
    This is too late for a challenge. ``StepUp``, which sends the challenge, replaces the view's
    ``check_object_permissions``, and must do this before DRF calls that method.
    """

    def __ror__(self, other: Any) -> Any:
        return self | other


class RecentLogin(BasePermission, metaclass=AskedFirst):
    """Grants a request if the user of its access token proved their identity recently: by a login, or a step-up.

    Otherwise the answer is a 401 with a challenge (RFC 9470), whichever authentication class the view has. If nobody is
    logged in, or another permission denies the request too, a new proof of identity would not help. In this case DRF
    answers as usual.

    ``max_age`` is 5 minutes. ``RecentLogin.within(timedelta(hours=1))`` or a subclass sets another value. DRF's ``&``,
    ``|`` and ``~`` combine this class with others. If an expression has three or more permissions, and some of them
    look at objects, write this class first.
    """

    max_age: ClassVar[timedelta] = timedelta(minutes=5)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(cls.max_age, timedelta) or cls.max_age < SHORTEST:
            # A token is issued before the request that carries it: with 0 a client would step up again and again.
            raise ValueError(f"max_age must be a timedelta of a second or more, not {cls.max_age!r}.")

    @classmethod
    def within(cls, max_age: timedelta) -> type[Self]:
        """Return this permission with another ``max_age``. Raises ValueError if it is shorter than a second."""
        make: Any = type(cls)
        made: type[Self] = make(cls.__name__, (cls,), {"__module__": cls.__module__, "max_age": max_age})
        return made

    def get_max_age(self) -> timedelta | None:
        """Return how old the user's proof of identity may be. None grants every request."""
        return self.max_age

    def has_permission(self, request: Request, view: Any) -> bool:
        limit = self.get_max_age()
        if limit is None:
            return True
        if not request.user or not request.user.is_authenticated:
            return False
        if is_recent(presented_token(request), limit) or getattr(request, "_twotoken_assumes_recent", False):
            return True
        StepUp.prepare(view, limit)
        return False

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        return self.has_permission(request, view)  # so that ``~`` means the same for an object


class RecentLoginForSessions(RecentLogin):
    """A RecentLogin with the setting STEP_UP_SESSIONS as ``max_age``. If this is None, every request is granted."""

    def get_max_age(self) -> timedelta | None:
        return conf.step_up_sessions


class StepUp:
    """Replaces a view's ``permission_denied`` for one request, and answers with a challenge if a login would help.

    RecentLogin can't send the challenge itself. If its ``has_permission`` raised, ``RecentLogin | IsAdminUser`` would
    refuse staff. If it only returned False, DRF would answer 403. Another permission may also deny the request, or
    grant it. So this class asks all permissions of the view again, as if the login were recent.
    """

    def __init__(self, view: Any, max_age: timedelta) -> None:
        self.view = view
        self.max_age = max_age
        self.objects: list[Any] = []
        self.usual_denial = view.permission_denied
        self.usual_object_check = view.check_object_permissions

    @classmethod
    def prepare(cls, view: Any, max_age: timedelta) -> None:
        """Make a view ready to answer with a challenge. After several calls, the shortest ``max_age`` counts."""
        known = getattr(view, "_twotoken_step_up", None)
        if known is not None:
            known.max_age = min(known.max_age, max_age)
        elif hasattr(view, "permission_denied"):  # it is a view of DRF
            made = cls(view, max_age)
            view._twotoken_step_up = made
            view.permission_denied = made.permission_denied
            view.check_object_permissions = made.check_object_permissions

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        self.objects = [obj]
        try:
            self.usual_object_check(request, obj)
        finally:
            self.objects = []

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> None:
        # A view may also deny a request that its permissions grant.
        if not self.is_granted(request) and self.is_granted(request, with_recent_login=True):
            raise Challenge(InsufficientUserAuthentication(whole_seconds(self.max_age)), request)
        self.usual_denial(request, message=message, code=code)

    def is_granted(self, request: Request, *, with_recent_login: bool = False) -> bool:
        """Tell whether the view's permissions grant a request as it is, or as if the login were recent."""
        request._twotoken_assumes_recent = with_recent_login  # type: ignore[attr-defined]
        try:
            permissions = self.view.get_permissions()
            return all(each.has_permission(request, self.view) for each in permissions) and all(
                each.has_object_permission(request, self.view, obj) for obj in self.objects for each in permissions
            )
        finally:
            request._twotoken_assumes_recent = False  # type: ignore[attr-defined]


class Challenge(APIException):
    """The 401 that asks for a fresh proof of identity.

    This is no subclass of NotAuthenticated, because DRF turns a NotAuthenticated into a 403 if SessionAuthentication
    comes first.
    """

    def __init__(self, error: InsufficientUserAuthentication, request: Request) -> None:
        super().__init__(body_of(error), error.code)
        self.status_code = status_of(type(error)) or self.status_code
        self.auth_header = challenge(error, by_dpop=by_dpop(request))
        seconds: Any = Seconds(error.max_age)  # DRF turned it into text
        self.detail = {**cast("dict[str, Any]", self.detail), "max_age": seconds}


class Seconds(int):
    """A number of seconds for the detail of an APIException, where DRF requires that each value has a ``code``."""

    code = InsufficientUserAuthentication.code


def is_recent(access: AccessToken | None, max_age: timedelta) -> bool:
    """Tell whether an access token's ``auth_time`` is at most ``max_age`` ago.

    ``auth_time`` may also be up to ``max_age`` in the future, because the clock of the server that signed the token may
    be ahead. LEEWAY is added to both limits.
    """
    auth_time = None if access is None else access.get("auth_time")
    if type(auth_time) is not int:
        return False
    age = int(timezone.now().timestamp()) - auth_time
    return abs(age) <= whole_seconds(max_age) + conf.leeway.total_seconds()


def presented_token(request: Request) -> AccessToken | None:
    """Return the verified access token of a request, even if another authentication class found the user first.

    Return None if the token is missing, invalid or another user's.
    """
    if isinstance(request.auth, AccessToken):
        return request.auth
    # The token is kept on the request, because the proof of a bound token is accepted only once.
    kept: Any = request
    if not hasattr(kept, "_twotoken_presented"):
        kept._twotoken_presented = next(tokens_of(request), None)
    access: AccessToken | None = kept._twotoken_presented
    return access


def tokens_of(request: Request) -> Iterator[AccessToken]:
    """Yield the verified access token of a request, if it belongs to the request's user.

    The view's authentication classes read the token, as far as they are twotoken's. For a class that refuses the token,
    nothing is yielded.
    """
    for authenticator in request.authenticators or ():
        if isinstance(authenticator, BearerAuthentication):
            with suppress(APIException):
                found = authenticator.authenticate(request)
                if found is not None and found[0].pk == request.user.pk:
                    yield found[1]


def recent_logins(permissions: Iterable[Any]) -> Iterator[type[RecentLogin]]:
    """Yield every RecentLogin among permission classes, including those inside DRF's ``&``, ``|`` and ``~``."""
    for permission in permissions:
        if isinstance(permission, type):
            yield from [permission] if issubclass(permission, RecentLogin) else []
        else:
            yield from recent_logins(value for name, value in vars(permission).items() if name.startswith("op"))


def whole_seconds(duration: timedelta) -> int:
    """Return a duration without its fraction of a second."""
    return int(duration.total_seconds())
