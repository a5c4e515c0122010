"""Windows whose place is known only when the program runs, under JAX's names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dimension import Dimension, is_open, not_negative
from nets.frontend.tensor.dispatch import TensorLike, apply, as_tensor, cast, constant, shape_text
from nets.frontend.tensor.functions.arithmetic import minimum
from nets.frontend.tensor.functions.indexing import getitem
from nets.frontend.tensor.functions.shape import shape_of
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import i64, u64


def dynamic_slice(x: TensorLike, start_indices: object, slice_sizes: object) -> Tensor:
    """The window of x of shape ``slice_sizes`` that begins at the start indices, as in JAX.

    ``start_indices`` has an integer per axis of x: numbers and 0-d tensors, or one 1-d tensor; a
    single one will do for one axis. A negative start counts from the end; then it is clamped, so
    that the window lies inside x. The gradient is added where the window was.

    ShapeError for another number of starts or sizes, and for a window larger than x; DTypeError for
    starts that are no integers.
    """
    tensor = as_tensor(x)
    sizes = shape_of(slice_sizes)
    _check_window("dynamic_slice", tensor, sizes)
    return apply("dynamic_slice", tensor, *_starts(tensor, start_indices, sizes), shape=sizes)


def dynamic_update_slice(x: TensorLike, update: TensorLike, start_indices: object) -> Tensor:
    """x with ``update``, of the same rank, in the window that begins at the start indices.

    The starts are those of ``dynamic_slice``. x itself stays as it is; a compiled loop that carries
    it changes it in place. The gradient goes to ``update`` where it stands, to x elsewhere.

    ShapeError for another number of starts, and for an update of another rank or larger than x;
    DTypeError for starts that are no integers, and where x cannot hold the dtype of ``update``.
    """
    tensor, new = as_tensor(x), as_tensor(update)
    if not np.can_cast(new.dtype, tensor.dtype, "same_kind"):
        raise DTypeError(
            f"dynamic_update_slice: a tensor of dtype {tensor.dtype} cannot hold {new.dtype}",
            user_location(),
        )
    _check_window("dynamic_update_slice", tensor, new.shape)
    starts = _starts(tensor, start_indices, new.shape)
    return apply("dynamic_update_slice", tensor, cast(new, tensor.type.dtype), *starts)


def _check_window(name: str, x: Tensor, sizes: Sequence[int]) -> None:
    """ShapeError unless a window of these sizes fits into x."""
    what = f"{name}: a window of shape {shape_text(tuple(sizes))}"
    if len(sizes) != x.ndim or not all(
        not_negative(n, what) and not_negative(dim - n, what)
        for n, dim in zip(sizes, x.shape, strict=True)
    ):
        raise ShapeError(
            f"{name}: a window of shape {shape_text(tuple(sizes))} does not fit into a tensor of "
            f"shape {shape_text(x.shape)}",
            user_location(),
        )


def _starts(x: Tensor, given: object, sizes: Sequence[int]) -> list[Tensor]:
    """The start of each axis as a 0-d i64 tensor."""
    found = _listed(given)
    if len(found) != x.ndim:
        raise ShapeError(
            f"a tensor of shape {shape_text(x.shape)} needs {x.ndim} start indices, not "
            f"{len(found)}",
            user_location(),
        )
    return [_start(*each) for each in zip(found, x.shape, sizes, strict=True)]


def _listed(given: object) -> list[object]:
    """The start indices, one by one."""
    if isinstance(given, (list, tuple)):
        return list(given)
    if not isinstance(given, (Tensor, np.ndarray)):
        return [given]
    if given.ndim > 1:
        raise ShapeError(
            f"start indices are integers, or a 1-d tensor of them, not of shape "
            f"{shape_text(given.shape)}",
            user_location(),
        )
    if given.ndim == 0:
        return [given]
    return [getitem(given, i) if isinstance(given, Tensor) else given[i] for i in range(len(given))]


def _start(given: object, dim: int, size: int) -> Tensor:
    if isinstance(given, Dimension) or is_open((dim, size)):
        given = as_tensor(given)  # type: ignore[arg-type]
    if not isinstance(given, Tensor):
        return constant(np.array(_clamped(_integer(given), dim, size)))
    if not given.type.dtype.is_integer or given.ndim:
        raise DTypeError(f"a start index is a 0-d integer, not {given.type}", user_location())
    if given.type.dtype == u64:  # the largest ones would become negative
        given = minimum(given, dim)
    return cast(given, i64)


def _integer(given: object) -> int:
    if isinstance(given, np.ndarray) and not given.ndim and given.dtype.kind in "iu":
        return int(given)
    return integer_of(given, "a start index")


def _clamped(start: int, dim: int, size: int) -> int:
    """Where the window begins, which need not fit in 64 bits before."""
    return min(max(start + dim if start < 0 else start, 0), dim - size)
