"""Collectives: what the ranks of a job, or the shards of a step, learn of each other.

Inside a step of ``parallel`` they join its shards, anywhere else the ranks. All take nests of
tensors, have derivatives, and give the same bits for any number of ranks.
"""

from __future__ import annotations

from typing import Any, Final

import nets.frontend.tensor.functions as functions
from nets import communicator
from nets.distributed.shards import current_shard, group_size
from nets.errors import ArgumentError, ShapeError
from nets.frontend.pytree import flatten
from nets.frontend.tensor.dispatch import apply, as_tensor
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.spec import short
from nets.ir.location import user_location

_REDUCTIONS: Final = ("sum", "mean", "max", "min")


def all_reduce(x: Any, op: str = "sum") -> Any:
    """The ``op`` of x over all shards or ranks: "sum", "mean", "max" or "min".

    x is a tensor or a nest of them, of any shapes; the same nest comes back. Sums are taken along a
    fixed binary tree over the numbers of the shards. DTypeError for the mean of integers, and for
    bools; ArgumentError for another ``op``.
    """
    if op not in _REDUCTIONS:
        listed = ", ".join(map(repr, _REDUCTIONS))
        raise ArgumentError(f"op is one of {listed}, not {op!r}", user_location())
    return _each(x, lambda t, count: apply("all_reduce", t, reduction=op, shards=count))


def all_gather(x: Any, axis: int = 0, tiled: bool = False) -> Any:
    """x of all shards or ranks, along a new axis; with ``tiled`` along one that there is.

    x is a tensor of any dtype, or a nest of them. As in JAX (``jax.lax.all_gather``).
    """

    def gathered(t: Tensor, count: int) -> Tensor:
        found = apply("all_gather", t, shards=count)
        if not tiled:
            return functions.moveaxis(found, 0, axis)
        place = _axis(t, axis)
        stack = functions.moveaxis(found, 0, place)
        shape = list(t.shape)
        shape[place] *= count
        return functions.reshape(stack, tuple(shape))

    return _each(x, gathered)


def reduce_scatter(x: Any, axis: int = 0) -> Any:
    """Of the sum of x over all shards or ranks, this one's part along the axis.

    The size of the axis is a multiple of their number (ShapeError otherwise); the result has a part
    of it. x is a tensor or a nest of them.
    """

    def scattered(t: Tensor, count: int) -> Tensor:
        place = _axis(t, axis)
        if t.shape[place] % count:
            raise ShapeError(
                f"reduce_scatter cannot cut axis {axis} of {short(t.type)} into {count} parts",
                user_location(),
            )
        part = t.shape[place] // count
        split = (*t.shape[:place], count, part, *t.shape[place + 1 :])
        parts = functions.moveaxis(functions.reshape(t, split), place, 0)
        return apply("reduce_scatter", parts, shards=count)

    return _each(x, scattered)


def broadcast(x: Any, root: int = 0) -> Any:
    """What x is in the shard or on the rank ``root``.

    The others pass one of the same shape and dtype. x is a tensor or a nest of them. ArgumentError
    where there is no such shard.
    """
    count = group_size()
    if not isinstance(root, int) or isinstance(root, bool) or not 0 <= root < count:
        raise ArgumentError(f"root is a number below {count}, not {root!r}", user_location())
    return _each(x, lambda t, count: apply("shard_broadcast", t, root=root, shards=count))


def barrier() -> None:
    """Wait until every rank is here, or inside a trace, let every call wait."""
    scope, count = current_scope(), group_size()
    if scope is None:
        communicator.barrier()
    elif count > 1:
        scope.emitter.builder.location = user_location()
        scope.emitter.emit_all("shard_barrier", shards=count)


def shard_index() -> Tensor:
    """The number of the shard inside a step of ``parallel``, else of the rank: an int64 scalar."""
    shard, count = current_shard(), group_size()
    if shard is not None:
        return shard
    return as_tensor(0) if count == 1 else apply("shard_index", shards=count)


def _each(x: Any, join: Any) -> Any:
    count = group_size()
    leaves, tree = flatten(x)
    tensors = [as_tensor(leaf) for leaf in leaves]
    return tree.unflatten([join(t, count) for t in tensors])


def _axis(t: Tensor, axis: int) -> int:
    if not -t.ndim <= axis < t.ndim:
        raise ShapeError(f"{short(t.type)} has no axis {axis}", user_location())
    return axis % t.ndim
