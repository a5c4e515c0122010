"""repeat with a number of times for each element."""

from __future__ import annotations

from typing import Any

import numpy as np

from nets.errors import ControlFlowError, DTypeError, ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import array_of
from nets.frontend.tensor.dispatch import require_dtype, shape_text
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array
from nets.frontend.tensor.words.arguments import count_of
from nets.frontend.tensor.words.positions import place_of_each
from nets.ir.location import user_location


def repeated(x: Tensor, repeats: Any, axis: int, total: int | None) -> Tensor:
    """``nets.repeat`` along an axis, with ``repeats`` for each element or a number of results."""
    size = x.shape[axis]
    if not isinstance(repeats, Tensor) or current_scope() is None:
        return _known(x, _checked(repeats, size), axis, total)
    require_dtype(repeats, "iub", "a number of times is an integer")
    if repeats.ndim > 1 or (repeats.ndim and repeats.shape[0] not in (1, size)):
        raise _refused(repeats.shape, size)
    if total is None:
        raise ControlFlowError(
            f"how often to repeat is a {repeats.type} that is known only when the traced function "
            "runs; say how many come out: nets.repeat(x, repeats, total_repeat_length=10)",
            user_location(),
        )
    count = count_of(total, "the number of results")
    times = F.broadcast_to(F.astype(repeats, "int64"), (size,))
    return F.take(x, place_of_each(times, count), axis)


def _refused(shape: tuple[int, ...], size: int) -> ShapeError:
    return ShapeError(
        f"repeat takes one number of times, or {size}, not those of shape {shape_text(shape)}",
        user_location(),
    )


def _checked(repeats: Any, size: int) -> Array:
    """How often to repeat each element, in numbers that are known now."""
    array = repeats.data if isinstance(repeats, Tensor) else array_of(repeats)
    array = array.astype(np.int64) if not array.size else array
    if array.dtype.kind not in "iub":
        raise DTypeError(f"a number of times is an integer, not {array.dtype}", user_location())
    if array.ndim > 1 or (array.ndim and len(array) not in (1, size)):
        raise _refused(array.shape, size)
    if array.size and array.min() < 0:
        raise ShapeError("nothing is repeated a negative number of times", user_location())
    return np.broadcast_to(array.astype(np.int64), (size,))


def _known(x: Tensor, times: Array, axis: int, total: int | None) -> Tensor:
    places = np.repeat(np.arange(len(times)), times)
    if total is not None:
        count = count_of(total, "the number of results")
        missing = max(count - len(places), 0)
        places = np.pad(places[:count], (0, missing), constant_values=max(len(times) - 1, 0))
    return F.take(x, places, axis)
