"""Migrations of a later version: twotoken's own, and then a made-up one. For the setting MIGRATION_MODULES."""

from __future__ import annotations

from pathlib import Path

from twotoken import migrations

__path__ = [str(Path(__file__).parent), *migrations.__path__]


def newest() -> str:
    """Return the name of twotoken's own newest migration."""
    return max(path.stem for folder in migrations.__path__ for path in Path(folder).glob("0*.py"))
