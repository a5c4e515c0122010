"""What things cost on a machine: the one table that passes and backend decide by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nets.ir.core import Operation, Value
from nets.ir.types import DType, ScalarType, Type, VectorType, index
from nets.machine.machine import Machine

# ------------------------------------------------------------------------- threads

EXCHANGE: Final = 6
"""How many times the price of a fork a kernel must take that is not alone with its operands: they
come from the CPUs that wrote them, and its result goes to those that read it."""

# ------------------------------------------------------------------------- operations

PLAIN: Final = 0.5
"""Cycles of an instruction on a register: two of them start in each."""

LOAD: Final = 0.5
STORE: Final = 1.0
"""Cycles of a register that comes from the L1 cache, or goes there."""

FAR: Final = 2
"""How many times as much these are where the L2 cache takes part, as it does in all that is worth
several threads."""

_BY_CONSTANT: Final = "divide by a constant"
_MULTIPLIED: Final = 2.0
"""Cycles of an integer that is divided by a constant: LLVM multiplies and shifts."""

_FREE: Final = frozenset(
    {"const", "yield", "view", "slice", "return", "alloc", "scratch", "global"}
)
"""Operations of the loop dialect that take no time, or hardly any."""

_FUNCTIONS: Final[Mapping[str, tuple[float, float]]] = {
    "exp": (9, 13),
    "expm1": (14, 17),
    "sigmoid": (12, 17),
    "tanh": (15, 23),
    "erf": (15, 44),
    "log": (11, 20),
    "log1p": (18, 26),
    "sin": (14, 19),
    "cos": (13, 19),
    "rsqrt": (8, 13),
    "fmod": (13, 14),
    "pow": (87, 100),
    "exp2": (9, 14),
    "log2": (11, 19),
    "log10": (12, 20),
    "tan": (20, 36),
    "arcsin": (13, 24),
    "arccos": (13, 24),
    "arctan": (12, 20),
    "arctan2": (16, 30),
    "sinh": (14, 26),
    "cosh": (14, 26),
    "arcsinh": (25, 42),
    "arccosh": (25, 42),
    "arctanh": (16, 33),
    "cbrt": (16, 26),
    "hypot": (13, 22),
    "gcd": (400, 300),
    "erfc": (160, 160),
    "erfcx": (160, 160),
    "erfinv": (160, 160),
    "ndtr": (180, 180),
    "log_ndtr": (260, 260),
    "ndtri": (250, 250),
    "gamma": (170, 170),
    "gammaln": (120, 120),
    "digamma": (160, 160),
    **dict.fromkeys(("zeta", "zeta_by_s"), (1300, 1300)),
    **dict.fromkeys(("gammainc", "gammaincc", "gammainc_by_a"), (3000, 3000)),
    **dict.fromkeys(("betainc", "betainc_by_a", "betainc_by_b"), (4000, 4000)),
    "beta": (1100, 1100),
    "betaln": (900, 900),
    "i0": (120, 120),
    "i0e": (100, 100),
    "i1": (120, 120),
    "i1e": (100, 100),
    "logaddexp": (40, 40),
    "logaddexp2": (42, 42),
}
"""Cycles of a function of the math library on a vector of float32, and of float64.

Measured on Zen 3, on numbers around 1; from exp2 on, in proportion on Zen 4. They are counts of
instructions first of all, and vectors of AVX-512 take about as many cycles as those of AVX2.
"""


def cycles(machine: Machine, word: str, dtype: DType, lanes: int = 1) -> float:
    """Cycles of an operation on so many lanes: a whole vector of them takes as long as one.

    ``word`` is a function of the math library, or an operation of the loop dialect without the name
    of that.
    """
    if word in _FREE:
        return 0
    if word in ("div", "rem") and not dtype.is_float:
        return machine.integer_division * lanes  # there is none of vectors
    if word == _BY_CONSTANT:
        return _MULTIPLIED * lanes
    registers = -(-lanes * dtype.itemsize // max(machine.vector_bytes, dtype.itemsize))
    return registers * _of_a_register(machine, word, is_long=dtype.itemsize == 8)


def _of_a_register(machine: Machine, word: str, is_long: bool) -> float:
    if word in _FUNCTIONS:
        return _FUNCTIONS[word][is_long]
    match word:
        case "rem":
            return _FUNCTIONS["fmod"][is_long]
        case "div":
            return machine.division[is_long]
        case "sqrt":
            return machine.root[is_long]
        case "store" | "masked_store":
            return STORE
        case "load" | "masked_load":
            return LOAD
        case _:
            return PLAIN


def word_of(op: Operation) -> str:
    """What an operation of the loop dialect is called in the table."""
    if op.name == "loop.math":
        return str(op.attributes["function"])
    if op.name in ("loop.div", "loop.rem") and _is_integer_constant(op.operands[1]):
        return _BY_CONSTANT
    return op.name.removeprefix("loop.")


def _is_integer_constant(value: Value) -> bool:
    op = value.operation
    if op is not None and op.name == "loop.splat":
        op = op.operands[0].operation
    return op is not None and op.name == "loop.const" and not op.attributes["dtype"].is_float


def cycles_of(machine: Machine, op: Operation, lanes: int | None = None) -> float:
    """Cycles of an operation of the loop dialect, without what stands in its regions.

    With ``lanes``, of the vectors that are to come in the place of the operation's numbers.
    """
    type = next((x.type for x in (*op.results, *op.operands) if _is_register(x.type)), _NUMBER)
    if lanes is None:
        lanes = type.lanes if isinstance(type, VectorType) else 1
    return cycles(machine, word_of(op), type.dtype, lanes)


_NUMBER: Final[Type] = ScalarType(index)


def _is_register(type: Type) -> bool:
    return isinstance(type, ScalarType | VectorType)


def far_cycles_of(machine: Machine, op: Operation) -> float:
    """The same where memory is further away than the L1 cache."""
    is_access = word_of(op) in ("load", "masked_load", "store", "masked_store")
    return cycles_of(machine, op) * (FAR if is_access else 1)


def kernel_cycles(machine: Machine, flops: int, dtype: DType) -> float:
    """Cycles of a kernel that makes so many multiplications and additions."""
    return flops / (2 * _lanes(machine, dtype) * machine.fmas_per_cycle)


def tensor_cycles(machine: Machine, op: Operation, dtype: DType) -> float:
    """Cycles of a vector of elements of an operation on tensors, which have that dtype."""
    word = _WORDS_OF_TENSORS.get(op.name, op.name)
    return cycles(machine, word, dtype, _lanes(machine, dtype))


_WORDS_OF_TENSORS: Final = {
    "divide": "div",
    "floor_divide": "rem",
    "remainder": "rem",
    "power": "pow",
}


def copy_work(machine: Machine, dtype: DType) -> float:
    """Cycles of an element that is loaded and stored."""
    return FAR * (LOAD + STORE) / _lanes(machine, dtype)


def _lanes(machine: Machine, dtype: DType) -> int:
    return max(1, machine.lanes(dtype))


# ------------------------------------------------------------------------- tiles of kernels

B_LOAD: Final = 0.1
B_LOAD_OF_NARROW_TILES: Final = 0.2
"""What a vector of B costs a matrix product beyond its turn, in cycles: it comes from the L2 cache,
for narrow tiles more often."""

GEMM_TILE: Final = 0.35
"""What a tile of a matrix product costs beyond its arithmetic, in cycles per step: calls, and C in
and out."""

CONV_TILE: Final = 0.25
"""What a tile of a convolution costs beyond its arithmetic, in cycles per step."""

CONV_VECTOR: Final = 0.1
"""What each vector of a tile adds to that: most loads of vectors cross cache lines."""


def tile_cycles(machine: Machine, rows: int, vectors: int) -> float:
    """Cycles of a step of k for a tile of so many rows and vectors of sums: its multiply-additions,
    or its loads, or the latency of a sum."""
    return max(
        rows * vectors / machine.fmas_per_cycle,
        (rows + vectors) / machine.loads_per_cycle,
        machine.fma_latency,
    )
