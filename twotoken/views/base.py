"""Base classes of the endpoints' views. They answer errors, check the request's origin and deliver tokens.

The module ``responses`` decides the status, the body and the headers of an error's answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cache
from types import FrameType
from typing import Any, cast
from uuid import UUID

from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, connections, transaction
from django.http import HttpRequest, HttpResponseBase
from django.views.debug import get_exception_reporter_filter
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, NotAuthenticated, ParseError
from rest_framework.metadata import SimpleMetadata
from rest_framework.parsers import BaseParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle
from rest_framework.views import APIView, exception_handler

from twotoken import proofs, signals
from twotoken.clients import Client
from twotoken.conf import Delivery, conf, delivery
from twotoken.conflicts import is_conflict, is_refusal
from twotoken.cookies import hide_cookie, set_refresh_cookie
from twotoken.dpop import DPOP
from twotoken.exceptions import MissingToken, RotationConflict, TwoTokenError, Unavailable, WrongDevice
from twotoken.families import TokenPair
from twotoken.responses import body_of, headers_of, status_of
from twotoken.tokens import AccessToken
from twotoken.views.origins import check_origin
from twotoken.views.parsers import AlwaysJSON, TokenFormParser, TokenJSONParser, TokenMultiPartParser

logger = logging.getLogger("twotoken")


class NoVariables:
    """A mixin for an error report filter, Django's or the project's own. It hides the variables of all frames.

    ``sensitive_variables`` is not enough: for each frame, Django looks only at the nearest caller with this decorator,
    and hides only the names that the decorator lists. The caller of an authentication back end is Django's
    ``authenticate``, which is decorated but lists other names. So the report of an error in a back end would contain
    the password.
    """

    is_active: Any
    cleansed_substitute: Any

    def get_traceback_frame_variables(self, request: Any, tb_frame: FrameType) -> Any:
        if not self.is_active(request):
            return super().get_traceback_frame_variables(request, tb_frame)  # type: ignore[misc]  # the filter's own
        return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]


@cache
def without_variables(base: Any) -> Any:
    """Return a subclass of an error report filter's class. The subclass hides all variables."""
    return type(base.__name__, (NoVariables, base), {})


def _tell_refused(view: type[APIView], response: Response) -> None:
    """Send the signal ``request_refused``. A project's exception handler may have changed the answer's shape."""
    data = getattr(response, "data", None)
    said = {name: data.get(name) if isinstance(data, dict) else None for name in ("code", "reason")}
    texts = {name: str(value) if isinstance(value, str) else "" for name, value in said.items()}
    signals.request_refused.send_robust(sender=view, status=response.status_code, **texts)


class TokenView(APIView):
    """The base of all endpoints' views. A project's DRF defaults don't apply to these views.

    The delivery says how the refresh token travels: in a cookie, in the body, or not at all. An ``include`` of
    ``twotoken.urls`` can set it by the option ``delivery``. Without this option, the class attribute ``delivery``
    counts or, if it is None, the setting DELIVERY. With the delivery ``body`` the view accepts forms too, as DRF does
    by default.
    """

    delivery: str | None = None
    parser_classes: Sequence[type[BaseParser]] = [TokenJSONParser]
    form_parser_classes: Sequence[type[BaseParser]] = [TokenFormParser, TokenMultiPartParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = AlwaysJSON
    versioning_class = None
    metadata_class = SimpleMetadata
    authentication_classes: Sequence[type[BaseAuthentication]] = []
    permission_classes = [AllowAny]
    throttle_classes: Sequence[type[BaseThrottle]] = []

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Make the view, without the transaction of ATOMIC_REQUESTS: a refusal must not undo a revocation."""
        if (name := initkwargs.get("delivery", cls.delivery)) is not None:
            delivery(name)
        view = sensitive_post_parameters()(super().as_view(**initkwargs))
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    # Variables hold tokens and passwords. The decorator hides them in a report made without the request.
    @sensitive_variables()
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        reporter_filter: Any = copy(get_exception_reporter_filter(request))
        reporter_filter.__class__ = without_variables(reporter_filter.__class__)
        request.exception_reporter_filter = reporter_filter
        self.delivery = self.get_delivery(kwargs)
        kwargs.pop("delivery", None)
        if self.delivery is Delivery.BODY:
            self.parser_classes = [*self.parser_classes, *self.form_parser_classes]
        return super().dispatch(request, *args, **kwargs)

    def get_delivery(self, options: Mapping[str, Any]) -> Delivery:
        """Return the delivery for a request. ``options`` are those of the ``include`` of ``twotoken.urls``."""
        name = options.get("delivery", self.delivery)
        return conf.delivery if name is None else delivery(name)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        hide_cookie(request)
        super().initial(request, *args, **kwargs)

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return exception_handler

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, NotAuthenticated):
            return self.refuse(MissingToken())
        if isinstance(exc, RequestDataTooBig):  # newer DRF reads the body before a parser does
            exc = ParseError()
        if isinstance(exc, DatabaseError):
            exc = self.translate(exc)
        if isinstance(exc, TwoTokenError) and status_of(type(exc)) is not None:
            return self.refuse(exc)
        response = super().handle_exception(exc)
        is_shaped = self.get_exception_handler() is not exception_handler  # a project's handler may set no ``data``
        if isinstance(exc, APIException) and not is_shaped and "detail" in response.data:
            response.data.setdefault("code", exc.get_codes())
        return response

    def translate(self, error: DatabaseError) -> Exception:
        """Return the error with which a database error is answered: a 503 for a conflict or an unavailable server.

        Any other database error is returned as it is.
        """
        if not is_conflict(error) and not is_refusal(error):
            return error
        details = {"request": self.request._request}  # the filter of error reports reads the request
        logger.warning(
            "The database refused a request of %s: %s", type(self).__name__, error, exc_info=error, extra=details
        )
        return RotationConflict() if is_conflict(error) else Unavailable()

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        if response.status_code >= 400:
            _tell_refused(type(self), response)
        return response

    def refuse(self, error: TwoTokenError) -> Response:
        """Return the answer to a refused request.

        The error is not raised, because that could roll back an outer ``atomic`` block.
        """
        logger.info("%s refused a request: %s.", type(self).__name__, getattr(error, "reason", error.code))
        return Response(body_of(error), status=status_of(type(error)), headers=headers_of(error))

    def check_throttle(self, throttle: SimpleRateThrottle) -> None:
        """Count a request. Raises DRF's Throttled, a 429 with Retry-After, if there were too many requests."""
        if not throttle.allow_request(self.request, self):
            self.throttled(self.request, throttle.wait() or 0)

    def check_device(self, device_key: str) -> None:
        """Check that the request has a DPoP proof by a family's device key.

        If the family is not bound (an empty key), or another protocol than DPoP has bound it, no proof is needed. If
        DPOP_ACCESS is True, the authentication class has checked the proof already, for the access token. Otherwise
        only this method checks the proof. Raises WrongDevice, InvalidProof or Unavailable.
        """
        if not device_key.startswith(DPOP):
            return
        proof = proofs.read_proof(self.request)
        if proof is None or proof.device_key != device_key:
            raise WrongDevice
        proofs.spend(self.request, proof)

    @property
    def by_cookie(self) -> bool:
        """Whether the refresh token is delivered in a cookie."""
        return self.delivery is Delivery.COOKIE

    @property
    def client(self) -> Client:
        """The IP address and the user agent of the request's sender."""
        return Client.from_request(self.request)


class CredentialView(TokenView):
    """Base of the views for login, reauthenticate, refresh and logout.

    With the delivery ``cookie``, these views refuse requests that a browser sends from an untrusted origin.
    """

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self.by_cookie:
            check_origin(request)
        super().initial(request, *args, **kwargs)

    def answer(self, pair: TokenPair, *, already_held: bool = False) -> Response:
        """Return the answer with a token pair.

        The view's delivery says whether the answer has the refresh token in a cookie, in the body, or not at all.

        ``already_held`` says that the client already has this refresh token. Then no cookie is set: if this answer
        arrives late, its cookie could replace a newer token.
        """
        body: dict[str, Any] = {"access": pair.access, "expires_in": pair.expires_in}
        if pair.token_type:
            body["token_type"] = pair.token_type
        if self.delivery is Delivery.BODY:
            body |= {"refresh": pair.refresh, "refresh_expires_in": pair.refresh_expires_in}
        response = Response(body)
        if self.by_cookie and not already_held:
            set_refresh_cookie(response, pair, self.request)
        return response


def current_family_id(request: Request) -> UUID:
    """Return the id of the token family that the request's access token belongs to."""
    return cast("AccessToken", request.auth).family_id
