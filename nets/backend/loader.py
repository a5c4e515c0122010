"""Loads exported libraries: ``nets.load("digits.so").predict(x)``, with cffi and NumPy alone.

The file is read and checked before the system's loader sees it: its description is found by a
mark in its bytes, and a file that is truncated or for another machine is refused, since loading
it could end the process.
"""

from __future__ import annotations

import math
import os
import platform
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nets.backend.c_header import C_TYPES
from nets.backend.manifest import MARK, Argument, Library, LibraryFunction, Tree, from_json
from nets.backend.printing import raise_pending, show
from nets.errors import (
    REFUSALS,
    ArgumentError,
    DTypeError,
    LoadError,
    MissingNameError,
    NumberError,
    ShapeError,
)
from nets.ir.types import DTYPES, gives_way

Array = npt.NDArray[Any]

_ELF_HEADER: Final = struct.Struct("<16xHHIQQQIHHHHHH")
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_MACHINES: Final = {"x86_64": 62, "aarch64": 183}
_SHARED: Final = 3
_LINE: Final = 64


def load(path: str | os.PathLike[str]) -> LoadedLibrary:
    """The library of that file, with a method for each of its functions.

    LoadError where the file is missing, not a library of nets, of another version, damaged, or for
    another CPU.
    """
    path = Path(path).resolve()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror}") from None
    _check_file(path, data)
    library = _describe(path, data)
    _check_cpu(path, library)
    return LoadedLibrary(path, library)


class LoadedLibrary:
    """An exported library in this process. ``functions`` names its methods.

    ``state`` holds what the functions share and update, if there is such: a mapping of names to
    arrays, with ``save``, ``load`` and ``reset``.
    """

    def __init__(self, path: Path, library: Library) -> None:
        from cffi import FFI

        self.path = path
        self.description = library
        ffi = FFI()
        ffi.cdef(_declarations(library))
        try:
            # The path is absolute, so the system looks nowhere else.
            opened = ffi.dlopen(str(path))
        except OSError as error:
            raise LoadError(f"{path} cannot be loaded: {error}") from None
        if library.prints:
            _print_in_python(ffi, opened, library.name)
        self.state = _State(ffi, opened, library)
        """What the functions share, which calls update; empty for a library without state."""
        self._functions = {
            function.name: _Function(ffi, opened, library.name, function, self.state)
            for function in library.functions
        }

    @property
    def functions(self) -> tuple[str, ...]:
        return tuple(self._functions)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        functions = self.__dict__.get("_functions", {})
        if name not in functions:
            known = ", ".join(functions)
            raise MissingNameError(f"the library has no function {name!r}; it has {known}")
        found: Callable[..., Any] = functions[name]
        return found

    def __repr__(self) -> str:
        return f"<library {self.path.name}: {', '.join(self._functions)}>"


class _State(Mapping[str, Array]):
    """The state of a loaded library: an array per member, which may be written to.

    It begins as it was at the time of the export. One call at a time may use it.
    """

    def __init__(self, ffi: Any, opened: Any, library: Library) -> None:
        self._opened, self._name = opened, library.name
        memory = np.zeros(library.state_bytes + _LINE, np.uint8)
        start = -int(ffi.cast("uintptr_t", ffi.from_buffer(memory))) % _LINE
        self._bytes = memory[start : start + library.state_bytes]
        self.pointer = ffi.cast("void *", ffi.from_buffer(self._bytes))
        self._members: dict[str, Array] = {}
        for member in library.state:
            dtype = DTYPES[member.dtype].numpy
            whole = self._bytes[member.offset :][: member.size * dtype.itemsize].view(dtype)
            self._members[member.name] = whole[: math.prod(member.shape)].reshape(member.shape)
        self.reset()

    def __getitem__(self, name: str) -> Array:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def reset(self) -> None:
        """Go back to the state at the time of the export."""
        if self._members:
            getattr(self._opened, f"{self._name}_init_state")(self.pointer)

    def save(self) -> bytes:
        """The whole state, in the form that C programs save it."""
        return self._bytes.tobytes()

    def load(self, data: bytes) -> None:
        """Take a saved state. ArgumentError where it has another size."""
        if len(data) != len(self._bytes):
            raise ArgumentError(
                f"a state of {self._name} has {len(self._bytes)} bytes, not {len(data)}"
            )
        self._bytes[:] = np.frombuffer(data, np.uint8)

    def __repr__(self) -> str:
        return f"<state of {self._name}: {', '.join(self._members) or 'none'}>"


class _Function:
    """One function of a library: Python nests in, NumPy arrays out."""

    def __init__(
        self, ffi: Any, opened: Any, library: str, function: LibraryFunction, state: _State
    ) -> None:
        self._state = [state.pointer] if function.state else []
        self._keep = state
        self._ffi = ffi
        self._opened = opened  # stays open as long as a function of it lives
        self._call = getattr(opened, f"{library}_{function.name}")
        self._message = getattr(opened, f"{library}_status_message")
        self._function = function
        self._inputs = [_form(a) for a in function.arguments]
        self._outputs = [_form(a) for a in function.results]
        self._types = [ffi.typeof(f"{C_TYPES[a.dtype]} *") for a in function.arguments]
        self._result_types = [ffi.typeof(f"{C_TYPES[a.dtype]} *") for a in function.results]
        self._workspaces = threading.local()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result, in the nest the Python function gave it.

        ArgumentError, ShapeError or DTypeError where the arguments are not those it was exported
        for; NumberError for a Python number that does not fit, and the error of the traced
        function where it refuses a value.
        """
        inputs = self._arrays(args, kwargs)
        outputs = [np.empty(shape, dtype) for shape, dtype in self._outputs]
        cast, view = self._ffi.cast, self._ffi.from_buffer
        pointers = [cast(t, view(array)) for t, array in zip(self._types, inputs, strict=True)]
        pointers += [cast(t, view(a)) for t, a in zip(self._result_types, outputs, strict=True)]
        status = self._call(*self._state, *pointers, self._workspace())
        raise_pending()
        if status != 0:
            raise self._failure(status)
        return _nest(self._function.tree, outputs)

    def _workspace(self) -> Any:
        """Memory of this thread's own, aligned, kept for its next call."""
        size = self._function.workspace_bytes
        if size == 0:
            return self._ffi.NULL
        found = getattr(self._workspaces, "memory", None)
        if found is None:
            memory = np.empty(size + _LINE, np.uint8)
            address = int(self._ffi.cast("uintptr_t", self._ffi.from_buffer(memory)))
            found = (memory, self._ffi.cast("void *", -(-address // _LINE) * _LINE))
            self._workspaces.memory = found
        return found[1]

    def _arrays(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Array]:
        found: list[Array | None] = [None] * len(self._inputs)
        for name, tree, value in self._bind(args, kwargs):
            for number, leaf in _leaves(tree, value, name):
                found[number] = self._array(number, leaf)
        return [array for array in found if array is not None]

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Tree, Any]]:
        """(name, tree, value) of each parameter."""
        function = self._function
        names = [name for name, _ in function.positional]
        if len(args) > len(names):
            raise ArgumentError(f"{function.name}() takes {len(names)} arguments, not {len(args)}")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name in given:
                raise ArgumentError(f"{function.name}() got two values for {name!r}")
            given[name] = value
        parameters = [*function.positional, *function.keywords]
        missing = [name for name, _ in parameters if name not in given]
        extra = given.keys() - {name for name, _ in parameters}
        if missing or extra:
            what = f"needs {missing[0]!r}" if missing else f"has no parameter {min(extra)!r}"
            raise ArgumentError(f"{function.name}() {what}")
        return [(name, tree, given[name]) for name, tree in parameters]

    def _array(self, number: int, leaf: Any) -> Array:
        shape, dtype = self._inputs[number]
        name = self._function.arguments[number].name
        array = np.asarray(_fitting(leaf, dtype, f"{self._function.name}: {name}"))
        if array.dtype != dtype:
            raise DTypeError(f"{self._function.name}: {name} is {dtype}, not {array.dtype}")
        if array.shape != shape:
            raise ShapeError(f"{self._function.name}: {name} has shape {shape}, not {array.shape}")
        return np.require(array, dtype, ["C", "A"])

    def _failure(self, status: int) -> Exception:
        name = self._function.name
        for code, message, error in self._function.checks:
            if code == status:
                return REFUSALS[error](f"{name}: {message}")
        text = self._ffi.string(self._message(status)).decode()
        return ArgumentError(f"{name}: {text}")

    def __repr__(self) -> str:
        given = ", ".join(f"{a.name}: {a.text}" for a in self._function.arguments)
        return f"<library function {self._function.name}({given})>"


_KINDS: Final = {bool: "b", int: "i", float: "f"}


def _fitting(leaf: Any, dtype: np.dtype[Any], name: str) -> Any:
    """A Python number in the dtype of its argument, if it has its kind; all else as it is."""
    kind = next((kind for number, kind in _KINDS.items() if isinstance(leaf, number)), None)
    if kind is None or isinstance(leaf, np.generic) or not gives_way(kind, dtype.kind):
        return leaf
    try:
        with np.errstate(over="ignore"):
            return np.asarray(leaf, dtype)
    except OverflowError as error:
        raise NumberError(f"{name} is {dtype}: {error}") from None


def _form(argument: Argument) -> tuple[tuple[int, ...], np.dtype[Any]]:
    return argument.shape, DTYPES[argument.dtype].numpy


# ---------------------------------------------------------------------------------- nests


def _leaves(tree: Tree, value: Any, path: str) -> list[tuple[int, Any]]:
    """(number, leaf) pairs of a value that has the structure of ``tree``."""
    found = []
    pending = [(tree, value, path)]
    while pending:
        tree, value, path = pending.pop()
        if isinstance(tree, int):
            found.append((tree, value))
            continue
        kind, *rest = tree
        children = rest[0] if rest else []
        got = _children(kind, value)
        if got is None or set(got) != {key for key, _ in children}:
            keys = ", ".join(str(key) for key, _ in children)
            raise ArgumentError(f"{path} is a {kind} of ({keys}), not {type(value).__name__}")
        pending += [(subtree, got[key], f"{path}[{key!r}]") for key, subtree in children]
    return found


def _children(kind: str, value: Any) -> dict[Any, Any] | None:
    """The children of a container by key; None where it is not of that kind."""
    if kind == "none":
        return {} if value is None else None
    if kind in ("list", "tuple"):
        return dict(enumerate(value)) if isinstance(value, (list, tuple)) else None
    if isinstance(value, dict):
        return value
    if kind == "fields":
        names: Iterable[str] = getattr(value, "_fields", ()) or getattr(
            value, "__dataclass_fields__", ()
        )
        return {name: getattr(value, name) for name in names} or None
    return None


def _nest(tree: Tree, arrays: Sequence[Array]) -> Any:
    """The arrays in the structure of ``tree``; named tuples and dataclasses come as dicts."""
    if isinstance(tree, int):
        return arrays[tree]
    kind, *rest = tree
    if kind == "none":
        return None
    # Nests in a manifest are as deep as JSON's reader allows, so this recursion ends.
    items = {key: _nest(subtree, arrays) for key, subtree in rest[0]}
    if kind == "list":
        return list(items.values())
    return tuple(items.values()) if kind == "tuple" else items


# --------------------------------------------------------------------------------- checks


def _check_file(path: Path, data: bytes) -> None:
    """LoadError unless the bytes are a whole shared object of this machine."""
    if data[:4] != b"\x7fELF" or len(data) < _ELF_HEADER.size:
        raise LoadError(f"{path} is not a shared library of this system")
    if data[4:6] != b"\x02\x01":
        raise LoadError(f"{path} is a library for another machine")
    header = _ELF_HEADER.unpack_from(data)
    kind, machine, _, _, program, sections, _, _, entry_size, count, section_size, number, _ = (
        header
    )
    if kind != _SHARED:
        raise LoadError(f"{path} is not a shared library")
    if machine != _MACHINES.get(platform.machine()):
        raise LoadError(f"{path} is a library for another machine")
    ends = [sections + section_size * number, program + entry_size * count]
    if max(ends) <= len(data) and entry_size == _PROGRAM_HEADER.size:
        headers = [
            _PROGRAM_HEADER.unpack_from(data, program + i * entry_size) for i in range(count)
        ]
        ends += [offset + size for _, _, offset, _, _, size, _, _ in headers]
    if max(ends) > len(data):
        raise LoadError(f"{path} is truncated")


def _describe(path: Path, data: bytes) -> Library:
    start = data.find(MARK)
    end = data.find(b"\0", start + len(MARK))
    if start < 0 or end < 0:
        raise LoadError(f"{path} is not a library made by nets")
    try:
        return from_json(data[start + len(MARK) : end].decode())
    except (LoadError, UnicodeDecodeError) as error:
        raise LoadError(f"{path}: {error}") from None


def _check_cpu(path: Path, library: Library) -> None:
    from nets.backend.callable import cpu_level

    if library.level > cpu_level():
        raise LoadError(f"{path} was compiled for {library.cpu}, which this CPU is not")


_printers: list[Any] = []
"""The callbacks that libraries have, which stay loaded as long as the process."""


def _print_in_python(ffi: Any, opened: Any, library: str) -> None:
    """Let the functions of a library print to ``sys.stdout``."""

    def printer(user: Any, site: int, text: Any, count: int, values: Any) -> None:
        show(ffi, text, count, values)

    _printers.append(ffi.callback(f"{library}_printer", printer))
    getattr(opened, f"{library}_set_print")(_printers[-1], ffi.NULL)


def _declarations(library: Library) -> str:
    """The C declarations of what is called."""
    lines = [f"const char *{library.name}_status_message(int32_t status);"]
    if library.prints:
        lines += [
            "typedef struct { int32_t dtype, rank; const int64_t *shape; const void *data; }",
            "nets_printed;",
            f"typedef void (*{library.name}_printer)"
            "(void *, int32_t, const char *, int32_t, const nets_printed *);",
            f"void {library.name}_set_print({library.name}_printer, void *);",
        ]
    if library.state:
        lines.append(f"int32_t {library.name}_init_state(void *state);")
    for function in library.functions:
        state = ["void *"] if function.state else []
        inputs = [f"const {C_TYPES[a.dtype]} *" for a in function.arguments]
        outputs = [f"{C_TYPES[a.dtype]} *" for a in function.results]
        parameters = ", ".join([*state, *inputs, *outputs, "void *"])
        lines.append(f"int32_t {library.name}_{function.name}({parameters});")
    return "\n".join(lines)
