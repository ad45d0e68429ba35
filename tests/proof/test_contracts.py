"""CrossHair shows that each promise about a single call of ``judge`` holds for all numbers."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from crosshair.core_and_libs import analyze_function, run_checkables
from crosshair.options import AnalysisKind, AnalysisOptionSet
from crosshair.statespace import MessageType

from tests.proof import contracts
from tests.proof.conftest import Tried

SECONDS = 60  # of processor time, ten times as much as the slowest contract needs
CONTRACTS = [
    function
    for name, function in inspect.getmembers(contracts, inspect.isfunction)
    if list(inspect.signature(function).parameters) == ["row", "request", "project"] and name != "judged"
]


def analysed(contract: Any) -> list[Any]:
    """Return CrossHair's messages about a contract."""
    kinds = [AnalysisKind.asserts]
    options = AnalysisOptionSet(analysis_kind=kinds, per_condition_timeout=SECONDS, report_all=True)
    return list(run_checkables(analyze_function(contract, options)))


@pytest.mark.filterwarnings("ignore")  # CrossHair imports what is deprecated, to look at it
@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_a_contract(contract: Any, tried: Tried) -> None:
    """CrossHair confirms each true contract over all paths, and refutes each untrue contract by an example."""
    (message,) = analysed(contract)
    if contract.__name__.startswith("false_"):
        assert message.state is MessageType.EXEC_ERR, message.message
        assert message.message.startswith("AssertionError")
        tried("untrue contracts of the rule refuted by CrossHair")
    else:
        assert message.state is MessageType.CONFIRMED, message.message
        tried("contracts of the rule confirmed by CrossHair over all paths")
