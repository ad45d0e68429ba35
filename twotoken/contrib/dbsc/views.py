"""The endpoints of ``twotoken.contrib.dbsc.urls``, where a browser can bind its token family to its device.

Browsers call ``device/`` and ``device/refresh/`` by themselves, so these are not part of an OpenAPI schema.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from twotoken import families, views
from twotoken.contrib.dbsc import codec, device
from twotoken.contrib.dbsc.codec import InvalidDeviceProof, Proof
from twotoken.cookies import token_from_cookie
from twotoken.dpop import DBSC
from twotoken.dpop import Proof as DPoPProof
from twotoken.exceptions import TwoTokenError, Unavailable
from twotoken.families import TokenPair
from twotoken.models import RefreshToken, State
from twotoken.tokens import RefreshClaims
from twotoken.views import CredentialView

# If the refresh of a bound family has no device cookie this soon after the login, the browser is asked to wait: the
# answer to its registration, which sets the cookie, may still be on its way.
REGISTERING = timedelta(seconds=10)

logger = logging.getLogger("twotoken")


class BadDeviceProof(APIException):
    """The browser's registration or proof is invalid or too late. The browser then ends its device-bound session."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "invalid_device_proof"
    default_detail = _("The proof of the device is not valid.")


class LoginView(views.LoginView):
    """A login that offers the browser to bind the new token family to the browser's device."""

    def answer(self, pair: TokenPair, *, already_held: bool = False) -> Response:
        response = super().answer(pair, already_held=already_held)
        if self.by_cookie:
            device.offer_registration(response, pair, self.request)
        return response


class RefreshView(views.RefreshView):
    """A refresh that accepts the device cookie as proof of the key that a family is bound to."""

    def get_device_key(self, claims: RefreshClaims, proof: DPoPProof | None) -> str:
        device_key = super().get_device_key(claims, proof)
        if device_key or not self.by_cookie:
            return device_key
        return device.proven_key(self.request, claims.family_id)

    def rotate(self, claims: RefreshClaims, idempotency_key: str, device_key: str) -> TokenPair:
        if not device_key and self.by_cookie:
            self.check_awaited(claims)
        return super().rotate(claims, idempotency_key, device_key)

    def check_awaited(self, claims: RefreshClaims) -> None:
        """Raise Unavailable if the family is bound, and its browser can soon have a device cookie and try again.

        For a family that is not bound, only the first refresh after a login needs a SELECT for this check.
        """
        skipped = device.was_skipped(self.request, claims.family_id) and not device.is_skipped_too_long(self.request)
        if not skipped and claims.generation > 0:
            return
        family = families.get(claims.family_id)
        if family is None or not family.device_key.startswith(DBSC):
            return
        if skipped or timezone.now() - family.created_at < REGISTERING:
            raise Unavailable

    def refuse(self, error: TwoTokenError) -> Response:
        response = super().refuse(error)
        if isinstance(error, Unavailable) and "HTTP_SECURE_SESSION_SKIPPED" in self.request.META:
            device.remember_skipped(response, self.request)
            response["Retry-After"] = str(device.SKIPPED_RETRY_AFTER)
        return response


class DeviceView(CredentialView):
    """``device/``: POST a new key and the login's challenge, signed with this key.

    The view binds the family of the refresh cookie to the key.
    """

    schema = None  # DRF's way to leave a view out of a schema
    device_lifetime = timedelta(minutes=10)  # of the device cookie

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.by_cookie:
            raise NotFound

    def post(self, request: Request, **kwargs: Any) -> Response:
        try:
            claims = token_from_cookie(request)
            device_key = self.register(claims, self.read_proof())
        except InvalidDeviceProof as exc:
            raise self.refused(exc) from exc
        response = Response(device.instructions(request, claims.family_id))
        # No challenge is set here, because Chromium treats one on the answer to a registration as an error.
        device.set_device_cookie(response, request, claims.family_id, device_key, self.device_lifetime)
        return response

    def register(self, claims: RefreshClaims, proof: Proof) -> str:
        """Bind the family to the key in the proof. Return the key as a ``device_key``.

        Raises InvalidDeviceProof or InvalidToken.
        """
        # A thief who has copied the cookies of a browser that did not register must not bind its family to a key of his
        # own. So the challenge must be the one of this login, and the login must be recent.
        if not device.is_registration_challenge(proof.challenge, claims.family_id):
            raise InvalidDeviceProof("challenge")
        device_key = codec.registered_key(proof)
        if not families.bind(claims, device_key, within=device.REGISTRATION_LIFETIME):
            raise InvalidDeviceProof("the family can't be bound any more")
        return device_key

    def read_proof(self) -> Proof:
        """Return the request's proof, not verified yet. Raises InvalidDeviceProof."""
        return codec.parse_proof(self.request.META.get("HTTP_SECURE_SESSION_RESPONSE", ""))

    def refused(self, error: InvalidDeviceProof) -> BadDeviceProof:
        """Log why a proof is refused, and return the exception that answers the client."""
        logger.info("%s refused a proof: %s.", type(self).__name__, error)
        return BadDeviceProof()


class DeviceRefreshView(DeviceView):
    """``device/refresh/``: POST a proof of the registered key, get a new device cookie. No row is written.

    A request without a proof gets a 403 with a new challenge, and takes no query. A request whose proof has an old
    challenge gets a 403 with a new challenge too. If the family is not active or not bound, the answer tells the
    browser to forget the session.
    """

    def post(self, request: Request, **kwargs: Any) -> Response:
        family_id = device.session_id(request)
        if family_id is None:
            raise BadDeviceProof
        if "HTTP_SECURE_SESSION_RESPONSE" not in request.META:
            return self.challenge(Response(status=status.HTTP_403_FORBIDDEN), family_id)
        family = families.get(family_id)
        if family is None or family.state() is not State.ACTIVE or not family.device_key.startswith(DBSC):
            return Response({"session_identifier": str(family_id), "continue": False})
        try:
            return self.renew(family)
        except InvalidDeviceProof as exc:
            raise self.refused(exc) from exc

    def renew(self, family: RefreshToken) -> Response:
        """Answer a valid proof with a new device cookie, or with a 403 if the challenge in the proof is too old.

        Raises InvalidDeviceProof.
        """
        proof = self.read_proof()
        codec.check_proof(proof, family.device_key)
        # The signature is good, so this is the device. But the challenge is too old: let the device sign a new one.
        if not device.is_refresh_challenge(proof.challenge, family.pk, self.device_lifetime):
            return self.challenge(Response(status=status.HTTP_403_FORBIDDEN), family.pk)
        response = self.challenge(Response(device.instructions(self.request, family.pk)), family.pk)
        device.set_device_cookie(response, self.request, family.pk, family.device_key, self.device_lifetime)
        return response

    def challenge(self, response: Response, family_id: Any) -> Response:
        """Add the challenge for the next proof to a response, and return the response."""
        device.set_challenge(response, family_id)
        return response
