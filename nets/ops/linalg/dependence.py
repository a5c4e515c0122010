"""Dependence: on which elements of matrices those of a result depend."""

from __future__ import annotations

from nets.ir.types import Shape
from nets.ops.definition.footprints import Footprint, Footprints


def on_matrices(f: Footprints, x: Footprint, shape: Shape) -> Footprint:
    """Each element of an entry of the result depends on all of the entry's matrix."""
    rank = len(x.shape)
    return f.broadcast(f.reduce(x, (rank - 2, rank - 1)), shape, tuple(range(rank - 2)))


def on_columns(f: Footprints, x: Footprint) -> Footprint:
    """Each element depends on all of its column."""
    rank = len(x.shape)
    axes = (*range(rank - 2), rank - 1)
    return f.broadcast(f.reduce(x, (rank - 2,)), x.shape, axes)


def on_system(f: Footprints, a: Footprint, b: Footprint) -> Footprint:
    """An unknown depends on the matrix and on its right side."""
    return f.union(on_matrices(f, a, b.shape), on_columns(f, b))
