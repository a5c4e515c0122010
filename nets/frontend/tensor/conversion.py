"""From what users pass (lists, arrays, numbers, other libraries' tensors) to arrays nets takes.

Every refusal is a nets error at the user's line: UnsupportedObjectError for things that are not
arrays of numbers, DTypeError for elements nets does not have.
"""

from __future__ import annotations

import sys
from typing import Any, Final, TypeGuard

import numpy as np
import numpy.typing as npt

from nets.backend.arrays import private_copy
from nets.errors import ArgumentError, DTypeError, NetsError, NumberError, UnsupportedObjectError
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.variable import Array
from nets.ieee import in_ieee_mode
from nets.ir.location import user_location
from nets.ir.types import DTYPES, DType, from_numpy
from nets.ops.definition.registry import lookup

Scalar = bool | int | float

_CPU_DEVICES: Final = (1, 3)  # DLPack's numbers of plain and of pinned host memory


def is_scalar(x: object) -> TypeGuard[Scalar]:
    """A Python number, whose dtype gives way to that of a tensor (NumPy's are not)."""
    return isinstance(x, (bool, int, float)) and not isinstance(x, np.generic)


@in_ieee_mode
def array_of(data: object, dtype: DType | None = None) -> Array:
    """A private, contiguous array in native byte order with the elements of ``data``.

    ``dtype`` converts as ``nets.astype`` does. UnsupportedObjectError for object arrays, ragged
    lists, masked arrays, tensors on other devices; DTypeError for complex, float16, strings, …
    """
    scope = current_scope()
    if scope is not None and scope.world is not None:
        scope.world.note(data)  # the elements become part of the program
    try:
        _refuse_foreign(data)
        array = np.asarray(data)
    except NetsError:
        raise
    except Exception as error:  # whatever another library raises when asked for an array
        raise UnsupportedObjectError(
            f"no tensor can be made of {_described(data)}: {error}", user_location()
        ) from None
    if array.dtype.kind == "O":
        raise UnsupportedObjectError(
            f"no tensor can be made of {_described(data)}: its elements are not numbers that fit "
            "a dtype",
            user_location(),
        )
    own = from_numpy(array.dtype)
    if own is None:
        raise DTypeError(f"nets has no dtype for NumPy's {array.dtype}", user_location())
    array = np.asarray(array, own.numpy)
    if dtype is not None and dtype != own:
        (array,) = lookup("cast").evaluate((array,), {"dtype": dtype})
    return private_copy(array)


def _refuse_foreign(data: object) -> None:
    if _is_masked(data):
        raise UnsupportedObjectError(
            "a masked array has no tensor form; fill it first: array.filled(value)",
            user_location(),
        )
    device = getattr(data, "__dlpack_device__", None)
    if device is None or isinstance(data, (np.ndarray, np.generic)):
        return
    if device()[0] not in _CPU_DEVICES:
        raise UnsupportedObjectError(
            f"{_described(data)} is on another device; copy it to the CPU first",
            user_location(),
        )


def _is_masked(data: object) -> bool:
    # numpy.ma takes longer to import than most programs to trace; who made one has imported it.
    masked = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(data, masked.MaskedArray)


def _described(data: object) -> str:
    return f"this {type(data).__module__}.{type(data).__qualname__}".replace("builtins.", "")


@in_ieee_mode
def scalar_array(x: Scalar, dtype: DType) -> Array:
    """A Python number as a 0-d array; NumberError where the dtype cannot hold it."""
    try:
        with np.errstate(all="ignore"):
            return np.array(x, dtype.numpy)
    except (OverflowError, ValueError) as error:
        raise NumberError(f"{x} does not fit {dtype.numpy}: {error}", user_location()) from None


def dtype_of(spec: npt.DTypeLike | DType | None) -> DType:
    """The dtype of a NumPy dtype, a Python type, or a name such as "float32" or "f32".

    DTypeError for dtypes nets does not have, and for names that mean two things.
    """
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, str) and spec in ("i8", "u8"):
        raise DTypeError(
            f"{spec!r} has 8 bits in nets and 8 bytes in NumPy: write int8 or int64, uint8 or "
            "uint64",
            user_location(),
        )
    if isinstance(spec, str) and spec in DTYPES and spec != "index":
        return DTYPES[spec]
    try:
        dtype = from_numpy(np.dtype(spec)) if spec is not None else None
    except TypeError:
        dtype = None
    if dtype is None:
        raise DTypeError(f"nets has no dtype {spec!r}", user_location())
    return dtype


def integer_of(x: object, what: str) -> int:
    """A Python int of anything that counts as one; DTypeError else."""
    if isinstance(x, (int, np.integer)) and not isinstance(x, bool):
        return int(x)
    index = getattr(x, "__index__", None)
    if index is None or isinstance(x, (bool, np.bool_)):
        raise DTypeError(f"{what} must be an integer, not {x!r}", user_location())
    try:
        return int(index())
    except NetsError:
        raise
    except TypeError:
        raise DTypeError(f"{what} must be an integer, not {x!r}", user_location()) from None


def number_of(x: object, what: str) -> float:
    """A Python number; ArgumentError else."""
    if not isinstance(x, int | float | np.number) or isinstance(x, bool):
        raise ArgumentError(f"{what} is a number, not {x!r}", user_location())
    return x  # type: ignore[return-value]


def several(things: Any, what: str) -> list[Any]:
    """The elements of a list, a tuple, or along the first axis of a tensor; ArgumentError else."""
    is_list = isinstance(things, (list, tuple))
    if not is_list and not getattr(things, "ndim", 0):
        raise ArgumentError(
            f"{what} takes a list or tuple, not a {type(things).__name__}", user_location()
        )
    return list(things)
