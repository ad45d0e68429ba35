"""Writes and mails notices: each user gets at most one notice of each kind in an hour."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.mail import EmailMultiAlternatives
from django.db import router
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.utils import translation

from twotoken.conf import conf
from twotoken.contrib.notices.hooks import hooks

FOLDER: Final = "twotoken/notices"
REUSE: Final = "reuse"
NEW_DEVICE: Final = "new_device"
KINDS: Final = (REUSE, NEW_DEVICE)
HOUR: Final = 3600  # seconds

logger = logging.getLogger("twotoken")


def notify(user_id: Any, kind: str, get_context: Callable[[], dict[str, Any]]) -> None:
    """Mail a notice to an active user who has an address, at most one notice of this kind in an hour.

    ``get_context`` is called in the language of the notice.
    """
    project = hooks()
    model = get_user_model()
    # From the write database: a replica may lag, and still have an address that the user has given up.
    user: Any = model._default_manager.using(router.db_for_write(model)).filter(pk=user_id).first()
    if user is None or not user.is_active:
        return
    address = project.get_address(user)
    if not address or not _is_first_of_hour(user_id, kind):
        return
    with translation.override(project.get_language(user) or settings.LANGUAGE_CODE):
        message = _write(kind, address, {"user": user, **get_context()})
    project.send(message)
    logger.info("A notice of %s was mailed to user %s.", kind, user_id)


def _is_first_of_hour(user_id: Any, kind: str) -> bool:
    """Tell whether no notice of this kind was sent to the user in the last hour, and remember that one is sent now.

    One atomic ``cache.add`` does both. If the cache fails, return False, so that no notice is sent. Otherwise somebody
    who logs in again and again could fill a mailbox.
    """
    digest = hashlib.sha256(f"{conf.tenant_issuer or ''}\n{user_id}".encode()).hexdigest()
    key = f"twotoken_notice_{kind}_{digest}"
    if cache.add(key, 1, HOUR):
        return True
    if cache.get(key) is None:  # add() also returns False if the cache does not accept writes
        logger.error("The cache did not store that a notice is sent, so none was sent.")
    return False


def _write(kind: str, address: str, context: dict[str, Any]) -> EmailMultiAlternatives:
    name = f"{FOLDER}/{kind}"
    subject = "".join(get_template(f"{name}_subject.txt").render(context).splitlines())
    text = get_template(f"{name}.txt").render(context)
    # RFC 3834 section 5: with this header, no out-of-office message is sent back.
    message = EmailMultiAlternatives(subject, text, to=[address], headers={"Auto-Submitted": "auto-generated"})
    try:
        page = get_template(f"{name}.html")
    except TemplateDoesNotExist:  # a project may add one
        return message
    message.attach_alternative(page.render(context), "text/html")
    return message
