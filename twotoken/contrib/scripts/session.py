"""The state of a client's session as one value, so that a store saves all of it or nothing."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields

VERSION = 1
KEY = re.compile(r"[\w-]{8,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Session:
    """Both tokens, and the Idempotency-Key of the last refresh. Times are in seconds since the epoch.

    ``scheme`` is how the access token is sent, Bearer or DPoP. ``device_key`` is the private key that the session is
    bound to, as PEM. It is empty if the session is not bound. ``started_with`` is the SHA-256 of the refresh token that
    the program gave. ``ended`` says why the session ended. Before ``not_before`` the client must not send a request.
    """

    auth_url: str = ""
    account: str = ""
    access: str = field(default="", repr=False)
    scheme: str = "Bearer"
    renew_at: float = 0.0
    expires_at: float = 0.0
    refresh: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    key_used_at: float = 0.0
    key_answered: bool = False
    device_key: str = field(default="", repr=False)
    started_with: str = ""
    ended: str = ""
    not_before: float = 0.0


def to_json(session: Session) -> str:
    """Return a session as JSON."""
    return json.dumps({"version": VERSION, **asdict(session)}, indent=1)


def from_json(text: str) -> Session:
    """Read a session from JSON. Raises ValueError if the text is not a complete session."""
    values = json.loads(text)
    if not isinstance(values, dict) or values.pop("version", None) != VERSION:
        raise ValueError("not a session of this version")
    defaults = {each.name: each.default for each in fields(Session)}
    if values.keys() != defaults.keys():
        raise ValueError("not the fields of a session")
    for name, default in defaults.items():
        if type(values[name]) not in ({int, float} if type(default) is float else {type(default)}):
            raise ValueError(f"{name} has a wrong type")
    if values["key"] and not KEY.fullmatch(values["key"]):
        raise ValueError("the server would refuse this key")
    return Session(**values)
