"""Adapters to other packages, each in a module or package of its own. The rest of twotoken does not need them."""
