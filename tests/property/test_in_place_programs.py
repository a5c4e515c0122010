"""Groups that store their result over an operand, and those that must not.

Programs whose operand of a product dies in a group that reads it mirrored, transposed, or summed
along an axis: elements are read after others have been stored. Values are small integers, so that
every order of additions gives the same.
"""

from __future__ import annotations

import inspect
import itertools
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.numpy.interpreter import evaluate
from nets.passes.lowering import block_loops, in_place
from tests.property.compiled import Way

READS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda y: y,
    "rows_mirrored": lambda y: y[::-1],
    "columns_mirrored": lambda y: y[:, ::-1],
    "transposed": lambda y: y.T,
    "row_sums": lambda y: nets.sum(y, 1, keepdims=True),
    "sums_of_mirrored_rows": lambda y: nets.sum(y[::-1], 1, keepdims=True),
    "column_sums": lambda y: nets.sum(y, 0, keepdims=True),
    "moved": lambda y: nets.concatenate((y[1:], y[:1])),
}
X = np.random.default_rng(3).integers(-2, 3, (9, 9)).astype(np.float32)


def program(first: str, second: str) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        y = x @ x
        one = READS[first](y) * 2 + y
        other = y - READS[second](y)
        return one @ x, other @ x

    return function


def agree(first: str, second: str) -> bool:
    function = nets.trace(program(first, second)).lower(nets.Tensor(X)).compilation.function
    pairs = zip(evaluate(function, [X]), Way().compile(function)([X]), strict=True)
    return all(np.array_equal(expected, found) for expected, found in pairs)


PAIRS = list(itertools.permutations(READS, 2))


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.sampled(5)
def test_what_is_read_later_is_not_stored_over(first: str, second: str) -> None:
    assert agree(first, second)


def planted(module: ModuleType, name: str, right: str, wrong: str) -> Any:
    """The function with a piece of its text replaced."""
    text = textwrap.dedent(inspect.getsource(getattr(module, name)))
    assert text.count(right) == 1
    names = dict(vars(module))
    exec(compile(text.replace(right, wrong), "planted", "exec"), names)
    return names[name]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("stored <= stores.get((index, body), -1)", "stored <= max(stores.values(), default=-1)"),
        ("accesses.places.get(body) == index", "True"),
        ("body < first and ", ""),
    ],
)
def test_a_store_over_an_operand_too_early_is_found(
    right: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = planted(in_place, "may_replace", right, wrong)
    monkeypatch.setattr(block_loops, "may_replace", careless)
    assert not all(agree(*pair) for pair in PAIRS)
