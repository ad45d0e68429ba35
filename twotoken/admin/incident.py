"""Explains a theft to staff: what happened, who came first, what is certain and what is not.

A refresh token works once. When it comes a second time, two programs had it: the user's and a thief's, or the user's
alone that sent it twice. The server can't tell which of the two is the user, so no sentence here says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext, pgettext

from twotoken.admin.devices import describe
from twotoken.admin.timeline import ROTATED, Moment, exact_label
from twotoken.clients import is_same_device
from twotoken.conf import conf
from twotoken.models import EventKind, RefreshToken, RevokedReason


@dataclass(frozen=True, slots=True)
class Party:
    """A request that used the family, compared with the login."""

    what: str
    time: str
    device: str
    user_agent: str
    ip_address: str | None
    compared: str


@dataclass(frozen=True, slots=True)
class Incident:
    """A reused refresh token in words."""

    what: list[str]
    parties: list[Party]
    certain: list[str]
    uncertain: list[str]

    @property
    def addresses(self) -> list[str]:
        """The addresses of everybody who used the family, each once."""
        return list(dict.fromkeys(party.ip_address for party in self.parties if party.ip_address))


def incident(family: RefreshToken, moments: Sequence[Moment]) -> Incident | None:
    """Return what staff have to know about the reuse that ended a family, or None if it was not revoked for reuse."""
    if family.revoked_at is None or family.revoked_reason != RevokedReason.REUSE:
        return None
    reuse = next((moment for moment in moments if moment.kind == EventKind.REUSE), None)
    if reuse is None:
        return Incident([_elsewhere()], [], [_access_ends(family.revoked_at)], [])
    login, last = moments[0], next((moment for moment in moments if moment.kind == ROTATED), moments[0])
    parties = [
        _party(pgettext("family", "Login"), login, pgettext("family", "started the family")),
        _party(pgettext("family", "Came first"), last, _compared(last, login)),
        _party(gettext("Came second, with the used token"), reuse, _compared(reuse, login)),
    ]
    certain = [
        gettext("The same token was sent twice. The second request got no new token."),
        gettext("Nobody can refresh with this family any more, neither the user nor a thief."),
        _access_ends(family.revoked_at),
    ]
    return Incident(_what(reuse), parties, certain, _uncertain(reuse, last))


def _elsewhere() -> str:
    return gettext(
        "This family has no record of a reused token of its own. Either a token of another family of the same user was "
        "reused, and the setting REVOKE_ON_REUSE revoked all families of the user, or the record was lost."
    )


def _what(reuse: Moment) -> list[str]:
    text = gettext(
        "A refresh token of this login was sent a second time. Each token works only once, so the server refused it "
        "and revoked the family at once."
    )
    behind = reuse.generations_behind or 0
    if behind < 2:
        return [text]
    more = gettext(
        "The family had rotated %(count)d times since this token was issued. Who used the token first is not stored: "
        "the table shows the last rotation."
    )
    return [text, more % {"count": behind}]


def _access_ends(revoked_at: datetime) -> str:
    text = gettext(
        "Access tokens of this family work until %(time)s at the latest, and not at all where the API uses "
        "RevocableAccessTokenAuthentication."
    )
    return text % {"time": exact_label(revoked_at + conf.access_lifetime)}


def _uncertain(reuse: Moment, last: Moment) -> list[str]:
    texts = [gettext("Which of the two is the user. A thief can come first or second.")]
    if reuse.ip_address == last.ip_address and is_same_device(reuse.user_agent, last.user_agent):
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
    """Say how a moment's device and address differ from those of the login."""
    if not (moment.ip_address or moment.user_agent):
        return gettext("neither device nor address is stored")
    other_address = moment.ip_address != login.ip_address
    if is_same_device(moment.user_agent, login.user_agent):
        if other_address:
            return gettext("the device of the login, from another address")
        return gettext("the device and the address of the login")
    if other_address:
        return gettext("another device and another address than at login")
    return gettext("another device than at login, from the same address")
