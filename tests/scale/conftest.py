"""Beyond one machine: the size of a run, and the report of how many of each were tried, are those of the proof."""

from __future__ import annotations

from tests.proof.conftest import pytest_terminal_summary, tried

__all__ = ["pytest_terminal_summary", "tried"]
