"""Calls an exported library by ctypes, with NumPy and nothing else.

A copy of this file stands in every Python package that ``export`` writes, so it imports nothing of
nets. It is a module of its own there, since functions of a library may be called ``print``.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_DTYPES = ("bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64")
_KINDS = {"b": "?", "i": "int", "u": "uint", "f": "float"}
_ERRORS: dict[str, type[Exception]] = {
    "ArgumentError": TypeError,
    "IndexOutOfBoundsError": IndexError,
    "NumberError": OverflowError,
    "NegativePowerError": ValueError,
    "DivisionByZeroError": ZeroDivisionError,
    "ShapeError": ValueError,
    "LinAlgError": np.linalg.LinAlgError,
}
_ALIGNMENT = 64


def _dtype(word: str) -> np.dtype[Any]:
    return np.dtype("?" if word == "bool" else f"{_KINDS[word[0]]}{word[1:]}")


def _aligned(size: int) -> Array:
    """Zeros at an address that is a multiple of 64."""
    memory = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


class _Printed(ctypes.Structure):
    _fields_ = [
        ("dtype", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("data", ctypes.c_void_p),
    ]

    def array(self) -> Array:
        dtype = _dtype(_DTYPES[self.dtype])
        shape = tuple(self.shape[axis] for axis in range(self.rank))
        size = math.prod(shape) * dtype.itemsize
        data = ctypes.string_at(self.data, size) if size else b""
        return np.frombuffer(data, dtype).reshape(shape)


class _Elements(np.ndarray[Any, np.dtype[Any]]):
    """An array of which a format spec tells how each element looks."""

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        return np.array2string(self, formatter={"all": lambda element: format(element, spec)})


def _found(file: str) -> Path:
    """The library beside this file, or beside its folder."""
    here = Path(__file__).resolve().parent
    places = (here / file, here.parent / file)
    for place in places:
        if place.is_file():
            return place
    raise ImportError(f"there is no {file} in {here} or {here.parent}")


class Code:
    """The library, opened once, and what it says of itself."""

    def __init__(self, name: str, file: str, sha256: str) -> None:
        """``file`` is that of the library, ``sha256`` the hash of its description.

        ImportError where there is no such file, or another library.
        """
        self.name = name
        self.path = _found(file)
        self.opened = ctypes.CDLL(str(self.path))
        described: bytes = self.function("describe", (), ctypes.c_char_p)()
        if hashlib.sha256(described).hexdigest() != sha256:
            raise ImportError(
                f"{self.path} is not the library that {Path(__file__).parent} was exported with"
            )
        self.description = json.loads(described)
        self.functions = {f["name"]: f for f in self.description["functions"]}
        self.first_error = threading.local()
        if any(f["prints"] for f in self.functions.values()):
            self._print_in_python()

    def function(self, word: str, parameters: tuple[Any, ...], result: Any) -> Any:
        found = getattr(self.opened, f"{self.name}_{word}")
        found.argtypes, found.restype = parameters, result
        return found

    def status_of(self, word: str, *pointers: Any) -> None:
        """Call a function of the library that gets pointers; RuntimeError where it refuses."""
        call = self.function(word, (ctypes.c_void_p,) * len(pointers), ctypes.c_int32)
        status = call(*pointers)
        if status:
            raise RuntimeError(f"{word}: {self.message(status)}")

    def message(self, status: int) -> str:
        text: bytes = self.function("status_message", (ctypes.c_int32,), ctypes.c_char_p)(status)
        return text.decode()

    def patterns(self, function: dict[str, Any]) -> dict[int, dict[str, Any]]:
        """The rows and columns of the elements of each sparse result, and its shape."""
        name, found = function["name"], {}
        for matrix in function.get("matrices", ()):
            word = f"{name}_{matrix['word']}_" if matrix["word"] else f"{name}_"
            count = matrix["nnz"]
            pattern: dict[str, Any] = {"shape": tuple(matrix["shape"])}
            for key in ("rows", "cols"):
                address = self.function(f"{word}{key}", (), ctypes.c_void_p)()
                data = ctypes.string_at(address, 4 * count) if count else b""
                pattern[key] = np.frombuffer(data, np.int32)
            found[matrix["result"]] = pattern
        return found

    def _print_in_python(self) -> None:
        values = ctypes.POINTER(_Printed)
        number, text, user = ctypes.c_int32, ctypes.c_char_p, ctypes.c_void_p
        self._printer = ctypes.CFUNCTYPE(None, user, number, text, number, values)(self._print)
        self.function("set_print", (ctypes.c_void_p,) * 2, None)(self._printer, None)

    def _print(self, user: Any, site: int, text: bytes, count: int, values: Any) -> None:
        try:
            arrays = [values[number].array() for number in range(count)]
            shown = [x.view(_Elements) if x.ndim else x[()] for x in arrays]
            print(text.decode().format(*shown))
        except BaseException as error:  # it cannot pass through compiled code
            self.first_error.value = getattr(self.first_error, "value", None) or error

    def raise_print_error(self) -> None:
        """Raise what went wrong when this thread printed."""
        error = getattr(self.first_error, "value", None)
        self.first_error.value = None
        if error is not None:
            raise error


class _State(Mapping[str, Any]):
    """What the functions share: an array per member, which may be written to."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._bytes = _aligned(code.description["state_bytes"])
        self.pointer = self._bytes.ctypes.data
        self._members = {}
        for member in code.description["state"]:
            dtype, shape = _dtype(member["dtype"]), member["shape"]
            size = math.prod(shape) * dtype.itemsize
            array = self._bytes[member["offset"] :][:size].view(dtype).reshape(shape)
            if member.get("key", member["name"]):  # the mark of the layout has no key
                self._members[member.get("key", member["name"])] = array
        self.reset()

    def __getitem__(self, name: str) -> Any:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def reset(self) -> None:
        """Go back to the state at the time of the export."""
        if self._members:
            self._code.status_of("init_state", self.pointer)

    def save(self) -> bytes:
        """The whole state, in the form that C programs save it."""
        return self._bytes.tobytes()

    def load(self, data: bytes) -> None:
        """Take a saved state. ValueError where it has another size, RuntimeError where the library
        refuses it."""
        given = np.frombuffer(bytes(data), np.uint8)
        if len(given) != len(self._bytes):
            raise ValueError(f"a state has {len(self._bytes)} bytes, not {len(given)}")
        if self._members:
            self._code.status_of("load_state", self.pointer, given.ctypes.data)

    def __repr__(self) -> str:
        return f"<state of {self._code.name}: {', '.join(self._members) or 'none'}>"


class Library:
    """The functions of the library as methods, with a state of their own.

    Threads may call at the same time where there is no state.
    """

    _code: Code

    def __init__(self) -> None:
        self._workspaces = threading.local()
        self.state = _State(self._code)

    def __repr__(self) -> str:
        return f"<library {self._code.name}: {', '.join(self._code.functions)}>"

    def _call(self, name: str, values: list[Any]) -> Any:
        """The results for the values of the parameters, which are nests of arrays."""
        function = self._code.functions[name]
        parameters = [*function["positional"], *function["keywords"]]
        inputs = [np.empty(0)] * len(function["arguments"])
        for (word, tree), value in zip(parameters, values, strict=True):
            for number, leaf in _leaves(tree, value, f"{name}: {word}"):
                inputs[number] = _array(function["arguments"][number], leaf, name)
        sizes = _sizes(function, inputs)
        outputs = [np.empty(_shape(x, sizes), _dtype(x["dtype"])) for x in function["results"]]
        pointers: list[Any] = [self.state.pointer] if function["state"] else []
        pointers += [array.ctypes.data for array in (*inputs, *outputs)]
        pointers += [self._workspace(function, sizes)]
        types = (ctypes.c_int64,) * len(sizes) + (ctypes.c_void_p,) * len(pointers)
        call = self._code.function(name, types, ctypes.c_int32)
        status = call(*sizes.values(), *pointers)
        self._code.raise_print_error()
        if status:
            raise self._refusal(function, status)
        return _nest(function["tree"], outputs, self._code.patterns(function))

    def _call_bound(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same for a call of a function whose parameters Python has no words for."""
        function = self._code.functions[name]
        positional = [word for word, _ in function["positional"]]
        given = dict(zip(positional, args, strict=False))
        twice = given.keys() & kwargs.keys()
        given |= kwargs
        words = [*positional, *(word for word, _ in function["keywords"])]
        if len(args) > len(positional) or twice or given.keys() != set(words):
            raise TypeError(f"{name}() takes the arguments {', '.join(map(repr, words))}")
        return self._call(name, [given[word] for word in words])

    def _workspace(self, function: dict[str, Any], sizes: dict[str, int]) -> int | None:
        """The address of memory of this thread's own."""
        word, types = f"{function['name']}_workspace_bytes", (ctypes.c_int64,) * len(sizes)
        size = self._code.function(word, types, ctypes.c_size_t)(*sizes.values())
        if not size:
            return None
        memory = getattr(self._workspaces, "memory", None)
        if memory is None or len(memory) < size:
            memory = self._workspaces.memory = _aligned(size)
        address: int = memory.ctypes.data
        return address

    def _refusal(self, function: dict[str, Any], status: int) -> Exception:
        for code, message, error in function["checks"]:
            if code == status:
                return _ERRORS[error](f"{function['name']}: {message}")
        return RuntimeError(f"{function['name']}: {self._code.message(status)}")


def _array(buffer: dict[str, Any], leaf: Any, function: str) -> Array:
    """The leaf as the buffer wants it: TypeError or ValueError unless it has its dtype and shape.
    Python's numbers take on the dtype, elements that do not lie in order are copied."""
    name, dtype = f"{function}: {buffer['name']}", _dtype(buffer["dtype"])
    order = "biuf"
    kind = {bool: "b", int: "i", float: "f"}.get(type(leaf))
    fits = kind is not None and order.index(kind) <= order.index(dtype.kind.replace("u", "i"))
    array = np.asarray(leaf, dtype) if fits else np.asarray(leaf)
    if array.dtype != dtype:
        raise TypeError(f"{name} is {dtype}, not {array.dtype}")
    if array.ndim != len(buffer["shape"]):
        raise _other_shape(name, buffer, array)
    return np.require(array, dtype, ["C", "A"])


def _other_shape(name: str, buffer: dict[str, Any], array: Array) -> ValueError:
    wanted = ", ".join(map(str, buffer["shape"])) + ("," if len(buffer["shape"]) == 1 else "")
    return ValueError(f"{name} has shape ({wanted}), not {array.shape}")


def _sizes(function: dict[str, Any], arrays: list[Array]) -> dict[str, int]:
    """The dimensions of the function, which the shapes of its arguments tell. ValueError where
    these are not those of its arguments."""
    buffers = function["arguments"]
    told = [
        pair
        for buffer, array in zip(buffers, arrays, strict=True)
        for pair in zip(buffer["shape"], array.shape, strict=True)
    ]
    names = [name for name, *_ in function.get("dims", ())]
    sizes: dict[str, int] = {}
    for name in names:
        found = [_solved(name, size, length, sizes) for size, length in told]
        known = [size for size in found if size is not None]
        if not known:
            raise ValueError(f"{function['name']}: no argument tells {name}")
        sizes[name] = known[0]
    for buffer, array in zip(buffers, arrays, strict=True):
        if array.shape != _shape(buffer, sizes):
            raise _other_shape(f"{function['name']}: {buffer['name']}", buffer, array)
    return sizes


def _solved(name: str, size: int | str, length: int, sizes: dict[str, int]) -> int | None:
    """The dimension of that name, if a size is ``a * name + b`` and that is the length."""
    if size == name:
        return length
    try:
        start, step = (_evaluated(size, sizes | {name: n}) for n in (0, 1))
    except KeyError:  # another dimension that is not known yet
        return None
    step -= start
    is_linear = _evaluated(size, sizes | {name: 1 << 20}) == start + (step << 20)
    fits = step != 0 and is_linear and (length - start) % step == 0
    return (length - start) // step if fits else None


def _shape(buffer: dict[str, Any], sizes: dict[str, int]) -> tuple[int, ...]:
    return tuple(_evaluated(size, sizes) for size in buffer["shape"])


def _evaluated(size: int | str, sizes: dict[str, int]) -> int:
    """A size: a number, or an expression of dimensions with ``+ - * //`` and ``min``.

    KeyError for a dimension that is none of ``sizes``; its name may be a word of Python.
    """
    if isinstance(size, int):
        return size
    return _sum(re.findall(r"//|\w+|[-+*(),]", size)[::-1], sizes)


def _sum(words: list[str], sizes: dict[str, int]) -> int:
    """The value of a sum that stands at the end of the words, in reverse; takes it away."""
    sign = -1 if words[-1] == "-" and words.pop() else 1
    found = sign * _product(words, sizes)
    while words and words[-1] in "+-":
        sign = 1 if words.pop() == "+" else -1
        found += sign * _product(words, sizes)
    return found


def _product(words: list[str], sizes: dict[str, int]) -> int:
    found = _factor(words, sizes)
    while words and words[-1] in ("*", "//"):
        is_product = words.pop() == "*"
        factor = _factor(words, sizes)
        found = found * factor if is_product else found // factor
    return found


def _factor(words: list[str], sizes: dict[str, int]) -> int:
    word = words.pop()
    if word == "min" and words and words[-1] == "(":
        words.pop()
        first, _, second, _ = _sum(words, sizes), words.pop(), _sum(words, sizes), words.pop()
        return min(first, second)
    if word == "(":
        found, _ = _sum(words, sizes), words.pop()
        return found
    return int(word) if word.isdecimal() else sizes[word]


def _leaves(tree: Any, value: Any, path: str) -> Iterator[tuple[int, Any]]:
    """(number, leaf) pairs of a value that is built as ``tree`` is."""
    if isinstance(tree, int):
        yield tree, value
        return
    kind, children = tree[0], tree[1] if len(tree) > 1 else []
    got = _children(kind, value)
    keys = [key for key, _ in children]
    if got is None or got.keys() != set(keys):
        wanted = f"{kind} of ({', '.join(map(str, keys))})" if keys else kind
        raise TypeError(f"{path} is a {wanted}, not {type(value).__name__}")
    for key, subtree in children:
        yield from _leaves(subtree, got[key], f"{path}[{key!r}]")


def _children(kind: str, value: Any) -> dict[Any, Any] | None:
    """The children of a container by key; None where it is not of that kind."""
    if kind == "none":
        return {} if value is None else None
    if kind in ("list", "tuple"):
        return dict(enumerate(value)) if isinstance(value, (list, tuple)) else None
    if isinstance(value, dict) or kind == "dict":
        return value if isinstance(value, dict) else None
    names = getattr(value, "_fields", ()) or getattr(value, "__dataclass_fields__", ())
    return {name: getattr(value, name) for name in names} or None


def _nest(tree: Any, arrays: list[Any], patterns: dict[int, dict[str, Any]]) -> Any:
    """The arrays, built as ``tree`` is; named tuples and dataclasses come as dicts, and sparse
    matrices with what ``patterns`` tell of their values."""
    if isinstance(tree, int):
        return arrays[tree]
    if tree == ["none"]:
        return None
    items = {key: _nest(subtree, arrays, patterns) for key, subtree in tree[1]}
    if tree[0] == "fields":
        numbers = [subtree for _, subtree in tree[1] if isinstance(subtree, int)]
        items |= next((patterns[number] for number in numbers if number in patterns), {})
    if tree[0] == "list":
        return list(items.values())
    return tuple(items.values()) if tree[0] == "tuple" else items
