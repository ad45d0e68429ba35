"""The views for services that verify tokens: keys, issuer, revoked families. They are not in ``twotoken.urls``."""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urljoin

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import IntegerField

from twotoken import families
from twotoken.conf import conf
from twotoken.tokens import CURSOR
from twotoken.views.base import TokenView

# Seconds for which a cache may keep an answer. A service may learn of a revocation this much later.
REVOCATIONS_MAX_AGE = 1
# Seconds. Services that ask within the same ten seconds get the same cursor. So their next requests have the same URL,
# and a cache may know the answer.
CURSOR_STEP = 10
JWKS_MAX_AGE = 300  # seconds for which a service may keep the keys. KEYS_INTERVAL in ``remote`` is the same time


class WellKnownView(TokenView):
    """Base of JWKSView and DiscoveryView. Requests need no token. Services may cache the answer for JWKS_MAX_AGE."""

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code == status.HTTP_200_OK:
            response["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE}"
        return response


class JWKSView(WellKnownView):
    """A GET returns the public keys of access tokens as a JWK Set (RFC 7517 section 5), for services that verify them.

    The view is not part of ``twotoken.urls``. Add it once to the project's URLs, at ``.well-known/jwks.json``.
    """

    def get(self, request: Request, **kwargs: Any) -> Response:
        return Response({"keys": conf.access_keys.public()})


class DiscoveryView(WellKnownView):
    """A GET returns the issuer and the URL of its keys (RFC 8414), for services that find the keys by the issuer.

    The view is not part of ``twotoken.urls``. Add it to the project's URLs at
    ``.well-known/oauth-authorization-server``. JWKSView must be there too, and its URL must have the name ``jwks``.
    """

    jwks_url_name = "jwks"

    def get(self, request: Request, **kwargs: Any) -> Response:
        issuer = conf.issuer
        if issuer is None:
            raise ImproperlyConfigured("DiscoveryView needs TWOTOKEN['ISSUER'].")
        # The address does not come from the Host header, which the client chooses: a cache may keep the answer, and
        # services trust the keys at this address.
        return Response({"issuer": issuer, "jwks_uri": urljoin(issuer, reverse(self.jwks_url_name))})


class RevocationsView(TokenView):
    """A GET returns digests of the families that were revoked within the life of an access token.

    This is for services that verify tokens. ``revoked`` has the digests, see ``tokens.family_digest``. ``lifetime``
    says for how many seconds a service needs to keep them. ``since`` is a cursor: if the next request has this value in
    ``?since=``, its answer has only the families that were revoked since then and in the minute before.

    The view is not part of ``twotoken.urls``. Add it once to the project's URLs. By default anyone may read the answer.
    A digest can't be turned back into an id, and an id gives no access, so a reader learns only how many families were
    revoked. To restrict the access, give ``as_view`` the ``authentication_classes`` and ``permission_classes`` of your
    services.
    """

    def get(self, request: Request, **kwargs: Any) -> HttpResponse:
        now = timezone.now()
        seconds = int(now.timestamp())
        since = cursor(request)
        digests = families.revoked_digests(now, None if since is None else timedelta(seconds=seconds - since))
        body = {
            "revoked": digests,
            "since": str(seconds - seconds % CURSOR_STEP),
            "lifetime": math.ceil(families.longest_access().total_seconds()),
        }
        # The ETag is weak and does not depend on the cursor: until another family is revoked, the old cursor is as good
        # as the new one.
        etag = f'W/"{hashlib.sha256("".join(digests).encode()).hexdigest()}"'
        response = Response(body, headers={"ETag": etag})
        found = get_conditional_response(request._request, etag=etag, response=response)
        return cast("HttpResponse", found)  # never None if it was given a response

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code in {status.HTTP_200_OK, status.HTTP_304_NOT_MODIFIED}:
            # Not "public": a shared cache must not give an answer that needed credentials to anybody else.
            response["Cache-Control"] = f"max-age={REVOCATIONS_MAX_AGE}"
        return response


def cursor(request: Request) -> int | None:
    """Return the cursor in ``?since=``, a time in seconds since the epoch. If there is no ``?since=``, return None.

    Raises DRF's ValidationError if the value is not a cursor.
    """
    text = request.query_params.get("since")
    if text is None:
        return None
    if CURSOR.fullmatch(text) is None:
        raise ValidationError({"since": [IntegerField.default_error_messages["invalid"]]})
    return int(text)
