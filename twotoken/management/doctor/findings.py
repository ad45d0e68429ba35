"""What a probe of the doctor found, as one line. A fault's line also says why the fault matters and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Status(StrEnum):
    """Whether a probe of the doctor found no fault, found a fault, or was skipped."""

    OK = "ok"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report. It must not contain a token, a secret or a password."""

    probe: str
    status: Status
    text: str
    why: str = ""
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """What was found, why it matters, and what to do, as one line.

        Control characters are replaced, because otherwise text from a server's header could control the terminal.
        """
        line = " ".join(" ".join(part.split()) for part in (self.text, self.why, self.remedy) if part)
        return "".join(character if character.isprintable() else "?" for character in line)

    def as_dict(self) -> dict[str, str]:
        """Return the finding as a dict of strings, for JSON."""
        return {name: str(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, why it matters, and what to do. The function ``wrong`` makes a Finding of a Fault."""

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
