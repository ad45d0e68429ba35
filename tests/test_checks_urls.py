"""What ``manage.py check`` says about the project's URLs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.urls import include, path
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from tests.overrides import with_settings
from tests.test_checks import ids
from twotoken import checks
from twotoken.permissions import RecentLogin

# Django asks a MariaDB for its version when it checks the fields of models.
pytestmark = pytest.mark.django_db(databases=["default", "replica"])


bad_mount: Any = path("auth/", include("twotoken.urls"), {"delivery": "cokie"})
urlpatterns = [path("nested/", include([bad_mount]))]


def test_a_misspelt_mount() -> None:
    """E010 reports a misspelt ``delivery`` of a mount, also in nested URLs."""
    with override_settings(ROOT_URLCONF="tests.test_checks_urls"):
        assert ids() == {"E010"}
    with override_settings(ROOT_URLCONF=None):
        assert ids() == set()


@pytest.mark.parametrize(
    ("deliveries", "found"),
    [(["cookie", "body"], {"W008"}), (["body", "cookie"], {"W008"}), (["body", "body"], set()), (["cookie"], set())],
)
def test_mounts_that_share_a_namespace(deliveries: list[str], found: set[str]) -> None:
    """W008 reports two mounts with one namespace if one of them uses cookies: both would get the same cookie path."""
    mounts = [path(f"{n}/", include("twotoken.urls"), {"delivery": name}) for n, name in enumerate(deliveries)]
    with override_settings(ROOT_URLCONF=tuple(mounts)):
        assert ids() == found
    named = [path(f"{n}/", include(("twotoken.urls", "twotoken"), namespace=f"n{n}")) for n in range(2)]
    with override_settings(ROOT_URLCONF=tuple(named)):
        assert ids() == set()


class MayBeOld(APIView):
    """A view that accepts a login of the last hour, which is longer than the life of an access token."""

    permission_classes = [IsAuthenticated & (IsAdminUser | RecentLogin.within(timedelta(hours=1)))]


@api_view()
@permission_classes([RecentLogin])
def recent(request: Any) -> Response:
    """A function view that accepts a login of the last five minutes, the default of RecentLogin."""
    raise NotImplementedError  # pragma: no cover - the check looks at it, and nobody calls it


class Actions(ViewSet):
    """A viewset with an action that accepts a login of the last twenty minutes."""

    @action(detail=False, permission_classes=[RecentLogin.within(timedelta(minutes=20))])
    def transfer(self, request: Any) -> Response:
        """Transfer money."""
        raise NotImplementedError  # pragma: no cover - the check looks at it, and nobody calls it


def test_a_login_older_than_an_access_token_may_be() -> None:
    """W016 reports a ``max_age`` above ACCESS_LIFETIME in class and function views, actions and combinations."""
    router = SimpleRouter()
    router.register("actions", Actions, basename="actions")
    views = (path("a/", include([path("b/", MayBeOld.as_view()), path("c/", recent), *router.urls])),)
    with override_settings(ROOT_URLCONF=views):
        said = [message.msg.partition(",")[0] for message in checks.check_step_up(None)]
        assert said == [
            "MayBeOld accepts a login of the last 1:00:00",
            "Actions accepts a login of the last 0:20:00",
        ]
        with with_settings(ACCESS_LIFETIME=timedelta(minutes=4)):
            assert [message.msg.split()[0] for message in checks.check_step_up(None)] == [
                "MayBeOld",
                "recent",
                "Actions",
            ]
        with with_settings(ACCESS_LIFETIME=timedelta(hours=1)):
            assert ids() == set()
    with override_settings(ROOT_URLCONF=None):
        assert not list(checks.check_step_up(None))
