"""A refresh in a bare DRF view: PyJWT and two raw statements on twotoken's table. What can be had, not what to use.

It checks a signature and the generation, and that the user may log in. It knows no retry, no grace, no end of a family,
no timeline and no signal; it parses no header, and nothing of it could be a project's own.
"""

from __future__ import annotations

import time
from secrets import token_urlsafe
from typing import Any
from uuid import UUID

import jwt
from django.db import connection
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.competitors.twotoken import SECRETS

SELECT = """SELECT family.generation, family.revoked_at, person.id, person.is_active
    FROM twotoken_refreshtoken family JOIN auth_user person ON person.id = family.user_id WHERE family.id = %s"""
UPDATE = """UPDATE twotoken_refreshtoken SET generation = %s, refreshed_at = %s
    WHERE id = %s AND generation = %s AND revoked_at IS NULL"""


class RefreshView(APIView):
    """POST a refresh token, get two."""

    def post(self, request: Request) -> Response:
        body: Any = request.data
        claims = jwt.decode(body["refresh"], SECRETS["REFRESH_SECRET"], ["HS256"])
        family, presented, now = UUID(claims["sid"]), claims["gen"], int(time.time())
        moment = connection.ops.adapt_datetimefield_value(timezone.now())
        key = family if connection.features.has_native_uuid_field else family.hex
        with connection.cursor() as cursor:
            cursor.execute(SELECT, [key])
            row = cursor.fetchone()
            if row is None or row[0] != presented or row[1] is not None or not row[3]:
                return Response(status=401)
            cursor.execute(UPDATE, [presented + 1, moment, key, presented])
            if not cursor.rowcount:
                return Response(status=401)
        access = {"sub": str(row[2]), "sid": claims["sid"], "jti": token_urlsafe(16), "iat": now, "exp": now + 900}
        refresh = {**claims, "gen": presented + 1, "exp": now + 604_800}
        return Response(
            {
                "access": jwt.encode(access, SECRETS["ACCESS_SECRET"], "HS256", {"typ": "at+jwt"}),
                "refresh": jwt.encode(refresh, SECRETS["REFRESH_SECRET"], "HS256", {"typ": "rt+jwt"}),
            }
        )
