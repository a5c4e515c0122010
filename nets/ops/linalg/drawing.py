"""Drawing: random matrices that samples of factorisations need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from nets.ir.types import DType, i32
from nets.ops.definition.registry import Array, Spec


@dataclass(frozen=True, slots=True)
class MatrixSpec(Spec):
    """Random arrays of a kind of matrices."""

    kind: str = "dominant"

    @property
    def is_free(self) -> bool:
        return self.kind not in ("factored", "turning")  # which hold numbers of rows

    def draw(self, rng: np.random.Generator) -> Array:
        return np.asarray(_KINDS[self.kind](rng, self.shape), self.dtype.numpy)


def positive_definite(dtype: DType, *shape: int) -> Spec:
    """Symmetric positive definite matrices."""
    return MatrixSpec(shape, dtype, kind="positive_definite")


def dominant(dtype: DType, *shape: int) -> Spec:
    """Matrices that are far from singular, as are their triangles."""
    return MatrixSpec(shape, dtype)


def distinct(dtype: DType, *shape: int) -> Spec:
    """Matrices whose pivots are far from 0 and from each other, in another order than the rows."""
    return MatrixSpec(shape, dtype, kind="distinct")


def factored(dtype: DType, *shape: int) -> Spec:
    """Factors as ``lu`` packs them: of matrices that are far from singular."""
    return MatrixSpec(shape, dtype, kind="factored")


def turning(*shape: int) -> Spec:
    """Numbers of rows in int32, each of one that is not before."""
    return MatrixSpec(shape, i32, kind="turning")


Shape = tuple[int, ...]


def _positive_definite(rng: np.random.Generator, shape: Shape) -> Array:
    drawn = rng.uniform(-1, 1, shape)
    return (drawn + np.swapaxes(drawn, -1, -2)) / 2 + (shape[-1] + 0.5) * np.eye(shape[-1])


def _dominant(rng: np.random.Generator, shape: Shape) -> Array:
    return np.asarray(rng.uniform(-1, 1, shape) + (shape[-1] + 0.5) * np.eye(shape[-1]))


def _distinct(rng: np.random.Generator, shape: Shape) -> Array:
    return np.roll(_dominant(rng, shape), 1, axis=-2)


def _factored(rng: np.random.Generator, shape: Shape) -> Array:
    """The factors, and below them the order of rows that are turned by one."""
    *batch, _, n = shape
    order = np.stack([np.roll(np.arange(n), 1), np.full(n, n - 1)])
    below = np.broadcast_to(order, (*batch, 2, n))
    return np.concatenate([_dominant(rng, (*batch, n, n)), below], axis=-2)


def _turning(rng: np.random.Generator, shape: Shape) -> Array:
    """For each place along the last axis a number that is not less, and less than there are."""
    n = shape[-1]
    return np.asarray(rng.integers(0, n - np.arange(n), shape) + np.arange(n))


_KINDS: Final[dict[str, Callable[[np.random.Generator, Shape], Array]]] = {
    "positive_definite": _positive_definite,
    "dominant": _dominant,
    "distinct": _distinct,
    "factored": _factored,
    "turning": _turning,
}
