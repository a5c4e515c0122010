"""Loads exported libraries: ``nets.load("digits.so").predict(x)``, with cffi and NumPy alone.

The file is read and checked before the system's loader sees it (``library_file.py``), and what was
read is what is opened (``private_copy.py``). So a library is the code of its file as it was when it
was loaded, whatever else is open, and each that is loaded has a state of its own.
"""

from __future__ import annotations

import operator
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from pickle import PickleBuffer
from typing import Any, Final, SupportsIndex
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from nets.backend.library.c_header import C_TYPES, called_declarations
from nets.backend.library.c_names import table_symbols
from nets.backend.library.library_file import LibraryFile, library_of, read_library
from nets.backend.library.loop_threads import check_threads, sharing
from nets.backend.library.manifest import ABI_VERSION, Library, LibraryFunction, Matrix, Tree
from nets.backend.library.nests import leaves, nest
from nets.backend.library.private_copy import InMemory, open_copy, received
from nets.backend.library.state.loaded import LoadedState
from nets.backend.printing import raise_pending, show
from nets.backend.transfers import Job, SoloJob, foreign_carrier
from nets.communicator import agree
from nets.errors import (
    REFUSALS,
    ArgumentError,
    DTypeError,
    LoadError,
    MissingNameError,
    NumberError,
    ShapeError,
)
from nets.ieee import in_ieee_mode
from nets.ir.core import Function
from nets.ir.dims import Requirement, declare
from nets.ir.fixed_sizes import Sizes, bind
from nets.ir.sizes import Dim, Range, evaluate
from nets.ir.types import DTYPES, TensorType, gives_way
from nets.locks import imports, lock
from nets.machine.machine import ALIGNMENT

Array = npt.NDArray[Any]


def load(path: str | os.PathLike[str], *, threads: int = 1) -> LoadedLibrary:
    """The library of that file, with a method for each of its functions.

    It is a copy of the file as it is now: the file may be written anew or deleted afterwards.
    ``threads`` share the loops of its functions, where it was exported with ``threads=``; the bits
    are the same. ArgumentError where ``path`` is no path, ``threads`` no number of threads, or more
    than one for a library without parallel twins. LoadError where the file is missing, not a
    library of nets, of another version, not as it was exported, or for another CPU or target.
    """
    return LoadedLibrary(_opened(read_library(_place(path)), threads))


def _opened(file: LibraryFile, threads: int) -> _Code:
    """The code of a file, which is checked first."""
    _check_cpu(file.path, file.library)
    file.check_seal()
    check_threads(file.path, file.library, threads)
    with imports.inside():  # cffi's parser has a lock, which a fork would leave locked
        return _Code(file, threads)


def _place(path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise ArgumentError(f"nets.load takes the path of a library, not {type(path).__name__}")
    if not os.fspath(path):
        raise LoadError("an empty path names no library")
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError, RuntimeError) as error:  # of NUL, half characters, endless links
        raise LoadError(f"{os.fspath(path)!r} cannot be read: {error}") from None


def _check_cpu(path: Path, library: Library) -> None:
    from nets.backend.process.callable import cpu_level

    if library.level > cpu_level():
        raise LoadError(f"{path} was compiled for {library.cpu}, which this CPU is not")


def _level_here(library: Library) -> int:
    """The best level of the library that this CPU has, as the library itself will find it."""
    from nets.backend.process.callable import cpu_level

    here = cpu_level()
    return max((form.level for form in library.forms if form.level <= here), default=0)


_alive: Final[WeakValueDictionary[tuple[bytes, int], _Code]] = WeakValueDictionary()
"""The code that is open, by its seal and the number of threads."""

_received: Final[deque[_Code]] = deque(maxlen=8)
"""The latest that came by pickle: a worker is sent the same again and again."""

_receiving: Final = lock()


def _unpickled(seal: bytes, data: bytes, path: str, threads: int) -> _Code:
    """The code of a library that was pickled. LoadError where it is for another system or CPU."""
    with _receiving:
        found = _alive.get((seal, threads))
        if found is None:
            place = Path(path)
            found = _opened(library_of(place, received(data, place.name)), threads)
            _received.append(found)
        return found


class _Code:
    """The code of a library in this process, closed when nothing uses it any more.

    What is pickled are the bytes of the file.
    """

    def __init__(self, file: LibraryFile, threads: int) -> None:
        from cffi import FFI

        self.threads = threads
        self.path, self.library, self.seal = file.path, file.library, file.seal
        self._data = file.data
        self.cpu_level = _level_here(file.library)
        self.ffi = FFI()
        self.ffi.cdef(called_declarations(file.library))
        try:
            self._opened = open_copy(self.ffi, file.data, file.library.name, file.path.parent)
        except OSError as error:
            raise LoadError(f"{file.path} cannot be loaded: {error}") from None
        if isinstance(file.data, InMemory):
            file.data.release()
        self._check(file.manifest)
        library = file.library
        if library.prints:
            self._print_in_python()
        if library.communicates:
            self.carrier = foreign_carrier(self.ffi, library.name)
        self._sharing = sharing(self.ffi, library.name, threads) if threads > 1 else ()
        _alive[self.seal, threads] = self

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        data = PickleBuffer(self._data) if operator.index(protocol) >= 5 else bytes(self._data)
        return _unpickled, (self.seal, data, str(self.path), self.threads)

    def __deepcopy__(self, memo: object) -> _Code:
        return self

    def __del__(self) -> None:
        opened = self.__dict__.get("_opened")
        if opened is not None:
            self.ffi.dlclose(opened)

    def function(self, word: str) -> Any:
        """The function of that name, without the library's. LoadError where there is none."""
        try:
            return getattr(self._opened, f"{self.library.name}_{word}")
        except AttributeError:
            raise LoadError(f"{self.path} is damaged: it lacks the function {word}") from None

    def text(self, pointer: Any) -> str:
        """The text that C has there."""
        return str(self.ffi.string(pointer).decode(errors="replace"))

    def _check(self, manifest: bytes) -> None:
        """LoadError unless the code is what the description says."""
        library = self.library
        told = {"abi_version": ABI_VERSION}
        if library.state:
            told["state_bytes"] = library.state_bytes
        agree = all(self.function(word)() == value for word, value in told.items())
        agree = agree and all(map(self._has_workspaces, library.functions))
        if not agree or self.ffi.string(self.function("describe")()) != manifest:
            raise LoadError(f"{self.path} is damaged: code and description differ")
        for function in library.functions:
            self.function(function.name)

    def _has_workspaces(self, function: LibraryFunction) -> bool:
        """Whether the code needs what the description tells, for the least sizes of a call; these
        may be refused, and need nothing then."""
        sizes = {name: -(-low // unit) * unit for name, low, _, unit in function.dims}
        told = {"workspace_bytes": function.workspace_bytes}
        if self.library.threads:
            told["parallel_workspace_bytes"] = function.parallel_workspace_bytes
        found = {w: self.function(f"{function.name}_{w}")(*sizes.values()) for w in told}
        none = [0] if sizes else []
        return all(found[word] in (evaluate(size, sizes), *none) for word, size in told.items())

    def pattern(self, function: LibraryFunction, matrix: Matrix) -> dict[str, Any]:
        """What a sparse result has beside its values: copies of ``rows`` and ``cols``, which cannot
        be written to, and ``shape``."""
        prefix = len(self.library.name) + 1
        rows, cols, _ = table_symbols(self.library.name, function.name, matrix.word)
        found: dict[str, Any] = {}
        for key, name in (("rows", rows), ("cols", cols)):
            memory = self.ffi.buffer(self.function(name[prefix:])(), 4 * matrix.nnz)
            found[key] = np.frombuffer(memory, np.int32).copy()
            found[key].flags.writeable = False
        return {**found, "shape": matrix.shape}

    def callee(self, function: LibraryFunction) -> tuple[Any, Dim, tuple[Any, ...]]:
        """What a call of the function calls, the size of its workspace, and what comes behind."""
        if not self._sharing:
            return self.function(function.name), function.workspace_bytes, ()
        twin = self.function(f"{function.name}_parallel")
        return twin, function.parallel_workspace_bytes, self._sharing

    def _print_in_python(self) -> None:
        """Let the functions print to ``sys.stdout``."""
        ffi = self.ffi

        def printer(user: Any, site: int, text: Any, count: int, values: Any) -> None:
            show(ffi, text, count, values)

        self._printer = ffi.callback(f"{self.library.name}_printer", printer)
        self.function("set_print")(self._printer, ffi.NULL)


class LoadedLibrary:
    """An exported library in this process. ``functions`` names its methods.

    ``state`` holds what the functions share and update, if there is such: a mapping of names to
    arrays, with ``save``, ``load`` and ``reset``; every library that is loaded has its own. What is
    pickled are the bytes of the file and the state; it needs no file where it arrives. LoadError
    where that is another system, or a CPU that the library is not for.
    """

    def __init__(self, code: _Code, state: LoadedState | None = None) -> None:
        self.path = code.path
        self.description = code.library
        self.state = LoadedState(code) if state is None else state
        """What the functions share, which calls update; empty for a library without state."""
        self._code = code
        self._functions = {
            function.name: _Function(code, function, self.state)
            for function in code.library.functions
        }
        # A function goes before a method of that name.
        vars(self).update({w: f for w, f in self._functions.items() if hasattr(type(self), w)})

    @property
    def cpu_level(self) -> int:
        """The level of x86-64 whose code runs on this CPU; 0 for another architecture."""
        return self._code.cpu_level

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

    def state_from(self, /, *objects: Any, **named: Any) -> None:
        """Take the state of Python's modules, optimisers and generators.

        ``state_from(model, optimizer)``: each is told by the names, shapes and dtypes of what it
        holds. Where several would do, and for tensors that none of them holds, names as in the
        manifest are given: ``encoder=…``, ``w=…``. The default generator of random numbers is taken
        without being given. What belongs to nothing given stays as it is. ArgumentError where
        something does not fit; nothing has changed then.
        """
        self.state.take(objects, named)

    def state_to(self, /, *objects: Any, **named: Any) -> None:
        """Give the state to Python's objects, which are told as in ``state_from``."""
        self.state.give(objects, named)

    def __reduce__(self) -> tuple[Any, ...]:
        return LoadedLibrary, (self._code, self.state)

    def __repr__(self) -> str:
        return f"<library {self.path.name}: {', '.join(self._functions)}>"


class _Function:
    """One function of a library: Python nests in, NumPy arrays out."""

    def __init__(self, code: _Code, function: LibraryFunction, state: LoadedState) -> None:
        self._code = code  # stays open as long as a function of it lives
        self._ffi = ffi = code.ffi
        self._state = state
        self._first = [state.pointer] if function.state else []
        self._call, self._workspace_bytes, self._last = code.callee(function)
        self._function = function
        self._inputs = [DTYPES[a.dtype].numpy for a in function.arguments]
        self._sizes = _sizes_of(function)
        self._types = [ffi.typeof(f"{C_TYPES[a.dtype]} *") for a in function.arguments]
        self._result_types = [ffi.typeof(f"{C_TYPES[a.dtype]} *") for a in function.results]
        self._workspaces = threading.local()
        self._patterns = {m.result: code.pattern(function, m) for m in function.matrices}

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """The result, in the nest the Python function gave it.

        ArgumentError, ShapeError or DTypeError where the arguments are not those it was exported
        for; NumberError for a Python number that does not fit, and the error of the traced
        function where it refuses a value.
        """
        inputs = self._arrays(args, kwargs)
        sizes = bind(self._sizes, [array.shape for array in inputs])
        outputs = [
            np.empty([evaluate(size, sizes) for size in result.shape], DTYPES[result.dtype].numpy)
            for result in self._function.results
        ]
        cast, view = self._ffi.cast, self._ffi.from_buffer
        pointers = [cast(t, view(array)) for t, array in zip(self._types, inputs, strict=True)]
        pointers += [cast(t, view(a)) for t, a in zip(self._result_types, outputs, strict=True)]
        workspace, job = self._workspace(sizes), self._job()
        ranks = [] if job is None else [job.address]
        given = (*sizes.values(), *self._first, *pointers, *ranks, workspace, *self._last)
        status = in_ieee_mode(self._call)(*given)
        if job is not None and not job.leave(vars(self._workspaces).copy(), inputs, outputs):
            vars(self._workspaces).clear()
        raise_pending()
        if status != 0:
            raise self._failure(status)
        return nest(self._function.tree, outputs, self._patterns)

    def _job(self) -> Job | SoloJob | None:
        """The ranks to communicate with, if it does that."""
        if not self._function.ranks:
            return None
        function, (ranks,) = self._function, self._function.ranks
        agree(function.name, bytes.fromhex(function.ir_sha256), f"{self!r}\nfor {ranks} ranks")
        return self._code.carrier.job(ranks)

    def _workspace(self, sizes: Sizes) -> Any:
        """Memory of this thread's own, aligned, kept for its next call."""
        size = evaluate(self._workspace_bytes, sizes)
        if size == 0:
            return self._ffi.NULL
        found = getattr(self._workspaces, "memory", None)
        if found is None or len(found[0]) < size + ALIGNMENT:
            memory = np.empty(size + ALIGNMENT, np.uint8)
            address = int(self._ffi.cast("uintptr_t", self._ffi.from_buffer(memory)))
            found = (memory, self._ffi.cast("void *", -(-address // ALIGNMENT) * ALIGNMENT))
            self._workspaces.memory = found
        return found[1]

    def _arrays(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Array]:
        found: list[Array | None] = [None] * len(self._inputs)
        for name, tree, value in self._bind(args, kwargs):
            for number, leaf in leaves(tree, value, name):
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
        dtype, argument = self._inputs[number], self._function.arguments[number]
        name = argument.name
        array = np.asarray(_fitting(leaf, dtype, f"{self._function.name}: {name}"))
        if array.dtype != dtype:
            raise DTypeError(f"{self._function.name}: {name} is {dtype}, not {array.dtype}")
        if not self._function.dims and array.shape != argument.shape:
            raise ShapeError(
                f"{self._function.name}: {name} has shape {argument.shape}, not {array.shape}"
            )
        return np.require(array, dtype, ["C", "A"])

    def _failure(self, status: int) -> Exception:
        name = self._function.name
        for code, message, error in self._function.checks:
            if code == status:
                return REFUSALS[error](f"{name}: {message}")
        text = self._code.text(self._code.function("status_message")(status))
        return ArgumentError(f"{name}: {text}")

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (LoadedLibrary(self._code, self._state), self._function.name)

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


def _sizes_of(function: LibraryFunction) -> Function:
    """A function of no operations that has the arguments, and the sizes a call tells."""
    types = [TensorType(a.shape, DTYPES[a.dtype]) for a in function.arguments]
    head = Function(function.name, types, [a.name for a in function.arguments])
    ranges = {name: Range(*limits) for name, *limits in function.dims}
    declare(head, ranges, (Requirement(*entry) for entry in function.requirements))
    return head
