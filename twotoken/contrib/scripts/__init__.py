"""The code that TokenAuth for httpx and TokenAuth for requests share. This package does not import Django."""

from twotoken.contrib.scripts.base import AuthOptions, BaseTokenAuth
from twotoken.contrib.scripts.errors import (
    LoginFailed,
    SessionEnded,
    StepUpRequired,
    StoreError,
    TokenAuthError,
    Unavailable,
    UnexpectedAnswer,
)
from twotoken.contrib.scripts.options import Credentials
from twotoken.contrib.scripts.protocol import TokenProtocol
from twotoken.contrib.scripts.steps import Answer, Flow, Lost, Pause, Post, answer, run
from twotoken.contrib.scripts.stores import FileStore, MemoryStore, Store

__all__ = [
    "Answer",
    "AuthOptions",
    "BaseTokenAuth",
    "Credentials",
    "FileStore",
    "Flow",
    "LoginFailed",
    "Lost",
    "MemoryStore",
    "Pause",
    "Post",
    "SessionEnded",
    "StepUpRequired",
    "Store",
    "StoreError",
    "TokenAuthError",
    "TokenProtocol",
    "Unavailable",
    "UnexpectedAnswer",
    "answer",
    "run",
]
