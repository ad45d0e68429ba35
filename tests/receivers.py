"""Receivers of signals that are connected for one test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.dispatch import Signal


@contextmanager
def receiving(receiver: Any, *signals: Signal) -> Iterator[None]:
    """Connect a receiver to signals inside a ``with`` block."""
    with ExitStack() as stack:
        for signal in signals:
            signal.connect(receiver)
            stack.callback(signal.disconnect, receiver)
        yield


@contextmanager
def heard(*signals: Signal) -> Iterator[list[tuple[Signal, dict[str, Any]]]]:
    """Yield a list that collects each sent signal and the signal's arguments."""
    calls: list[tuple[Signal, dict[str, Any]]] = []

    def receiver(signal: Signal, **kwargs: Any) -> None:
        calls.append((signal, kwargs))

    with receiving(receiver, *signals):
        yield calls


@contextmanager
def raising(*signals: Signal) -> Iterator[None]:
    """Connect a receiver that raises an error to signals."""

    def receiver(**kwargs: Any) -> None:
        raise RuntimeError("a receiver failed")

    with receiving(receiver, *signals):
        yield


@contextmanager
def received(signal: Signal) -> Iterator[list[dict[str, Any]]]:
    """Yield a list that collects the arguments each time that the signal is sent."""
    calls: list[dict[str, Any]] = []

    def receiver(**details: Any) -> None:
        calls.append(details)

    with receiving(receiver, signal):
        yield calls
