"""Read the DPoP proof of a request (RFC 9449), verify it for the URL that Django sees, and accept it only once.

This module imports no models. For a request without a ``DPoP`` header it only looks at the headers.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest
from django.utils import timezone
from django.utils.encoding import escape_uri_path
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request

from twotoken import dpop
from twotoken.conf import conf
from twotoken.dpop import Proof
from twotoken.exceptions import InvalidProof, MissingProof, ProofAddress, ProofReplayed, Unavailable

# Seconds for which the cache remembers a proof. The time in a proof may be one window early or one window late, so a
# proof is good for two windows. The third window is for servers whose clocks differ.
REMEMBERED = 3 * dpop.WINDOW
NONCE_HEADER = "DPoP-Nonce"

logger = logging.getLogger("twotoken")


def accepts_proofs() -> bool:
    """Tell whether DPoP is in use here. With DPOP ``"off"`` or without cryptography, proofs are ignored."""
    return dpop.SUPPORTED and conf.dpop != "off"


@sensitive_variables()
def read_proof(request: HttpRequest | Request, access_token: str | None = None) -> Proof | None:
    """Return the verified DPoP proof of a request. Call ``spend`` with the proof, so that nobody can use it again.

    Returns None if the request has no proof, or if proofs are ignored (``accepts_proofs``). If ``access_token`` is
    given, the proof must be for this token. With DPOP_NONCE, the answer to the request gets a new nonce. Raises
    InvalidProof if the proof is not valid.
    """
    header: str | None = request.META.get("HTTP_DPOP")
    if header is None or not accepts_proofs():
        return None
    if conf.dpop_nonce:
        _offer_nonce(request)
    address = address_of(request)
    try:
        return dpop.verify_proof(
            header,
            method=str(request.method),
            address=address,
            now=timezone.now(),
            access_token=access_token,
            is_nonce=_is_nonce if conf.dpop_nonce else None,
        )
    except ProofAddress as exc:
        # The sender controls the value. It is quoted and shortened, so it can't forge a log line.
        logger.info(
            "A DPoP proof was refused: its %s is %.200r, and the request is %s %.200r.",
            *exc.args,
            request.method,
            address,
        )
        raise
    except InvalidProof as exc:
        logger.info("A DPoP proof was refused: %s.", exc)
        raise


def spend(request: HttpRequest | Request, proof: Proof | None) -> None:
    """Use up a request's proof, if it has one: no process that shares the cache accepts the proof in another request.

    This takes one atomic ``cache.add``. Within the same request the proof stays valid, because a middleware may
    authenticate before the view does. Raises ProofReplayed if the proof was used before. Raises Unavailable if the
    cache does not work: then nobody can tell whether the proof was used, and the request must be refused.
    """
    own: Any = getattr(request, "_request", request)  # DRF wraps Django's
    if proof is None or getattr(own, "_twotoken_spent", None) == proof:
        return
    ident = f"{conf.tenant_issuer or ''}\n{proof.thumbprint}\n{proof.jti}"
    key = f"twotoken_proof_{hashlib.sha256(ident.encode()).hexdigest()}"
    try:
        is_new = cache.add(key, 1, REMEMBERED)
        # add() also returns False if the cache refuses to write.
        is_known = is_new or cache.get(key) is not None
    except Exception as exc:
        logger.exception("The cache failed, so a DPoP proof could not be checked, and its request was refused.")
        raise Unavailable from exc
    if not is_known:
        logger.error("The cache did not store a DPoP proof, so its request was refused.")
        raise Unavailable
    if not is_new:
        logger.info("A DPoP proof was refused: it was used before.")
        raise ProofReplayed
    own._twotoken_spent = proof


def proven_key(request: HttpRequest | Request) -> str:
    """Return the ``device_key`` that a request's proof shows, for ``families.start`` in a project's own login view.

    Without a proof the result is empty. After this call, no other request can use the proof. Raises InvalidProof if the
    proof is not valid; MissingProof if DPOP is ``"required"`` and there is no proof; and Unavailable if the cache does
    not work.
    """
    proof = read_proof(request)
    if proof is None:
        if conf.dpop == "required":
            raise MissingProof
        return ""
    spend(request, proof)
    return proof.device_key


def address_of(request: HttpRequest | Request) -> str:
    """Return the URL of a request as Django sees it behind its proxies, without the query."""
    return f"{request.scheme}://{request.get_host()}{escape_uri_path(request.path)}"


def current_nonce() -> str:
    """Return the nonce that the client's next DPoP proof must have if DPOP_NONCE is True."""
    return dpop.nonce_at(conf.nonce_secrets[0], timezone.now())


def _is_nonce(nonce: str) -> bool:
    return dpop.is_current_nonce(nonce, conf.nonce_secrets, timezone.now())


def _offer_nonce(request: HttpRequest | Request) -> None:
    """Add a new DPoP nonce to the answer's headers (RFC 9449 section 8.2), whether the proof is accepted or refused."""
    context: dict[str, Any] | None = getattr(request, "parser_context", None)
    view = (context or {}).get("view")
    if view is not None:  # a view of DRF puts its ``headers`` on each answer, errors included
        view.headers[NONCE_HEADER] = current_nonce()
