"""Dimension: the size of an axis that a call tells, as Python code sees it while it is traced.

It counts as an integer: arithmetic gives further dimensions, a shape may have it, a tensor takes it
as the number it is. What depends on its value, as a comparison, is decided where it is the same for
all sizes that ``nets.dim`` allows, and refused at the user's line where it is not.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

import numpy as np

from nets.errors import ControlFlowError, LeakedTracerError, ShapeError
from nets.frontend.tensor.scope import NO_DIMS, CallDims, current_scope, this_thread
from nets.ir.location import user_location
from nets.ir.sizes import Dim, Size, divided, expression, least
from nets.ir.types import Shape

_SCALARS: Final = (float, np.floating)
_INTEGERS: Final = (int, np.integer)


class Dimension:
    """A size such as ``batch`` or ``2*batch + 1``.

    ControlFlowError where its value is needed now, as by ``if``, ``range`` and ``int``, and the
    sizes that are allowed do not decide it.
    """

    __slots__ = ("size",)
    __array_ufunc__ = None

    def __init__(self, size: Size) -> None:
        self.size = size

    # -------------------------------------------------------------------- arithmetic

    def __add__(self, other: Any) -> Any:
        return self._with(other, operator.add)

    def __radd__(self, other: Any) -> Any:
        return self._with(other, lambda x, y: y + x)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, operator.sub)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, lambda x, y: y - x)

    def __mul__(self, other: Any) -> Any:
        return self._with(other, operator.mul)

    def __rmul__(self, other: Any) -> Any:
        return self._with(other, lambda x, y: y * x)

    def __floordiv__(self, other: Any) -> Any:
        return self._with(other, _quotient)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._with(other, lambda x, y: _quotient(y, x))

    def __mod__(self, other: Any) -> Any:
        return self._with(other, _remainder)

    def __rmod__(self, other: Any) -> Any:
        return self._with(other, lambda x, y: _remainder(y, x))

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, _INTEGERS) and 0 <= other <= 8:
            return known(math.prod([self.size] * int(other)))
        return self._number() ** other

    def __rpow__(self, other: Any) -> Any:
        return other ** self._number()

    def __truediv__(self, other: Any) -> Any:
        return self._number() / _operand(other)

    def __rtruediv__(self, other: Any) -> Any:
        return _operand(other) / self._number()

    def __neg__(self) -> Any:
        return known(-self.size)

    def __pos__(self) -> Dimension:
        return self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    def _with(self, other: Any, compute: Callable[[Any, Any], Any]) -> Any:
        """The dimension of two; with anything that is no integer, what tensors give."""
        size = size_of(other)
        if size is not None:
            return known(compute(self.size, size))
        if isinstance(other, (*_SCALARS, np.ndarray)):
            return compute(self._number(), other)
        return NotImplemented

    def _number(self) -> Any:
        """The size as a tensor, which takes on dtypes as a Python number does."""
        return import_module("nets.frontend.tensor.dispatch").as_tensor(self)

    # ------------------------------------------------------------------- comparison

    def __eq__(self, other: object) -> Any:
        size = size_of(other)
        if size is None:
            return NotImplemented
        return _decided(self.size, "==", size, _dims().equal(self.size, size))

    def __ne__(self, other: object) -> Any:
        size = size_of(other)
        if size is None:
            return NotImplemented
        same = _dims().equal(self.size, size)
        return _decided(self.size, "!=", size, None if same is None else not same)

    def __lt__(self, other: Any) -> Any:
        return self._compared("<", other, lambda x, y: (x + 1, y))

    def __le__(self, other: Any) -> Any:
        return self._compared("<=", other, lambda x, y: (x, y))

    def __gt__(self, other: Any) -> Any:
        return self._compared(">", other, lambda x, y: (y + 1, x))

    def __ge__(self, other: Any) -> Any:
        return self._compared(">=", other, lambda x, y: (y, x))

    def _compared(
        self, sign: str, other: Any, ordered: Callable[[Any, Any], tuple[Dim, Dim]]
    ) -> Any:
        size = size_of(other)
        if size is None:
            return NotImplemented
        return _decided(self.size, sign, size, _dims().at_most(*ordered(self.size, size)))

    def __hash__(self) -> int:
        return hash(self.size)

    def __bool__(self) -> bool:
        return bool(self != 0)

    # ------------------------------------------------------------- its value, and words

    def __index__(self) -> int:
        low, high = _dims().bounds(self.size)
        return low if low == high else self._refuse("an integer")

    def __int__(self) -> int:
        low, high = _dims().bounds(self.size)
        return low if low == high else self._refuse("int()")

    def __float__(self) -> float:
        low, high = _dims().bounds(self.size)
        return float(low) if low == high else self._refuse("float()")

    def _refuse(self, what: str) -> NoReturn:
        raise ControlFlowError(
            f"{what} is needed now, and the size {self} is known only when the compiled function "
            "runs. Tensors take it as it is (x / n, nets.arange(n), x.reshape(n, 3)); loops over "
            "it are nets.scan, nets.map and nets.fori_loop, functions of it those of nets "
            "(nets.sqrt(n))",
            user_location(),
        )

    def __str__(self) -> str:
        return expression(self.size)

    __repr__ = __str__

    def __format__(self, form: str) -> str:
        return format(str(self), form)

    def __reduce__(self) -> NoReturn:
        self._refuse("pickling")

    def __copy__(self) -> Dimension:
        return self

    def __deepcopy__(self, memo: object) -> Dimension:
        return self


numbers.Integral.register(Dimension)


def known(size: Dim | Dimension) -> Any:
    """A size as Python code sees it: a number where it is one."""
    return Dimension(size) if isinstance(size, Size) else size


def seen(shape: Shape) -> tuple[int, ...]:
    """A shape as Python code sees it."""
    found: Any = shape
    if this_thread.innermost is not None and is_open(shape):
        found = tuple(map(known, shape))
    return found  # type: ignore[no-any-return]


def size_of(x: object) -> Dim | None:
    """A dimension or an integer as IR has it; None for other things."""
    if isinstance(x, Dimension):
        return x.size
    if isinstance(x, Size):
        return x
    return int(x) if isinstance(x, _INTEGERS) else None


def plain(x: Any) -> Any:
    """An attribute of an operation, as IR has it."""
    if isinstance(x, tuple):
        return tuple(map(plain, x))
    return x.size if isinstance(x, Dimension) else x


def is_open(shape: Sequence[object]) -> bool:
    """Has a shape sizes that only a call tells?"""
    return any(isinstance(n, Dimension | Size) for n in shape)


def has_open_sizes() -> bool:
    """Is this a trace in which a call tells sizes?"""
    scope = this_thread.innermost
    return scope is not None and scope.dims is not NO_DIMS


def _dims() -> CallDims:
    """What the trace knows of sizes. LeakedTracerError outside of it."""
    scope = current_scope()
    if scope is None:
        raise LeakedTracerError(
            "the size of an axis of a traced tensor was used after its trace had ended (or in "
            "another thread). Return x.shape[0] * nets.ones((), int) to know it outside",
            user_location(),
        )
    return scope.dims


def _decided(first: Dim, sign: str, second: Dim, held: bool | None) -> bool:
    if held is not None:
        return held
    dims = _dims()
    names = sorted({*_names(first), *_names(second)})
    ranges = ", ".join(f"{name} may be {dims.described(name)}" for name in names)
    raise ControlFlowError(
        f"whether {expression(first)} {sign} {expression(second)} is known only when the compiled "
        f"function runs: {ranges}. Let nets.dim allow only sizes that decide it, or choose between "
        "results by nets.where or nets.cond: nets.where(nets.asarray(n) > 3, x, y)",
        user_location(),
    )


def _names(size: Dim) -> list[str]:
    return size.names if isinstance(size, Size) else []


def _quotient(x: Any, y: Any) -> Any:
    if isinstance(x, int | Size) and isinstance(y, int | Size):
        if y == 0:
            raise ZeroDivisionError("integer division or modulo by zero")
        if isinstance(y, int):
            return x // y
        exact = divided(x, y)
        if exact is None:
            raise ControlFlowError(
                f"{expression(x)} // {expression(y)} is no size: only a number may divide one that "
                "it does not divide evenly. As a number of a tensor it is nets.asarray(x) // y",
                user_location(),
            )
        return exact
    return x // y


def _remainder(x: Any, y: Any) -> Any:
    if isinstance(x, int | Size) and isinstance(y, int | Size):
        return x - _quotient(x, y) * y
    return x % y


def _operand(x: Any) -> Any:
    return x._number() if isinstance(x, Dimension) else x


# ----------------------------------------------------- what must hold of the sizes of a call


def same_size(first: object, second: object, what: str) -> bool:
    """Are two sizes equal? Where only a call tells, it will be checked there: ``what`` says in a
    message what needs it."""
    a, b = size_of(first), size_of(second)
    assert a is not None
    assert b is not None
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    return a == b or _dims().same(a, b, what)


def same_shape(first: Sequence[object], second: Sequence[object], what: str) -> bool:
    """Are two shapes equal, as far as is known now? The rest is checked at a call."""
    if len(first) != len(second):
        return False
    return all(same_size(a, b, what) for a, b in zip(first, second, strict=True))


def must_divide(size: object, number: int, what: str) -> bool:
    """Can a size be divided evenly? Where only a call tells, it will be checked there."""
    whole = size_of(size)
    assert whole is not None
    if isinstance(whole, int):
        return whole % number == 0
    return _dims().divides(number, whole, what)


def not_negative(size: object, what: str) -> bool:
    """Is a size at least 0? Where only a call tells, it will be checked there."""
    given = size_of(size)
    assert given is not None
    return given >= 0 if isinstance(given, int) else _dims().natural(given, what)


def is_negative(size: Any) -> bool | None:
    """Whether a size is negative, None where it may be and may not."""
    return _dims().at_most(plain(size) + 1, 0)


def size_bounds(size: Any) -> tuple[int, int]:
    """The least and the largest number that a size can be."""
    return _dims().bounds(size.size) if isinstance(size, Dimension) else (size, size)


def smaller(first: Any, second: Any) -> Any:
    """The smaller of two sizes."""
    a, b = plain(first), plain(second)
    dims = _dims()
    if dims.at_most(a, b):
        return first
    return second if dims.at_most(b, a) else known(least(a, b))


def at_least_zero(size: Any) -> Any:
    """The size, or 0 where it would be negative."""
    return known(-1 * plain(smaller(-size, 0)))


def refuse_open(shape: Sequence[object], what: str, advice: str) -> None:
    """ShapeError where something needs sizes now that only a call tells."""
    if is_open(shape):
        listed = ", ".join(map(str, shape))
        raise ShapeError(
            f"{what} needs sizes that are known when it is traced, not ({listed}); {advice}",
            user_location(),
        )
