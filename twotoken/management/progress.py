"""A progress bar for the commands that change many families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twotoken.families import Batch

WIDTH = 40


def with_progress(verb: Callable[[Callable[[Batch], object]], int], stream: Any) -> int:
    """Call a function that reports its batches, and return how many families it changed. Show a bar on a terminal."""
    total = 0
    shown = False

    def show(batch: Batch) -> None:
        nonlocal total, shown
        total += batch.changed
        if stream.isatty() and (shown or batch.done < 1):
            filled = round(WIDTH * batch.done)
            stream.write(f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {batch.done:4.0%} {total}", ending="")
            stream.flush()
            shown = True

    changed = verb(show)
    if shown:
        stream.write("")
    return changed
