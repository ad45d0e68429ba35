"""The example's URLs, and an empty page that has only the client, under a strict Content-Security-Policy."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from example_project.urls import urlpatterns as example

SCRIPT = """
import { createClient } from "/static/twotoken/client.js";
const query = new URLSearchParams(location.search);
const server = query.get("server") ?? "";
window.asked = [];
const onStepUp = (demand) => {
  asked.push(demand.error?.code ?? demand.maxAge);
  return new Promise((resolve) => (window.answer = resolve));
};
window.client = createClient({ authUrl: `${server}/api/auth/`, dpop: query.has("dpop"), onStepUp });
window.ended = [];
window.seen = [];
client.addEventListener("sessionended", (event) => ended.push(event.detail.reason));
client.addEventListener("sessionended", (event) => seen.push(`ended ${event.detail.reason}`));
client.addEventListener("sessionstarted", (event) => seen.push(`started ${event.detail.claims.sub}`));
window.ready = client.restore().then(() => true, () => false);
"""
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'"  # all that the client needs


def page(request: HttpRequest) -> HttpResponse:
    """Return an empty page with the client. The page may also connect to the origins that the query names."""
    allowed = [*request.GET.getlist("server"), *request.GET.getlist("connect")]
    content = '<!doctype html><title>client</title><script type="module" src="/page.js"></script>'
    return HttpResponse(content, headers={"Content-Security-Policy": " ".join([POLICY, *allowed])})


def script(request: HttpRequest) -> HttpResponse:
    """Return the script of the empty page."""
    return HttpResponse(SCRIPT, content_type="text/javascript")


def redirect(request: HttpRequest) -> HttpResponse:
    """An API route that sends its callers to another origin."""
    return HttpResponseRedirect(request.GET["to"])


urlpatterns = [*example, path("page/", page), path("page.js", script), path("api/redirect/", redirect)]
