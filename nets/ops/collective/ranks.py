"""Operations over ranks: what a rank has goes to others.

A program with one of these is made for a number of ranks, and each rank runs it. They communicate
as often as the program says and in its order, which is the same on all ranks, whatever passes do.
Bytes go as they are: the results are the same bit for bit wherever they come from.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nets import communicator
from nets.communicator import Kind
from nets.errors import ArgumentError, CompileError, VerifyError
from nets.ir.affine import Affine
from nets.ir.core import Attribute, Function, Trait, Value
from nets.ir.types import TensorType, Type, bool_, i64
from nets.ops.definition.decisions import EACH
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.linear import filled
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Jvp, Tangents
from nets.ops.definition.samples import f32, f64, i32, of
from nets.ops.loop.lowering import Lowering

COLLECTIVE = Trait.KERNEL | Trait.EFFECT | Trait.EXACT

NO_DERIVATIVE = "its derivative is taken before a program over shards becomes that of a rank"


def check_size(ranks: int) -> None:
    """ArgumentError where the job of this thread has another number of ranks."""
    size = communicator.current().size
    if size != ranks:
        named = "1 rank" if ranks == 1 else f"{ranks} ranks"
        raise ArgumentError(f"the program is for {named}, and the job has {size}")


def ranks_of(function: Function) -> int | None:
    """How many ranks a function of either dialect is for: 0 where it asks for its rank alone, None
    where it knows of none. CompileError where it is for several numbers."""
    found = {op.attributes["ranks"] for op in function.walk() if "ranks" in op.attributes}
    if len(found) > 1:
        raise CompileError(
            f"{function.name} is for {' and for '.join(map(str, sorted(found)))} ranks"
        )
    if found:
        return int(found.pop())
    return 0 if any(op.name in ("rank", "loop.rank") for op in function.walk()) else None


def _linear(name: str) -> Jvp:
    """The rule of an op whose tangent is what it gives for the operand's."""

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        **attributes: Attribute,
    ) -> Tangents:
        return b.emit_all(name, *filled(b, operands, tangents), **attributes)

    return jvp


def _transfer(
    s: Lowering,
    kind: Kind,
    ranks: int,
    peer: int,
    operands: Sequence[Value],
    results: Sequence[Value],
) -> None:
    """Begins a transfer and waits for it."""
    buffers = operands[0], results[0]
    begun = s.emit("transfer_begin", *buffers, kind=int(kind), ranks=ranks, peer=peer)
    s.emit("transfer_finish", begun.result, *buffers)


def _check_ranks(name: str, ranks: int) -> None:
    if ranks < 1:
        raise VerifyError(f"{name}: a job has at least one rank, not {ranks}")


@op("rank", Trait.PURE | Trait.KERNEL | Trait.EXACT)
class Rank:
    """The number of this rank: the same through a call, but not a constant of the program."""

    operands = ()
    samples = [sample()]
    no_derivative = "a rank is a number of the job and depends on no operand"

    def infer() -> Type:
        return TensorType((), i64)

    def evaluate() -> Array:
        return np.asarray(communicator.current().rank, np.int64)

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        s.store(s.emit("rank").result, results[0], Affine())


@op("gather_ranks", COLLECTIVE, attributes=("ranks",))
class GatherRanks:
    """What each rank has, by rank, along a new first axis."""

    operands = ("x",)
    samples = [
        sample(f32(3, 5), ranks=1),
        sample(f64(), ranks=1),
        sample(of(bool_, 7), ranks=1),
        sample(i32(2, 0), ranks=1),
    ]
    no_derivative = NO_DERIVATIVE
    jvp = _linear("gather_ranks")
    batch = EACH

    def infer(x: TensorType, *, ranks: int) -> Type:
        _check_ranks("gather_ranks", ranks)
        return TensorType((ranks, *x.shape), x.dtype)

    def evaluate(x: Array, *, ranks: int) -> Array:
        check_size(ranks)
        return communicator.gather(x)

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], *, ranks: int
    ) -> None:
        _transfer(s, Kind.GATHER, ranks, 0, operands, results)


@op("exchange_ranks", COLLECTIVE, attributes=("ranks", "distance"))
class ExchangeRanks:
    """What the rank has whose number is that of this one, exclusive or ``distance``.

    There is such a rank for each: the number of ranks is a multiple of the power of two above
    ``distance``.
    """

    operands = ("x",)
    samples = [sample(f32(3, 5), ranks=1, distance=0), sample(f64(), ranks=1, distance=0)]
    no_derivative = NO_DERIVATIVE
    jvp = _linear("exchange_ranks")
    batch = EACH

    def infer(x: TensorType, *, ranks: int, distance: int) -> Type:
        _check_ranks("exchange_ranks", ranks)
        if distance < 0 or ranks % (1 << distance.bit_length()):
            raise VerifyError(f"exchange_ranks: {ranks} ranks are no pairs at distance {distance}")
        return x

    def evaluate(x: Array, *, ranks: int, distance: int) -> Array:
        check_size(ranks)
        return communicator.exchange(x, communicator.current().rank ^ distance)

    def lower(
        s: Lowering,
        operands: Sequence[Value],
        results: Sequence[Value],
        *,
        ranks: int,
        distance: int,
    ) -> None:
        _transfer(s, Kind.EXCHANGE, ranks, distance, operands, results)


@op("broadcast_ranks", COLLECTIVE, attributes=("ranks", "root"))
class BroadcastRanks:
    """What the rank ``root`` has."""

    operands = ("x",)
    samples = [sample(f32(3, 5), ranks=1, root=0), sample(f64(), ranks=1, root=0)]
    no_derivative = NO_DERIVATIVE
    jvp = _linear("broadcast_ranks")
    batch = EACH

    def infer(x: TensorType, *, ranks: int, root: int) -> Type:
        _check_ranks("broadcast_ranks", ranks)
        if not 0 <= root < ranks:
            raise VerifyError(f"broadcast_ranks: there is no rank {root} of {ranks}")
        return x

    def evaluate(x: Array, *, ranks: int, root: int) -> Array:
        check_size(ranks)
        return communicator.broadcast(x, root)

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], *, ranks: int, root: int
    ) -> None:
        _transfer(s, Kind.BROADCAST, ranks, root, operands, results)
