"""A duration in words, for the confirmation page of the admin and for the commands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import template
from django.utils.timesince import TIME_STRINGS
from django.utils.translation import ngettext_lazy

register = template.Library()


@register.filter
def in_words(duration: timedelta) -> str:
    """Return a duration in words, such as "1 hour, 30 minutes". Unlike Django's ``timesince``, it includes seconds."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    words: list[tuple[int, Any]] = [
        (days, TIME_STRINGS["day"]),
        (hours, TIME_STRINGS["hour"]),
        (minutes, TIME_STRINGS["minute"]),
        (seconds, ngettext_lazy("%(num)d second", "%(num)d seconds", "num")),
    ]
    return ", ".join(text % {"num": number} for number, text in words if number)
