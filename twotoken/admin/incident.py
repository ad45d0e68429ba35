"""Explains the reuse of a refresh token to staff: what happened, who came first, what is certain and what is not.

A refresh token works once. If it is sent twice, either a thief sent one of the two requests, or the user's own program
sent both. The server can't tell which request came from the user, so no text of this module says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext, pgettext

from twotoken import families
from twotoken.admin.devices import describe
from twotoken.admin.timeline import ROTATED, Moment, exact_label
from twotoken.clients import is_same_device
from twotoken.models import EventKind, RefreshToken, RevokedReason


@dataclass(frozen=True, slots=True)
class Party:
    """A request that used the family. ``compared`` says how its device and IP address differ from the login's."""

    what: str
    time: str
    device: str
    user_agent: str
    ip_address: str | None
    compared: str


@dataclass(frozen=True, slots=True)
class Incident:
    """What staff have to know about the reuse of a refresh token, in words."""

    what: list[str]
    parties: list[Party]
    certain: list[str]
    uncertain: list[str]

    @property
    def addresses(self) -> list[str]:
        """The IP addresses of all requests in ``parties``, each once."""
        return list(dict.fromkeys(party.ip_address for party in self.parties if party.ip_address))


def incident(family: RefreshToken, moments: Sequence[Moment]) -> Incident | None:
    """Return what staff have to know about the reuse for which a family was revoked.

    If the family was not revoked for reuse, return None.
    """
    if family.revoked_at is None or family.revoked_reason != RevokedReason.REUSE:
        return None
    reuse = next((moment for moment in moments if moment.kind == EventKind.REUSE), None)
    if reuse is None:
        return Incident([_elsewhere()], [], [_access_ends(family.revoked_at)], [])
    login, last = moments[0], next((moment for moment in moments if moment.kind == ROTATED), moments[0])
    first = last.what if _is_old(reuse) else pgettext("family", "Came first")
    retries = [moment for moment in moments if moment.kind == EventKind.RETRIED]  # a thief may have sent them
    others = [(moment, moment.what) for moment in (*_last_change(moments, last), *retries)]
    users = sorted([*others, (last, first)], key=lambda user: user[0].time)
    parties = [
        _party(pgettext("family", "Login"), login, pgettext("family", "started the family")),
        *(_party(capfirst(what), moment, _compared(moment, login)) for moment, what in users),
        _party(gettext("Came last, with the used token"), reuse, _compared(reuse, login)),
    ]
    certain = [
        gettext("The same token was sent again after its use. The request that sent it last got no new token."),
        *([gettext("Each retry in this list was answered with the token that was valid then.")] if retries else []),
        gettext("Nobody can refresh with this family any more, neither the user nor a thief."),
        _access_ends(family.revoked_at),
    ]
    return Incident(_what(reuse), parties, certain, _uncertain(reuse, None if retries or _is_old(reuse) else last))


def _last_change(moments: Sequence[Moment], last: Moment) -> list[Moment]:
    """Return a list with the last change of device before the last rotation. Without such a change, the list is empty.

    From this change on, somebody other than the user may have had the token.
    """
    return [moment for moment in moments if moment.kind == EventKind.DEVICE and moment.time < last.time][-1:]


def _elsewhere() -> str:
    return gettext(
        "This family has no record of a reused token of its own. Either a token of another family of the same user was "
        "reused, and the setting REVOKE_ON_REUSE revoked all families of the user, or the record was lost."
    )


def _is_old(reuse: Moment) -> bool:
    """Tell whether the family had rotated more than once since the reused token was issued.

    If so, it is unknown who used this token first, because only the last rotation is stored.
    """
    return (reuse.generations_behind or 0) > 1


def _what(reuse: Moment) -> list[str]:
    text = gettext(
        "A refresh token of this login was sent a second time. Each token works only once, so the server refused it "
        "and revoked the family at once."
    )
    if not _is_old(reuse):
        return [text]
    more = gettext(
        "The family had rotated %(count)d times since this token was issued. Who used the token first is not stored, "
        "so the last rotation is shown here."
    )
    return [text, more % {"count": reuse.generations_behind}]


def _access_ends(revoked_at: datetime) -> str:
    end = revoked_at + families.longest_access()
    if end < timezone.now():
        return gettext("Access tokens that were issued before have expired.")
    text = gettext(
        "Access tokens of this family work until %(time)s at the latest, and not at all where the API uses "
        "RevocableAccessTokenAuthentication."
    )
    return text % {"time": exact_label(end)}


def _uncertain(reuse: Moment, first: Moment | None) -> list[str]:
    """Return texts about what nobody can know. ``first`` is the request that used the token first, if it is known."""
    texts = [gettext("Which of the two is the user. A thief can come first or second.")]
    if first and reuse.ip_address == first.ip_address and is_same_device(reuse.user_agent, first.user_agent):
        texts.append(
            gettext(
                "Whether there is a thief. Both requests came from the same address and the same kind of device. An "
                "app that lost an answer, and asked again without an Idempotency-Key, looks like this."
            )
        )
    else:
        texts.append(
            gettext(
                "Whether there is a thief. An app that sends a token twice looks the same, for example after "
                "the phone changed networks or was restored from a backup."
            )
        )
    texts.append(gettext("What the devices really were: anybody can send the user agent of another device."))
    return texts


def _party(what: str, moment: Moment, compared: str) -> Party:
    device = describe(moment.user_agent)
    return Party(what, moment.time_label, device, moment.user_agent, moment.ip_address, compared)


def _compared(moment: Moment, login: Moment) -> str:
    """Return a text that compares the device and address of a moment in the timeline with those of the login."""
    if not (moment.ip_address or moment.user_agent):
        return gettext("neither device nor address is stored")
    if login.ip_address is None:
        return gettext("the address of the login is not stored, so they can't be compared")
    other_address = moment.ip_address != login.ip_address
    if is_same_device(moment.user_agent, login.user_agent):
        if other_address:
            return gettext("the device of the login, from another address")
        return gettext("the device and the address of the login")
    if other_address:
        return gettext("another device and another address than at login")
    return gettext("another device than at login, from the same address")
