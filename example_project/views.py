"""One API route."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class MeView(APIView):
    """Says who is asking, and what the access token says."""

    def get(self, request: Request) -> Response:
        return Response(
            {
                "id": request.user.pk,
                "username": request.user.get_username(),
                "staff": request.auth["staff"],
                "expires_at": request.auth.expires_at,
            }
        )
