"""Drawing: random matrices that samples of factorisations need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nets.ir.types import DType
from nets.ops.definition.registry import Array, Spec


@dataclass(frozen=True, slots=True)
class DominantSpec(Spec):
    """Square matrices with a diagonal that outweighs the rest; symmetric ones, if so asked."""

    is_symmetric: bool = False

    def draw(self, rng: np.random.Generator) -> Array:
        n = self.shape[-1]
        drawn = rng.uniform(-1, 1, self.shape)
        if self.is_symmetric:
            drawn = (drawn + np.swapaxes(drawn, -1, -2)) / 2
        return np.asarray(drawn + (n + 0.5) * np.eye(n), self.dtype.numpy)


def positive_definite(dtype: DType, *shape: int) -> Spec:
    """Symmetric positive definite matrices."""
    return DominantSpec(shape, dtype, is_symmetric=True)


def dominant(dtype: DType, *shape: int) -> Spec:
    """Matrices that are far from singular, as are their triangles."""
    return DominantSpec(shape, dtype)
