"""What a probe found, as one line. If something is wrong, the line also says why it matters and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Status(StrEnum):
    """Whether a probe found a fault."""

    OK = "ok"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. No part of it may hold a token, a secret or a password."""

    probe: str
    status: Status
    text: str
    why: str = ""
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """What was found, why it matters, and what to do, as one line.

        Control characters are replaced: otherwise a header that a server sent could control the terminal.
        """
        line = " ".join(" ".join(part.split()) for part in (self.text, self.why, self.remedy) if part)
        return "".join(character if character.isprintable() else "?" for character in line)

    def as_dict(self) -> dict[str, str]:
        """Return the finding for JSON."""
        return {name: str(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, why it matters, and what to do. The function ``wrong`` makes a Finding of it."""

    text: str
    why: str
    remedy: str


def ok(probe: str, text: str) -> Finding:
    """Return a finding without a fault."""
    return Finding(probe, Status.OK, text)


def wrong(probe: str, fault: Fault) -> Finding:
    """Return a finding with a fault."""
    return Finding(probe, Status.WRONG, fault.text, fault.why, fault.remedy)


def skipped(probe: str, text: str, remedy: str = "") -> Finding:
    """Return the finding of a probe that could not run. ``remedy`` says what the probe needs."""
    return Finding(probe, Status.SKIPPED, text, remedy=remedy)
