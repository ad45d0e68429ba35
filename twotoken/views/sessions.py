"""The views for a user's sessions, which are the user's token families: list them, revoke one, revoke all."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib.auth import user_logged_out
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import DataError
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination, LimitOffsetPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.settings import api_settings

from twotoken import families
from twotoken.authentication import RevocableAccessTokenAuthentication
from twotoken.cookies import clear_refresh_cookie
from twotoken.models import RevokedReason
from twotoken.permissions import RecentLoginForSessions
from twotoken.serializers import SessionSerializer
from twotoken.views.base import TokenView, current_family_id

MAX_PAGE_SIZE = 1000  # sessions


class LogoutAllView(TokenView):
    """A POST revokes every token family of the access token's user."""

    authentication_classes = [RevocableAccessTokenAuthentication]
    permission_classes = [IsAuthenticated, RecentLoginForSessions]

    def post(self, request: Request, **kwargs: Any) -> Response:
        families.revoke_all(request.user, RevokedReason.LOGOUT)
        user_logged_out.send_robust(sender=type(request.user), request=request._request, user=request.user)
        response = Response(status=status.HTTP_204_NO_CONTENT)
        if self.by_cookie:
            clear_refresh_cookie(response, request)
        return response


class SessionsView(TokenView):
    """A GET lists the user's active token families, with the project's pagination.

    A DELETE revokes all families of the user except the one that the request's access token belongs to.
    """

    authentication_classes = [RevocableAccessTokenAuthentication]
    permission_classes = [IsAuthenticated, RecentLoginForSessions]
    serializer_class: type[BaseSerializer[Any]] = SessionSerializer

    def get(self, request: Request, **kwargs: Any) -> Response:
        sessions = families.active(cast("AbstractBaseUser", request.user))
        # Read on each request, so that override_settings works.
        pagination_class: Any = api_settings.DEFAULT_PAGINATION_CLASS
        paginator = pagination_class() if pagination_class is not None else None
        # Limit the page size: a request may ask for a number so large that no database accepts it.
        if isinstance(paginator, LimitOffsetPagination):
            paginator.max_limit = min(paginator.max_limit or MAX_PAGE_SIZE, MAX_PAGE_SIZE)
        if isinstance(paginator, CursorPagination):
            paginator.ordering = "-created_at"
            paginator.max_page_size = min(paginator.max_page_size or MAX_PAGE_SIZE, MAX_PAGE_SIZE)
        try:
            page = None if paginator is None else paginator.paginate_queryset(sessions, request, view=self)
        except (ValueError, OverflowError, ValidationError, DataError) as exc:  # such as a wrong cursor
            raise NotFound from exc
        context = {"request": request, "view": self, "current": current_family_id(request)}
        data = self.serializer_class(sessions if page is None else page, many=True, context=context).data
        return Response(data) if paginator is None or page is None else paginator.get_paginated_response(data)

    def delete(self, request: Request, **kwargs: Any) -> Response:
        families.revoke_all(request.user, RevokedReason.LOGOUT, keep=current_family_id(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class SessionView(TokenView):
    """A DELETE revokes one of the user's own token families. It is no error if the family is revoked or expired."""

    authentication_classes = [RevocableAccessTokenAuthentication]
    permission_classes = [IsAuthenticated, RecentLoginForSessions]

    def delete(self, request: Request, family_id: str, **kwargs: Any) -> Response:
        try:
            key = UUID(family_id)
        except ValueError as exc:
            raise NotFound from exc
        if not families.revoke_own(cast("AbstractBaseUser", request.user), key):
            raise NotFound
        response = Response(status=status.HTTP_204_NO_CONTENT)
        if key == current_family_id(request):
            user_logged_out.send_robust(sender=type(request.user), request=request._request, user=request.user)
            if self.by_cookie:
                clear_refresh_cookie(response, request)
        return response
