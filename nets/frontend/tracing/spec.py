"""spec: the dtype and shape of an argument, standing in for an array."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nets.errors import DTypeError, ParseError, ShapeError
from nets.frontend.tracing.open_sizes import checked_names, dim, size_in, text, words_of
from nets.ir.location import user_location
from nets.ir.sizes import Dim, Range, at_most, expression
from nets.ir.types import (
    TENSOR_DTYPES,
    DType,
    Shape,
    TensorType,
    from_numpy,
    is_addressable,
)

_NAMES: Final = {dtype.name: dtype for dtype in TENSOR_DTYPES}
_FORM: Final = re.compile(r"\s*(\w+)\s*(?:\[(.*)\])?\s*", re.ASCII)


class TensorSpec:
    """The type of an argument of ``lower``; prints as ``f32[32,784]``."""

    __slots__ = ("dims", "type")

    def __init__(self, type: TensorType, dims: Mapping[str, Range] | None = None) -> None:
        self.type = type
        self.dims = dict(dims or {})
        """What the sizes may be that a call tells."""

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.type.dtype.numpy

    def __reduce__(self) -> tuple[Any, ...]:
        return TensorSpec, (self.type, self.dims)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TensorSpec):
            return NotImplemented
        return (self.type, self.dims) == (other.type, other.dims)

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return short(self.type)

    def __repr__(self) -> str:
        dims = "".join(f", {name}={text(range)}" for name, range in self.dims.items())
        return f'nets.spec("{self}"{dims})'


def short(type: TensorType) -> str:
    """``f32[32,784]``: the form users write and messages show."""
    return f"{type.dtype}[{','.join(map(expression, type.shape))}]"


def spec(
    form: str | Dim | Sequence[Dim | str],
    dtype: npt.DTypeLike | None = None,
    **dims: Range,
) -> TensorSpec:
    """The spec written as ``"f32[32, 784]"``, or given by a shape and a dtype.

    dtypes go by their short name (``f32``) or NumPy's (``float32``); ``f32[]`` and ``f32`` are 0-d.
    A size may have a name, ``"f32[batch, 784]"``, or be computed of names, ``2*n + 1``: each call
    tells them, within the ranges that ``dims`` give, ``batch=nets.dim(1, 4096)``. ``?batch`` is one
    of any size.

    ParseError for a text in another form, for a name without ``nets.dim`` and the other way round;
    ShapeError for a size that is no size, DTypeError for an unknown dtype.
    """
    if not isinstance(form, str):
        if dtype is None:
            raise DTypeError("nets.spec(shape, dtype) needs a dtype", user_location())
        given = form if isinstance(form, (tuple, list)) else (form,)
        return _spec([_size(size, str(form)) for size in given], _dtype(dtype), dims, str(form))
    if dtype is not None:
        raise ParseError(
            f"nets.spec({form!r}) names its dtype; it takes no second argument", user_location()
        )
    match = _FORM.fullmatch(form)
    if match is None:
        raise ParseError(f'{form!r} is not a spec; write it as "f32[32, 784]"', user_location())
    inner = match[2] or ""
    any_size = {name: dim() for name in _ANY.findall(inner)}
    sizes = [_dim(word, form) for word in words_of(_ANY.sub(r"\1", inner))]
    return _spec(sizes, _dtype(match[1]), any_size | dims, form)


_ANY: Final = re.compile(r"\?([A-Za-z_]\w*)", re.ASCII)
"""A dimension of any size."""


def _spec(sizes: Sequence[Dim], dtype: DType, dims: Mapping[str, Range], form: str) -> TensorSpec:
    type = TensorType(tuple(sizes), dtype)
    ranges = checked_names(dims, sizes, f"the spec {form!r}")
    for size in sizes:
        if at_most(0, size, ranges) is False:
            raise ShapeError(f"{expression(size)} is not the size of an axis", user_location())
    if not is_addressable(type.shape):
        raise ShapeError(f"{short(type)} has too many elements", user_location())
    return TensorSpec(type, ranges)


def _dtype(name: Any) -> DType:
    if isinstance(name, DType):
        return name
    if isinstance(name, str) and name in _NAMES:
        return _NAMES[name]
    try:
        found = from_numpy(name)
    except TypeError:
        found = None
    if found is None:
        raise DTypeError(f"nets has no dtype {name!r}; it has {', '.join(_NAMES)}", user_location())
    return found


def _dim(word: str, form: str) -> Dim:
    return size_in(word, f"the spec {form!r}")


def _size(size: Any, form: str) -> Dim:
    return size_in(size, f"the spec {form!r}")
