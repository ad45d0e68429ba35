"""One API route."""

from __future__ import annotations

from typing import cast

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from twotoken.tokens import AccessToken


class MeView(APIView):
    """Says who is asking, and what the access token says."""

    def get(self, request: Request) -> Response:
        access = cast("AccessToken", request.auth)
        return Response(
            {
                "id": request.user.pk,
                "username": request.user.get_username(),
                "staff": access["staff"],
                "expires_at": access.expires_at,
            }
        )
