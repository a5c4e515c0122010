"""Signatures: what a specialisation depends on, and why a new one was needed.

The signature of a call is the structure of its arguments, dtype and shape of each leaf, which
leaves are Python numbers, and the static values. It is a plain tuple, made on every call; the rest
of this room runs only when a signature is new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from nets.errors import (
    ArgumentError,
    DTypeError,
    NetsError,
    NumberError,
    TraceError,
    UnsupportedObjectError,
)
from nets.frontend.pytree import Order, Step, Token, expression, identifier, unique
from nets.frontend.tensor.conversion import array_of, is_scalar
from nets.frontend.tensor.elements import Elements
from nets.frontend.tensor.inner import is_weak, value_of
from nets.frontend.tensor.scope import is_live, leaked
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array, Variable
from nets.frontend.tracing.binding import Static
from nets.frontend.tracing.spec import TensorSpec, short
from nets.ir.location import user_location
from nets.ir.sizes import Dim
from nets.ir.types import TensorType, from_numpy

LeafKey = tuple[np.dtype[Any], tuple[Dim, ...], bool]
"""(NumPy dtype, shape, is it a Python number?) of a leaf."""

StaticKey = tuple[tuple[int | str, object, object], ...]
"""(position or keyword, value, what tells it from equal ones) of the static values."""

Signature = tuple[tuple[Token, ...], tuple[Order, ...], tuple[LeafKey, ...], StaticKey]
"""(structure of the arguments, orders of dicts in it, leaf keys, static values): the key of a
specialisation."""

_NUMBERS: Final[Mapping[type, Any]] = {
    bool: np.dtype(np.bool_),
    int: np.dtype(np.int64),
    float: np.dtype(np.float64),
}


class Input(NamedTuple):
    """One argument of the traced function: a leaf of the arguments of the call."""

    name: str
    """As IR and C call it: ``params_0_w``."""
    path: str
    """As the user would write it: ``params[0]['w']``."""
    type: TensorType
    weak: bool
    """Is it a Python number, whose dtype gives way?"""
    donated: bool = False
    """May a call take the elements of a tensor over?"""

    def __str__(self) -> str:
        if self.weak:
            return f"Python {_PYTHON_NAMES[self.type.dtype.kind]}"
        return short(self.type)


_PYTHON_NAMES: Final = {"b": "bool", "i": "int", "u": "int beyond int64", "f": "float"}


class LeafError(Exception):
    """A leaf that cannot be an argument: its position, and the error to show with its path."""

    def __init__(self, position: int, error: NetsError) -> None:
        super().__init__(str(error))
        self.position = position
        self.error = error


def read_leaves(leaves: Sequence[Any]) -> tuple[list[Array], tuple[LeafKey, ...]]:
    """The array and the key of each leaf of a call; arrays are not copied.

    LeafError for what cannot become a tensor. dtypes are checked later, for new signatures only.
    """
    arrays: list[Array] = []
    keys: list[LeafKey] = []
    for leaf in leaves:
        kind = type(leaf)
        if kind is np.ndarray or kind is Elements:
            array, weak = leaf if leaf.dtype.isnative else _native(leaf), False
        elif isinstance(leaf, Tensor):
            value = value_of(leaf)
            if not isinstance(value, Variable):
                raise LeafError(len(arrays), _not_eager(leaf))
            array, weak = value.data, is_weak(leaf)
        elif is_scalar(leaf):
            array, weak = _number(leaf, len(arrays)), True
        else:
            array, weak = _foreign(leaf, len(arrays)), False
        arrays.append(array)
        keys.append((array.dtype, array.shape, weak))
    return arrays, tuple(keys)


def spec_keys(leaves: Sequence[object]) -> tuple[LeafKey, ...]:
    """The keys of the arguments of ``lower``: specs, or what a call takes."""
    keys: list[LeafKey] = []
    for leaf in leaves:
        if isinstance(leaf, TensorSpec):
            keys.append((leaf.dtype, leaf.shape, False))
            continue
        try:
            keys += read_leaves([leaf])[1]
        except LeafError as error:
            raise LeafError(len(keys), error.error) from None
    return tuple(keys)


def _not_eager(leaf: Tensor) -> NetsError:
    if not is_live(value_of(leaf)):
        return leaked(leaf)
    return TraceError(
        "compiled code takes arrays, not traced tensors; call the function it was made from"
    )


def _native(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("="))


def _number(leaf: float, position: int) -> Array:
    """A Python number as a 0-d array; an integer beyond int64 as uint64."""
    dtype = next(dtype for kind, dtype in _NUMBERS.items() if isinstance(leaf, kind))
    try:
        return np.array(leaf, dtype if dtype.kind != "i" or leaf < 1 << 63 else np.uint64)
    except OverflowError:
        error = NumberError(f"{leaf} fits neither int64 nor uint64: pass a float, or a static one")
        raise LeafError(position, error) from None


def _foreign(leaf: object, position: int) -> Array:
    try:
        if isinstance(leaf, (str, bytes)):
            raise UnsupportedObjectError(
                f"no tensor can be made of {shown(leaf)}; a text is passed as a static argument "
                "(static_argnames of nets.trace)"
            )
        if callable(leaf):
            raise UnsupportedObjectError(
                f"no tensor can be made of {shown(leaf)}; let the function use it by its name "
                "(modules and functions are closed over), or pass it as a static argument "
                "(static_argnames of nets.trace)"
            )
        return array_of(leaf)
    except NetsError as error:
        raise LeafError(position, error) from None


def shown(leaf: object) -> str:
    """A value as messages show it."""
    text = repr(leaf)
    return text if len(text) <= 40 else f"a {type(leaf).__name__}"


def static_key(static: Static, name: str) -> StaticKey:
    """The static values of a call, hashable; ArgumentError where one is not.

    Classes belong to the key, for 1 == 1.0 == True, and the sign of zero.
    """
    key = tuple((where, value, _exactly(value)) for where, value in static)
    for where, value, _ in key:
        if isinstance(value, (Tensor, np.ndarray)):
            raise ArgumentError(
                f"static argument {where!r} of {name} is {_a(value)}; arrays and tensors are "
                "passed as dynamic arguments",
                user_location(),
            )
    try:
        hash(key)
    except TypeError as error:
        raise ArgumentError(
            f"static arguments of {name} must be hashable: {error}", user_location()
        ) from None
    return key


def _exactly(value: object) -> object:
    """What tells a value from others that are equal to it: classes and signs of zero, also in
    tuples, frozen sets and dataclasses."""
    if isinstance(value, float):
        return type(value), value.hex()
    if isinstance(value, complex):
        return type(value), value.real.hex(), value.imag.hex()
    if isinstance(value, frozenset):
        return type(value), frozenset((x, _exactly(x)) for x in value)
    if isinstance(value, tuple):
        return type(value), tuple(map(_exactly, value))
    if is_dataclass(value) and not isinstance(value, type):
        parts = (getattr(value, field.name) for field in fields(value))
        return type(value), tuple(map(_exactly, parts))
    return type(value)


def _a(value: object) -> str:
    return "a Tensor" if isinstance(value, Tensor) else "a NumPy array"


# ------------------------------------------------------------------------ new signatures


def declared(
    places: Sequence[tuple[str, Sequence[Step]]], types: Sequence[tuple[TensorType, bool]]
) -> list[Input]:
    """The arguments of the function to be traced: at (parameter, path within it), of (type, is it
    weak?); their names are unique."""
    names = unique([identifier(root, path) for root, path in places])
    return [
        Input(name, expression(root, path), type, weak)
        for name, (root, path), (type, weak) in zip(names, places, types, strict=True)
    ]


def type_of(
    root: str, rest: Sequence[Step], dtype: np.dtype[Any], shape: tuple[Dim, ...]
) -> TensorType:
    """The type of the leaf at a place. DTypeError for foreign dtypes."""
    own, path = from_numpy(dtype), expression(root, rest)
    if own is not None:
        return TensorType(shape, own)
    if dtype.kind == "O":
        raise UnsupportedObjectError(
            f"argument {path}: an array of Python objects is not a tensor", user_location()
        )
    raise DTypeError(f"argument {path}: nets has no dtype for NumPy's {dtype}", user_location())


def at_argument(error: LeafError, root: str, rest: Sequence[Step]) -> NetsError:
    """The error of a leaf, saying which argument it is."""
    inner, path = error.error, expression(root, rest)
    return type(inner)(f"argument {path}: {inner.message}", inner.location or user_location())


def explain(before: Sequence[dict[str, str]], now: dict[str, str]) -> list[str]:
    """One line per argument in which ``now`` differs from the nearest signature before."""
    return min((_differences(old, now) for old in before), key=len)


def _differences(old: dict[str, str], new: dict[str, str]) -> list[str]:
    lines = []
    for path in dict.fromkeys((*old, *new)):
        if path not in new:
            lines.append(f"{path}: {old[path]} → not given")
        elif path not in old:
            lines.append(f"{path}: not given → {new[path]}")
        elif old[path] != new[path]:
            lines.append(f"{path}: {old[path]} → {new[path]}")
    return lines or ["the containers of the arguments are others"]
