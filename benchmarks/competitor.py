"""What a competitor is: a package to install, its settings, and its operations as plain HTTP requests.

A competitor consists of data and strings. This module imports neither Django nor a measured package, so the
coordinator can read all competitors, and each worker can have its own settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar

PASSWORD = "correct horse battery staple"
SECRET = "a secret of the benchmarks, known to everybody and long enough for HS256"


@dataclass(frozen=True)
class Call:
    """An HTTP request."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, path: str, data: object = None, headers: Mapping[str, str] | None = None) -> Call:
        """Make a POST with a JSON body."""
        body = b"" if data is None else json.dumps(data).encode()
        return cls("POST", path, body, {"Content-Type": "application/json", **(headers or {})})


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def data(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    def cookie(self, name: str) -> str:
        """Return the value of a cookie that the answer sets."""
        cookies = SimpleCookie("; ".join(value for header, value in self.headers if header.lower() == "set-cookie"))
        return str(cookies[name].value)


@dataclass(frozen=True)
class Tokens:
    """The tokens that a client keeps from a login or a refresh."""

    access: str
    refresh: str = ""


class Competitor:
    """A package, or one way to use a package. A subclass describes one competitor by class attributes and requests."""

    name: ClassVar[str]
    packages: ClassVar[Sequence[str]] = []
    apps: ClassVar[Sequence[str]] = []
    middleware: ClassVar[Sequence[str]] = []
    settings: ClassVar[Mapping[str, Any]] = {}
    rows: ClassVar[Sequence[tuple[str, Mapping[str, Any]]]] = []
    """Rows that the package needs before it works: the label of the model, and the fields."""
    routes: ClassVar[Mapping[str, str]] = {}
    """What answers at each URL prefix: a URLconf to include (its name ends in ``urls``), or a view class."""
    authentication: ClassVar[Mapping[str, str]] = {}
    """The authentication classes, by label. For each, the same view has a route of its own."""
    storage: ClassVar[Sequence[str]] = []
    """Labels of the apps whose tables hold the package's tokens."""
    refuses_replay: ClassVar[bool] = True
    """Whether a refresh token that was used is refused afterwards."""
    rotates: ClassVar[bool] = True
    """Whether a refresh gives another refresh token."""
    revokes: ClassVar[bool] = True
    """Whether a refresh token is refused after its logout."""
    logged_out: ClassVar[int] = 0
    """The status of the answer to a logout, if it is not a 2xx."""
    operations: ClassVar[frozenset[str]] = frozenset({"login", "get", "refresh", "logout"})

    def login(self, name: str, password: str) -> Call:
        """Return the request that logs a user in."""
        raise NotImplementedError

    def tokens(self, answer: Answer, before: Tokens | None = None) -> Tokens:
        """Return the tokens in the answer to a login, or to a refresh that was sent with the tokens ``before``."""
        raise NotImplementedError

    def get(self, path: str, tokens: Tokens) -> Call:
        """Return a GET with the access token."""
        return Call("GET", path, headers={"Authorization": f"Bearer {tokens.access}"})

    def refresh(self, tokens: Tokens) -> Call:
        """Return the request for the next tokens."""
        raise NotImplementedError

    def logout(self, tokens: Tokens) -> Call:
        """Return the request that ends the login on the server."""
        raise NotImplementedError


def all_competitors() -> dict[str, Competitor]:
    """Return every competitor by its name: the concrete subclasses of Competitor in ``benchmarks.competitors``."""
    package = import_module("benchmarks.competitors")
    for module in iter_modules(package.__path__):
        import_module(f"benchmarks.competitors.{module.name}")
    return {
        competitor.name: competitor()
        for competitor in sorted(_subclasses(Competitor), key=lambda competitor: competitor.name)
    }


def _subclasses(parent: type[Competitor]) -> Iterator[type[Competitor]]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)
