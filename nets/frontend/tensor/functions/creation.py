"""New tensors: filled, counted, identities, triangles, one-hot rows.

``x`` is a tensor, or what makes one: an array, a list, a number. ``dtype`` is that of the result.
"""

from __future__ import annotations

import builtins
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nets.errors import (
    ControlFlowError,
    DTypeError,
    GradientError,
    NumberError,
    ShapeError,
)
from nets.frontend.tensor.conversion import Scalar, dtype_of, integer_of
from nets.frontend.tensor.dimension import at_least_zero, is_open
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_float,
    as_tensor,
    broadcast,
    cast,
    constant,
    dtype_of_all,
    expand,
    fitted,
    promote,
    renewed,
    require_dtype,
)
from nets.frontend.tensor.functions.arithmetic import add, divide, multiply, subtract, where
from nets.frontend.tensor.functions.comparison import equal, greater_equal, less_equal
from nets.frontend.tensor.functions.indexing import check_positions
from nets.frontend.tensor.functions.mathematics import floor
from nets.frontend.tensor.functions.shape import expand_dims, moveaxis, new_shape, reshape
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array, is_grad_enabled
from nets.frontend.tensor.words.devices import on_cpu
from nets.ir.location import user_location
from nets.ir.types import DType, f64, i64

DTypeSpec = npt.DTypeLike | DType | None

_NO_DIAGONAL: Final = 1 << 62


def full(
    shape: Any,
    fill_value: TensorLike,
    dtype: DTypeSpec = None,
    requires_grad: bool = False,
    *,
    device: str | None = None,
) -> Tensor:
    """A tensor filled with one value, in the value's dtype by default. ``device`` is "cpu".

    It has the ``shape`` and is filled with ``fill_value``; ``requires_grad`` makes it a leaf with a
    gradient.
    """
    on_cpu(device)
    sizes = new_shape(shape)
    value = as_tensor(fill_value) if dtype is None else fitted(fill_value, dtype_of(dtype))
    strong = Tensor._of(renewed(value)._value)  # no Python number any more
    return _leaf(expand(strong, sizes), requires_grad)


def _leaf(x: Tensor, requires_grad: bool) -> Tensor:
    """A new tensor with the elements of x in memory of its own, where a gradient is wanted."""
    return Tensor(x, requires_grad=True) if requires_grad else x


def zeros(
    shape: Any, dtype: DTypeSpec = None, requires_grad: bool = False, *, device: str | None = None
) -> Tensor:
    """A tensor of zeros, float64 by default. ``device`` is "cpu".

    It has the ``shape`` and ``dtype``; ``requires_grad`` makes it a leaf with a gradient.
    """
    return full(shape, 0, f64 if dtype is None else dtype, requires_grad, device=device)


def ones(
    shape: Any, dtype: DTypeSpec = None, requires_grad: bool = False, *, device: str | None = None
) -> Tensor:
    """A tensor of ones, float64 by default. ``device`` is "cpu".

    It has the ``shape`` and ``dtype``; ``requires_grad`` makes it a leaf with a gradient.
    """
    return full(shape, 1, f64 if dtype is None else dtype, requires_grad, device=device)


def full_like(
    x: TensorLike,
    fill_value: TensorLike,
    dtype: DTypeSpec = None,
    *,
    shape: Any = None,
    device: str | None = None,
) -> Tensor:
    """A tensor of the shape and dtype of x, or others, filled with one value.

    The value is ``fill_value``; ``device`` is "cpu".
    """
    tensor = as_tensor(x)
    sizes = tensor.shape if shape is None else shape
    return full(sizes, fill_value, tensor.type.dtype if dtype is None else dtype, device=device)


def zeros_like(
    x: TensorLike, dtype: DTypeSpec = None, *, shape: Any = None, device: str | None = None
) -> Tensor:
    """Zeros of the shape and dtype of x, or others.

    ``device`` is "cpu".
    """
    return full_like(x, 0, dtype, shape=shape, device=device)


def ones_like(
    x: TensorLike, dtype: DTypeSpec = None, *, shape: Any = None, device: str | None = None
) -> Tensor:
    """Ones of the shape and dtype of x, or others.

    ``device`` is "cpu".
    """
    return full_like(x, 1, dtype, shape=shape, device=device)


def _counted(shape: tuple[int, ...], axis: int) -> Tensor:
    return apply("iota", shape=shape, dtype=i64, axis=axis)


def eye(
    rows: int,
    columns: int | None = None,
    k: int = 0,
    dtype: DTypeSpec = None,
    requires_grad: bool = False,
    *,
    device: str | None = None,
) -> Tensor:
    """A matrix with ones on the k-th diagonal and zeros elsewhere, float64 by default.

    ``device`` is "cpu". ``rows`` and ``columns`` are its sizes, ``dtype`` is another dtype;
    ``requires_grad`` makes it a leaf with a gradient.
    """
    on_cpu(device)
    shape = new_shape((rows, rows if columns is None else columns))
    ones = equal(_counted(shape, 1), add(_counted(shape, 0), _diagonal(k)))
    return _leaf(cast(ones, f64 if dtype is None else dtype_of(dtype)), requires_grad)


def _diagonal(k: object) -> int:
    """The number of a diagonal, where it matters: no matrix has as many."""
    return builtins.max(builtins.min(integer_of(k, "a diagonal"), _NO_DIAGONAL), -_NO_DIAGONAL)


def arange(
    start: Scalar | Tensor,
    stop: Scalar | Tensor | None = None,
    step: Scalar | Tensor = 1,
    dtype: DTypeSpec = None,
    requires_grad: bool = False,
    *,
    device: str | None = None,
) -> Tensor:
    """start, start + step, … below stop; with one argument, from 0 below it. ``device`` is "cpu".

    As NumPy, a given ``dtype`` converts the first number and the step from it to the second: with
    bounds that are no integers, integers may then come out unevenly or all the same. NumberError
    for a bound that does not fit it. ``requires_grad`` makes the result a leaf with a gradient.
    """
    on_cpu(device)
    given = (0, start, step) if stop is None else (start, stop, step)
    if is_open(given):
        return _open_count(*given, dtype)
    bounds = tuple(_number("arange", x) for x in given)
    if bounds[2] == 0:
        raise DTypeError("arange takes a step that is not zero", user_location())
    array = _arranged(bounds, None if dtype is None else dtype_of(dtype))
    if current_scope() is not None and _is_count(array, bounds):
        # A count takes no memory in the compiled program, a constant does.
        counted = add(multiply(_counted(array.shape, 0), int(bounds[2])), int(bounds[0]))
        return _leaf(cast(counted, dtype_of(array.dtype)), requires_grad)
    return _leaf(constant(array), requires_grad)


def _open_count(start: Any, stop: Any, step: Any, dtype: DTypeSpec) -> Tensor:
    """The integers of arange, whose number only a call tells."""
    if not isinstance(step, int) or step == 0:
        raise DTypeError(
            f"arange to a size that a call tells has a step that is a number, not {step}",
            user_location(),
        )
    first = [start, stop] if step > 0 else [stop, start]
    apart = at_least_zero(first[1] - first[0])
    counted = _counted(((apart + (abs(step) - 1)) // abs(step),), 0)
    numbers = add(multiply(counted, step), start)
    return cast(numbers, i64 if dtype is None else dtype_of(dtype))


def _arranged(bounds: tuple[Any, ...], dtype: DType | None) -> Array:
    try:
        return np.arange(*bounds, dtype=None if dtype is None else dtype.numpy)
    except OverflowError as error:
        if "out of bounds" not in str(error):
            raise ShapeError(f"arange{bounds}: {error}", user_location()) from None
        raise NumberError(f"arange{bounds}: {error}", user_location()) from None
    except (ValueError, TypeError) as error:
        raise ShapeError(f"arange{bounds}: {error}", user_location()) from None


def _is_count(array: Array, bounds: tuple[Any, ...]) -> bool:
    """Whether these are numbers counted in int64 and then converted."""
    if not all(isinstance(bound, int | np.integer) for bound in bounds):
        return False
    counted = np.arange(*bounds)
    return counted.dtype == np.int64 and np.array_equal(array, counted.astype(array.dtype))


def _number(name: str, x: Scalar | Tensor) -> Any:
    """A bound as a number; DTypeError where it is none, GradientError where it has a gradient."""
    if isinstance(x, Tensor) and x.requires_grad and is_grad_enabled():
        raise GradientError(
            f"{name} takes numbers and passes no gradient on: give it tensor.detach(), or "
            "multiply a nets.linspace(0, 1, num) by the tensor",
            user_location(),
        )
    number = x.item() if isinstance(x, Tensor) else x
    if not isinstance(number, (int, float, np.number)):
        raise DTypeError(f"{name} takes numbers, not {number!r}", user_location())
    return number


def linspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    dtype: DTypeSpec = None,
    requires_grad: bool = False,
    *,
    axis: int = 0,
    retstep: bool = False,
    device: str | None = None,
) -> Any:
    """``num`` evenly spaced numbers from start to stop, which may be left out (``endpoint``).

    Tensors as bounds broadcast; the numbers then lie along a new ``axis``. For an integer ``dtype``
    they are rounded down, and where they do not fit it, moved to its end. ``retstep`` gives the
    distance between two of them as well. ``device`` is "cpu". ``requires_grad`` makes the result a
    leaf with a gradient.
    """
    on_cpu(device)
    (count,) = new_shape(integer_of(num, "the number of points"))
    parts = count - 1 if endpoint else count
    if all(_is_number(bound) for bound in (start, stop)):
        result = _spaced_numbers(start, stop, count, endpoint)
    else:
        result = _spaced(start, stop, count, parts if endpoint else None, axis)
    wanted = _spaced_dtype(start, stop) if dtype is None else dtype_of(dtype)
    result = _leaf(cast(floor(result) if wanted.is_integer else result, wanted), requires_grad)
    if retstep is False:
        return result
    return result, divide(subtract(stop, start), parts) if parts > 0 else full((), math.nan)


def _is_number(x: TensorLike) -> bool:
    """Is it a number that is known now, and has no gradient?"""
    if not isinstance(x, Tensor):
        return isinstance(x, (int, float, np.number))
    is_known = current_scope() is None and not (x.requires_grad and is_grad_enabled())
    return is_known and not x.ndim


def _spaced_dtype(start: TensorLike, stop: TensorLike) -> DType:
    return as_float(constant(np.zeros((), dtype_of_all(promote(start, stop)).numpy))).type.dtype


def _spaced_numbers(start: Any, stop: Any, count: int, endpoint: bool) -> Tensor:
    bounds = _number("linspace", start), _number("linspace", stop)
    with np.errstate(invalid="ignore"):  # from or to infinity
        return constant(np.linspace(*bounds, count, endpoint=endpoint))


def _spaced(start: TensorLike, stop: TensorLike, count: int, last: int | None, axis: int) -> Tensor:
    """The numbers between tensors; the one at ``last`` is stop, to the bit."""
    low, high = (expand_dims(x, 0) for x in broadcast(*promote(start, stop, floating=True)))
    parts = count if last is None else last
    place = reshape(_counted((count,), 0), (count, *(1,) * (low.ndim - 1)))
    steps = cast(place, low.type.dtype)
    result = add(multiply(steps, divide(subtract(high, low), builtins.max(parts, 1))), low)
    if last:
        result = where(equal(place, last), high, result)
    return moveaxis(result, 0, axis)


def triu(x: TensorLike, k: int = 0) -> Tensor:
    """The last two axes' upper triangle, from the k-th diagonal up; zeros below."""
    return _triangle("triu", x, k)


def tril(x: TensorLike, k: int = 0) -> Tensor:
    """The last two axes' lower triangle, from the k-th diagonal down; zeros above."""
    return _triangle("tril", x, k)


def _triangle(name: str, x: TensorLike, k: int) -> Tensor:
    tensor = as_tensor(x)
    shape = tensor.shape[-2:]
    if len(shape) < 2:
        raise ShapeError(f"{name} takes at least two axes, not {tensor.type}", user_location())
    column, diagonal = _counted(shape, 1), add(_counted(shape, 0), _diagonal(k))
    kept = (greater_equal if name == "triu" else less_equal)(column, diagonal)
    return where(kept, tensor, zeros_like(tensor))


def one_hot(x: TensorLike, num_classes: int = -1, dtype: DTypeSpec = None) -> Tensor:
    """A last axis of ``num_classes`` with 1 at the position x gives and 0 elsewhere.

    int64 by default; −1 takes the largest element plus one, which a trace does not know
    (ControlFlowError). IndexOutOfBoundsError for elements that are no position, as
    ``check_positions`` gives it.
    """
    tensor = as_tensor(x)
    require_dtype(tensor, "iu", "one_hot takes integers")
    count: Any = num_classes
    if not is_open((count,)):
        count = integer_of(count, "the number of classes")
    if isinstance(count, int) and count == -1:
        count = _one_more_than_largest(tensor)
    (count,) = new_shape(count)
    tensor = check_positions(tensor, count, "a class of one_hot")
    positions = expand(expand_dims(cast(tensor, i64), -1), (*tensor.shape, count))
    hit = equal(positions, _counted(positions.shape, tensor.ndim))
    return cast(hit, i64 if dtype is None else dtype_of(dtype))


def _one_more_than_largest(x: Tensor) -> int:
    if current_scope() is not None:
        raise ControlFlowError(
            f"one_hot: the largest element of a traced {x.type} is known only when the "
            "function runs; pass the number of classes: nets.one_hot(x, 10)",
            user_location(),
        )
    return max(int(x.data.max()) + 1, 0) if x.size else 0
