"""Draws a family's timeline as SVG, and the mark of a state. The SVG needs no JavaScript and no inline style.

The picture has no fixed width: positions on the line are percentages, and marks and letters keep their size. So the
picture is as readable on a phone as on a wide screen. Colours come from ``admin.css``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import ngettext, pgettext

from twotoken.admin.timeline import EXPIRED, ROTATED, STARTED, Moment, exact_label, local_time
from twotoken.models import EventKind, RefreshToken, RevokedReason, State

CIRCLE = "M-10 0a10 10 0 1 0 20 0a10 10 0 1 0-20 0z"
SQUARE = "M-9-9h18v18h-18z"
DIAMOND = "M0-13 13 0 0 13-13 0z"
TRIANGLE = "M0-13 13 9H-13z"


class Mark(NamedTuple):
    """A mark in the picture. ``tone`` is a CSS class. ``shape`` tells marks apart for people who do not see colours."""

    tone: str
    shape: str


GOOD, QUIET = Mark("good", CIRCLE), Mark("quiet", CIRCLE)
SHARP, STOPPED = Mark("bad", TRIANGLE), Mark("warn", SQUARE)
# The mark of each kind of moment. If a place has too many marks, those that come first here are shown.
MARKS: dict[str, Mark] = {
    EventKind.REUSE: SHARP,
    EventKind.REVOKED: Mark("quiet", SQUARE),
    STARTED: GOOD,
    EventKind.UNBOUND: STOPPED,
    ROTATED: QUIET,
    EXPIRED: Mark("quiet", SQUARE),
    EventKind.DEVICE: Mark("info", DIAMOND),
    EventKind.RETRIED: Mark("warn", DIAMOND),
    EventKind.WRONG_DEVICE: STOPPED,
}
RANKS = {kind: rank for rank, kind in enumerate(MARKS)}
HARMLESS = {RevokedReason.LOGOUT, RevokedReason.REPLACED, RevokedReason.LIMIT}

EDGE = 4.0  # percent of the width that stays free at both ends, so that no mark is cut off
NEAR = 8.5  # percent. Nearer marks are stacked, because they would overlap on a narrow screen
STACK = 5  # at most so many marks are on top of each other
STEP = 28  # pixels from one mark of a stack to the next
TICKS = 40


class Column(NamedTuple):
    """The moments shown at one place of the timeline, each with its number. ``hidden`` is how many are not shown."""

    place: float
    marks: list[tuple[int, Moment]]
    hidden: int


def state_mark(family: RefreshToken) -> SafeString:
    """Return the mark of a family's state. Screen readers skip the mark, because the state is written beside it."""
    state = family.state()
    if state is State.ACTIVE:
        return _alone(GOOD)
    if family.revoked_reason == RevokedReason.REUSE:
        return _alone(SHARP)
    return _alone(QUIET if state is State.EXPIRED or family.revoked_reason in HARMLESS else STOPPED)


def numbered_mark(moment: Moment, number: int) -> SafeString:
    """Return the mark that a moment of the timeline has in the picture, with the moment's number."""
    return _alone(MARKS[moment.kind], str(number))


def draw(family: RefreshToken, moments: Sequence[Moment]) -> SafeString:
    """Return the timeline as SVG: a line from the login to now or to the family's end, with a mark for each moment."""
    start, last = moments[0].time, max(moment.time for moment in moments)
    is_active = family.state() is State.ACTIVE
    end = max(last, timezone.now()) if is_active else last
    columns = _columns(moments, start, end)
    line = STEP * max(len(column.marks) + bool(column.hidden) for column in columns) + 14
    return format_html(
        '<svg class="twotoken-picture" role="img" aria-labelledby="picture-title picture-text" height="{height}">'
        '<title id="picture-title">{title}</title><desc id="picture-text">{text}</desc>{line}{ticks}{columns}'
        '<text class="twotoken-axis" x="0" y="{below}">{start}</text>'
        '<text class="twotoken-axis" x="100%" y="{below}" text-anchor="end">{end}</text></svg>',
        height=line + 30,
        title=pgettext("family", "Timeline"),
        text=_in_words(moments, is_active=is_active),
        line=_line(line, is_active=is_active),
        ticks=_ticks(family, start, end, line),
        columns=format_html_join("", "{}", ((_column(column, line),) for column in columns)),
        below=line + 26,
        start=_short(start),
        end=pgettext("family", "now") if is_active else _short(end),
    )


def _in_words(moments: Sequence[Moment], *, is_active: bool) -> str:
    count = len(moments)
    text = ngettext(
        "One event from %(start)s to %(end)s. The table below describes it.",
        "%(count)d events from %(start)s to %(end)s. The table below describes each of them.",
        count,
    )
    end = pgettext("family", "now") if is_active else moments[-1].time_label
    return text % {"count": count, "start": moments[0].time_label, "end": end}


def _place(time: datetime, start: datetime, end: datetime) -> float:
    """Return where a time is on the line, in percent of the width."""
    span = (end - start).total_seconds()
    share = min(max((time - start).total_seconds() / span, 0.0), 1.0) if span else 0.0
    return round(EDGE + share * (100 - 2 * EDGE), 2)


def _columns(moments: Sequence[Moment], start: datetime, end: datetime) -> list[Column]:
    """Put moments that are near each other into one column."""
    found: list[tuple[float, list[tuple[int, Moment]]]] = []
    for number, moment in enumerate(moments, 1):
        place = _place(moment.time, start, end)
        if not found or place - found[-1][0] >= NEAR:
            found.append((place, []))
        found[-1][1].append((number, moment))
    return [Column(place, _most_important(marks), max(len(marks) - STACK, 0)) for place, marks in found]


def _most_important(marks: list[tuple[int, Moment]]) -> list[tuple[int, Moment]]:
    by_rank = sorted(marks, key=lambda mark: (RANKS[mark[1].kind], mark[0]))
    return sorted(by_rank[:STACK])


def _line(line: int, *, is_active: bool) -> SafeString:
    end = '<circle class="twotoken-open" cx="{right}%" cy="{line}" r="4"/>'
    bar = '<line class="twotoken-line" x1="{right}%" x2="{right}%" y1="{top}" y2="{bottom}"/>'
    return format_html(
        '<line class="twotoken-line" x1="{left}%" x2="{right}%" y1="{line}" y2="{line}"/>'
        + (end if is_active else bar),
        left=EDGE,
        right=100 - EDGE,
        line=line,
        top=line - 7,
        bottom=line + 7,
    )


def _ticks(family: RefreshToken, start: datetime, end: datetime, line: int) -> SafeString:
    """Draw a tick for each rotation, at most TICKS. They are spread evenly: only the last rotation's time is stored."""
    count = min(family.generation, TICKS)
    last = _place(family.refreshed_at, start, end)
    places = (round(EDGE + (last - EDGE) * number / count, 2) for number in range(1, count + 1))
    tick = '<line class="twotoken-tick" x1="{0}%" x2="{0}%" y1="{1}" y2="{2}"/>'
    return format_html_join("", tick, ((place, line - 4, line + 4) for place in places))


def _column(column: Column, line: int) -> SafeString:
    drawn = [
        format_html(
            '<svg x="{}%" y="{}" overflow="visible"><title>{}</title>{}</svg>',
            column.place,
            line - STEP * height + 6,
            _title(number, moment),
            _shape(MARKS[moment.kind], str(number)),
        )
        for height, (number, moment) in enumerate(column.marks, 1)
    ]
    if column.hidden:
        more = '<text class="twotoken-axis" x="{}%" y="{}" text-anchor="middle">+{}</text>'
        drawn.append(format_html(more, column.place, line - STEP * (len(drawn) + 1) + 10, column.hidden))
    return format_html_join("", "{}", ((part,) for part in drawn))


def _title(number: int, moment: Moment) -> str:
    parts = (f"{number}: {moment.what}", exact_label(moment.time), moment.details, moment.ip_address)
    return ", ".join(filter(None, parts))


def _shape(mark: Mark, letters: str) -> SafeString:
    path = format_html('<path class="twotoken-shape twotoken-{}" d="{}"/>', mark.tone, mark.shape)
    if not letters:
        return path
    text = '{}<text class="twotoken-number" y="{}" text-anchor="middle">{}</text>'
    return format_html(text, path, 6 if mark.shape == TRIANGLE else 4, letters)


def _alone(mark: Mark, letters: str = "") -> SafeString:
    size = 26 if letters else 13
    return format_html(
        '<svg class="twotoken-mark" width="{0}" height="{0}" viewBox="-13 -13 26 26" aria-hidden="true">{1}</svg>',
        size,
        _shape(mark, letters),
    )


def _short(moment: datetime) -> str:
    return str(date_format(local_time(moment), "SHORT_DATETIME_FORMAT"))
