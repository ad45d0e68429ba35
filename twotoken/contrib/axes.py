"""django-axes: a lockout that clients can read, counted by the address that twotoken counts by."""

from __future__ import annotations

from typing import Any

from axes.conf import settings
from axes.helpers import get_cool_off, get_lockout_message
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from twotoken import clients
from twotoken.base_views import TokenView

LOCKED_OUT = "locked_out"


def client_address(request: HttpRequest) -> str | None:
    """Return the address that axes counts failures by, for AXES_CLIENT_IP_CALLABLE.

    It is the one of the login throttle: X-Forwarded-For as far as NUM_PROXIES says, and of IPv6 the start of the /64,
    for one client has as many addresses as it likes. None for what is no address: a database would refuse it.
    """
    return clients.stored_address(clients.network(clients.client_address(request)).removesuffix("/64"))


def lockout_response(
    request: HttpRequest, response: HttpResponseBase | None = None, credentials: Any = None
) -> HttpResponse:
    """Return the answer to who is locked out, for AXES_LOCKOUT_CALLABLE: JSON at our endpoints, else a line of text.

    A lockout counts by name and address, known or not, so that it tells nobody whether an account exists.
    """
    message = str(get_lockout_message())
    status = settings.AXES_HTTP_RESPONSE_CODE
    if not is_ours(request):
        return HttpResponse(message, status=status, content_type="text/plain; charset=utf-8")
    answer = JsonResponse({"detail": message, "code": LOCKED_OUT}, status=status)
    answer["Cache-Control"] = "no-store"
    cool_off = get_cool_off(request)
    if cool_off is not None:  # each attempt starts it anew, unless axes is told otherwise
        answer["Retry-After"] = str(int(cool_off.total_seconds()))
    return answer


def is_ours(request: HttpRequest) -> bool:
    """Tell whether one of our views has taken the request."""
    match = request.resolver_match
    return match is not None and issubclass(getattr(match.func, "cls", object), TokenView)
