"""Random programs as text: print, parse and print again is the identity."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.backend.numpy.interpreter import evaluate
from nets.ir.core import Function
from nets.ir.parser import parse_function
from nets.ir.printer import print_function
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import lookup
from tests.property.programs import arguments, programs
from tests.property.results import assert_same


@settings(derandomize=True, deadline=None, max_examples=80)
@given(programs(), st.integers(0, 1000))
def test_the_text_is_the_program(function: Function, seed: int) -> None:
    verify_function(function)
    text = print_function(function)
    again = parse_function(text, lookup)
    assert print_function(again) == text
    arrays = arguments(function, np.random.default_rng(seed))
    assert_same(evaluate(function, arrays), evaluate(again, arrays), text)
