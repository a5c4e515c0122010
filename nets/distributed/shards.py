"""Shards: whether the code that runs is a part of something larger, and which."""

from __future__ import annotations

from nets import communicator
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor


def current_shard() -> Tensor | None:
    """The number of the shard in a step of ``parallel``, an int64 scalar; None anywhere else."""
    scope = current_scope()
    return None if scope is None else scope.shard


def group_size() -> int:
    """How many shards, or outside a step of ``parallel`` ranks, take part in a collective."""
    scope = current_scope()
    while scope is not None and scope.shard is not None:
        if scope.averaged_over > 1:
            return scope.averaged_over
        scope = scope.outer
    return communicator.current().size
