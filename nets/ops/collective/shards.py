"""Operations over shards: what the equal parts of a batch learn of each other.

A program over shards is written for one of them and means what all of them do side by side. An
operation here takes the values that its operand has in each shard; all the others stay within one.
How shards are spread over ranks is for the passes (``nets.passes.distribution``), which make of
these operations those of ``nets.ops.collective.ranks``; no bit of a result depends on it, since
what is added up is added along one tree over the numbers of the shards: neighbours first, pair by
pair, then the pairs, with a last one that has no partner joining the next round.

The reference takes each rank for one shard. Their derivatives are those of the sum of what all
shards are differentiated by.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from nets import communicator
from nets.errors import DTypeError, ShapeError, VerifyError
from nets.ir.core import Trait, Value
from nets.ir.sizes import Dim
from nets.ir.types import TensorType, i64
from nets.ops.definition.attributes import Text
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.registry import Array, Lazy, structural
from nets.ops.definition.rules import Tangents

Item = TypeVar("Item")

_JOINS: Final = Trait.EFFECT | Trait.EXACT

COMBINERS: Final = {"sum": "add", "mean": "add", "max": "maximum", "min": "minimum"}
"""The op that joins two shards, by the name of a reduction."""

_UFUNCS: Final[dict[str, np.ufunc]] = {"add": np.add, "maximum": np.maximum, "minimum": np.minimum}


def along_tree(items: Sequence[Item], join: Callable[[Item, Item], Item]) -> Item:
    """The items joined along the tree over their numbers."""
    level = list(items)
    while len(level) > 1:
        joined = [join(*level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = joined + level[2 * len(joined) :]
    return level[0]


def _gathered(x: Array, shards: int) -> Array:
    """The values of all shards, each of which is a rank."""
    found = communicator.gather(x)
    if len(found) != shards:
        raise VerifyError(f"a program over {shards} shards runs on {len(found)} ranks")
    return found


@structural("all_reduce", _JOINS, attributes=("reduction", "shards"))
class AllReduce:
    """The sum, mean, max or min of x over all shards, the same in each."""

    operands = ("x",)
    batch = ITSELF
    kinds = {"reduction": Text()}

    def infer(x: TensorType, *, reduction: str, shards: int) -> TensorType:
        _check_shards("all_reduce", shards)
        if reduction not in COMBINERS:
            raise VerifyError(f"all_reduce has no reduction {reduction!r}")
        if x.dtype.is_bool or (reduction == "mean" and not x.dtype.is_float):
            raise DTypeError(f"there is no {reduction} of {x} over shards")
        return x

    def evaluate(x: Array, *, reduction: str, shards: int) -> Array:
        combine = _UFUNCS[COMBINERS[reduction]]
        total: Any = along_tree(list(_gathered(x, shards)), combine)
        return np.asarray(total / x.dtype.type(shards) if reduction == "mean" else total)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
        *,
        reduction: str,
        shards: int,
    ) -> list[Lazy]:
        (x,), (ct,), (y,) = operands, cts, results
        assert ct is not None
        if reduction in ("sum", "mean"):
            return [_over_shards(b, ct, reduction, shards)]
        total = _over_shards(b, ct, "sum", shards)
        return [b.select(b.compare("equal", x, y), b.div(total, _ties(b, x, y, shards)), b.zero(x))]

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        *,
        reduction: str,
        shards: int,
    ) -> Tangents:
        (x,), (tangent,), (y,) = operands, tangents, results
        assert tangent is not None
        if reduction in ("sum", "mean"):
            return [_over_shards(b, tangent, reduction, shards)]
        own = b.select(b.compare("equal", x, y), tangent, b.zero(tangent))
        return [b.div(_over_shards(b, own, "sum", shards), _ties(b, x, y, shards))]


@structural("all_gather", _JOINS, attributes=("shards",))
class AllGather:
    """x of all shards, along a new first axis, the same in each shard."""

    operands = ("x",)

    def infer(x: TensorType, *, shards: int) -> TensorType:
        _check_shards("all_gather", shards)
        return x.with_shape((shards, *x.shape))

    def evaluate(x: Array, *, shards: int) -> Array:
        return _gathered(x, shards)

    def transpose(b: Emitter, ct: Value, x: Value, *, shards: int) -> tuple[Lazy]:
        return (b.emit("reduce_scatter", ct, shards=shards),)

    def stack(
        b: Emitter, operands: Sequence[Value], stacked: Sequence[bool], size: Dim, *, shards: int
    ) -> tuple[Value]:
        return (b.moved(b.emit("all_gather", operands[0], shards=shards), 0, 1),)


@structural("reduce_scatter", _JOINS, attributes=("shards",))
class ReduceScatter:
    """Of the sum of x over all shards, the slice along the first axis that has the shard's number.

    The axis has as many slices as there are shards.
    """

    operands = ("x",)

    def infer(x: TensorType, *, shards: int) -> TensorType:
        _check_shards("reduce_scatter", shards)
        if x.rank == 0 or x.shape[0] != shards:
            raise ShapeError(f"reduce_scatter of {x} needs a first axis of {shards} slices")
        if x.dtype.is_bool:
            raise DTypeError(f"there is no sum of {x} over shards")
        return x.with_shape(x.shape[1:])

    def evaluate(x: Array, *, shards: int) -> Array:
        total: Any = along_tree(list(_gathered(x, shards)), np.add)
        return np.asarray(total[communicator.current().rank])

    def transpose(b: Emitter, ct: Value, x: Value, *, shards: int) -> tuple[Lazy]:
        return (b.emit("all_gather", ct, shards=shards),)

    def stack(
        b: Emitter, operands: Sequence[Value], stacked: Sequence[bool], size: Dim, *, shards: int
    ) -> tuple[Value]:
        return (b.emit("reduce_scatter", b.moved(operands[0], 0, 1), shards=shards),)


@structural("shard_broadcast", _JOINS, attributes=("root", "shards"))
class ShardBroadcast:
    """What x is in the shard ``root``, the same in each shard."""

    operands = ("x",)
    batch = ITSELF

    def infer(x: TensorType, *, root: int, shards: int) -> TensorType:
        _check_shards("shard_broadcast", shards)
        if not 0 <= root < shards:
            raise VerifyError(f"there is no shard {root} among {shards}")
        return x

    def evaluate(x: Array, *, root: int, shards: int) -> Array:
        return np.asarray(_gathered(x, shards)[root])

    def transpose(b: Emitter, ct: Value, x: Value, *, root: int, shards: int) -> tuple[Lazy]:
        def of_root() -> Value:
            total = _over_shards(b, ct, "sum", shards)
            own = b.emit("shard_index", shards=shards)
            is_root = b.compare("equal", own, b.full_like(own, root))
            everywhere = b.broadcast(is_root, tensor_type(total).shape, ())
            return b.select(everywhere, total, b.zero(total))

        return (of_root,)


@structural("shard_barrier", Trait.EFFECT, attributes=("shards",))
class ShardBarrier:
    """Waits until every shard is here."""

    operands = ()
    no_derivative = "it gives nothing"

    def infer(*, shards: int) -> tuple[()]:
        _check_shards("shard_barrier", shards)
        return ()

    def evaluate(*, shards: int) -> tuple[()]:
        _gathered(np.zeros(1, np.uint8), shards)
        return ()


@structural("shard_index", attributes=("shards",))
class ShardIndex:
    """The number of the shard, from 0 on. Neither pure nor an effect: it is never folded."""

    operands = ()
    no_derivative = "it is an integer"

    def infer(*, shards: int) -> TensorType:
        _check_shards("shard_index", shards)
        return TensorType((), i64)

    def evaluate(*, shards: int) -> Array:
        return np.asarray(communicator.current().rank, np.int64)


def _check_shards(name: str, shards: int) -> None:
    if shards < 1:
        raise VerifyError(f"{name} over {shards} shards")


def _over_shards(b: Emitter, x: Value, reduction: str, shards: int) -> Value:
    return b.emit("all_reduce", x, reduction=reduction, shards=shards)


def _ties(b: Emitter, x: Value, y: Value, shards: int) -> Value:
    """How many shards have the largest or least value y, by element."""
    own = b.cast(b.compare("equal", x, y), x.type.dtype)
    return _over_shards(b, own, "sum", shards)
