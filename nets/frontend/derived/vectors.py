"""Vectors: a nest of tensors as one row of elements, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import nets.frontend.tensor.functions as functions
from nets.errors import ArgumentError
from nets.frontend.pytree import TreeDef, flatten
from nets.frontend.tensor.dispatch import as_tensor
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location


class Vector:
    """A nest of tensors as one vector. ArgumentError where it has no leaves."""

    def __init__(self, nest: Any) -> None:
        leaves, self.tree = flatten(nest)
        self.leaves: Sequence[Tensor] = [as_tensor(leaf) for leaf in leaves]
        if not self.leaves:
            raise ArgumentError("what is solved for has no elements", user_location())
        self.sizes = [math.prod(x.shape) for x in self.leaves]
        self.size = sum(self.sizes)
        self.row = joined(nest)

    tree: TreeDef

    def nest(self, row: Tensor) -> Any:
        """The nest with the elements of a row."""
        ends = accumulate(self.sizes)
        parts = [
            functions.reshape(row[end - size : end], x.shape)
            for x, size, end in zip(self.leaves, self.sizes, ends, strict=True)
        ]
        return self.tree.unflatten(parts)


def joined(nest: Any) -> Tensor:
    """The elements of a nest in a row."""
    leaves, _ = flatten(nest)
    rows = [functions.reshape(as_tensor(leaf), (-1,)) for leaf in leaves]
    return rows[0] if len(rows) == 1 else functions.concatenate(rows)
