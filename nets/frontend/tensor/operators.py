"""Operators and methods of tensors: each is one of the functions of nets under another name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from nets.errors import UnsupportedObjectError
from nets.frontend.tensor.pytorch import elementwise, reductions, shapes
from nets.frontend.tensor.pytorch.methods import Methods
from nets.frontend.tensor.words.devices import StandardArray
from nets.ir.location import user_location
from nets.ir.types import DType

if TYPE_CHECKING:
    from nets.frontend.tensor.dispatch import TensorLike
    from nets.frontend.tensor.tensor import Tensor

Axis = int | tuple[int, ...] | None

_UFUNC_NAMES = {
    "left_shift": "bitwise_left_shift",
    "right_shift": "bitwise_right_shift",
    "invert": "bitwise_invert",
}
"""Functions that NumPy's ufuncs call by another name than nets."""


def _chosen(name: str, options: Mapping[str, object]) -> dict[str, Any]:
    """PyTorch's words among the options; NumPy's functions pass None for options nobody chose.

    UnsupportedObjectError for what nets has no use for.
    """
    chosen = {key: value for key, value in options.items() if value is not None}
    own = {"correction"} if name in ("var", "std") else set()
    unknown = chosen.keys() - WORDS.keys() - own
    if unknown:
        raise UnsupportedObjectError(
            f"{name} of a tensor takes no {' or '.join(sorted(unknown))}: see nets.{name}",
            user_location(),
        )
    return chosen


class Operators(StandardArray, Methods):
    """What tensors share with NumPy arrays: operators and methods, with NumPy's meaning.

    Both operands broadcast and promote; NumPy arrays, nested lists and Python numbers may stand
    on either side.
    """

    __slots__ = ()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Any:
        raise NotImplementedError

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Tensor:
        """Let NumPy's functions, and operators with an array on the left, give tensors.

        UnsupportedObjectError where nets has no function of that name, and for ``out=`` and
        in-place operators, for the memory of an array is no place for a tensor.
        """
        name = _UFUNC_NAMES.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__" or options or name not in F.__all__:
            what = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
            how = f" with {', '.join(options)}" if options else ""
            advice = "use the functions and operators of nets, or arrays (tensor.numpy())"
            if "out" in options:
                advice = "an array holds no tensors; write x = x + t in place of x += t, and for "
                advice += "p.data -= t either p -= t under nets.no_grad() or p.data = p.data - t"
            raise UnsupportedObjectError(
                f"{what}{how} does not take tensors: {advice}", user_location()
            )
        result: Tensor = getattr(F, name)(*operands)
        return result

    def __array_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: tuple[Any, ...],
        options: Mapping[str, Any],
    ) -> Any:
        """What NumPy's other functions mean; see ``nets.frontend.tensor.numpy_functions``."""
        return import_module("nets.frontend.tensor.numpy_functions").call(
            function, types, arguments, options
        )

    # ------------------------------------------------------------------ arithmetic

    def __add__(self, other: TensorLike) -> Tensor:
        return F.add(self, other)

    def __radd__(self, other: TensorLike) -> Tensor:
        return F.add(other, self)

    def __sub__(self, other: TensorLike) -> Tensor:
        return F.subtract(self, other)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return F.subtract(other, self)

    def __mul__(self, other: TensorLike) -> Tensor:
        return F.multiply(self, other)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return F.multiply(other, self)

    def __truediv__(self, other: TensorLike) -> Tensor:
        return F.divide(self, other)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return F.divide(other, self)

    def __floordiv__(self, other: TensorLike) -> Tensor:
        return F.floor_divide(self, other)

    def __rfloordiv__(self, other: TensorLike) -> Tensor:
        return F.floor_divide(other, self)

    def __mod__(self, other: TensorLike) -> Tensor:
        return F.remainder(self, other)

    def __rmod__(self, other: TensorLike) -> Tensor:
        return F.remainder(other, self)

    def __divmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]:
        return F.floor_divide(self, other), F.remainder(self, other)

    def __rdivmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]:
        return F.floor_divide(other, self), F.remainder(other, self)

    def __pow__(self, other: TensorLike) -> Tensor:
        return F.pow(self, other)

    def __rpow__(self, other: TensorLike) -> Tensor:
        return F.pow(other, self)

    def __matmul__(self, other: TensorLike) -> Tensor:
        return F.matmul(self, other)

    def __rmatmul__(self, other: TensorLike) -> Tensor:
        return F.matmul(other, self)

    def __neg__(self) -> Tensor:
        return F.negative(self)

    def __pos__(self) -> Tensor:
        return F.positive(self)

    def __abs__(self) -> Tensor:
        return F.abs(self)

    # -------------------------------------------------------------------- in place

    def __iadd__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.add(self, other))

    def __isub__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.subtract(self, other))

    def __imul__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.multiply(self, other))

    def __itruediv__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.divide(self, other))

    def __ifloordiv__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.floor_divide(self, other))

    def __imod__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.remainder(self, other))

    def __ipow__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.pow(self, other))

    def __imatmul__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.matmul(self, other))

    def __iand__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.bitwise_and(self, other))

    def __ior__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.bitwise_or(self, other))

    def __ixor__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.bitwise_xor(self, other))

    def __ilshift__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.bitwise_left_shift(self, other))

    def __irshift__(self, other: TensorLike) -> Tensor:
        return F.in_place(self, F.bitwise_right_shift(self, other))

    # ----------------------------------------------------------------- comparisons

    def __eq__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        try:
            return F.equal(self, other)
        except UnsupportedObjectError:  # such as None, which is no tensor and so never equal
            return NotImplemented

    def __ne__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        try:
            return F.not_equal(self, other)
        except UnsupportedObjectError:
            return NotImplemented

    def __lt__(self, other: TensorLike) -> Tensor:
        return F.less(self, other)

    def __le__(self, other: TensorLike) -> Tensor:
        return F.less_equal(self, other)

    def __gt__(self, other: TensorLike) -> Tensor:
        return F.greater(self, other)

    def __ge__(self, other: TensorLike) -> Tensor:
        return F.greater_equal(self, other)

    def __contains__(self, element: TensorLike) -> bool:
        return bool(F.any(F.equal(self, element)))

    # ------------------------------------------------------------------------ bits

    def __and__(self, other: TensorLike) -> Tensor:
        return F.bitwise_and(self, other)

    def __rand__(self, other: TensorLike) -> Tensor:
        return F.bitwise_and(other, self)

    def __or__(self, other: TensorLike) -> Tensor:
        return F.bitwise_or(self, other)

    def __ror__(self, other: TensorLike) -> Tensor:
        return F.bitwise_or(other, self)

    def __xor__(self, other: TensorLike) -> Tensor:
        return F.bitwise_xor(self, other)

    def __rxor__(self, other: TensorLike) -> Tensor:
        return F.bitwise_xor(other, self)

    def __lshift__(self, other: TensorLike) -> Tensor:
        return F.bitwise_left_shift(self, other)

    def __rlshift__(self, other: TensorLike) -> Tensor:
        return F.bitwise_left_shift(other, self)

    def __rshift__(self, other: TensorLike) -> Tensor:
        return F.bitwise_right_shift(self, other)

    def __rrshift__(self, other: TensorLike) -> Tensor:
        return F.bitwise_right_shift(other, self)

    def __invert__(self) -> Tensor:
        return F.bitwise_invert(self)

    # -------------------------------------------------------------------- elements

    def __getitem__(self, key: Any) -> Tensor:
        return F.getitem(self, key)

    def __setitem__(self, key: Any, value: TensorLike) -> None:
        F.setitem(self, key, value)

    def __iter__(self) -> Iterator[Tensor]:
        return (F.getitem(self, i) for i in range(F.length(self)))

    def detach(self) -> Tensor:
        """A copy of the elements without the way they were computed: no gradient passes."""
        return F.stop_gradient(self)

    def astype(self, dtype: npt.DTypeLike | DType) -> Tensor:
        """The elements in another dtype; see ``nets.astype``."""
        return F.astype(self, dtype)

    # ---------------------------------------------------------------------- shapes

    @property
    def T(self) -> Tensor:
        """The axes in reverse order: a view. Assigning to it writes to its elements, so that
        ``x.T += y`` does."""
        return F.transpose(self)

    @T.setter
    def T(self, value: TensorLike) -> None:
        F.transpose(self)[...] = value

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped: a view, as ``T``."""
        return F.matrix_transpose(self)

    @mT.setter
    def mT(self, value: TensorLike) -> None:
        F.matrix_transpose(self)[...] = value

    def reshape(self, *shape: object) -> Tensor:
        """The elements under another shape; one size may be −1."""
        return F.reshape(self, shape[0] if len(shape) == 1 else shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The axes from ``start_dim`` to ``end_dim`` as one, by default all: a copy."""
        return F.flatten(self, start_dim, end_dim)

    def transpose(self, *axes: Any, **dims: Any) -> Tensor:
        """The axes in the order of a tuple, reversed by default; two numbers are swapped."""
        return shapes.transpose(self, *axes, **dims)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes swapped."""
        return F.swapaxes(self, axis1, axis2)

    def squeeze(self, axis: Axis = None, **absent: object) -> Tensor:
        """Without the axes of size 1."""
        return F.squeeze(self, axis, **_chosen("squeeze", absent))

    def expand_dims(self, axis: int | tuple[int, ...]) -> Tensor:
        """With new axes of size 1."""
        return F.expand_dims(self, axis)

    def repeat(self, *repeats: Any, **words: Any) -> Tensor:
        """With one number, or an axis, each element several times, as in NumPy; with a number for
        each axis, all of them, as in PyTorch."""
        return shapes.repeat(self, *repeats, **words)

    def take(self, indices: TensorLike, axis: int | None = None, **absent: object) -> Tensor:
        """The slices at the indices along the axis."""
        return F.take(self, indices, axis, **_chosen("take", absent))

    # ------------------------------------------------------------------ reductions

    def sum(
        self,
        axis: Axis = None,
        keepdims: bool = False,
        dtype: npt.DTypeLike | DType | None = None,
        **absent: object,
    ) -> Tensor:
        """Sum of the elements over the axes."""
        return F.sum(self, axis, keepdims, dtype, **_chosen("sum", absent))

    def prod(
        self,
        axis: Axis = None,
        keepdims: bool = False,
        dtype: npt.DTypeLike | DType | None = None,
        **absent: object,
    ) -> Tensor:
        """Product of the elements over the axes."""
        return F.prod(self, axis, keepdims, dtype, **_chosen("prod", absent))

    def mean(self, axis: Axis = None, keepdims: bool = False, **absent: object) -> Tensor:
        """Arithmetic mean over the axes."""
        return F.mean(self, axis, keepdims, **_chosen("mean", absent))

    def var(
        self, axis: Axis = None, ddof: float = 0, keepdims: bool = False, **absent: Any
    ) -> Tensor:
        """Variance over the axes; the divisor is the count minus ``ddof``."""
        if "unbiased" in absent:
            return reductions.var(self, axis, keepdim=keepdims, **absent)
        return F.var(self, axis, ddof, keepdims, **_chosen("var", absent))

    def std(
        self, axis: Axis = None, ddof: float = 0, keepdims: bool = False, **absent: Any
    ) -> Tensor:
        """Standard deviation over the axes."""
        if "unbiased" in absent:
            return reductions.std(self, axis, keepdim=keepdims, **absent)
        return F.std(self, axis, ddof, keepdims, **_chosen("std", absent))

    def max(self, axis: Any = None, keepdims: bool = False, **absent: object) -> Any:
        """Largest element over the axes. Along a ``dim``, the elements and their positions; with a
        tensor in place of the axis, the maximum of both."""
        if isinstance(axis, Operators) and not absent:
            return F.maximum(self, axis)
        return F.max(self, axis, keepdims, **_chosen("max", absent))

    def min(self, axis: Any = None, keepdims: bool = False, **absent: object) -> Any:
        """Smallest element over the axes. Along a ``dim``, the elements and their positions; with a
        tensor in place of the axis, the minimum of both."""
        if isinstance(axis, Operators) and not absent:
            return F.minimum(self, axis)
        return F.min(self, axis, keepdims, **_chosen("min", absent))

    def argmax(self, axis: int | None = None, keepdims: bool = False, **absent: object) -> Tensor:
        """Position of the first largest element."""
        return F.argmax(self, axis, keepdims, **_chosen("argmax", absent))

    def argmin(self, axis: int | None = None, keepdims: bool = False, **absent: object) -> Tensor:
        """Position of the first smallest element."""
        return F.argmin(self, axis, keepdims, **_chosen("argmin", absent))

    def any(self, axis: Axis = None, keepdims: bool = False, **absent: object) -> Tensor:
        """Whether an element over the axes is not zero."""
        return F.any(self, axis, keepdims, **_chosen("any", absent))

    def all(self, axis: Axis = None, keepdims: bool = False, **absent: Any) -> Tensor:
        """Whether no element over the axes is zero."""
        return F.all(self, axis, keepdims, **_chosen("all", absent))

    def cumsum(
        self, axis: int | None = None, dtype: npt.DTypeLike | DType | None = None, **absent: object
    ) -> Tensor:
        """Sums of the elements up to each one."""
        return F.cumsum(self, axis, dtype, **_chosen("cumsum", absent))

    # ------------------------------------------------------------------- functions

    def dot(self, other: TensorLike) -> Tensor:
        """NumPy's dot product."""
        return F.dot(self, other)

    def exp(self) -> Tensor:
        """e to the power of each element."""
        return F.exp(self)

    def log(self) -> Tensor:
        """Natural logarithm of each element."""
        return F.log(self)

    def sqrt(self) -> Tensor:
        """Square root of each element."""
        return F.sqrt(self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent of each element."""
        return F.tanh(self)

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(−x)) of each element."""
        return F.sigmoid(self)

    def relu(self) -> Tensor:
        """Each element where it is positive, else 0."""
        return F.relu(self)

    def abs(self) -> Tensor:
        """Magnitude of each element."""
        return F.abs(self)

    def pow(self, exponent: TensorLike) -> Tensor:
        """Each element to that power."""
        return F.pow(self, exponent)

    def round(self, decimals: int = 0) -> Tensor:
        """Each element rounded to so many decimals, ties to even."""
        return elementwise.round(self, decimals=decimals)

    def clip(self, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
        """Each element moved into [min, max]."""
        return F.clip(self, min, max)


# Last, for the functions are written in terms of tensors, which have these operators.
from nets.frontend.tensor import functions as F  # noqa: E402
from nets.frontend.tensor.functions.axis_words import WORDS  # noqa: E402
