"""Beyond one process: the same program on the ranks of a job, to the same bits.

This room holds the public names of ``nets.distributed``. What talks to other processes is imported
when a job of several ranks is started, what traces when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from nets.distributed.job import init, is_initialized, patience, rank, shutdown, size
from nets.distributed.shards import current_shard, group_size

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

_COLLECTIVES: Final = (
    *("all_reduce", "all_gather", "reduce_scatter", "broadcast", "barrier", "shard_index"),
)

__all__ = [
    "init",
    "is_initialized",
    "rank",
    "size",
    "parallel",
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "broadcast",
    "barrier",
    "shard_index",
    "current_shard",
    "group_size",
    "patience",
    "shutdown",
    "simulated",
]


def __getattr__(name: str) -> Any:
    if name == "simulated":
        return import_module("nets.distributed.simulated")
    if name != "parallel" and name not in _COLLECTIVES:
        raise AttributeError(f"module 'nets.distributed' has no attribute {name!r}")
    home = "collectives" if name in _COLLECTIVES else name
    found = getattr(import_module(f"nets.distributed.{home}"), name)
    globals()[name] = found
    return found
