"""spec: the dtype and shape of an argument, standing in for an array."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nets.errors import DTypeError, ParseError, ShapeError
from nets.ir.location import user_location
from nets.ir.sizes import Dim, Size, symbol
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

    __slots__ = ("type",)

    def __init__(self, type: TensorType) -> None:
        self.type = type

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self.type.dtype.numpy

    def __reduce__(self) -> tuple[Any, ...]:
        return TensorSpec, (self.type,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorSpec) and self.type == other.type

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return short(self.type)

    def __repr__(self) -> str:
        return f'nets.spec("{self}")'


def short(type: TensorType) -> str:
    """``f32[32,784]``: the form users write and messages show."""
    return f"{type.dtype}[{','.join(map(str, type.shape))}]"


def spec(form: str | Dim | Sequence[Dim], dtype: npt.DTypeLike | None = None) -> TensorSpec:
    """The spec written as ``"f32[32, 784]"``, or given by a shape and a dtype.

    dtypes go by their short name (``f32``) or NumPy's (``float32``); ``f32[]`` and ``f32`` are
    0-d; ``?batch`` is a dimension whose size is known only at the call. ParseError for a text in
    another form, ShapeError for a size that is no size, DTypeError for an unknown dtype.
    """
    if not isinstance(form, str):
        if dtype is None:
            raise DTypeError("nets.spec(shape, dtype) needs a dtype", user_location())
        sizes = form if isinstance(form, (tuple, list)) else (form,)
        return _spec(tuple(map(_size, sizes)), _dtype(dtype))
    if dtype is not None:
        raise ParseError(
            f"nets.spec({form!r}) names its dtype; it takes no second argument", user_location()
        )
    match = _FORM.fullmatch(form)
    if match is None:
        raise ParseError(f'{form!r} is not a spec; write it as "f32[32, 784]"', user_location())
    dims = (match[2] or "").strip()
    words = [word.strip() for word in dims.removesuffix(",").split(",")] if dims else []
    return _spec(tuple(_dim(word, form) for word in words), _dtype(match[1]))


def _spec(shape: Shape, dtype: DType) -> TensorSpec:
    type = TensorType(shape, dtype)
    if not is_addressable(shape):
        raise ShapeError(f"{short(type)} has too many elements", user_location())
    return TensorSpec(type)


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
    if re.fullmatch(r"\?[A-Za-z_]\w*", word, re.ASCII):
        return symbol(word[1:])
    if not re.fullmatch(r"[0-9]{1,20}", word):
        raise ParseError(
            f"{word!r} in the spec {form!r} is neither a size nor a ?name", user_location()
        )
    return _size(int(word))


def _size(dim: Any) -> Dim:
    if isinstance(dim, Size):
        return dim
    try:
        size = operator.index(dim)
    except TypeError:
        raise ShapeError(f"{dim!r} is not the size of an axis", user_location()) from None
    if size < 0:
        raise ShapeError(f"{size} is not the size of an axis", user_location())
    return size
