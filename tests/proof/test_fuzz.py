"""Fuzzes all parsers that run before authentication: tokens, cookies, keys, headers, origins."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proof.conftest import FULL, Tried
from tests.proof.targets import TARGETS

EXAMPLES = 20_000 if FULL else 1_000
BOUNDS = ["-max_total_time=60"] if FULL else ["-max_total_time=15", "-runs=10000"]


def spoilt(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for random bytes, and for seeds with a part replaced."""

    def splice(seed: bytes, start: int, length: int, middle: bytes) -> bytes:
        start %= len(seed) + 1
        return seed[:start] + middle + seed[start + length :]

    places = st.integers(0, 500)
    return st.binary() | st.builds(splice, st.sampled_from(seeds), places, places, st.binary(max_size=20))


@pytest.mark.parametrize("name", TARGETS)
def test_fuzz(name: str, tried: Tried) -> None:
    """No target fails for random bytes or for damaged seeds."""
    target, seeds = TARGETS[name]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(spoilt(seeds))
    def fuzz(data: bytes) -> None:
        target(data)

    fuzz()
    tried("inputs by Hypothesis", EXAMPLES)


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has wheels for Linux on x86-64 only")
@pytest.mark.parametrize("name", TARGETS)
def test_fuzz_guided_by_coverage(name: str, tmp_path: Path, tried: Tried) -> None:
    """No target fails for the inputs of atheris, which looks for inputs that reach new code."""
    command = [sys.executable, "-m", "tests.proof.fuzz", name, str(tmp_path), *BOUNDS, f"-artifact_prefix={tmp_path}/"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs is not None
    tried("inputs by atheris", int(runs[1]))
