"""A view that runs the two SQL statements of a refresh, without any work on tokens: the least that a refresh costs."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from twotoken.families.queries import FAMILY
from twotoken.models import RefreshToken

ROTATION = (
    "UPDATE twotoken_refreshtoken SET generation = %s, refreshed_at = %s "
    "WHERE id = %s AND generation <= %s AND revoked_at IS NULL AND auth_hash = %s"
)


class TwoStatements(APIView):
    """Runs the statements of a refresh for the family that a token names, and answers with the same token."""

    authentication_classes: Any = []
    permission_classes = [AllowAny]

    def post(self, request: Request) -> Response:
        data: Any = request.data
        token = data["refresh"]
        sid = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))["sid"]
        column: Any = RefreshToken._meta.pk
        key = column.get_db_prep_value(UUID(sid), connection)
        select = FAMILY.compiled(key).sql
        with connection.cursor() as cursor:
            cursor.execute(select, [key])
            found: Any = cursor.fetchone()
            row = dict(zip(FAMILY.names, found, strict=False))
        with connection.cursor() as cursor:
            generation = row["generation"]
            cursor.execute(ROTATION, [generation + 1, timezone.now(), key, generation, row["auth_hash"]])
        return Response({"access": token, "expires_in": 900, "refresh": token})  # as long as a real answer
