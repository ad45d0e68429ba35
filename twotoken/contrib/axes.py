"""Callables for django-axes: a lockout answer that clients can parse, and the address that the login throttle uses."""

from __future__ import annotations

from typing import Any

from axes.conf import settings
from axes.helpers import get_cool_off, get_lockout_message
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from twotoken import clients
from twotoken.views import TokenView

LOCKED_OUT = "locked_out"


def client_address(request: HttpRequest) -> str | None:
    """Return the address that axes counts failures by, for AXES_CLIENT_IP_CALLABLE.

    twotoken's login throttle uses the same address. The address comes from X-Forwarded-For as far as NUM_PROXIES
    allows. For IPv6 it is the first address of the client's /64, because one client can use every address in a /64.
    None if the address is invalid, because a database would refuse it.
    """
    return clients.stored_address(clients.network(clients.client_address(request)).removesuffix("/64"))


def lockout_response(
    request: HttpRequest, response: HttpResponseBase | None = None, credentials: Any = None
) -> HttpResponse:
    """Return the answer to a locked-out client, for AXES_LOCKOUT_CALLABLE. For twotoken's views it is JSON, else text.

    axes counts failures by user name and address, for unknown user names too. So a lockout does not reveal which
    accounts exist.
    """
    message = str(get_lockout_message())
    status = settings.AXES_HTTP_RESPONSE_CODE
    if not is_ours(request):
        return HttpResponse(message, status=status, content_type="text/plain; charset=utf-8")
    answer = JsonResponse({"detail": message, "code": LOCKED_OUT}, status=status)
    answer["Cache-Control"] = "no-store"
    cool_off = get_cool_off(request)
    if cool_off is not None:  # the whole cool-off, because by default each attempt restarts the cool-off
        answer["Retry-After"] = str(int(cool_off.total_seconds()))
    return answer


def is_ours(request: HttpRequest) -> bool:
    """Tell whether one of twotoken's views handles the request."""
    match = request.resolver_match
    return match is not None and issubclass(getattr(match.func, "cls", object), TokenView)
