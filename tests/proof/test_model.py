"""Every interleaving up to a bound: what the rule of rotation promises holds in each state that can be reached."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.proof.conftest import FULL, Tried
from tests.proof.model import IDLE, BrokenError, Excuse, Promise, Scenario
from tests.proof.model_explorer import Model

KEYED = Excuse.LATE | Excuse.TWICE
CLOCK = (6, 15, 61, IDLE)  # within the grace; past it and within twice; past a key's minute; past the idle limit

# The bound is in the name: refreshes of the client / refreshes of the thief / ticks of the clock. A logout or a
# revocation may come at any moment of each.
SHORT = [
    Scenario("script with key, 2/1/1", True, False, 2, 1, 1, CLOCK, excuses=KEYED),
    Scenario("script with key, 3/0/3", True, False, 3, 0, 3, CLOCK, excuses=KEYED),
    Scenario("script that forgets its key at once, 3/0/2", True, False, 3, 0, 2, CLOCK, key_kept=0, excuses=KEYED),
    Scenario("script without key, 2/1/1", False, False, 2, 1, 1, CLOCK, excuses=Excuse.GAVE_UP),
    Scenario("browser with key, 2/1/1", True, True, 2, 1, 1, CLOCK, excuses=KEYED),
    Scenario("browser with key, 3/0/3", True, True, 3, 0, 3, CLOCK, excuses=KEYED),
    Scenario("two tabs without key, 2/1/1", False, True, 2, 1, 1, CLOCK, tabs=2, excuses=None),
    Scenario("three tabs, prompt, 4/0/3", False, True, 4, 0, 3, (4, 16), tabs=3, prompt=5, gives_up=False),
    Scenario("browser with key, prompt, 3/0/3", True, True, 3, 0, 3, (25, 35), prompt=30, excuses=Excuse.TWICE),
]
LONG = [
    Scenario("script with key, 3/1/1", True, False, 3, 1, 1, CLOCK, excuses=KEYED),
    Scenario("script with key, 2/2/1", True, False, 2, 2, 1, CLOCK, excuses=KEYED),
    Scenario("script that forgets its key at once, 4/0/3", True, False, 4, 0, 3, CLOCK, key_kept=0, excuses=KEYED),
    Scenario("script without key, 3/1/2", False, False, 3, 1, 2, CLOCK, excuses=Excuse.GAVE_UP),
    Scenario("browser with key, 4/0/4", True, True, 4, 0, 4, CLOCK, excuses=KEYED),
    Scenario("browser with key, 3/1/1", True, True, 3, 1, 1, CLOCK, excuses=KEYED),
    Scenario("browser with key, 2/2/1", True, True, 2, 2, 1, CLOCK, excuses=KEYED),
    Scenario("two tabs without key, 3/1/1", False, True, 3, 1, 1, CLOCK, tabs=2, excuses=None),
    Scenario("two tabs without key, 2/2/1", False, True, 2, 2, 1, CLOCK, tabs=2, excuses=None),
    Scenario("four tabs, prompt, 5/0/4", False, True, 5, 0, 4, (4, 16), tabs=4, prompt=5, gives_up=False),
    Scenario("browser with key, prompt, 4/0/3", True, True, 4, 0, 3, (25, 35), prompt=30, excuses=Excuse.TWICE),
]


@pytest.mark.parametrize("scenario", [*SHORT, *(LONG if FULL else [])], ids=lambda scenario: scenario.name)
def test_every_promise_holds(scenario: Scenario, tried: Tried) -> None:
    """In every state that can be reached."""
    model = Model(scenario)
    tried("states of the model", model.explore())
    tried("transitions of the model", model.transitions)


NEEDED = {
    # A request under way for as long as it likes, and a client that did not wait for it.
    "late": Scenario("", True, False, 3, 0, 1, (61,), excuses=Excuse.TWICE),
    # The same within half a minute, for a key that is forgotten at once.
    "forgotten": Scenario("", True, False, 3, 0, 1, (25,), prompt=30, key_kept=0, excuses=Excuse.TWICE),
    # However prompt the network: one key twice for one token, before and after its minute.
    "twice": Scenario("", True, False, 4, 0, 3, (25, 35), prompt=30),
    "gave up": Scenario("", False, False, 2),
}


@pytest.mark.parametrize("name", NEEDED)
def test_every_excuse_is_needed(name: str, tried: Tried) -> None:
    """Without it a client that nobody robbed would be ended: the promise says no less than is true."""
    with pytest.raises(BrokenError) as caught:
        Model(NEEDED[name]).explore()
    assert caught.value.promise is Promise.STAYS
    assert Model(replace(NEEDED[name], excuses=Excuse(7))).explore()
    tried("excuses shown to be needed")
