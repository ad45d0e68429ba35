"""What the commands for many families share: a progress bar on a terminal, and the count in the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twotoken.families import Batch

WIDTH = 40


def run(batches: Iterable[Batch], stream: Any) -> int:
    """Run the batches and return how many families they changed. On a terminal, show how far it is."""
    total = 0
    shown = False
    for batch in batches:
        total += batch.changed
        if stream.isatty() and (shown or batch.done < 1):
            filled = round(WIDTH * batch.done)
            stream.write(f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {batch.done:4.0%} {total}", ending="")
            stream.flush()
            shown = True
    if shown:
        stream.write("")
    return total
