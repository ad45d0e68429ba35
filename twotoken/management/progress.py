"""A progress bar for the commands that change many families, if tqdm is installed (the extra ``progress``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twotoken.families import Batch

tqdm: Any
try:
    from tqdm import tqdm
except ImportError:  # pragma: no cover - the extra is optional
    tqdm = None

FORMAT = "{percentage:3.0f}% |{bar}| {desc} [{elapsed}<{remaining}]"
DELAY = 1.0  # seconds. A command that ends earlier shows no bar


def with_progress(verb: Callable[[Callable[[Batch], object]], int], stream: Any) -> int:
    """Call ``verb``, and return its result: how many families it has changed. On a terminal, show a progress bar.

    The argument of ``verb`` is a function that ``verb`` must call after each batch.
    """
    if tqdm is None or not stream.isatty():
        return verb(_silent)
    changed = 0
    with tqdm(total=1.0, file=stream, bar_format=FORMAT, delay=DELAY) as bar:

        def show(batch: Batch) -> None:
            nonlocal changed
            changed += batch.changed
            bar.set_description_str(f"{changed} token families", refresh=False)
            bar.update(batch.done - bar.n)

        return verb(show)


def _silent(batch: Batch) -> None:
    """Do nothing. ``with_progress`` passes this function if there is no progress bar."""
