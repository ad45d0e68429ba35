"""Measures twotoken beside the packages that a project could use instead: ``python -m benchmarks``."""
