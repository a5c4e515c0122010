"""Scalar and vector arithmetic: each op of the loop dialect as LLVM instructions.

The instructions of a vector are those of its lanes, so scalar and vector forms give the same
bits. No instruction here can trap or give poison: integer divisions, shifts and conversions are
guarded. Nothing here carries a fast-math flag.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nets.backend.llvm.code import Code, intrinsic
from nets.backend.llvm.spelling import (
    constant,
    counting,
    element,
    lanes_of,
    literal,
    register,
    shuffle,
    splat,
    suffix,
)
from nets.backend.llvm.veil import veiled
from nets.ir.core import Operation
from nets.ir.sizes import Size
from nets.ir.types import DType, ScalarType, Type, VectorType, bool_
from nets.ops.loop.register_types import with_dtype

Binary = Callable[[Code, Type, str, str], str]


def _plain(float_: str, integer: str) -> Binary:
    """One instruction, by the kind of number."""

    def emit(code: Code, type: Type, x: str, y: str) -> str:
        opcode = float_ if type.dtype.is_float else integer
        return code.value(f"{opcode} {register(type)} {x}, {y}")

    return emit


def compare(code: Code, type: Type, predicate: str, x: str, y: str) -> str:
    """A bool per lane; ordered for floats but for ``ne`` and ``unordered``."""
    return code.value(f"{_predicate(type.dtype, predicate)} {register(type)} {x}, {y}")


def _predicate(dtype: DType, predicate: str) -> str:
    if dtype.is_float:
        return "fcmp " + {"ne": "une", "unordered": "uno"}.get(predicate, f"o{predicate}")
    if predicate in ("eq", "ne"):
        return f"icmp {predicate}"
    return f"icmp {'s' if dtype.kind in 'ix' else 'u'}{predicate}"


def select(code: Code, type: Type, condition: str, x: str, y: str) -> str:
    """x where the condition holds, else y."""
    spelt = register(type)
    flag = register(with_dtype(type, bool_))
    return code.value(f"select {flag} {condition}, {spelt} {x}, {spelt} {y}")


def _extreme(predicate: str) -> Binary:
    """max and min: x where x is beyond y or NaN, else y."""

    def emit(code: Code, type: Type, x: str, y: str) -> str:
        beyond = select(code, type, compare(code, type, predicate, x, y), x, y)
        if not type.dtype.is_float:
            return beyond
        # The select above is one machine instruction that gives y where x is NaN.
        return select(code, type, compare(code, type, "unordered", x, x), x, beyond)

    return emit


def _divide(code: Code, type: Type, x: str, y: str) -> str:
    if type.dtype.is_float:
        return code.value(f"fdiv {register(type)} {x}, {y}")
    shift = _power_of_two(type, y)
    if shift is not None:
        opcode = "lshr" if type.dtype.kind == "u" else "ashr"
        return code.value(f"{opcode} {register(type)} {x}, {constant(type, shift)}")
    quotient, _, by_zero = _guarded_division(code, type, x, y)
    return select(code, type, by_zero, constant(type, 0), quotient)


def _remainder(code: Code, type: Type, x: str, y: str) -> str:
    if type.dtype.is_float:
        return _float_remainder(code, type, x, y)
    shift = _power_of_two(type, y)
    if shift is not None:
        return code.value(f"and {register(type)} {x}, {constant(type, (1 << shift) - 1)}")
    _, remainder, by_zero = _guarded_division(code, type, x, y)
    return select(code, type, by_zero, constant(type, 0), remainder)


def _power_of_two(type: Type, y: str) -> int | None:
    """The exponent where y is a constant power of two that the dtype can hold."""
    digits = y.removeprefix(f"splat ({element(type.dtype)} ").removesuffix(")")
    if not digits.isdigit() or type.dtype.is_bool:
        return None
    number = int(digits)
    return number.bit_length() - 1 if number > 0 and number & (number - 1) == 0 else None


def _guarded_division(code: Code, type: Type, x: str, y: str) -> tuple[str, str, str]:
    """Floored quotient, remainder with the sign of y, and where y is 0 (there both are void).

    The processor traps on division by zero and on the least integer by −1; both divide by 1
    here, which is right for the second.
    """
    spelt, zero, one = register(type), constant(type, 0), constant(type, 1)
    by_zero = compare(code, type, "eq", y, zero)
    if type.dtype.kind in "ub":
        divisor = select(code, type, by_zero, one, y)
        quotient = code.value(f"udiv {spelt} {x}, {divisor}")
        return quotient, code.value(f"urem {spelt} {x}, {divisor}"), by_zero
    least = compare(code, type, "eq", x, constant(type, -(1 << (type.dtype.bits - 1))))
    minus = compare(code, type, "eq", y, constant(type, -1))
    flag = register(with_dtype(type, bool_))
    overflow = code.value(f"and {flag} {least}, {minus}")
    unsafe = code.value(f"or {flag} {by_zero}, {overflow}")
    divisor = select(code, type, unsafe, one, y)
    quotient = code.value(f"sdiv {spelt} {x}, {divisor}")
    product = code.value(f"mul {spelt} {quotient}, {divisor}")
    remainder = code.value(f"sub {spelt} {x}, {product}")
    adjust = _signs_differ(code, type, remainder, divisor)
    floored = code.value(f"sub {spelt} {quotient}, {one}")
    shifted = code.value(f"add {spelt} {remainder}, {divisor}")
    return (
        select(code, type, adjust, floored, quotient),
        select(code, type, adjust, shifted, remainder),
        by_zero,
    )


def _signs_differ(code: Code, type: Type, remainder: str, divisor: str) -> str:
    """Where the remainder is not 0 and has not the sign of the divisor."""
    mixed = code.value(f"xor {register(type)} {remainder}, {divisor}")
    opposite = compare(code, type, "lt", mixed, constant(type, 0))
    some = compare(code, type, "ne", remainder, constant(type, 0))
    return code.value(f"and {register(with_dtype(type, bool_))} {opposite}, {some}")


def _float_remainder(code: Code, type: Type, x: str, y: str) -> str:
    """As np.remainder: fmod moved to the sign of y; a zero has the sign of y."""
    flag, zero = register(with_dtype(type, bool_)), constant(type, 0.0)
    rest = math_call(code, type, "fmod", [x, y])
    negative = compare(code, type, "lt", rest, zero)
    below = compare(code, type, "lt", y, zero)
    differ = code.value(f"xor {flag} {negative}, {below}")
    moved = code.value(f"fadd {register(type)} {rest}, {y}")
    adjusted = select(code, type, differ, moved, rest)
    signed = intrinsic(code, f"llvm.copysign.{suffix(type)}", type, [zero, y])
    return select(code, type, compare(code, type, "eq", rest, zero), signed, adjusted)


def _shift_left(code: Code, type: Type, x: str, y: str) -> str:
    spelt, zero = register(type), constant(type, 0)
    inside = code.value(f"icmp ult {spelt} {y}, {constant(type, type.dtype.bits)}")
    amount = select(code, type, inside, y, zero)
    return select(code, type, inside, code.value(f"shl {spelt} {x}, {amount}"), zero)


def _shift_right(code: Code, type: Type, x: str, y: str) -> str:
    spelt, bits = register(type), type.dtype.bits
    inside = code.value(f"icmp ult {spelt} {y}, {constant(type, bits)}")
    amount = select(code, type, inside, y, constant(type, bits - 1))
    if type.dtype.kind != "u":
        return code.value(f"ashr {spelt} {x}, {amount}")
    shifted = code.value(f"lshr {spelt} {x}, {amount}")
    return select(code, type, inside, shifted, constant(type, 0))


BINARY: Final[dict[str, Binary]] = {
    "add": _plain("fadd", "add"),
    "sub": _plain("fsub", "sub"),
    "mul": _plain("fmul", "mul"),
    "div": _divide,
    "rem": _remainder,
    "max": _extreme("gt"),
    "min": _extreme("lt"),
    "and": _plain("and", "and"),
    "or": _plain("or", "or"),
    "xor": _plain("xor", "xor"),
    "shl": _shift_left,
    "shr": _shift_right,
}
"""The binary ops by name; those in loop.COMBINERS also combine lanes and rows."""


# ---------------------------------------------------------------------------------- unary


def _negate(code: Code, type: Type, x: str) -> str:
    if type.dtype.is_float:
        return code.value(f"fneg {register(type)} {x}")
    return code.value(f"sub {register(type)} {constant(type, 0)}, {x}")


def _absolute(code: Code, type: Type, x: str) -> str:
    if type.dtype.is_float:
        return intrinsic(code, f"llvm.fabs.{suffix(type)}", type, [x])
    if type.dtype.kind in "ub":
        return x
    negative = compare(code, type, "lt", x, constant(type, 0))
    return select(code, type, negative, _negate(code, type, x), x)


def _complement(code: Code, type: Type, x: str) -> str:
    ones = constant(type, True) if type.dtype.is_bool else constant(type, -1)
    return code.value(f"xor {register(type)} {x}, {ones}")


def _rounded(name: str) -> Callable[[Code, Type, str], str]:
    """A function that is one instruction for floats and changes no integer."""

    def emit(code: Code, type: Type, x: str) -> str:
        if not type.dtype.is_float:
            return x
        return intrinsic(code, f"llvm.{name}.{suffix(type)}", type, [x])

    return emit


_UNARY: Final = {
    "neg": _negate,
    "abs": _absolute,
    "not": _complement,
    "sqrt": _rounded("sqrt"),
    "floor": _rounded("floor"),
    "ceil": _rounded("ceil"),
    "round": _rounded("roundeven"),
    "trunc": _rounded("trunc"),
}


def math_call(code: Code, type: Type, function: str, operands: list[str]) -> str:
    """A call of the vector math library."""
    symbol = code.module.math(function, type.dtype, lanes_of(type))
    spelt = register(type)
    return code.call(spelt, symbol, ", ".join(f"{spelt} {operand}" for operand in operands))


def cast(code: Code, source: Type, x: str, dtype: DType) -> str:
    """Conversion to the dtype: see loop.cast."""
    old, target = source.dtype, with_dtype(source, dtype)
    if dtype.is_bool:
        return compare(code, source, "ne", x, constant(source, 0)) if not old.is_bool else x
    if old.is_float and dtype.is_integer:
        sign = "u" if dtype.kind == "u" else "s"
        name = f"llvm.fpto{sign}i.sat.{suffix(target)}.{suffix(source)}"
        return intrinsic(code, name, source, [x], target)
    opcode = _conversion(old, dtype)
    if opcode is None:
        return x
    return code.value(f"{opcode} {register(source)} {x} to {register(target)}")


def _conversion(old: DType, new: DType) -> str | None:
    """The instruction of a conversion to a number; None where the bits are the same."""
    if new.is_float:
        if not old.is_float:
            return "sitofp" if old.kind in "ix" else "uitofp"
        grows = "fpext" if new.itemsize > old.itemsize else "fptrunc"
        return None if new.itemsize == old.itemsize else grows
    if new.bits == old.bits:
        return None
    if new.bits < old.bits:
        return "trunc"
    return "sext" if old.kind in "ix" else "zext"


# ---------------------------------------------------------------------------------- lanes


def splat_lanes(code: Code, dtype: DType, x: str, lanes: int) -> str:
    """A vector of a scalar; of a constant, a constant."""
    if lanes == 1:
        return x
    if not x.startswith("%"):
        return splat(dtype, x)
    spelt = register(VectorType(lanes, dtype))
    one = code.value(f"insertelement {spelt} poison, {element(dtype)} {x}, i64 0")
    return code.value(f"shufflevector {spelt} {one}, {spelt} poison, {shuffle([0] * lanes)}")


def lane_reduce(code: Code, type: Type, x: str, combiner: str) -> str:
    """The lanes combined by halving: lane l with lane l + half."""
    lanes, dtype = lanes_of(type), type.dtype
    while lanes > 2:
        spelt, half = register(VectorType(lanes, dtype)), lanes // 2
        low, high = (
            code.value(f"shufflevector {spelt} {x}, {spelt} poison, {shuffle(part)}")
            for part in (range(half), range(half, lanes))
        )
        x, lanes = BINARY[combiner](code, VectorType(half, dtype), low, high), half
    spelt = register(VectorType(2, dtype))
    low, high = (code.value(f"extractelement {spelt} {x}, i64 {lane}") for lane in (0, 1))
    return BINARY[combiner](code, ScalarType(dtype), low, high)


def tail_mask(code: Code, count: str, lanes: int) -> str:
    """Lanes below ``count``, compared in integers as wide as an element of a full vector."""
    if not count.startswith("%"):
        set_lanes = max(0, min(int(count), lanes))
        bits = ["true"] * set_lanes + ["false"] * (lanes - set_lanes)
        return "<" + ", ".join(f"i1 {bit}" for bit in bits) + ">"
    width = max(8, min(64, code.module.machine.vector_bytes * 8 // lanes))
    below = code.call("i64", "llvm.smin.i64", f"i64 {count}, i64 {lanes}")
    limit = code.call("i64", "llvm.smax.i64", f"i64 {below}, i64 0")
    if width < 64:
        limit = code.value(f"trunc i64 {limit} to i{width}")
    spelt = f"<{lanes} x i{width}>"
    one = code.value(f"insertelement {spelt} poison, i{width} {limit}, i64 0")
    all_ = code.value(f"shufflevector {spelt} {one}, {spelt} poison, {shuffle([0] * lanes)}")
    return code.value(f"icmp slt {spelt} {counting(lanes, width)}, {all_}")


def all_lanes(code: Code, type: Type, x: str) -> str:
    """Whether the bool holds in every lane."""
    lanes = lanes_of(type)
    if lanes == 1:
        return x
    packed = code.value(f"bitcast {register(type)} {x} to i{lanes}")
    return code.value(f"icmp eq i{lanes} {packed}, -1")


# -------------------------------------------------------------------------------- by name


def emit_arithmetic(code: Code, op: Operation) -> bool:
    """Write the op if it is arithmetic, and bind its result; tell whether it was."""
    name = op.name.removeprefix("loop.")
    if name not in _ARITHMETIC:
        return False
    operands = veiled(code, op, [code.names[operand] for operand in op.operands])
    if name in BINARY:
        found = BINARY[name](code, op.operands[0].type, operands[0], operands[1])
    elif name in _UNARY:
        found = _UNARY[name](code, op.operands[0].type, operands[0])
    else:
        found = _SPECIAL[name](code, op, operands)
    is_outermost = name == "const" or not found.startswith("%")
    code.bind(op.result, found, 0 if is_outermost else None)
    return True


def _const(code: Code, op: Operation, operands: list[str]) -> str:
    value = op.attributes["value"]
    return code.size(value) if isinstance(value, Size) else literal(op.attributes["dtype"], value)


def _math(code: Code, op: Operation, operands: list[str]) -> str:
    return math_call(code, op.result.type, op.attributes["function"], operands)


def _fma(code: Code, op: Operation, operands: list[str]) -> str:
    spelt = register(op.result.type)
    arguments = ", ".join(f"{spelt} {operand}" for operand in operands)
    return code.call(spelt, f"llvm.fma.{suffix(op.result.type)}", arguments)


def _compare(code: Code, op: Operation, operands: list[str]) -> str:
    x, y = operands
    predicate = op.attributes["predicate"]
    if predicate == "unordered" and not op.operands[0].type.dtype.is_float:
        return constant(op.result.type, False)
    return compare(code, op.operands[0].type, predicate, x, y)


def _select(code: Code, op: Operation, operands: list[str]) -> str:
    condition, x, y = operands
    return select(code, op.result.type, condition, x, y)


def _cast(code: Code, op: Operation, operands: list[str]) -> str:
    return cast(code, op.operands[0].type, operands[0], op.attributes["dtype"])


def _bitcast(code: Code, op: Operation, operands: list[str]) -> str:
    source, target = op.operands[0].type, op.result.type
    if source.dtype.is_float == target.dtype.is_float:
        return operands[0]
    return code.value(f"bitcast {register(source)} {operands[0]} to {register(target)}")


def _splat(code: Code, op: Operation, operands: list[str]) -> str:
    return splat_lanes(code, op.result.type.dtype, operands[0], op.attributes["lanes"])


def _lane_index(code: Code, op: Operation, operands: list[str]) -> str:
    return counting(op.attributes["lanes"])


def _tail_mask(code: Code, op: Operation, operands: list[str]) -> str:
    return tail_mask(code, operands[0], op.attributes["lanes"])


def _shuffle(code: Code, op: Operation, operands: list[str]) -> str:
    spelt, (x, y) = register(op.operands[0].type), operands
    order = shuffle(op.attributes["order"])
    return code.value(f"shufflevector {spelt} {x}, {spelt} {y}, {order}")


def _lane_reduce(code: Code, op: Operation, operands: list[str]) -> str:
    return lane_reduce(code, op.operands[0].type, operands[0], op.attributes["combiner"])


_SPECIAL: Final = {
    "const": _const,
    "fma": _fma,
    "math": _math,
    "compare": _compare,
    "select": _select,
    "cast": _cast,
    "bitcast": _bitcast,
    "splat": _splat,
    "lane_index": _lane_index,
    "tail_mask": _tail_mask,
    "shuffle": _shuffle,
    "lane_reduce": _lane_reduce,
}

_ARITHMETIC: Final = frozenset((*BINARY, *_UNARY, *_SPECIAL))
