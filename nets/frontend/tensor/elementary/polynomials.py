"""Polynomials on tensors."""

from __future__ import annotations

from collections.abc import Sequence

from nets.frontend.tensor.dispatch import as_tensor
from nets.frontend.tensor.functions.arithmetic import add, multiply
from nets.frontend.tensor.tensor import Tensor


def polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Σ coefficients[i] · xⁱ by Horner's rule; each step rounds twice."""
    total = as_tensor(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = add(multiply(total, x), coefficient)
    return total
