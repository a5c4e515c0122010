"""Carries: what loops hand on from step to step, and how its types are settled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nets.errors import ArgumentError, DTypeError, ShapeError
from nets.frontend.pytree import expression, flatten
from nets.frontend.tensor.dispatch import as_tensor, fitted, renewed
from nets.frontend.tensor.inner import is_weak, with_weakness
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.spec import short
from nets.ir.location import user_location
from nets.ir.types import gives_way

Nest = Any
"""Containers of tensors, arrays and numbers."""


class Carry:
    """The nest a loop carries along: every step gives the same nest with the same types.

    A Python number gives way, as everywhere: one in the initial nest takes the dtype that the
    first step gives, one that a step gives takes the dtype the carry has.
    """

    def __init__(self, loop: str, root: str, init: Nest) -> None:
        self.loop, self.root = loop, root
        leaves, self.tree = flatten(init)
        self.tensors = [renewed(as_tensor(leaf)) for leaf in leaves]
        self.weak = [is_weak(x) for x in self.tensors]
        """Which of what the last step gave are Python numbers."""

    def nest(self) -> Any:
        return self.tree.unflatten(self.tensors)

    def advance(self, given: Nest) -> None:
        """Take what a step gave."""
        self.tensors = self.matched(given)

    def matched(self, given: Nest) -> list[Tensor]:
        """The leaves of what a step gave, of the types of the carry; where a Python number of the
        initial nest gave way, of its new type."""
        leaves, tree = flatten(given)
        if tree != self.tree:
            raise ArgumentError(
                f"the function of {self.loop} returns a carry of another nest than {self.root}: "
                f"{tree}, not {self.tree}",
                user_location(),
            )
        paths = self.tree.paths()
        found = [
            self._fitting(as_tensor(leaf), before, expression(self.root, path))
            for leaf, before, path in zip(leaves, self.tensors, paths, strict=True)
        ]
        self.weak = [is_weak(x) for x in found]
        return found

    def like(self, results: Sequence[Tensor]) -> list[Tensor]:
        """The last carries: those that were Python numbers in each step are such."""
        rows = zip(results, self.tensors, self.weak, strict=True)
        return [with_weakness(x, is_weak(before) and weak) for x, before, weak in rows]

    def _fitting(self, leaf: Tensor, before: Tensor, path: str) -> Tensor:
        own = leaf.type
        if own == before.type:
            return leaf
        if own.shape == before.shape:
            if is_weak(leaf) and gives_way(own.dtype.kind, before.type.dtype.kind):
                return fitted(leaf, before.type.dtype)
            if is_weak(before) and gives_way(before.type.dtype.kind, own.dtype.kind):
                return leaf
        error = DTypeError if own.shape == before.shape else ShapeError
        raise error(
            f"the function of {self.loop} changes the type of the carry: {path} is "
            f"{short(before.type)}, and what it returns in its place {short(own)}",
            user_location(),
        )
