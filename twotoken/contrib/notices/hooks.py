"""The methods of NoticesConfig that a project's subclass can override."""

from __future__ import annotations

from typing import Any, Final, cast

from django.apps import apps
from django.core.mail import EmailMultiAlternatives
from django.utils.translation import get_language

LABEL: Final = "twotoken_notices"


class Hooks:
    """The part of NoticesConfig that a subclass may override."""

    def get_address(self, user: Any) -> str:
        """Return the e-mail address of a user. If it is an empty string, the user gets no mail."""
        return str(getattr(user, user.get_email_field_name(), None) or "")

    def get_language(self, user: Any) -> str | None:
        """Return the language of the user's mails, by default the language of the request. None means LANGUAGE_CODE."""
        return get_language()

    def send(self, message: EmailMultiAlternatives) -> None:
        """Send a mail. The request that caused the mail waits for this, so a subclass may pass the mail to a queue."""
        message.send()


def hooks() -> Hooks:
    """Return the installed NoticesConfig, which may be the project's subclass."""
    return cast("Hooks", apps.get_app_config(LABEL))
