"""associative_scan: all prefixes of a list, in a number of steps that grows as a logarithm.

Neighbours are combined in pairs, the prefixes of the pairs found the same way, and those between
them by one more combination each (Blelloch, Prefix sums and their applications, 1990; the order is
that of JAX, Bradbury et al., 2018). Every combination is of whole slices, so eager and traced code
do the same few operations, with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nets.errors import ArgumentError, ShapeError
from nets.frontend.pytree import TreeDef, expression, flatten
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dimension import is_open
from nets.frontend.tensor.dispatch import as_tensor
from nets.frontend.tensor.functions import concatenate, flip, moveaxis, reshape, stack
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.carries import Nest
from nets.frontend.tracing.spec import short
from nets.ir.location import user_location

Combine = Callable[[Sequence[Tensor], Sequence[Tensor]], list[Tensor]]


def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Nest, reverse: bool = False, axis: int = 0
) -> Any:
    """The prefixes ``e0, fn(e0, e1), fn(fn(e0, e1), e2), …`` of the slices of ``elems``.

    ``elems`` is a nest whose leaves have axes ``axis`` of one length; the result is alike. ``fn``
    is associative and combines slices of any number of elements at once, one by one: it gives a
    nest like its arguments, of the same shapes. With ``reverse`` the elements are taken from the
    last one on. Differentiable as ``fn`` is.

    The order, and so the bits: of ``e0 … en`` first ``fn(e0, e1), fn(e2, e3), …`` are made; their
    prefixes, found in the same way, are the results at odd places; the one at place 2k > 0 is
    ``fn`` of the one before it and ``e2k``.

    ShapeError where a leaf has no such axis, or leaves differ in its length; ArgumentError or
    ShapeError where ``fn`` gives another nest or other shapes.
    """
    axis = integer_of(axis, "axis")
    leaves, tree = flatten(elems)
    tensors = _along_first(leaves, tree, axis)
    tensors = [flip(x, 0) for x in tensors] if reverse else tensors
    places = [axis % x.ndim for x in tensors]
    found = _prefixes(_combine(fn, tree, places), tensors)
    found = [flip(x, 0) for x in found] if reverse else found
    return tree.unflatten([moveaxis(x, 0, to) for x, to in zip(found, places, strict=True)])


def _along_first(leaves: Sequence[Any], tree: TreeDef, axis: int) -> list[Tensor]:
    """The leaves as tensors, with the axis in front."""
    found = []
    for leaf, path in zip(leaves, tree.paths(), strict=True):
        x = as_tensor(leaf)
        if not -x.ndim <= axis < x.ndim:
            name = expression("elems", path)
            raise ShapeError(f"{name} is {short(x.type)}, without axis {axis}", user_location())
        found.append(moveaxis(x, axis, 0))
    if not found:
        raise ArgumentError("associative_scan needs elements", user_location())
    lengths = dict.fromkeys(x.shape[0] for x in found)
    if len(lengths) > 1 or is_open(tuple(lengths)):
        raise ShapeError(
            "associative_scan needs one length, which no call tells; axis "
            f"{axis} has {', '.join(map(str, lengths))}",
            user_location(),
        )
    return found


def _combine(fn: Callable[[Any, Any], Any], tree: TreeDef, places: Sequence[int]) -> Combine:
    """``fn`` of leaves with the axis in front."""

    def run(first: Sequence[Tensor], second: Sequence[Tensor]) -> list[Tensor]:
        nests = [
            tree.unflatten([moveaxis(x, 0, to) for x, to in zip(part, places, strict=True)])
            for part in (first, second)
        ]
        leaves, given = flatten(fn(*nests))
        if given != tree:
            raise ArgumentError(
                f"the function of associative_scan returns another nest than elems: {given}, not "
                f"{tree}",
                user_location(),
            )
        made = [moveaxis(as_tensor(x), to, 0) for x, to in zip(leaves, places, strict=True)]
        for x, y in zip(made, first, strict=True):
            if x.type != y.type:
                raise ShapeError(
                    "the function of associative_scan gives what it takes; of "
                    f"{short(y.type)} it made {short(x.type)}",
                    user_location(),
                )
        return made

    return run


def _prefixes(combine: Combine, elems: Sequence[Tensor]) -> list[Tensor]:
    """The prefixes along the first axis."""
    count = elems[0].shape[0]
    if count < 2:
        return list(elems)
    pairs = combine([x[:-1:2] for x in elems], [x[1::2] for x in elems])
    odd = _prefixes(combine, pairs)
    before = odd if count % 2 else [x[:-1] for x in odd]
    even = [x[:1] for x in elems]
    if count > 2:
        later = combine(before, [x[2::2] for x in elems])
        even = [concatenate([x, y]) for x, y in zip(even, later, strict=True)]
    return [_interleaved(x, y) for x, y in zip(even, odd, strict=True)]


def _interleaved(even: Tensor, odd: Tensor) -> Tensor:
    """Elements in turn; there may be one more of the first."""
    count = odd.shape[0]
    pairs = stack([even[:count], odd], 1)
    found = reshape(pairs, (2 * count, *odd.shape[1:]))
    return found if even.shape[0] == count else concatenate([found, even[count:]])
