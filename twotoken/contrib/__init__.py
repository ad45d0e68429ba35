"""Adapters to other packages, one module each. Nothing else of twotoken needs them."""
