"""Fuzzes one target, guided by coverage: ``python -m tests.proof.fuzz TARGET FOLDER -max_total_time=60``."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import atheris
import django


def main() -> None:
    """Write the target's seeds into the folder, and fuzz. libFuzzer ends the process, after a failure with an error."""
    name, folder, *options = sys.argv[1:]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    with atheris.instrument_imports(include=["twotoken", "jwt"]):
        django.setup()
        targets = importlib.import_module("tests.proof.targets")
    target, seeds = targets.TARGETS[name]
    for number, seed in enumerate(seeds):
        Path(folder, f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], folder, *options], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
