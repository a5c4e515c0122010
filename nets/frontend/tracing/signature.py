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
    ShapeError,
    TraceError,
    UnsupportedObjectError,
)
from nets.frontend.pytree import TreeDef, expression, identifier, unique
from nets.frontend.tensor.conversion import array_of, is_scalar
from nets.frontend.tensor.elements import Elements
from nets.frontend.tensor.inner import is_weak, value_of
from nets.frontend.tensor.scope import is_live, leaked
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array, Variable
from nets.frontend.tracing.binding import Binding, Call
from nets.frontend.tracing.spec import TensorSpec, short
from nets.ir.location import user_location
from nets.ir.types import TensorType, from_numpy

LeafKey = tuple[Any, tuple[Any, ...], bool]
"""(NumPy dtype, shape, is it a Python number?) of a leaf."""

Signature = tuple[Any, ...]
"""(tokens of the argument structure, leaf keys, static values): the key of a specialisation."""

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


def spec_keys(leaves: Sequence[Any]) -> tuple[LeafKey, ...]:
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


def _foreign(leaf: Any, position: int) -> Array:
    try:
        if isinstance(leaf, (str, bytes)):
            raise UnsupportedObjectError(
                f"no tensor can be made of {_shown(leaf)}; a text is passed as a static argument "
                "(static_argnames of nets.trace)"
            )
        if callable(leaf):
            raise UnsupportedObjectError(
                f"no tensor can be made of {_shown(leaf)}; let the function use it by its name "
                "(modules and functions are closed over), or pass it as a static argument "
                "(static_argnames of nets.trace)"
            )
        return array_of(leaf)
    except NetsError as error:
        raise LeafError(position, error) from None


def _shown(leaf: Any) -> str:
    text = repr(leaf)
    return text if len(text) <= 40 else f"a {type(leaf).__name__}"


def static_key(call: Call, name: str) -> tuple[Any, ...]:
    """The static values of a call, hashable; ArgumentError where one is not.

    Classes belong to the key, for 1 == 1.0 == True, and the sign of zero.
    """
    key = tuple((where, value, _exactly(value)) for where, value in call.static)
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


def _exactly(value: Any) -> Any:
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


def _a(value: Any) -> str:
    return "a Tensor" if isinstance(value, Tensor) else "a NumPy array"


# ------------------------------------------------------------------------ new signatures


def locate_leaves(binding: Binding, call: Call, treedef: TreeDef) -> list[tuple[str, str]]:
    """(name, path) of each leaf of ``(call.args, call.kwargs)``; names are unique."""
    roots = binding.roots(call)
    names, paths = [], []
    for first, second, *rest in treedef.paths():
        root = roots[second.key] if first.key == 0 else second.key
        names.append(identifier(root, rest))
        paths.append(expression(root, rest))
    return list(zip(unique(names), paths, strict=True))


def inputs_of(places: Sequence[tuple[str, str]], keys: Sequence[LeafKey]) -> list[Input]:
    """The declared arguments of the function to be traced.

    DTypeError for foreign dtypes, ShapeError for dimensions without a size.
    """
    return [
        Input(name, path, _type_of(path, dtype, shape), weak)
        for (name, path), (dtype, shape, weak) in zip(places, keys, strict=True)
    ]


def _type_of(path: str, dtype: Any, shape: tuple[Any, ...]) -> TensorType:
    own = from_numpy(dtype)
    if own is not None:
        type = TensorType(shape, own)
        if type.is_static:
            return type
        raise ShapeError(
            f"argument {path} is {short(type)}: a dimension without a size cannot be compiled yet",
            user_location(),
        )
    if dtype.kind == "O":
        raise UnsupportedObjectError(
            f"argument {path}: an array of Python objects is not a tensor", user_location()
        )
    raise DTypeError(f"argument {path}: nets has no dtype for NumPy's {dtype}", user_location())


def at_argument(error: LeafError, places: Sequence[tuple[str, str]]) -> NetsError:
    """The error of a leaf, saying which argument it is."""
    inner = error.error
    path = places[error.position][1]
    return type(inner)(f"argument {path}: {inner.message}", inner.location or user_location())


def describe_static(binding: Binding, call: Call) -> dict[str, str]:
    """The static values, by the name of their parameter."""
    names = [binding.root(key) if isinstance(key, int) else key for key, _ in call.static]
    return {
        name: f"{_shown(value)} (static)"
        for name, (_, value) in zip(names, call.static, strict=True)
    }


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
