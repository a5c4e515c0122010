"""Convolutions over one or two axes of space, their transposes, and maxima of windows."""

from __future__ import annotations

from collections.abc import Sequence

from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    promote,
    require_dtype,
    shape_text,
)
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location

Sizes = int | Sequence[int]
Margins = int | Sequence[int | tuple[int, int]]


def conv(
    x: TensorLike,
    weight: TensorLike,
    stride: Sizes = 1,
    padding: Margins = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """x (N, C, *space) correlated with weight (O, C / groups, *kernel): (N, O, *places).

    Space has one or two axes. ``padding`` is a number of zeros on either side, for all axes or
    each, or (before, after) for each. places = (size + before + after − dilation · (kernel − 1) −
    1) // stride + 1. ShapeError where the shapes do not go together, ArgumentError for negative
    padding.
    """
    a, w = promote(x, weight, floating=True)
    return apply("conv", a, w, **_attributes(a, w, stride, padding, dilation, groups))


def conv_transpose(
    x: TensorLike,
    weight: TensorLike,
    stride: Sizes = 1,
    padding: Margins = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """What the gradient of ``conv`` with respect to x computes: from places back to space.

    x (N, C, *places) with weight (C, O / groups, *kernel) gives (N, O, *space), space = (places −
    1) · stride − before − after + dilation · (kernel − 1) + output_padding + 1, with
    0 ≤ output_padding < stride or dilation. ShapeError where the shapes do not go together.
    """
    a, w = promote(x, weight, floating=True)
    found = _attributes(a, w, stride, padding, dilation, groups)
    more = _each(output_padding, a.ndim - 2, "output_padding")
    axes = zip(*(found[key] for key in ("steps", "low", "high", "dilation")), strict=True)
    shape, high = [], []
    for size, k, extra, (step, low, after, apart) in zip(
        a.shape[2:], w.shape[2:], more, axes, strict=True
    ):
        if not 0 <= extra < max(step, apart):
            raise ArgumentError(
                f"conv_transpose: an output_padding of {extra} is not below a stride of {step} or "
                f"a dilation of {apart}",
                user_location(),
            )
        shape.append((size - 1) * step - low - after + apart * (k - 1) + extra + 1)
        # What lies beyond the last place by less than a step takes part in no further place.
        high.append(after - extra)
    found["high"] = tuple(high)
    if any(size < 0 for size in shape):
        raise ShapeError(
            f"conv_transpose: padding takes away more than all of {shape_text(tuple(a.shape))}",
            user_location(),
        )
    return apply("conv_input", a, w, shape=tuple(shape), **found)


def max_pool(
    x: TensorLike,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Margins = 0,
    dilation: Sizes = 1,
) -> Tensor:
    """The largest element of each window of x (N, C, *space): (N, C, *places).

    Space has one or two axes; ``stride`` is by default the size of the window, other arguments are
    those of ``conv``. Padding is no element of a window; one without elements gives −inf, of
    integers the least one. The dtype stays. NaN wins; the gradient goes to the first of equals.
    ShapeError where a window does not fit, DTypeError for bools.
    """
    a = as_tensor(x)
    require_dtype(a, "iuf", "windows have a largest number")
    rank = a.ndim - 2
    if rank not in (1, 2):
        raise ShapeError(
            f"windows go over the last of 3 or 4 axes, not over {shape_text(tuple(a.shape))}",
            user_location(),
        )
    low, high = _margins(padding, rank)
    return apply(
        "max_pool",
        a,
        shape=_each(window, rank, "window"),
        steps=_each(window if stride is None else stride, rank, "stride"),
        low=low,
        high=high,
        dilation=_each(dilation, rank, "dilation"),
    )


def _attributes(
    x: Tensor, w: Tensor, stride: Sizes, padding: Margins, dilation: Sizes, groups: int
) -> dict[str, object]:
    rank = x.ndim - 2
    if rank not in (1, 2) or w.ndim != x.ndim:
        raise ShapeError(
            f"a convolution takes an input of 3 or 4 axes and a weight of as many, not "
            f"{shape_text(tuple(x.shape))} and {shape_text(tuple(w.shape))}",
            user_location(),
        )
    low, high = _margins(padding, rank)
    return {
        "steps": _each(stride, rank, "stride"),
        "low": low,
        "high": high,
        "dilation": _each(dilation, rank, "dilation"),
        "groups": integer_of(groups, "groups"),
    }


def _margins(padding: Margins, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What lies before and after each axis."""
    margins = list(padding) if isinstance(padding, (tuple, list)) else [padding] * rank
    pairs = [tuple(m) if isinstance(m, (tuple, list)) else (m, m) for m in margins]
    if len(pairs) != rank or any(len(pair) != 2 for pair in pairs):
        raise ArgumentError(
            f"padding is a number, or a number or a pair for each of {rank} axes, not {padding}",
            user_location(),
        )
    low, high = (tuple(integer_of(pair[end], "padding") for pair in pairs) for end in (0, 1))
    if min(*low, *high) < 0:
        raise ArgumentError(f"padding is not negative, unlike {padding}", user_location())
    return low, high


def _each(value: Sizes, rank: int, name: str) -> tuple[int, ...]:
    """One number for each axis."""
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(sizes) != rank:
        raise ArgumentError(f"{name} is a number or {rank} of them, not {value}", user_location())
    return tuple(integer_of(size, name) for size in sizes)
