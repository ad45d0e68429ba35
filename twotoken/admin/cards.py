"""Turns the numbers of the admin's overview page into texts, plots, and links to lists of the counted families."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from django.contrib.auth import get_user_model
from django.utils.formats import date_format, number_format
from django.utils.http import urlencode
from django.utils.translation import gettext, pgettext

from twotoken.admin.figures import DAYS, Figures, Series
from twotoken.admin.timeline import local_time
from twotoken.models import RevokedReason, State

# Sizes in the units of a plot's viewBox. All are below 1000, because templates may write larger numbers as 1,000.
DAY_WIDTH = 10
PLOT_WIDTH = DAYS * DAY_WIDTH
PLOT_HEIGHT = 60


@dataclass(frozen=True)
class Number:
    """A number of the admin's overview, as text.

    ``query`` is the query string with which the admin's list shows the families that the number counts. If ``query`` is
    empty, the number is not a link.
    """

    text: str
    query: str = ""


@dataclass(frozen=True)
class Bar:
    """The bar of one day in a plot. ``text`` is the bar's tooltip."""

    x: int
    y: int
    height: int
    text: str


@dataclass(frozen=True)
class Card:
    """What the overview shows of a ``Series``: a main number, the largest number of a day, a plot, and all numbers.

    The main number is the number now or the sum of all days; ``period`` says which of the two.
    """

    title: str
    number: Number
    period: str
    most: str
    bars: list[Bar]
    by_day: list[Number]
    is_alarming: bool = False


def make_cards(figures: Figures) -> list[Card]:
    """Return the cards of active families, of logins, and of the revocations for each reason.

    Among the reasons, reuse comes first, even if no token was reused. The other reasons follow if they occurred, the
    most frequent first.
    """
    active = Number(_shown(figures.active.by_day[-1], figures.active.is_estimate), _query(state=State.ACTIVE))
    cards = [
        _card(pgettext("family", "Active families"), figures.active, figures, active, pgettext("family", "now")),
        _of_period(pgettext("family", "Logins"), figures.logins, figures, "created_at"),
    ]
    labels = {str(value): str(label) for value, label in RevokedReason.choices}
    by_total = sorted(figures.revoked.items(), key=lambda item: -item[1].total)
    for reason, series in sorted(by_total, key=lambda item: item[0] != RevokedReason.REUSE):
        if series.total or reason == RevokedReason.REUSE:
            cards.append(_of_period(labels.get(reason, reason), series, figures, "revoked_at", reason=reason))
    return cards


def numbers_by_day(figures: Figures, cards: list[Card]) -> list[tuple[datetime, list[Number]]]:
    """Return each day, the newest first, with the number that each card has for this day."""
    rows = zip(figures.starts, *(card.by_day for card in cards), strict=True)
    return [(local_time(start), numbers) for start, *numbers in reversed(list(rows))]


def user_numbers(figures: Figures, alias: str) -> list[tuple[str, Number]]:
    """Return the names of the users who have the most active families, each with the user's number of active families.

    The names are read from the database at each call. The numbers come from ``figures``, which may be cached.
    """
    names = get_user_model()._base_manager.using(alias).in_bulk([user.key for user in figures.users])
    return [
        (
            str(names[user.key]),
            Number(_shown(user.count, user.is_estimate), _query(user=str(user.key), state=State.ACTIVE)),
        )
        for user in figures.users
        if user.key in names  # the user still exists
    ]


def address_numbers(figures: Figures) -> list[tuple[str, Number]]:
    """Return the addresses from which the most tokens were reused, each with the number of reuses."""
    since = _between("revoked_at", figures.starts[0])
    return [
        (address.key, Number(_shown(address.count), _query(reused_from=address.key, **since)))
        for address in figures.addresses
    ]


def _of_period(title: str, series: Series, figures: Figures, field: str, **filters: str) -> Card:
    """Return the card of a series that counts families by the day of their ``field``, a date column.

    Each number links to the list of the families that it counts.
    """
    starts = figures.starts
    queries = [
        _query(**filters, **_between(field, start, end))
        for start, end in zip(starts, chain(starts[1:], [None]), strict=True)
    ]
    total = Number(_shown(series.total, series.is_estimate), _query(**filters, **_between(field, starts[0])))
    card = _card(title, series, figures, total, gettext("in the last %(days)s days") % {"days": DAYS}, queries)
    return replace(card, is_alarming=filters.get("reason") == RevokedReason.REUSE and series.total > 0)


def _card(
    title: str, series: Series, figures: Figures, number: Number, period: str, queries: Sequence[str] = ("",) * DAYS
) -> Card:
    texts = [_shown(value, series.is_estimate) for value in series.by_day]
    days = [date_format(local_time(start), "MONTH_DAY_FORMAT") for start in figures.starts]
    top = max(range(DAYS), key=series.by_day.__getitem__)
    most = gettext("Most: %(number)s on %(day)s") % {"number": texts[top], "day": days[top]}
    by_day = zip(texts, queries, series.by_day, strict=True)
    return Card(
        title=title[:1].upper() + title[1:],
        number=number,
        period=period,
        most=most if series.by_day[top] else "",
        bars=list(_bars(series.by_day, [f"{day}: {text}" for day, text in zip(days, texts, strict=True)])),
        by_day=[Number(text, query if value else "") for text, query, value in by_day],
    )


def _bars(values: Sequence[int], texts: Sequence[str]) -> Iterator[Bar]:
    """Yield the bars of a plot. The highest bar is as high as the plot. Every number except 0 has a visible bar."""
    most = max(values)
    for place, value in enumerate(values):
        height = max(PLOT_HEIGHT * value // most, 1) if value else 0
        yield Bar(place * DAY_WIDTH, PLOT_HEIGHT - height, height, texts[place])


def _shown(number: int, is_estimate: bool = False) -> str:
    """Return a number as text. An estimate is rounded to two digits, because a sample can't tell the other digits."""
    if is_estimate:
        number = round(number, 2 - len(str(number)))
    text = number_format(number, force_grouping=True)
    return f"≈ {text}" if is_estimate else text


def _between(field: str, start: datetime, end: datetime | None = None) -> dict[str, str]:
    since = {f"{field}__gte": start.isoformat()}
    return since if end is None else {**since, f"{field}__lt": end.isoformat()}


def _query(**filters: str) -> str:
    return urlencode(filters)
