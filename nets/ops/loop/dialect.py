"""The loop dialect: loops, memory, scalar and vector arithmetic, and kernels over buffers.

Values are scalars or vectors of lanes (the arithmetic is the same op on both), buffers, and
``index`` counters. A function of the loop dialect takes input buffers, then output buffers, and
returns nothing. Offsets count elements.

Addresses. ``loop.load`` and ``loop.store`` access element ``offset + Σ strides[i] · index[i]`` of a
buffer. With ``lanes = 1`` that is one scalar; with ``lanes = W`` and scalar indices, W consecutive
elements; where one of the indices is a vector, one element per lane.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from nets.errors import VerifyError
from nets.ir.core import Region, Trait
from nets.ir.types import (
    BufferType,
    DType,
    ScalarType,
    Type,
    VectorType,
    bool_,
    index,
)
from nets.ops.definition.registry import structural

COMBINERS: Final = ("add", "mul", "max", "min", "and", "or")
"""Associative combiners of loop.reduce, loop.lane_reduce and loop.tree_combine."""

ARG_COMBINERS: Final = ("argmax", "argmin")
"""Combiners of loop.reduce that also give the position of the first extreme element."""

CONV_ROLES: Final = {"output": (0, 1, 2), "input": (2, 1, 0), "weight": (0, 2, 1)}
"""Where the operands of loop.conv have x, w and y, by its role."""

REDUCE_LANE_BYTES: Final = 256
REDUCE_BLOCK_STEPS: Final = 16
"""The reduction tree (numerics.md, 4): a block is REDUCE_BLOCK_STEPS rows of
REDUCE_LANE_BYTES / itemsize lanes. Element i of a block goes to lane i mod lanes, each lane adds
in order, lanes combine by halving (lane l with lane l + half), and so do the blocks."""


def reduce_lanes(dtype: DType) -> int:
    """Lanes of the reduction tree: a constant of the dtype, never of the machine."""
    return REDUCE_LANE_BYTES // max(dtype.itemsize, 4)


def reduce_block(dtype: DType) -> int:
    """Elements of one block of the reduction tree."""
    return REDUCE_BLOCK_STEPS * reduce_lanes(dtype)


def with_dtype(type: Type, dtype: DType) -> ScalarType | VectorType:
    """The scalar or vector type of that shape with another dtype."""
    if isinstance(type, VectorType):
        return VectorType(type.lanes, dtype)
    return ScalarType(dtype)


def _register_type(dtype: DType, lanes: int) -> ScalarType | VectorType:
    return ScalarType(dtype) if lanes == 1 else VectorType(lanes, dtype)


def _same(name: str, *types: Type) -> Type:
    first = types[0]
    if not isinstance(first, (ScalarType, VectorType)) or any(t != first for t in types):
        raise VerifyError(f"{name} needs equal scalar or vector types, not {_list(types)}")
    return first


def _list(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types))


# ------------------------------------------------------------------------------ structure


@structural("loop.return", Trait.TERMINATOR | Trait.RETURN)
class Return:
    """Ends a function of the loop dialect."""

    operands = ()

    def infer() -> tuple[Type, ...]:
        return ()


@structural("loop.yield", Trait.TERMINATOR)
class Yield:
    """Ends a region; its operands are the values the region gives to its operation."""

    operands = ("*values",)

    def infer(*values: Type) -> tuple[Type, ...]:
        return ()


@structural("loop.for", attributes=("step",), regions=1)
class For:
    """Counts ``iv`` from ``lo`` below ``hi`` by ``step`` and carries values along.

    The region takes ``iv`` and the carried values and yields their next ones; the results are the
    last ones. Iterations run in order.
    """

    operands = ("lo", "hi", "*carried")

    def infer(
        lo: Type, hi: Type, *carried: Type, step: int, regions: Sequence[Region]
    ) -> tuple[Type, ...]:
        _bounds("loop.for", lo, hi)
        if step < 1:
            raise VerifyError(f"loop.for needs a positive step, not {step}")
        _region_arguments("loop.for", regions[0], (ScalarType(index), *carried))
        return carried


@structural("loop.parallel", attributes=(), regions=1)
class Parallel:
    """Runs the region for ``iv`` from ``lo`` below ``hi``; iterations are independent.

    They may run on several threads, in any order; the results must not depend on it.
    """

    operands = ("lo", "hi")

    def infer(lo: Type, hi: Type, *, regions: Sequence[Region]) -> tuple[Type, ...]:
        _bounds("loop.parallel", lo, hi)
        _region_arguments("loop.parallel", regions[0], (ScalarType(index),))
        return ()


@structural("loop.reduce", attributes=("combiners",), regions=1)
class Reduce:
    """Combines what the region yields for ``iv`` from 0 below ``hi``, by the fixed lane tree.

    ``combiners[i]`` combines the i-th yielded scalar. Lane ``iv mod lanes`` takes the values in
    order, starting from the combiner's identity; then the lanes combine by halving
    (``lanes = reduce_lanes(dtype)``). For ``argmax`` and ``argmin`` the results are the extreme
    value and the smallest ``iv`` (an index) that has it, where a NaN counts as the extreme.
    The region may also store.
    """

    operands = ("hi",)

    def infer(
        hi: Type, *, combiners: tuple[str, ...], regions: Sequence[Region]
    ) -> tuple[Type, ...]:
        _bounds("loop.reduce", hi, hi)
        _region_arguments("loop.reduce", regions[0], (ScalarType(index),))
        end = regions[0].block.terminator
        yielded = [value.type for value in end.operands] if end is not None else []
        if len(yielded) != len(combiners):
            raise VerifyError("loop.reduce yields one scalar per combiner")
        results: list[Type] = []
        for combiner, type in zip(combiners, yielded, strict=True):
            if combiner not in COMBINERS + ARG_COMBINERS:
                raise VerifyError(f"loop.reduce has no combiner {combiner!r}")
            results.append(type)
            if combiner in ARG_COMBINERS:
                results.append(ScalarType(index))
        return tuple(results)


@structural("loop.repeat", regions=1)
class Repeat:
    """Runs the region again and again, until the bool scalar it yields is false; at least once."""

    operands = ()

    def infer(*, regions: Sequence[Region]) -> tuple[Type, ...]:
        _region_arguments("loop.repeat", regions[0], ())
        end = regions[0].block.terminator
        if end is not None and [value.type for value in end.operands] != [ScalarType(bool_)]:
            raise VerifyError("the region of loop.repeat yields a bool scalar")
        return ()


@structural("loop.if", regions=1)
class If:
    """Runs the region where the scalar condition holds; gives no results."""

    operands = ("condition",)

    def infer(condition: Type, *, regions: Sequence[Region]) -> tuple[Type, ...]:
        if condition != ScalarType(bool_):
            raise VerifyError(f"loop.if needs a bool scalar, not {condition}")
        _region_arguments("loop.if", regions[0], ())
        return ()


def _bounds(name: str, *types: Type) -> None:
    if any(type != ScalarType(index) for type in types):
        raise VerifyError(f"{name} needs index bounds, not {_list(types)}")


def _region_arguments(name: str, region: Region, expected: tuple[Type, ...]) -> None:
    found = tuple(argument.type for argument in region.block.arguments)
    if found != expected:
        raise VerifyError(f"the region of {name} takes ({_list(expected)}), not ({_list(found)})")


# --------------------------------------------------------------------------------- memory


@structural("loop.alloc", attributes=("type", "offset"), implied=("type",))
class Alloc:
    """A buffer in the call's arena, at byte ``offset`` (−1 until plan_memory has placed it)."""

    operands = ()

    def infer(*, type: Type, offset: int) -> Type:
        return type


@structural("loop.scratch", attributes=("type",), implied=("type",))
class Scratch:
    """A small buffer private to one iteration of the surrounding parallel loop."""

    operands = ()

    def infer(*, type: Type) -> Type:
        return type


@structural("loop.global", attributes=("value",))
class Global:
    """A read-only buffer that holds the elements of a NumPy array."""

    operands = ()

    def infer(*, value: Any) -> Type:
        from nets.ir.types import from_numpy

        dtype = from_numpy(value.dtype)
        if dtype is None:
            raise VerifyError(f"loop.global cannot hold {value.dtype}")
        return BufferType(value.shape, dtype)


@structural("loop.view", Trait.PURE, attributes=("type", "offset"), implied=("type",))
class View:
    """Part of a buffer from element ``offset`` on, under another shape; no copy."""

    operands = ("buffer",)

    def infer(buffer: Type, *, type: Type, offset: int) -> Type:
        if not isinstance(buffer, BufferType) or not isinstance(type, BufferType):
            raise VerifyError("loop.view goes from buffer to buffer")
        if buffer.dtype != type.dtype or offset < 0 or offset + type.size > buffer.size:
            raise VerifyError(f"{type} at {offset} does not lie inside {buffer}")
        return type


@structural("loop.slice", Trait.PURE, attributes=("type", "offset", "stride"), implied=("type",))
class Slice:
    """The part of a buffer from element ``offset + stride · number`` on, which the caller knows to
    lie inside it. Slices of different numbers, or of different fields, do not overlap."""

    operands = ("buffer", "number")

    def infer(buffer: Type, number: Type, *, type: Type, offset: int, stride: int) -> Type:
        if not isinstance(buffer, BufferType) or not isinstance(type, BufferType):
            raise VerifyError("loop.slice goes from buffer to buffer")
        if number != ScalarType(index):
            raise VerifyError(f"loop.slice is chosen by an index, not {number}")
        if buffer.dtype != type.dtype or offset < 0 or offset + type.size > buffer.size:
            raise VerifyError(f"{type} at {offset} does not lie inside {buffer}")
        return type


def _address(
    name: str, buffer: Type, indices: tuple[Type, ...], strides: tuple[int, ...]
) -> BufferType:
    if not isinstance(buffer, BufferType):
        raise VerifyError(f"{name} needs a buffer, not {buffer}")
    if len(indices) != len(strides):
        raise VerifyError(f"{name} needs a stride for each index")
    if any(type.dtype != index for type in indices):
        raise VerifyError(f"{name} needs index operands, not {_list(indices)}")
    return buffer


def _lanes_of(indices: tuple[Type, ...], lanes: int) -> int:
    vectors = {type.lanes for type in indices if isinstance(type, VectorType)}
    if vectors and vectors != {lanes}:
        raise VerifyError(f"index vectors of {vectors} lanes for an access of {lanes}")
    return lanes


@structural("loop.load", attributes=("lanes", "offset", "strides"))
class Load:
    """Reads one scalar, ``lanes`` consecutive elements, or one element per index lane."""

    operands = ("buffer", "*indices")

    def infer(
        buffer: Type, *indices: Type, lanes: int, offset: int, strides: tuple[int, ...]
    ) -> Type:
        found = _address("loop.load", buffer, indices, strides)
        return _register_type(found.dtype, _lanes_of(indices, lanes))


@structural("loop.store", attributes=("offset", "strides"))
class Store:
    """Writes a scalar, consecutive lanes, or one element per index lane."""

    operands = ("value", "buffer", "*indices")

    def infer(
        value: Type, buffer: Type, *indices: Type, offset: int, strides: tuple[int, ...]
    ) -> tuple[Type, ...]:
        found = _address("loop.store", buffer, indices, strides)
        _lanes_of(indices, value.lanes if isinstance(value, VectorType) else 1)
        if not isinstance(value, (ScalarType, VectorType)) or value.dtype != found.dtype:
            raise VerifyError(f"loop.store puts {value} into {found}")
        return ()


@structural("loop.masked_load", attributes=("lanes", "offset", "strides"))
class MaskedLoad:
    """Reads consecutive elements where ``mask`` is set; the other lanes are 0, never read."""

    operands = ("mask", "buffer", "*indices")

    def infer(
        mask: Type,
        buffer: Type,
        *indices: Type,
        lanes: int,
        offset: int,
        strides: tuple[int, ...],
    ) -> Type:
        found = _address("loop.masked_load", buffer, indices, strides)
        if mask != VectorType(lanes, bool_):
            raise VerifyError(f"loop.masked_load needs {lanes} mask lanes, not {mask}")
        return VectorType(_lanes_of(indices, lanes), found.dtype)


@structural("loop.masked_store", attributes=("offset", "strides"))
class MaskedStore:
    """Writes consecutive elements where ``mask`` is set; the others stay untouched."""

    operands = ("mask", "value", "buffer", "*indices")

    def infer(
        mask: Type,
        value: Type,
        buffer: Type,
        *indices: Type,
        offset: int,
        strides: tuple[int, ...],
    ) -> tuple[Type, ...]:
        found = _address("loop.masked_store", buffer, indices, strides)
        if not isinstance(value, VectorType) or mask != VectorType(value.lanes, bool_):
            raise VerifyError(f"loop.masked_store puts {value} under {mask}")
        if value.dtype != found.dtype:
            raise VerifyError(f"loop.masked_store puts {value} into {found}")
        return ()


# ----------------------------------------------------------------------------- arithmetic


@structural("loop.const", Trait.PURE | Trait.CONSTANT, attributes=("dtype", "value"))
class Const:
    """A scalar constant."""

    operands = ()

    def infer(*, dtype: DType, value: float) -> Type:
        return ScalarType(dtype)


def _binary(name: str, meaning: str) -> None:
    class Binary:
        operands = ("x", "y")

        def infer(x: Type, y: Type) -> Type:
            return _same(name, x, y)

    Binary.__doc__ = meaning
    structural(f"loop.{name}", Trait.PURE)(Binary)


def _unary(name: str, meaning: str) -> None:
    class Unary:
        operands = ("x",)

        def infer(x: Type) -> Type:
            return _same(name, x)

    Unary.__doc__ = meaning
    structural(f"loop.{name}", Trait.PURE)(Unary)


for _name, _meaning in {
    "add": "x + y; integers wrap around.",
    "sub": "x - y; integers wrap around.",
    "mul": "x * y; integers wrap around.",
    "div": "Floats: x / y. Integers: the quotient's floor; by zero 0; INT_MIN / -1 is INT_MIN.",
    "rem": "Remainder with the sign of y (Python's %); integers by zero 0; floats as np.remainder.",
    "max": "x where x > y or x is NaN, else y.",
    "min": "x where x < y or x is NaN, else y.",
    "and": "Bitwise (bool: logical) and.",
    "or": "Bitwise (bool: logical) or.",
    "xor": "Bitwise (bool: logical) exclusive or.",
    "shl": "x << y; 0 where y is negative or at least the width.",
    "shr": "x >> y, arithmetic for signed x; the sign fills where y is not below the width.",
}.items():
    _binary(_name, _meaning)

for _name, _meaning in {
    "neg": "-x; integers wrap around.",
    "abs": "|x|; the smallest integer stays itself.",
    "not": "Bitwise (bool: logical) complement.",
    "sqrt": "Correctly rounded square root.",
    "floor": "Largest integral value not above x.",
    "ceil": "Smallest integral value not below x.",
    "round": "Nearest integral value, ties to even.",
    "trunc": "Integral value next to x towards zero.",
}.items():
    _unary(_name, _meaning)


@structural("loop.math", Trait.PURE | Trait.COSTLY, attributes=("function",))
class Math:
    """A function of the vector math library (``nets.backend.llvm.math``), such as exp or pow."""

    operands = ("*arguments",)

    def infer(*arguments: Type, function: str) -> Type:
        return _same(f"loop.math {function}", *arguments)


COMPARISONS: Final = ("eq", "ne", "lt", "le", "gt", "ge", "unordered")


@structural("loop.compare", Trait.PURE, attributes=("predicate",))
class Compare:
    """x ? y as a bool, IEEE for floats; ``unordered``: either is NaN; ne holds for NaN."""

    operands = ("x", "y")

    def infer(x: Type, y: Type, *, predicate: str) -> Type:
        if predicate not in COMPARISONS:
            raise VerifyError(f"loop.compare has no predicate {predicate!r}")
        return with_dtype(_same("loop.compare", x, y), bool_)


@structural("loop.select", Trait.PURE)
class Select:
    """x where the condition holds, else y, lane by lane."""

    operands = ("condition", "x", "y")

    def infer(condition: Type, x: Type, y: Type) -> Type:
        if condition != with_dtype(x, bool_):
            raise VerifyError(f"loop.select of {x} by {condition}")
        return _same("loop.select", x, y)


@structural("loop.cast", Trait.PURE, attributes=("dtype",))
class Cast:
    """Conversion. Float to integer truncates and saturates, NaN gives 0; integer to integer
    wraps; anything to bool is ``!= 0``."""

    operands = ("x",)

    def infer(x: Type, *, dtype: DType) -> Type:
        return with_dtype(x, dtype)


@structural("loop.splat", Trait.PURE, attributes=("lanes",))
class Splat:
    """A scalar in every lane."""

    operands = ("x",)

    def infer(x: Type, *, lanes: int) -> Type:
        return VectorType(lanes, x.dtype)


@structural("loop.lane_index", Trait.PURE | Trait.CONSTANT, attributes=("lanes",))
class LaneIndex:
    """0, 1, 2, … as an index vector."""

    operands = ()

    def infer(*, lanes: int) -> Type:
        return VectorType(lanes, index)


@structural("loop.tail_mask", Trait.PURE, attributes=("lanes",))
class TailMask:
    """Lane i is set where i < ``count`` (an index)."""

    operands = ("count",)

    def infer(count: Type, *, lanes: int) -> Type:
        return VectorType(lanes, bool_)


@structural("loop.shuffle", Trait.PURE, attributes=("order",))
class Shuffle:
    """Lane l is lane ``order[l]`` of x with y behind it: fewer, as many, or more lanes than x."""

    operands = ("x", "y")

    def infer(x: Type, y: Type, *, order: tuple[int, ...]) -> Type:
        type = _same("loop.shuffle", x, y)
        if not isinstance(type, VectorType) or len(order) < 2:
            raise VerifyError(f"loop.shuffle of {type} to {len(order)} lanes")
        if not all(0 <= lane < 2 * type.lanes for lane in order):
            raise VerifyError(f"loop.shuffle of {type} has no lanes {list(order)}")
        return VectorType(len(order), type.dtype)


@structural("loop.lane_reduce", Trait.PURE, attributes=("combiner",))
class LaneReduce:
    """Combines the lanes (a power of two) by halving: lane l with lane l + half."""

    operands = ("x",)

    def infer(x: Type, *, combiner: str) -> Type:
        if not isinstance(x, VectorType) or x.lanes & (x.lanes - 1) or combiner not in COMBINERS:
            raise VerifyError(f"loop.lane_reduce {combiner} of {x}")
        return ScalarType(x.dtype)


@structural("loop.check", attributes=("code",))
class Check:
    """Where ``ok`` (scalar or lanes) is false the call returns status ``code`` in the end.

    Execution goes on, so what follows must be safe. The function's attribute ``checks`` maps
    codes to what was wrong and where.
    """

    operands = ("ok",)

    def infer(ok: Type, *, code: int) -> tuple[Type, ...]:
        if ok.dtype != bool_:
            raise VerifyError(f"loop.check needs a bool, not {ok}")
        return ()


@structural("loop.stop")
class Stop:
    """Ends the call here if a check has failed. Stands in the body of the function."""

    operands = ()

    def infer() -> tuple[Type, ...]:
        return ()


@structural("loop.commit")
class Commit:
    """What follows writes to arguments, so the call is run to its end. Stands in the body of the
    function."""

    operands = ()

    def infer() -> tuple[Type, ...]:
        return ()


@structural("loop.print", attributes=("text",))
class Print:
    """Prints a text whose fields ``{0}``, ``{1}``, … stand for the elements of the buffers.

    Stands in no parallel loop, so that what is printed comes in the order of the program.
    """

    operands = ("*buffers",)

    def infer(*buffers: Type, text: str) -> tuple[Type, ...]:
        if not all(isinstance(buffer, BufferType) for buffer in buffers):
            raise VerifyError(f"loop.print needs buffers, not {_list(buffers)}")
        return ()


# -------------------------------------------------------------------------------- kernels


@structural("loop.tree_combine", attributes=("combiner",))
class TreeCombine:
    """Combines the rows of ``buffer`` (n × width) by halving into its row 0, in place.

    With ``h`` the largest power of two below the number of live rows: row i takes row i + h for
    every i + h that is live; then h rows are live.
    """

    operands = ("buffer",)

    def infer(buffer: Type, *, combiner: str) -> tuple[Type, ...]:
        if not isinstance(buffer, BufferType) or len(buffer.shape) != 2:
            raise VerifyError(f"loop.tree_combine needs a buffer n × width, not {buffer}")
        if combiner not in COMBINERS:
            raise VerifyError(f"loop.tree_combine has no combiner {combiner!r}")
        return ()


@structural("loop.gemm", attributes=("transpose_x", "transpose_y"))
class Gemm:
    """``out[b, m, n] = Σ_k x[b, m, k] · y[b, k, n]`` in floating point (numerics.md, 5).

    Buffers are batch × rows × columns; with ``transpose_x`` the buffer of x is b × k × m, with
    ``transpose_y`` that of y is b × n × k. ``out`` overlaps neither.
    """

    operands = ("x", "y", "out")

    def infer(
        x: Type, y: Type, out: Type, *, transpose_x: bool, transpose_y: bool
    ) -> tuple[Type, ...]:
        if not all(isinstance(t, BufferType) and len(t.shape) == 3 for t in (x, y, out)):
            raise VerifyError(f"loop.gemm needs buffers of rank 3, not {_list((x, y, out))}")
        assert isinstance(x, BufferType)
        assert isinstance(y, BufferType)
        assert isinstance(out, BufferType)
        b, m, k = x.shape if not transpose_x else (x.shape[0], x.shape[2], x.shape[1])
        yb, yk, n = y.shape if not transpose_y else (y.shape[0], y.shape[2], y.shape[1])
        if (b, yk, b, m, n) != (yb, k, *out.shape):
            raise VerifyError(f"loop.gemm of {_list((x, y, out))}")
        return ()


@structural("loop.conv", attributes=("role", "steps", "low", "dilation", "groups"))
class Conv:
    """The term w[o, c, k] · x[n, c, p · step + k · dilation − low] for each place p of y[n, o, p],
    summed into one of the three (see ``nets.ops.tensor.convolution``), in floating point.

    The role says which is ``out``: with "output" it is y, made of x and w; with "input" x, made of
    y and w; with "weight" w, made of x and y. All have two axes of space. ``out`` overlaps neither.
    """

    operands = ("first", "second", "out")

    def infer(
        first: Type,
        second: Type,
        out: Type,
        *,
        role: str,
        steps: tuple[int, ...],
        low: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
    ) -> tuple[Type, ...]:
        given = (first, second, out)
        shapes = [t.static_shape for t in given if isinstance(t, BufferType)]
        if role not in CONV_ROLES or [len(shape) for shape in shapes] != [4, 4, 4]:
            raise VerifyError(f"loop.conv to {role!r} of {_list(given)}")
        x, w, y = (shapes[place] for place in CONV_ROLES[role])
        if (x[0], x[1], w[0] % groups) != (y[0], w[1] * groups, 0) or w[0] != y[1]:
            raise VerifyError(f"loop.conv to {role!r} of {_list(given)} in {groups} groups")
        return ()
