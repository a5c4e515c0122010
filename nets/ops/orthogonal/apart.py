"""Apart: random matrices whose eigenvalues or singular values are apart, for samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nets.ir.types import DType
from nets.ops.definition.registry import Array, Spec


@dataclass(frozen=True, slots=True)
class SpectralSpec(Spec):
    """Matrices whose eigenvalues, or singular values, are 1, 2, 3, … but for small changes."""

    is_symmetric: bool = False

    def draw(self, rng: np.random.Generator) -> Array:
        *batch, m, n = self.shape
        left = _orthonormal(rng, (*batch, m, min(m, n)))
        right = left if self.is_symmetric else _orthonormal(rng, (*batch, n, min(m, n)))
        values = np.arange(1, min(m, n) + 1) + rng.uniform(-0.2, 0.2, (*batch, 1, min(m, n)))
        drawn = (left * values) @ np.swapaxes(right, -1, -2)
        return np.asarray(drawn, self.dtype.numpy)


def _orthonormal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Matrices with orthonormal columns."""
    return np.asarray(np.linalg.qr(rng.normal(size=shape))[0])


def symmetric_apart(dtype: DType, *shape: int) -> Spec:
    """Symmetric matrices with eigenvalues that are apart."""
    return SpectralSpec(shape, dtype, is_symmetric=True)


def apart(dtype: DType, *shape: int) -> Spec:
    """Matrices with singular values that are apart."""
    return SpectralSpec(shape, dtype)
