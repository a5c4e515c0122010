"""Faults planted at the seam of Python and the trace are found by random stateful programs."""

from __future__ import annotations

from typing import Final

import pytest

from tests.property.lifecycle import Choice
from tests.property.planted_state import FAULTS, found_after

FIRST: Final = {
    "closures are not guarded": 17,
    "globals are not guarded": 10,
    "lists are not guarded": 14,
    "slots, classes, deques and sets are not guarded": 3,
    "arrays are not guarded": 19,
    "code and defaults are not guarded": 47,
    "keys are not guarded": 2,
    "numbers are compared by equality": 3,
    "methods are not followed": 101,
    "arrays are constants": 3,
    "lists do not grow": 34,
    "slots hold their first tensor": 1,
    "gradients are not written": 2,
    "the world is not put back": 12,
    "static values are compared by equality": 223,
}
"""Where ``python -m tests.property.planted_state``, which tries 300 seeds for each fault, finds it
first; 0 where it is not said."""


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.sampled(5)
def test_a_planted_fault_is_found(fault: str) -> None:
    first = FIRST.get(fault, 0)
    seeds = [*range(first, first + 3), *range(60)]
    assert found_after(fault, Choice(native=0), seeds) is not None
