"""The doctor's probes of what a front end needs: the cookie, a trusted origin, CORS. These probes log nobody in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult

from twotoken import checks
from twotoken.conf import Delivery, conf
from twotoken.management.doctor.browser import Cookie, fault_of, is_third_party
from twotoken.management.doctor.findings import Fault, Finding, ok, skipped, wrong
from twotoken.management.doctor.mounts import Mount
from twotoken.management.doctor.sites import origin_of, relation
from twotoken.management.doctor.stores import compared_clocks
from twotoken.management.doctor.transports import Answer, Transport
from twotoken.views import is_trusted

# The value of a refresh cookie that is not a token. It fails the signature check, so no family is affected. The refusal
# clears the cookie, and so shows the cookie's attributes.
RUBBISH = "doctor"
CORS_PAGE = "The browser refuses, and the page sees only a TypeError: Failed to fetch."
ADDRESS_WHY = (
    "Logins of older browsers are refused as cross_origin, redirects lead to the wrong address, and every DPoP "
    "proof is refused."
)


def probe_reach(transport: Transport, mount: Mount) -> Iterator[Finding]:
    """Check whether ``twotoken.urls`` answers at its URL, and whether the server's clock agrees with this machine's."""
    answer = first_answer(transport, mount)
    fault = _unreached(transport.url, mount, answer)
    if fault is not None:
        yield wrong("reach", fault)
        return
    yield ok("reach", f"twotoken answers at {transport.url.geturl()}.")
    if date := answer.headers.get("date"):
        yield compared_clocks("server clock", "the server", parsedate_to_datetime(date).timestamp() - time.time())


def first_answer(transport: Transport, mount: Mount) -> Answer:
    """Send a request that changes nothing, and return the answer.

    With the delivery ``cookie``, the request is a refresh with RUBBISH, an invalid token, in the cookie. Otherwise the
    request is a GET of ``sessions/`` without a token.
    """
    if mount.delivery is Delivery.COOKIE:
        return transport.send("POST", "refresh/", {"Cookie": f"{conf.cookie_name}={RUBBISH}"})
    return transport.send("GET", "sessions/", {})


def probe_address(transport: Transport) -> Iterator[Finding]:
    """Find out whether Django sees the scheme and host that clients use.

    The probe sends the client's origin and the same origin with the other scheme. Without Sec-Fetch-Site, twotoken
    accepts an Origin only if it has the scheme and host that Django sees, or is in CSRF_TRUSTED_ORIGINS.
    """
    url = transport.url
    own, other = (origin_of(url._replace(scheme=scheme)) for scheme in _schemes(url))
    if is_trusted(own):
        if not _passes(transport, other):
            yield skipped("address", f"{own} is in CSRF_TRUSTED_ORIGINS, so it passes whatever address Django sees.")
            return
    elif _passes(transport, own):
        yield ok("address", f"Django sees the address that clients use: {own}.")
        return
    if not _passes(transport, other):
        fault = Fault(
            f"The proxy loses the host: Django does not see {own}.",
            ADDRESS_WHY,
            "Let the proxy pass on the Host header with its port (nginx: proxy_set_header Host $http_host). If it "
            "sends X-Forwarded-Host instead, set USE_X_FORWARDED_HOST to True.",
        )
    elif url.scheme == "https":
        fault = Fault(
            f"Django takes requests of {own} for plain http.",
            ADDRESS_WHY,
            "Let the proxy set X-Forwarded-Proto (nginx: proxy_set_header X-Forwarded-Proto $scheme), and set "
            "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https').",
        )
    else:
        fault = Fault(
            f"Django takes requests of {own} for https.",
            ADDRESS_WHY,
            "Let the proxy set the header of SECURE_PROXY_SSL_HEADER to the scheme that the client used. Without a "
            "proxy, remove the setting.",
        )
    yield wrong("address", fault)


def probe_cookie(url: SplitResult, page: SplitResult, answer: Answer) -> Iterator[Finding]:
    """Check whether a browser would keep the refresh cookie of an answer and send it back from the front end's page."""
    path = f"{url.path}refresh/"
    cookies = {cookie.name: cookie for cookie in (Cookie.parse(header, path) for header in answer.set_cookies)}
    cookie = cookies.get(conf.cookie_name)
    if cookie is None:
        fault: Fault | None = Fault(
            f"The answer sets no cookie {conf.cookie_name}.",
            "The browser gets no refresh token.",
            "Run the doctor with the settings of the server. If they are the same, look for a proxy that drops "
            "Set-Cookie.",
        )
    else:
        fault = fault_of(cookie, page, url)
    if fault is not None or cookie is None:
        yield wrong("cookie", fault or Fault("", "", ""))
    elif is_third_party(cookie, page, url):
        yield ok("cookie", f"Browsers except Safari send it from {origin_of(page)}: it is a third-party cookie.")
    else:
        yield ok("cookie", f"A browser keeps it, and sends it back from {origin_of(page)}.")


def probe_origin(transport: Transport, page: SplitResult) -> Iterator[Finding]:
    """Check whether twotoken accepts logins and refreshes from the origin of the front end's page."""
    origin = origin_of(page)
    headers = {"Origin": origin, "Sec-Fetch-Site": relation(page, transport.url)}
    answer = transport.send("POST", "refresh/", headers)
    if answer.code != "cross_origin":
        yield ok("origin", f"Logins and refreshes from {origin} are accepted.")
        return
    yield wrong(
        "origin",
        Fault(
            f"Logins and refreshes from {origin} are refused: 403 cross_origin.",
            "twotoken accepts only its own origin and those that you trust.",
            f"Add {origin!r} to CSRF_TRUSTED_ORIGINS.",
        ),
    )


def probe_cors(transport: Transport, page: SplitResult, mount: Mount) -> Iterator[Finding]:
    """Send a preflight and a refresh as a page of another origin does, and check the CORS headers of the answers."""
    origin = origin_of(page)
    if origin == origin_of(transport.url):
        yield ok("cors", "The page and the API have one origin, so CORS is not needed.")
        return
    dpop = ["dpop"] if checks.uses_proofs() else []
    wanted = ["authorization", "content-type", "idempotency-key", *dpop]
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ",".join(wanted)}
    preflight = transport.send("OPTIONS", "refresh/", {"Origin": origin, **asked})
    site = {"Sec-Fetch-Site": relation(page, transport.url)}
    answer = transport.send("POST", "refresh/", {"Origin": origin, **site})
    fault = _origin_fault(origin, preflight, answer)
    faults = list(_header_faults(preflight, answer, wanted, mount)) if fault is None else [fault]
    for fault in faults:
        yield wrong("cors", fault)
    if not faults:
        yield ok("cors", f"A page of {origin} may send what twotoken needs, and may read the answers.")


def _origin_fault(origin: str, preflight: Answer, answer: Answer) -> Fault | None:
    allowed = {each.headers.get("access-control-allow-origin", "") for each in (preflight, answer)}
    if allowed == {"*"}:
        return Fault(
            "CORS allows every origin, which browsers don't accept for requests with cookies.",
            CORS_PAGE,
            f"Set CORS_ALLOW_ALL_ORIGINS to False, and CORS_ALLOWED_ORIGINS to [{origin!r}].",
        )
    if preflight.headers.get("access-control-allow-origin") != origin:
        return Fault(
            f"CORS does not allow {origin}.",
            CORS_PAGE,
            f"Install django-cors-headers, and add {origin!r} to CORS_ALLOWED_ORIGINS.",
        )
    if allowed != {origin}:
        return Fault(
            "The answer to the preflight request has the headers of CORS, but the answer to the refresh has not.",
            CORS_PAGE,
            "Put CorsMiddleware first in MIDDLEWARE.",
        )
    return None


def _header_faults(preflight: Answer, answer: Answer, wanted: list[str], mount: Mount) -> Iterator[Fault]:
    both = {each.headers.get("access-control-allow-credentials", "") for each in (preflight, answer)}
    if mount.delivery is Delivery.COOKIE and both != {"true"}:
        yield Fault("CORS does not allow credentials.", CORS_PAGE, "Set CORS_ALLOW_CREDENTIALS to True.")
    headers = preflight.listed("access-control-allow-headers")
    if missing := [name for name in wanted if name not in headers]:
        yield Fault(
            f"CORS does not allow the header {' or '.join(missing)}.",
            CORS_PAGE,
            f"Set CORS_ALLOW_HEADERS to [*corsheaders.defaults.default_headers, {', '.join(map(repr, missing))}].",
        )
    methods = preflight.listed("access-control-allow-methods")
    if not {"post", "delete"} <= methods:
        yield Fault("CORS does not allow POST and DELETE.", CORS_PAGE, "Add both to CORS_ALLOW_METHODS.")
    exposed = answer.listed("access-control-expose-headers")
    read = ["Retry-After", *(["DPoP-Nonce", "WWW-Authenticate", "Date"] if "dpop" in wanted else [])]
    if hidden := [name for name in read if name.lower() not in exposed]:
        yield Fault(
            f"The page can't read {', '.join(hidden)} of an answer.",
            "The client does not know how long a busy server asks it to wait"
            + (", and can't sign proofs with the server's nonce and time." if len(read) > 1 else "."),
            f"Add {', '.join(map(repr, hidden))} to CORS_EXPOSE_HEADERS.",
        )


def _schemes(url: SplitResult) -> tuple[str, str]:
    return ("https", "http") if url.scheme == "https" else ("http", "https")


def _passes(transport: Transport, origin: str) -> bool:
    return transport.send("POST", "refresh/", {"Origin": origin}).code != "cross_origin"


def _unreached(url: SplitResult, mount: Mount, answer: Answer) -> Fault | None:
    """Return why an answer does not come from twotoken. If it comes from twotoken, return None."""
    why = "No client reaches twotoken there."
    said = f"{url.geturl()} answers with a {answer.status}"
    if answer.code == "token_not_valid":
        return None
    if 300 <= answer.status < 400:
        return _redirected(url, answer)
    if answer.status == 404:
        return Fault(
            f"{said}: twotoken.urls is not mounted there, but at {mount.path}.",
            why,
            f"If a proxy strips or adds a prefix, let it pass on the path {mount.path}. Otherwise correct --url.",
        )
    if answer.status == 400:
        return Fault(
            f"{said}: Django does not know the host that it sees.",
            why,
            f"Add {url.hostname!r} to ALLOWED_HOSTS. If it is there, the proxy loses the host: let it pass on the Host "
            "header (nginx: proxy_set_header Host $http_host).",
        )
    if answer.status >= 500:
        remedy = "Check that the server behind the proxy runs, and read its log."
        return Fault(f"{said}.", why, remedy)
    return Fault(f"{said} that is not twotoken's.", why, "Find out which server answers there, and correct --url.")


def _redirected(url: SplitResult, answer: Answer) -> Fault:
    target = answer.headers.get("location", "")
    if target.startswith(f"{url.geturl()}"):
        return Fault(
            f"{url.geturl()} redirects to itself: Django takes requests for plain http.",
            "SECURE_SSL_REDIRECT redirects every request again and again.",
            "Let the proxy set X-Forwarded-Proto (nginx: proxy_set_header X-Forwarded-Proto $scheme), and set "
            "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https').",
        )
    return Fault(
        f"{url.geturl()} redirects elsewhere.",
        "After most redirects a browser sends a GET instead of the POST.",
        "Use the address that it redirects to, in the front end and for --url.",
    )
