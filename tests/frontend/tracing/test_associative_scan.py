"""associative_scan: against prefixes written out, eager and traced, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(2)


def prefixes(fn: Any, x: np.ndarray) -> np.ndarray:
    found = [x[:1]]
    for i in range(1, len(x)):
        found.append(fn(found[-1], x[i : i + 1]))
    return np.concatenate(found)


def affine(p: Any, q: Any) -> Any:
    """x ↦ a x + b, one after the other."""
    return {"a": p["a"] * q["a"], "b": p["b"] * q["a"] + q["b"]}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 16, 31])
def test_integers_by_any_order(count: int) -> None:
    x = RNG.integers(-9, 9, (count, 2))
    for reverse in (False, True):
        given = x[::-1] if reverse else x
        expected = prefixes(lambda a, b: a + b, given)[:: -1 if reverse else 1]
        found = nets.associative_scan(lambda a, b: a + b, x, reverse)
        assert np.array_equal(found, expected)
        turned = nets.associative_scan(lambda a, b: a + b, x.T, reverse, axis=-1)
        assert np.array_equal(turned, expected.T)


def test_what_does_not_commute() -> None:
    x = RNG.integers(-2, 3, (13, 2, 2))
    expected = prefixes(lambda a, b: a @ b, x)
    assert np.array_equal(nets.associative_scan(lambda a, b: a @ b, x), expected)


def test_no_elements() -> None:
    found = nets.associative_scan(lambda a, b: a + b, np.zeros((0, 3)))
    assert found.shape == (0, 3)


def test_nests_eager_and_traced_have_the_same_bits() -> None:
    elems = {"a": RNG.uniform(0.2, 0.9, (21, 3)), "b": RNG.normal(size=(21, 3))}

    def run(elems: Any) -> Any:
        return nets.associative_scan(affine, elems)

    eager, traced = run(elems), nets.trace(run)(elems)
    value = np.zeros(3)
    for i in range(21):
        value = elems["a"][i] * value + elems["b"][i]
        np.testing.assert_allclose(eager["b"][i], value)
    for key in elems:
        assert eager[key].numpy().tobytes() == traced[key].numpy().tobytes()


def test_gradients_are_those_of_a_scan() -> None:
    elems = {"a": RNG.uniform(0.2, 0.9, 11), "b": RNG.normal(size=11)}

    def by_prefixes(elems: Any) -> Any:
        return (nets.associative_scan(affine, elems)["b"] ** 2).sum()

    def by_steps(elems: Any) -> Any:
        def step(x: Any, row: Any) -> Any:
            x = row["a"] * x + row["b"]
            return x, x

        return (nets.scan(step, 0.0, elems)[1] ** 2).sum()

    first, second = nets.grad(by_prefixes)(elems), nets.grad(by_steps)(elems)
    for key in elems:
        np.testing.assert_allclose(first[key], second[key], rtol=1e-12)


def test_refusals() -> None:
    x = np.ones((4, 2))
    with pytest.raises(ShapeError, match="elems is f64\\[4,2\\], without axis 2"):
        nets.associative_scan(lambda a, b: a + b, x, axis=2)
    with pytest.raises(ShapeError, match="needs one length"):
        nets.associative_scan(lambda a, b: a, (x, x[:2]))
    with pytest.raises(ArgumentError, match="another nest"):
        nets.associative_scan(lambda a, b: (a, b), x)
    with pytest.raises(ShapeError, match="gives what it takes"):
        nets.associative_scan(lambda a, b: a[0], x)
    with pytest.raises(ArgumentError, match="needs elements"):
        nets.associative_scan(lambda a, b: a, ())
