"""Where every operation on tensors goes through: staged into a trace, or evaluated at once.

``apply`` is the one door. The rest of this room makes operands ready for it: promotion of dtypes
(NumPy's, with Python numbers weak) and broadcasting of shapes become explicit operations here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import Any, TypeVar
from typing import cast as typed

import numpy as np
import numpy.typing as npt

from nets.errors import DTypeError, NetsError, NumberError, ShapeError
from nets.frontend.tensor.conversion import Scalar, array_of, is_scalar, scalar_array
from nets.frontend.tensor.dimension import Dimension, has_open_sizes, plain, same_size
from nets.frontend.tensor.native_ops import evaluate
from nets.frontend.tensor.operators import Operators
from nets.frontend.tensor.scope import current_scope, leaked
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import (
    Array,
    Recorded,
    Variable,
    carries_gradient,
    is_grad_enabled,
    variable,
)
from nets.ir.core import Block, Trait
from nets.ir.location import user_location
from nets.ir.sizes import Dim, Size, expression
from nets.ir.types import DType, Shape, TensorType, Type, f64, from_numpy, i64, u64
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import OpDef, lookup

TensorLike = npt.ArrayLike | Operators | Dimension
"""A Tensor, a NumPy array, nested lists of numbers, or a number."""

Function = TypeVar("Function", bound=Callable[..., Tensor])


def apply(name: str, *operands: Tensor, **attributes: object) -> Tensor:
    """The op ``name`` on these tensors, whose types its rule must accept as they are.

    Inside a trace the operation is staged. Outside it is evaluated, by its NumPy reference or
    with the same bits (``native_ops``), and recorded where an operand requires a gradient. A type
    error names the user's line.
    """
    weak = bool(operands) and all(x._weak for x in operands)
    scope = current_scope()
    if scope is not None:
        values = [scope.lift(x) for x in operands]
        scope.emitter.builder.location = user_location()
        if has_open_sizes():
            attributes = {key: plain(x) for key, x in attributes.items()}
        value = scope.emitter.emit(name, *values, **attributes)
        if not is_grad_enabled() and tensor_type(value).dtype.is_float:
            value = scope.emitter.emit("stop_gradient", value)
        return Tensor._of(value, weak and not tensor_type(value).shape)
    result = _evaluate(name, [_eager(x) for x in operands], attributes)
    return Tensor._of(result, weak and not result.data.ndim)


def _eager(x: Tensor) -> Variable:
    if not isinstance(x._value, Variable):
        raise leaked(x)
    return x._value


def _evaluate(name: str, operands: list[Variable], attributes: dict[str, object]) -> Variable:
    definition = lookup(name)
    try:
        type = _result_type(definition, operands, attributes)
        (data,) = evaluate(definition, operands, attributes)
    except NetsError as error:
        error.location = error.location or user_location()
        raise
    if not carries_gradient(operands, type, definition):
        return Variable(data, type)
    made_by = Recorded(definition, operands, attributes, user_location())
    return Variable(data, type, True, made_by)


def renewed(x: Tensor) -> Tensor:
    """Another Tensor of the elements of x, as an operation would give that has nothing to do.

    What changes either in place does not change the other. The elements are not copied.
    """
    scope = current_scope()
    if scope is not None:
        # A tensor from outside must be captured itself, not another one of its value.
        value = scope.lift(x)
        if not is_grad_enabled() and tensor_type(value).dtype.is_float:
            scope.emitter.builder.location = user_location()
            value = scope.emitter.emit("stop_gradient", value)
        return Tensor._of(value, x._weak)
    own, identity = _eager(x), lookup("reshape")
    if not carries_gradient((own,), own.type, identity):
        return Tensor._of(Variable(own.data, own.type), x._weak)
    made_by = Recorded(identity, (own,), {"shape": own.data.shape}, user_location())
    return Tensor._of(Variable(own.data, own.type, True, made_by), x._weak)


def renewing(function: Function) -> Function:
    """The function of x, which then gives another Tensor where it finds nothing to do."""

    @wraps(function)
    def renews(x: TensorLike, *arguments: object, **options: object) -> Tensor:
        result = function(x, *arguments, **options)
        return renewed(result) if result is x else result

    # Where pickle finds it.
    renews.__module__ = "nets.frontend.tensor.functions"
    renews.__name__ = renews.__qualname__ = function.__name__.rstrip("_")
    return typed(Function, renews)


_known_types: dict[object, Type] = {}
"""Results of type rules by op, operand shapes and dtypes, and attributes: eager programs ask the
same few questions over and over."""


def _result_type(
    definition: OpDef, operands: list[Variable], attributes: dict[str, object]
) -> Type:
    key = (
        definition.name,
        *((x.data.shape, x.data.dtype) for x in operands),
        *attributes.items(),
    )
    found = _known_types.get(key)
    if found is None:
        (found,) = definition.infer(operands, attributes)
        if len(_known_types) > 4096:
            _known_types.clear()
        _known_types[key] = found
    return found


# ------------------------------------------------------------------------------ operands


def constant(array: Array, weak: bool = False) -> Tensor:
    """A tensor of an array that nobody else writes to; inside a trace, a constant of it."""
    scope = current_scope()
    if scope is None:
        return Tensor._of(variable(array), weak)
    scope.emitter.builder.location = user_location()
    return Tensor._of(scope.emitter.emit("constant", value=array), weak)


def as_tensor(x: TensorLike) -> Tensor:
    """``x`` itself if it is a Tensor, else a new constant; a Python number makes a weak one.

    Inside a trace a NumPy array that the function reaches is read at each call.
    """
    if isinstance(x, Tensor):
        return x
    if isinstance(x, Dimension):
        return _counted(x)
    if isinstance(x, np.ndarray):
        scope = current_scope()
        source = None if scope is None else scope.source(x)
        if scope is not None and source is not None:
            return Tensor._of(scope.lift(source))
    return constant(array_of(x), weak=is_scalar(x))


def _counted(n: Dimension) -> Tensor:
    """A size that a call tells as a Python number."""
    scope = current_scope()
    if scope is None:
        n.__bool__()  # raises: the trace has ended
    assert scope is not None
    scope.emitter.builder.location = user_location()
    value = scope.emitter.emit("size_of", size=n.size, dtype=i64)
    scope.bounds[value] = scope.dims.bounds(n.size)
    return Tensor._of(value, weak=True)


def cast(x: Tensor, dtype: DType) -> Tensor:
    """``x`` in that dtype, itself if it has it already."""
    return x if x._value.type.dtype == dtype else apply("cast", x, dtype=dtype)


def fitted(x: TensorLike, dtype: DType) -> Tensor:
    """``x`` in the dtype it takes on; a Python number must fit it.

    NumberError where it does not: at once, or from compiled code when it runs.
    """
    if is_scalar(x):
        return constant(scalar_array(x, dtype), weak=True)
    x = as_tensor(x)
    own = x._value.type.dtype
    if not x._weak or own == dtype:
        return cast(x, dtype)
    if own.is_integer and dtype.is_float:
        return cast(cast(x, f64), dtype)  # as Python does: to a double first
    if dtype.kind not in "iu" or own.is_bool:
        return cast(x, dtype)
    number = known_number(x)
    return _narrowed(x, dtype) if number is None else constant(scalar_array(number, dtype), True)


def _narrowed(x: Tensor, dtype: DType) -> Tensor:
    """A traced Python number as an integer of that dtype, with a check unless it is sure to fit."""
    own, (least, largest) = x._value.type.dtype, limits_of(dtype)
    if own.is_float:
        whole, tests = apply("trunc", x), [("greater_equal", least), ("less", largest + 1)]
    else:
        low, high = known_bounds(x)
        whole, tests = x, [("greater_equal", least)] * (low < least)
        tests += [("less_equal", largest)] * (high > largest)
    result = cast(x, dtype)
    if not tests:
        note_bounds(result, (low, high))
    for test, limit in tests:
        fits = apply(test, whole, constant(scalar_array(limit, own), weak=True))
        result = require(result, fits, NumberError, f"{described(x)} does not fit {dtype.numpy}")
    return result


def require(x: Tensor, condition: Tensor, error: type[NetsError], message: str) -> Tensor:
    """``x`` where the condition holds, else the error: at once, or from compiled code."""
    return apply("require", x, condition, error=error.__name__, message=message)


def known_elements(x: Tensor) -> Array | None:
    """The elements of a tensor outside of traces; None inside of one."""
    return None if current_scope() is not None else _eager(x).data


def described(x: Tensor) -> str:
    """What errors call a traced Python number: the name of an argument, where it is one."""
    value = x._value
    while value.operation is not None and value.operation.name == "cast":
        (value,) = value.operation.operands
    name = value.hint if isinstance(value.owner, Block) else ""
    return f"the Python number {name!r}" if name else "a Python number"


def known_number(x: Tensor) -> Scalar | None:
    """The value of a Python number that is known by now; None for one that is an argument."""
    if current_scope() is None:
        return _eager(x).data.item()  # type: ignore[no-any-return]
    op = x._value.operation if x.is_traced else None
    return op.attributes["value"].item() if op is not None and op.has(Trait.CONSTANT) else None


Bounds = tuple[int, int]
"""The least and the largest value an integer can have."""


def known_bounds(x: Tensor) -> Bounds:
    """Between which values a traced integer, a Python number, is sure to lie."""
    number = known_number(x)
    if number is not None:
        return int(number), int(number)
    scope = current_scope()
    while scope is not None:
        if x._value in scope.bounds:
            return scope.bounds[x._value]
        scope = scope.outer
    dtype = x._value.type.dtype
    return (0, 1) if dtype.is_bool else limits_of(dtype)


def confined(x: Tensor, limits: tuple[float, float]) -> Tensor:
    """A traced integer, a Python number, moved between these limits."""
    dtype, bounds, result = x._value.type.dtype, known_bounds(x), x
    if bounds[0] < limits[0]:
        result = apply("maximum", result, constant(scalar_array(limits[0], dtype), weak=True))
    if bounds[1] > limits[1]:
        result = apply("minimum", result, constant(scalar_array(limits[1], dtype), weak=True))
    low, high = (min(max(bound, limits[0]), limits[1]) for bound in bounds)
    note_bounds(result, (int(low), int(high)))
    return result


@lru_cache
def limits_of(dtype: DType) -> Bounds:
    """The least and the largest number of an integer dtype."""
    limits = np.iinfo(str(dtype.numpy))
    return int(limits.min), int(limits.max)


def note_bounds(x: Tensor, bounds: Bounds) -> None:
    """Remember where a traced Python number is sure to lie."""
    scope = current_scope()
    assert scope is not None
    scope.bounds[x._value] = bounds


def dtype_of_all(operands: Sequence[Tensor | Scalar]) -> DType:
    """The dtype NumPy promotes these to; Python numbers and weak tensors give way.

    Integers that are all Python numbers are int64, or uint64 where one is beyond that.
    """
    dtype = _promoted(*map(_stand_in, operands))
    if dtype == i64 and any(isinstance(x, Tensor) and x._value.type.dtype == u64 for x in operands):
        return u64 if all(not isinstance(x, Tensor) or x._weak for x in operands) else dtype
    return dtype


@lru_cache(maxsize=1024, typed=True)
def _promoted(*stand_ins: Any) -> DType:
    found = from_numpy(np.result_type(*stand_ins))
    assert found is not None
    return found


_WEAK_STAND_INS = {"b": False, "i": 0, "u": 0, "f": 0.0}


def _stand_in(x: Tensor | Scalar) -> object:
    if isinstance(x, Tensor):
        dtype = x._value.type.dtype
        return _WEAK_STAND_INS[dtype.kind] if x._weak else dtype.numpy
    if isinstance(x, bool):
        return False
    return 0 if isinstance(x, int) else 0.0


def promote(*operands: TensorLike, floating: bool = False) -> list[Tensor]:
    """The operands in the one dtype they promote to; ``floating`` turns other kinds to f64."""
    ready: list[Tensor | Scalar] = [x if is_scalar(x) else as_tensor(x) for x in operands]
    dtype = dtype_of_all(ready)
    if floating and not dtype.is_float:
        dtype = f64
    return [
        x if isinstance(x, Tensor) and x._value.type.dtype == dtype else fitted(x, dtype)
        for x in ready
    ]


def as_float(x: TensorLike) -> Tensor:
    """A floating-point tensor; integers and bools become float64."""
    (tensor,) = promote(x, floating=True)
    return tensor


def joined_shape(*shapes: Shape) -> Shape:
    """The shape these broadcast to, by NumPy's rule; ShapeError where they do not."""
    if has_open_sizes():
        shapes = tuple(map(plain, shapes))
    different = {shape for shape in shapes if shape}
    if len(different) <= 1:
        return different.pop() if different else ()
    rank = max(map(len, shapes))
    result = []
    for axis in range(-rank, 0):
        sizes = {shape[axis] for shape in shapes if -axis <= len(shape)}
        sizes = sizes - {1} or {1}
        if len(sizes) > 1:
            sizes = {_joined_size(sizes, shapes)}
        result.append(sizes.pop())
    return tuple(result)


def _joined_size(sizes: set[Dim], shapes: Sequence[Shape]) -> Dim:
    """The size of an axis where operands have different ones, none of which is the number 1: where
    they are equal in a call, which it is checked for."""
    listed = " and ".join(map(shape_text, shapes))
    first, *others = sorted(sizes, key=lambda size: (not isinstance(size, int), str(size)))
    if not all(same_size(first, other, f"broadcasting {listed}") for other in others):
        raise ShapeError(f"shapes {listed} do not broadcast together", user_location())
    return first


def shape_text(shape: Shape) -> str:
    inner = ", ".join(expression(n) if isinstance(n, Size) else str(n) for n in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def expand(x: Tensor, shape: Shape) -> Tensor:
    """``x`` repeated to a shape it is known to broadcast to."""
    own, shape = x.type.shape, plain(shape) if has_open_sizes() else shape
    if own == shape:
        return x
    if not own and not x.requires_grad and current_scope() is None:
        return Tensor._of(_repeated(_eager(x), shape))
    axes = tuple(range(len(shape) - len(own), len(shape)))
    if has_open_sizes():
        places = zip(own, axes, strict=True)
        x = resized(x, tuple(1 if n == 1 else shape[axis] for n, axis in places))
    return apply("broadcast", x, shape=tuple(shape), axes=axes)


def resized(x: Tensor, shape: Shape) -> Tensor:
    """``x`` under a shape of sizes that a requirement makes equal to its own."""
    return x if x.type.shape == plain(shape) else apply("reshape", x, shape=shape)


def _repeated(x: Variable, shape: Shape) -> Variable:
    """A number at every position of a shape, in the memory of one: what broadcasting it gives,
    without the price of an operation, for numbers are everywhere."""
    type = TensorType(shape, x.type.dtype)
    data: Array = np.ndarray(type.static_shape, x.data.dtype, x.data, strides=(0,) * len(shape))
    return Variable(data, type)


def broadcast(*operands: Tensor) -> list[Tensor]:
    """The operands repeated to the shape they have in common."""
    first = operands[0].type.shape
    if all(x.type.shape == first for x in operands):
        return list(operands)
    shape = joined_shape(*(x.type.shape for x in operands))
    return [expand(x, shape) for x in operands]


def elementwise(name: str, *operands: TensorLike, floating: bool = False) -> Tensor:
    """An elementwise op on operands of any shapes and dtypes that go together."""
    return apply(name, *broadcast(*promote(*operands, floating=floating)))


def require_dtype(x: Tensor, kinds: str, what: str) -> None:
    """DTypeError unless the dtype is of one of these kinds ('b', 'i', 'u', 'f')."""
    if x._value.type.dtype.kind not in kinds:
        raise DTypeError(f"{what}, not {x._value.type}", user_location())
