"""PyTorch's words for a tensor in pieces along an axis: views all.

``x`` is the tensor, ``dim`` the axis, counted from the end where negative; ``indices_or_sections``
is a number of pieces or the positions between them, ``split_sizes`` their sizes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import integer_of, several
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.pytorch.shapes import axis_of, select, whole
from nets.ir.location import user_location

if TYPE_CHECKING:
    from nets.frontend.tensor.dispatch import TensorLike
    from nets.frontend.tensor.tensor import Tensor


@takes_dim
def chunk(x: TensorLike, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` pieces of one size along an axis, the last of which may be smaller:
    views."""
    tensor, count = F.as_tensor(x), integer_of(chunks, "chunks")
    if count < 1 or not tensor.ndim:
        raise ArgumentError(
            f"chunk gives at least one piece of an axis, not {count} of shape {tensor.shape}",
            user_location(),
        )
    size = tensor.shape[axis_of(dim, tensor.ndim)]
    if not size:
        return tuple(split(tensor, 0, dim) * count)
    return split(tensor, -(-size // count), dim)


@takes_dim
def split(x: TensorLike, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of one size along an axis, the last of which may be smaller, or of the sizes listed:
    views. ShapeError for sizes that do not add up to the axis."""
    tensor = F.as_tensor(x)
    if not tensor.ndim:
        raise ShapeError("split is not for a 0-d tensor", user_location())
    axis = axis_of(dim, tensor.ndim)
    total = tensor.shape[axis]
    if isinstance(split_size_or_sections, (tuple, list)):
        sizes = [integer_of(n, "a size") for n in split_size_or_sections]
    else:
        size = integer_of(split_size_or_sections, "the size of a piece")
        if size < 0 or (size == 0 and total):
            raise ShapeError(
                f"{total} elements do not split into pieces of {size}", user_location()
            )
        whole, rest = divmod(total, size) if size else (1, 0)
        sizes = [size] * whole + ([rest] if rest else []) if total else [0]
    if min(sizes, default=0) < 0 or sum(sizes) != total:
        raise ShapeError(f"sizes {sizes} do not add up to {total}", user_location())
    return _pieces(tensor, axis, sizes)


def _pieces(x: Tensor, axis: int, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    found, start = [], 0
    for size in sizes:
        found.append(F.getitem(x, (*whole(axis), slice(start, start + size))))
        start += size
    return tuple(found)


@takes_dim
def split_with_sizes(x: TensorLike, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """``split`` by a list of sizes."""
    return split(x, several(split_sizes, "split_with_sizes"), dim)


@takes_dim
def tensor_split(x: TensorLike, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """So many pieces along an axis, the first of which are larger by one, or the pieces between the
    given positions: views."""
    tensor = F.as_tensor(x)
    if not tensor.ndim:
        raise ShapeError("tensor_split is not for a 0-d tensor", user_location())
    axis = axis_of(dim, tensor.ndim)
    total, given = tensor.shape[axis], indices_or_sections
    if isinstance(given, (tuple, list)) or F.as_tensor(given).ndim:
        cuts = given if isinstance(given, (tuple, list)) else F.as_tensor(given).tolist()
        bounds = [
            0,
            *(slice(None, integer_of(i, "a position")).indices(total)[1] for i in cuts),
            total,
        ]
        spans = itertools.pairwise(bounds)
        return tuple(F.getitem(tensor, (*whole(axis), slice(*span))) for span in spans)
    count = integer_of(given, "the number of pieces")
    if count < 1:
        raise ArgumentError(f"tensor_split gives at least one piece, not {count}", user_location())
    size, more = divmod(total, count)
    return _pieces(tensor, axis, [size + (i < more) for i in range(count)])


@takes_dim
def unbind(x: TensorLike, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, which goes: views."""
    tensor = F.as_tensor(x)
    if not tensor.ndim:
        raise ShapeError("unbind is not for a 0-d tensor", user_location())
    axis = axis_of(dim, tensor.ndim)
    return tuple(select(tensor, axis, i) for i in range(tensor.shape[axis]))
