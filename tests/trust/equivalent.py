"""Equivalent programs have the same bits: ``python -m tests.trust.equivalent 0 1000``.

Each random program is rewritten by identities that change no bit of any number: the operands of an
operation go through shapes and back, are cut and joined, multiplied by 1, widened and narrowed;
commuting operands change places; single operations run in loops over rows, loops are written out;
and there is code that nobody needs. Both programs are compiled and called with the same arrays.
"""

from __future__ import annotations

import argparse
import random
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from nets.ir.builder import Builder
from nets.ir.clone import Mapping, clone_into
from nets.ir.core import Block, Function, Operation, Region, Trait, Value
from nets.ir.types import DType, TensorType, bool_, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64
from nets.ir.verifier import verify_function
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import lookup
from nets.passes.derivatives.vjp import carries_cotangent, vjp
from tests.property.compiled import Way
from tests.property.programs import arguments, random_program
from tests.property.results import assert_same
from tests.property.test_control_programs import Loop

Disguise = Callable[[GraphEmitter, Value, random.Random], Value]
"""Another way to write a value; the value itself where there is none."""

_WIDER: Final[dict[DType, DType]] = {
    f32: f64,
    i8: i16,
    i16: i32,
    i32: i64,
    u8: u16,
    u16: u32,
    u32: u64,
}


def reshaped(b: GraphEmitter, x: Value, choose: random.Random) -> Value:
    shape = tensor_type(x).static_shape
    other = choose.choice([(tensor_type(x).size,), (1, *shape), (*shape, 1), shape[::-1]])
    return b.reshape(b.reshape(x, other), shape)


def transposed(b: GraphEmitter, x: Value, choose: random.Random) -> Value:
    axes = list(range(tensor_type(x).rank))
    choose.shuffle(axes)
    return b.transpose(b.transpose(x, axes), [axes.index(axis) for axis in range(len(axes))])


def flipped(b: GraphEmitter, x: Value, choose: random.Random) -> Value:
    rank = tensor_type(x).rank
    axes = tuple(axis for axis in range(rank) if choose.randrange(2))
    return b.emit("flip", b.emit("flip", x, axes=axes), axes=axes) if axes else x


def cut_and_joined(b: GraphEmitter, x: Value, choose: random.Random) -> Value:
    type = tensor_type(x)
    if not type.rank:
        return x
    axis = choose.randrange(type.rank)
    place = choose.randint(0, type.static_shape[axis])
    pieces = [window(b, x, axis, 0, place), window(b, x, axis, place, type.static_shape[axis])]
    return b.emit("concatenate", *pieces, axis=axis)


def window(b: GraphEmitter, x: Value, axis: int, start: int, stop: int) -> Value:
    shape = tensor_type(x).static_shape
    starts = tuple(start if i == axis else 0 for i in range(len(shape)))
    stops = tuple(stop if i == axis else size for i, size in enumerate(shape))
    return b.emit("slice", x, starts=starts, stops=stops, steps=(1,) * len(shape))


def padded_and_cut(b: GraphEmitter, x: Value, choose: random.Random) -> Value:
    type = tensor_type(x)
    if not type.rank:
        return x
    low = tuple(choose.randrange(3) for _ in range(type.rank))
    high = tuple(choose.randrange(3) for _ in range(type.rank))
    around = b.emit("pad", x, b.constant(1, type.dtype), low=low, high=high)
    stops = tuple(start + size for start, size in zip(low, type.static_shape, strict=True))
    return b.emit("slice", around, starts=low, stops=stops, steps=(1,) * type.rank)


def times_one(b: GraphEmitter, x: Value, choose: random.Random) -> Value:
    return x if tensor_type(x).dtype == bool_ else b.mul(x, b.one(x))


def widened(b: GraphEmitter, x: Value, choose: random.Random) -> Value:
    dtype = tensor_type(x).dtype
    wider = _WIDER.get(dtype)
    return x if wider is None else b.cast(b.cast(x, wider), dtype)


def negated_twice(b: GraphEmitter, x: Value, choose: random.Random) -> Value:
    return x if tensor_type(x).dtype == bool_ else b.neg(b.neg(x))


def selected(b: GraphEmitter, x: Value, choose: random.Random) -> Value:
    truth = b.full(tensor_type(x).shape, choose.randrange(2), bool_)
    return b.select(truth, x, x)


def gathered(b: GraphEmitter, x: Value, choose: random.Random) -> Value:
    """Broadcast over a new axis, of which one entry is taken."""
    shape = tensor_type(x).static_shape
    repeated = b.broadcast(x, (3, *shape), tuple(range(1, len(shape) + 1)))
    return b.reshape(window(b, repeated, 0, 1, 2), shape)


DISGUISES: Final[tuple[Disguise, ...]] = (
    *(reshaped, transposed, flipped, cut_and_joined, padded_and_cut),
    *(times_one, widened, negated_twice, selected, gathered),
)


def rewritten(function: Function, choose: random.Random) -> Function:
    """The function by other means."""
    types = [argument.type for argument in function.arguments]
    copy = Function(f"{function.name}_rewritten", types)
    b = GraphEmitter(Builder(copy.body))
    mapping: Mapping = dict(zip(function.arguments, copy.arguments, strict=True))
    for op in function.body:
        operands = [_disguised(b, mapping[x], choose) for x in op.operands]
        if op.has(Trait.COMMUTATIVE) and choose.randrange(2):
            operands.reverse()
        if op.has(Trait.TERMINATOR):
            b.builder.create(op.definition, operands, op.attributes)
        elif _goes_by_rows(op) and choose.randrange(4) == 0:
            mapping[op.result] = by_rows(b, op, operands)
        else:
            inner: Mapping = dict(zip(op.operands, operands, strict=True))
            clone_into(b.builder, [op], inner)
            mapping |= {result: inner[result] for result in op.results}
        if not op.has(Trait.TERMINATOR) and choose.randrange(4) == 0:
            _disguised(b, mapping[op.results[0]], choose, always=True)  # which nobody needs
    verify_function(copy)
    return copy


def _disguised(b: GraphEmitter, x: Value, choose: random.Random, *, always: bool = False) -> Value:
    if isinstance(x.type, TensorType) and (always or choose.randrange(3) == 0):
        return choose.choice(DISGUISES)(b, x, choose)
    return x


def _goes_by_rows(op: Operation) -> bool:
    if not op.has(Trait.ELEMENTWISE) or op.has(Trait.CHECKED) or len(op.results) != 1:
        return False
    shape = tensor_type(op.result).static_shape
    return bool(shape) and 0 < shape[0] < 9


def by_rows(b: GraphEmitter, op: Operation, operands: list[Value]) -> Value:
    """An elementwise operation as a loop over the first axis."""
    length, *rest = tensor_type(op.result).static_shape
    rows = [tensor_type(x).with_shape(tuple(rest)) for x in operands]
    block = Block(rows)
    made = Builder(block).create(op.definition, block.arguments, op.attributes)
    block.append(Operation(lookup("yield"), made.results, ()))
    attributes = {"carries": 0, "xs": len(rows), "length": length, "reverse": False}
    return b.builder.create(lookup("scan"), operands, attributes, [Region(block)]).result


def pair(seed: int) -> tuple[Function, Function]:
    """A program and another way to write it; every third is a derivative, every fifth a loop."""
    choose = random.Random(seed)
    if seed % 5 == 4:
        loop = Loop(seed, smooth=False)
        return loop.function(written_out=True), rewritten(loop.function(written_out=False), choose)
    function = random_program(seed, 10, smooth=seed % 3 == 2)
    if seed % 3 == 2:
        arguments = enumerate(function.arguments)
        function = vjp(function, [i for i, x in arguments if carries_cotangent(x.type)])
    return function, rewritten(function, choose)


def check(seed: int) -> None:
    """AssertionError where the two programs of a seed give different bits."""
    function, other = pair(seed)
    if _has_float_power(function):
        return  # constant powers become products where the exponent is seen to be constant
    arrays = arguments(function, np.random.default_rng(seed))
    choose = random.Random(seed)
    ways = [Way(threads=choose.choice((1, 2)), vector_bytes=choose.choice((16, 32, 64))), Way()]
    found = [way.compile(f)(arrays) for way, f in zip(ways, (function, other), strict=True)]
    assert_same(found[0], found[1], f"{function}\n{other}")


def _has_float_power(function: Function) -> bool:
    return any(
        op.name == "power" and tensor_type(op.result).dtype.is_float for op in function.walk()
    )


def wrong_ones(seeds: Iterable[int]) -> list[int]:
    """The seeds that fail, each told of on the way."""
    wrong = []
    for seed in seeds:
        print(f"\r{seed}", end="", file=sys.stderr, flush=True)  # the last word, if it crashes
        try:
            check(seed)
        except Exception:
            wrong.append(seed)
            print(f"\nseed {seed}\n{traceback.format_exc(limit=-3)}", flush=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int)
    wanted = parser.parse_args()
    wrong = wrong_ones(range(wanted.first, wanted.end))
    print(f"\n{wanted.end - wanted.first} programs and their other forms; wrong: {wrong or 'none'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
