"""Drawing: random matrices that samples of factorisations need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nets.ir.types import DType, i32
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


def distinct(dtype: DType, *shape: int) -> Spec:
    """Matrices whose pivots are far from 0 and from each other, in another order than the rows."""
    return PermutedSpec(shape, dtype)


def factored(dtype: DType, *shape: int) -> Spec:
    """Factors as ``lu`` packs them: of matrices that are far from singular."""
    return FactoredSpec(shape, dtype)


@dataclass(frozen=True, slots=True)
class PermutedSpec(Spec):
    """Dominant matrices with their rows turned by one."""

    def draw(self, rng: np.random.Generator) -> Array:
        return np.roll(dominant(self.dtype, *self.shape).draw(rng), 1, axis=-2)


@dataclass(frozen=True, slots=True)
class FactoredSpec(Spec):
    """The factors, and below them the order of rows that are turned by one."""

    def draw(self, rng: np.random.Generator) -> Array:
        *batch, _, n = self.shape
        factors = dominant(self.dtype, *batch, n, n).draw(rng)
        order = np.stack([np.roll(np.arange(n), 1), np.full(n, n - 1)])
        below = np.broadcast_to(order, (*batch, 2, n)).astype(factors.dtype)
        return np.concatenate([factors, below], axis=-2)


def turning(*shape: int) -> Spec:
    """Numbers of rows in int32, each of one that is not before."""
    return TurnsSpec(shape, i32)


@dataclass(frozen=True, slots=True)
class TurnsSpec(Spec):
    """For each place along the last axis a number that is not less, and less than there are."""

    def draw(self, rng: np.random.Generator) -> Array:
        n = self.shape[-1]
        drawn = rng.integers(0, n - np.arange(n), self.shape) + np.arange(n)
        return np.asarray(drawn, self.dtype.numpy)
