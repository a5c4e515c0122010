"""Beyond one process: the same program on the ranks of a job, to the same bits.

This room holds the public names of ``nets.distributed``. What talks to other processes is imported
when a job is started.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nets.distributed import simulated
    from nets.distributed.collectives import (
        all_gather,
        all_reduce,
        barrier,
        broadcast,
        reduce_scatter,
        shard_index,
    )
    from nets.distributed.parallel import parallel
    from nets.distributed.shards import current_shard, group_size, rank, size

_MODULES: Final = {
    "parallel": "parallel",
    "all_reduce": "collectives",
    "all_gather": "collectives",
    "reduce_scatter": "collectives",
    "broadcast": "collectives",
    "barrier": "collectives",
    "shard_index": "collectives",
    "current_shard": "shards",
    "group_size": "shards",
    "rank": "shards",
    "size": "shards",
}
"""Where the public names are."""

__all__ = [
    "all_gather",
    "all_reduce",
    "barrier",
    "broadcast",
    "current_shard",
    "group_size",
    "parallel",
    "rank",
    "reduce_scatter",
    "shard_index",
    "simulated",
    "size",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'nets.distributed' has no attribute {name!r}")
    module = import_module(f"nets.distributed.{_MODULES.get(name, name)}")
    found = getattr(module, name) if name in _MODULES else module
    globals()[name] = found
    return found
