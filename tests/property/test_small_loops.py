"""Small loops with carries, stacks and arguments that nobody needs: the results of plain Python."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import nets
from tests.property.loops import FORMS, Plain, SmallLoop, family

A, B = np.float64(1.25), np.float64(-0.5)
PER_FORM = 9


def sampled(form: str) -> list[SmallLoop]:
    return random.Random(form).sample(list(family((form,))), PER_FORM)


def slices(loop: SmallLoop) -> np.ndarray:
    return np.arange(1.0, loop.length + 1) / 4


def leaves(nest: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in (nest if isinstance(nest, (list, tuple)) else [nest])]


def check(loop: SmallLoop) -> None:
    """Native code, the interpreter and eager steps give what plain Python gives."""
    xs = slices(loop)
    expected = leaves(loop.run(Plain, A, B, xs))
    traced = nets.trace(lambda a, b, xs: loop.run(nets, a, b, xs))
    tensors = map(nets.Tensor, (A, B, xs))
    for found in (traced(A, B, xs), interpreted(traced, A, B, xs), loop.run(nets, *tensors)):
        for x, y in zip(expected, leaves(found), strict=True):
            np.testing.assert_allclose(y, x, rtol=1e-12, err_msg=str(loop))
    if loop.has_gradient:
        check_gradient(loop, xs)


def interpreted(traced: Any, *arrays: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETS_BACKEND", "numpy")
        return traced(*arrays)


def check_gradient(loop: SmallLoop, xs: np.ndarray) -> None:
    """Those of the traced loop are those of the eager steps."""

    def total(a: Any, b: Any, xs: Any) -> Any:
        found = a * 0 + xs.sum() * 0
        for result in loop.run(nets, a, b, xs):
            found = found + (result * result).sum()
        return found + b * 0

    eager = [nets.Tensor(x, requires_grad=True) for x in (A, B, xs)]
    total(*eager).backward()
    traced = nets.trace(nets.grad(total, argnums=(0, 1, 2)))(A, B, xs)
    for x, y in zip(eager, traced, strict=True):
        assert x.grad is not None
        np.testing.assert_allclose(y.numpy(), x.grad.numpy(), 1e-9, 1e-12, err_msg=str(loop))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.sampled(5)
def test_small_loops(form: str) -> None:
    for loop in sampled(form):
        check(loop)
